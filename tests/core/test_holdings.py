"""Holdings: what a store gives back, and what it must not, with forgetting, removing or taking again in between."""

from __future__ import annotations

import gc
import weakref

from ccs._core.commits.operations import delete_op, revision_guard
from ccs._core.recipes.held_entries import Holding, Holdings, giving_back, grouped


def held(path: str = "a", revision: int | None = 1, **options: object) -> Holding:
    return Holding("/tasks/t", path, revision, "ann", **options)  # type: ignore[arg-type]


def test_what_is_given_back_is_guarded_by_its_revision() -> None:
    commit, unguarded = giving_back([held("a", 7), held("ticket", None)]).commits
    assert (commit.agent, commit.operations, commit.guards) == ("ann", [delete_op("a")], [revision_guard("a", 7)])
    assert unguarded.guards == []


def test_a_holding_that_was_lost_and_taken_again_stays_when_the_earlier_one_is_removed() -> None:
    holdings, first, second = Holdings(), held(revision=1), held(revision=2)
    holdings.add(first)
    holdings.add(second)
    holdings.remove("/tasks/t", "a", 1)
    holdings.note_forgotten(first)
    holdings.done_with([first])
    assert (holdings.all(), holdings.forgotten()) == ([second], [])
    holdings.remove("/tasks/t", "a", 2)
    assert holdings.all() == []


def test_a_holding_noted_before_its_write_is_removed_by_any_revision() -> None:
    holdings = Holdings()
    holdings.add(held(revision=None))
    holdings.remove("/tasks/t", "a", 5)
    assert holdings.all() == []


def test_a_forgotten_holding_stays_until_it_is_given_back() -> None:
    holdings, one = Holdings(), held()
    holdings.add(one)
    holdings.note_forgotten(one)
    assert holdings.forgotten() == holdings.forgotten() == [one]
    holdings.done_with([one])
    assert (holdings.forgotten(), holdings.all()) == ([], [])


def test_an_owner_that_leaves_gives_back_what_it_holds_then() -> None:
    holdings, mine, yours = Holdings(), object(), object()
    first, other, later = held("a", owner=mine), held("b", owner=yours), held("c", owner=mine)
    holdings.add(first)
    holdings.add(other)
    holdings.note_left(mine)
    holdings.add(later)
    assert holdings.forgotten() == [first]
    assert holdings.owned_by(mine) == [first, later]


def test_an_expired_holding_is_dropped() -> None:
    holdings = Holdings()
    holdings.add(held("short", until=10.0))
    holdings.add(held("long"))
    assert holdings.prune(11.0) is True
    assert [holding.path for holding in holdings.all()] == ["long"]
    holdings.remove("/tasks/t", "long", 1)
    assert holdings.prune(12.0) is False


def test_many_are_given_back_by_context_in_their_order_and_in_batches() -> None:
    some = [Holding(f"/tasks/{index % 2}", str(index), 1, "ann") for index in range(600)]
    batches = list(grouped(some))
    assert [(address, len(batch)) for address, batch in batches] == [
        ("/tasks/0", 256),
        ("/tasks/0", 44),
        ("/tasks/1", 256),
        ("/tasks/1", 44),
    ]
    assert [holding.path for _, batch in batches for holding in batch] == [
        str(index) for start in (0, 1) for index in range(start, 600, 2)
    ]


def test_finalizers_may_note_what_is_forgotten_during_an_iteration() -> None:
    """Garbage is collected at any moment, also during an operation on the containers here."""

    class Owner:
        cycle: Owner

    holdings, before = Holdings(), gc.get_threshold()
    gc.set_threshold(1)
    try:
        for index in range(500):
            owner, one = Owner(), held(str(index))
            owner.cycle = owner
            holdings.add(one)
            weakref.finalize(owner, holdings.note_forgotten, one)
            del owner
            holdings.done_with(holdings.forgotten())
            holdings.prune(0.0)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    holdings.done_with(holdings.forgotten())
    assert (holdings.all(), holdings.forgotten()) == ([], [])
