"""The desk of an inbox: it offers the oldest free message, in whatever order changes are received."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ccs
from ccs._core.commits.commit import Crowded
from ccs._core.commits.operations import fewer_below, version_guard
from ccs._core.names.address import check_path
from ccs._core.recipes.inbox import Desk, inbox_paths
from ccs._core.recipes.outbox import Draft, Outbox, waiting
from ccs.errors import InboxFull
from ccs.types import Entry

PATHS, NOW = inbox_paths("r"), datetime(2026, 1, 1, tzinfo=UTC)
OTHER = "somebody else"
X = "1" * 16
LATER = f"{'0' * 16}-0"


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
    return Desk(PATHS, {"me": None})


def test_messages_of_one_commit_come_in_their_order_not_by_their_names(desk: Desk) -> None:
    for name in (f"{X}-10", f"{X}-9", f"{X}-0"):
        say(desk, "messages", name, {}, 7)
    say(desk, "messages", LATER, {}, 8)
    assert [offer.id for offer in desk.all()] == [f"{X}-0", f"{X}-9", f"{X}-10", LATER]
    assert oldest(desk) == f"{X}-0"


def test_a_message_lost_to_another_receiver_is_not_tried_before_its_change_is_received(desk: Desk) -> None:
    say(desk, "messages", f"{X}-0", {}, 1)
    say(desk, "messages", f"{X}-1", {}, 1)
    desk.set_aside(f"{X}-0")
    assert oldest(desk) == f"{X}-1"
    say(desk, "leases", f"{X}-0", {"by": OTHER}, 2)
    assert oldest(desk) == f"{X}-1"
    end(desk, "leases", f"{X}-0")
    assert oldest(desk) == f"{X}-0"


def test_a_message_taken_without_a_reply_is_found_once(desk: Desk) -> None:
    say(desk, "messages", f"{X}-0", {}, 1)
    say(desk, "leases", f"{X}-0", {"by": "me"}, 2)
    say(desk, "deliveries", f"{X}-0", {"count": 1}, 2)
    found = desk.found("me")
    assert found
    assert (found.id, found.deliveries, found.seen) == (f"{X}-0", 1, 2)
    assert desk.found("me") is None
    say(desk, "leases", f"{X}-0", {"by": "me"}, 3)
    desk.handed_out(f"{X}-0", 3)
    assert desk.found("me") is None
    say(desk, "leases", f"{X}-0", {"by": OTHER}, 4)
    assert desk.found("me") is None


EVENTS = st.tuples(
    st.sampled_from(["sent", "gone", "leased", "free", "lost"]), st.integers(0, 5), st.sampled_from(["me", OTHER])
)


@given(st.lists(EVENTS, max_size=60))
def test_the_oldest_is_always_the_first_free_message(events: list[tuple[str, int, str]]) -> None:
    desk, there, leased, aside = Desk(PATHS, {"me": None}), set[int](), set[int](), set[int]()
    for revision, (what, number, by) in enumerate(events, 100):
        name = f"{X}-{number}"
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
        assert oldest(desk) == (f"{X}-{free[0]}" if free else None)
        assert len(desk) == len(there)


def test_each_message_of_a_commit_leaves_less_room_in_its_inbox() -> None:
    outbox = Outbox("t", 1000)
    posted = [outbox.put(Draft(to, None, "note", None, None, 2)) for to in ("r", "other", "r", "r")]
    prefixes = [inbox_paths(to).below("messages") for to in ("r", "other")]
    assert [each.guards[-1] for each in posted] == [
        fewer_below(prefixes[i], n) for i, n in ((0, 2), (1, 2), (0, 1), (0, 0))
    ]
    assert [each.id for each in posted] == ["t-0", "t-1", "t-2", "t-3"]
    refusal = outbox.refusal(Crowded(prefixes[0], 0))
    assert isinstance(refusal, InboxFull)
    assert (refusal.to, refusal.limit) == ("r", 2)
    elsewhere = Crowded("elsewhere/", 3)
    assert outbox.refusal(elsewhere) is elsewhere


def test_the_message_with_the_highest_priority_is_first_then_the_oldest(desk: Desk) -> None:
    for number, priority in enumerate([0, 2, -1, 2, 0]):
        say(desk, "messages", f"{X}-{number}", {"priority": priority} if priority else {}, 1 + number)
    assert [offer.id[-1] for offer in desk.all()] == ["1", "3", "0", "4", "2"]
    assert oldest(desk) == f"{X}-1"


def test_a_message_that_did_not_reach_the_caller_is_found_again_while_its_lease_lasts(desk: Desk) -> None:
    say(desk, "messages", f"{X}-0", {}, 1)
    say(desk, "leases", f"{X}-0", {"by": "me"}, 2)
    desk.handed_out(f"{X}-0", 2)
    assert desk.found("me") is None
    desk.hand_back(f"{X}-0")
    end(desk, "leases", f"{X}-0")
    assert desk.found("me") is None
    say(desk, "leases", f"{X}-0", {"by": "me"}, 3)
    desk.handed_out(f"{X}-0", 3)
    desk.hand_back(f"{X}-0")
    found = desk.found("me")
    assert found
    assert found.id == f"{X}-0"


@given(st.lists(st.sampled_from(["a", "/", "%", ".", "-", "0", "é", "@", "\n", "\ud800", X]), min_size=1).map("".join))
def test_any_id_that_a_sender_gives_comes_back_and_is_ordered_by_its_place_in_the_commit(id: str) -> None:
    if "\ud800" in id:
        with pytest.raises(ccs.InvalidPath, match="lone surrogate"):
            PATHS.at("messages", id)
        return
    desk = Desk(PATHS, {})
    path = PATHS.at("messages", id)
    int(path.rpartition("-")[2])  # version 0.1 reads a number there
    desk.put(path, Entry(path, {"index": 3}, 1, 7, "a", NOW, NOW))
    (offer,) = desk.all()
    assert (offer.id, offer.order) == (id, (0, 7, 3))


def test_ids_that_look_alike_have_paths_of_their_own() -> None:
    ids = [X, f"{X}-0", f"{X}%-0", "a", "a-0", "a%-0", "a%2D0", "%", "..", ".", "a/b", "a%2Fb"]
    assert len({PATHS.at("messages", each) for each in ids}) == len(ids)


def test_a_given_id_has_room_beside_the_longest_role() -> None:
    paths = inbox_paths("r" * 768)
    assert len(check_path(paths.at("deliveries", "i" * 200)).encode()) <= 1024
    with pytest.raises(ccs.InvalidPath, match="200 bytes"):
        paths.at("deliveries", "i" * 201)


def test_a_given_id_is_noted_for_a_day_and_once_in_a_commit() -> None:
    outbox = Outbox("t", 1000)
    posted = outbox.put(Draft("r", None, "note", None, None, 2, "i", 5))
    record = PATHS.at("sent", "i")
    assert posted.guards == [version_guard(record, 0), fewer_below(PATHS.below("messages"), 2)]
    assert [operation[1] for operation in posted.operations] == [
        PATHS.at(kind, "i") for kind in ("messages", "leases", "sent")
    ]
    assert posted.first_due == 5
    with pytest.raises(ccs.InvalidValue, match="another message in this commit"):
        outbox.put(Draft("r", None, "note", None, None, 2, "i"))
    outbox.put(Draft("other", None, "note", None, None, 2, "i"))


@pytest.mark.parametrize(
    ("draft", "match"),
    [
        (Draft("r", None, "note", None, 1.0, 2, None, 1000), "would expire"),
        (Draft("r", None, "note", None, None, 2, None, 0, True), "priority is True"),
        (
            Draft("r", None, "note", None, None, 2, None, 0, 2**31),
            "priority is 2147483648: give an integer from -2147483647 to 2147483647",
        ),
        (Draft("r", None, "note", None, None, 2, None, 0, 1.5), "priority is 1.5"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_a_draft_that_makes_no_sense_is_refused(draft: Draft, match: str) -> None:
    with pytest.raises(ccs.InvalidValue, match=match):
        Outbox("t", 1000).put(draft)


def test_a_message_waits_for_its_delay_or_its_time() -> None:
    assert [waiting(delay, None, NOW) for delay in (None, 0, 0.0015, timedelta(seconds=2))] == [0, 0, 2, 2000]
    assert [waiting(None, NOW + timedelta(seconds=each), NOW) for each in (-5, 0, 2)] == [0, 0, 2000]
    for wrong in ({"delay": 1, "at": NOW}, {"at": NOW.replace(tzinfo=None)}, {"delay": -1}):
        with pytest.raises(ccs.InvalidValue):
            waiting(wrong.get("delay"), wrong.get("at"), NOW)  # type: ignore[arg-type]  # on purpose
