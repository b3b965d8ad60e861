"""The desk of an inbox: it offers the oldest free message, in whatever order changes are received."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs._core.commits.commit import Crowded
from ccs._core.commits.operations import fewer_below
from ccs._core.recipes.inbox import Desk, inbox_paths
from ccs._core.recipes.outbox import Draft, Outbox
from ccs.errors import InboxFull
from ccs.types import Entry

PATHS, NOW = inbox_paths("r"), datetime(2026, 1, 1, tzinfo=UTC)
OTHER = "somebody else"


def entry(kind: str, name: str, value: Any, revision: int) -> Entry:
    return Entry(PATHS.at(kind, name), value, 1, revision, "a", NOW, NOW)


def say(desk: Desk, kind: str, name: str, value: Any, revision: int) -> None:
    desk.put(PATHS.at(kind, name), entry(kind, name, value, revision))


def end(desk: Desk, kind: str, name: str) -> None:
    desk.put(PATHS.at(kind, name), None)


def oldest(desk: Desk) -> str | None:
    offer = desk.oldest()
    return offer.id if offer else None


@pytest.fixture
def desk() -> Desk:
    return Desk(PATHS, "me")


def test_messages_of_one_commit_come_in_their_order_not_by_their_names(desk: Desk) -> None:
    for name in ("x-10", "x-9", "x-0"):
        say(desk, "messages", name, {}, 7)
    say(desk, "messages", "a-0", {}, 8)
    assert [offer.id for offer in desk.all()] == ["x-0", "x-9", "x-10", "a-0"]
    assert oldest(desk) == "x-0"


def test_a_message_lost_to_another_receiver_is_not_tried_before_its_change_is_received(desk: Desk) -> None:
    say(desk, "messages", "x-0", {}, 1)
    say(desk, "messages", "x-1", {}, 1)
    desk.set_aside("x-0")
    assert oldest(desk) == "x-1"
    say(desk, "leases", "x-0", {"by": OTHER}, 2)
    assert oldest(desk) == "x-1"
    end(desk, "leases", "x-0")
    assert oldest(desk) == "x-0"


def test_a_message_taken_without_a_reply_is_found_once(desk: Desk) -> None:
    say(desk, "messages", "x-0", {}, 1)
    say(desk, "leases", "x-0", {"by": "me"}, 2)
    say(desk, "deliveries", "x-0", {"count": 1}, 2)
    found = desk.found()
    assert found
    assert (found.id, found.deliveries, found.seen) == ("x-0", 1, 2)
    assert desk.found() is None
    say(desk, "leases", "x-0", {"by": "me"}, 3)
    desk.handed_out("x-0", 3)
    assert desk.found() is None
    say(desk, "leases", "x-0", {"by": OTHER}, 4)
    assert desk.found() is None


EVENTS = st.tuples(
    st.sampled_from(["sent", "gone", "leased", "free", "lost"]), st.integers(0, 5), st.sampled_from(["me", OTHER])
)


@given(st.lists(EVENTS, max_size=60))
def test_the_oldest_is_always_the_first_free_message(events: list[tuple[str, int, str]]) -> None:
    desk, there, leased, aside = Desk(PATHS, "me"), set[int](), set[int](), set[int]()
    for revision, (what, number, by) in enumerate(events, 100):
        name = f"x-{number}"
        if what != "lost":
            aside.discard(number)
        if what == "sent":
            there.add(number)
            say(desk, "messages", name, {}, 1 + number)
        elif what == "gone":
            there.discard(number)
            end(desk, "messages", name)
        elif what == "leased":
            leased.add(number)
            say(desk, "leases", name, {"by": by}, revision)
        elif what == "free":
            leased.discard(number)
            end(desk, "leases", name)
        else:
            aside.add(number)
            desk.set_aside(name)
        free = sorted(there - leased - aside)
        assert oldest(desk) == (f"x-{free[0]}" if free else None)
        assert len(desk) == len(there)


def test_each_message_of_a_commit_leaves_less_room_in_its_inbox() -> None:
    outbox = Outbox("t", 1000)
    posted = [outbox.put(Draft(to, None, "note", None, None, 2)) for to in ("r", "other", "r", "r")]
    prefixes = [inbox_paths(to).below("messages") for to in ("r", "other")]
    assert [each.guard for each in posted] == [fewer_below(prefixes[i], n) for i, n in ((0, 2), (1, 2), (0, 1), (0, 0))]
    assert [each.id for each in posted] == ["t-0", "t-1", "t-2", "t-3"]
    refusal = outbox.refusal(Crowded(prefixes[0], 0))
    assert isinstance(refusal, InboxFull)
    assert (refusal.to, refusal.limit) == ("r", 2)
    elsewhere = Crowded("elsewhere/", 3)
    assert outbox.refusal(elsewhere) is elsewhere
