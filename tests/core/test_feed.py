"""G6 without a server: which commits the feed of a context and the mailboxes of its watches take as continuous."""

from __future__ import annotations

import threading

from ccs._core.changes.feed import Feed
from ccs._core.changes.watch_mailbox import Mailbox
from ccs._core.commits.journal import Cursor, Record, parse_record
from ccs._core.names.pattern import compile_patterns
from tests.model.world import ADDRESS, EPOCH, World, raw_record


def record(previous: int, revision: int, path: str = "a") -> Record:
    return parse_record(raw_record(EPOCH + previous if previous else 0, EPOCH + revision, path, revision))


def mailbox(pattern: str = "a") -> Mailbox:
    return Mailbox(compile_patterns((pattern,)), 10, 10_000, lambda: None)


def feed_at(last: int, *mailboxes: Mailbox) -> Feed:
    feed = Feed(ADDRESS, threading.Lock())
    feed.mailboxes = mailboxes
    feed.last = EPOCH + last
    return feed


def test_a_mailbox_continues_from_its_origin_or_later_but_not_from_before() -> None:
    """Given a mailbox whose origin is revision 5, then a cursor at 5 or later continues there, and one at 4 does not."""
    box = mailbox()
    assert box.continues(Cursor(0)), "nothing was heard"
    feed = feed_at(5, box)
    for revision, path in ((6, "b"), (7, "a"), (8, "b")):
        assert feed.deliver(record(revision - 1, revision, path))
    assert box.first == record(6, 7)
    assert [box.continues(Cursor(EPOCH + at)) for at in (4, 5, 6, 8)] == [False, True, True, True]


def test_a_cursor_that_is_no_commit_of_the_run_does_not_continue() -> None:
    """Given messages of a server that has lost commits, then a cursor at one of these is not in the run, whatever its number."""
    box = mailbox()
    feed = feed_at(3, box)
    for previous, revision in ((3, 5), (5, 8), (8, 9)):
        assert feed.deliver(record(previous, revision))
    assert [box.continues(Cursor(EPOCH + at)) for at in (3, 5, 9, 10)] == [True] * 4
    assert [box.continues(Cursor(EPOCH + at)) for at in (2, 4, 6, 7)] == [False] * 4
    assert not box.joins(Cursor(EPOCH + 7))
    assert box.joins(Cursor(EPOCH + 5))
    assert box.joins(Cursor(EPOCH + 9)), "one that went on with the run needs no look"
    box.begin()
    assert feed.deliver(record(9, 11))
    assert not box.joins(Cursor(EPOCH + 10))


def test_what_is_noted_for_a_consumer_that_does_not_come_is_bounded() -> None:
    box = mailbox("b")
    feed = feed_at(1, box)
    for revision in range(2, 10_002):
        assert feed.deliver(record(revision - 1, revision))
    assert not box.behind
    feed.deliver(record(10_001, 10_002))
    assert box.behind


def test_a_mailbox_that_begins_again_forgets_its_origin() -> None:
    """Given a gap, when the consumer begins again, then only a cursor that has read the journal up to it continues."""
    box = mailbox()
    feed = feed_at(5, box)
    feed.deliver(record(5, 6))
    assert not feed.deliver(record(7, 8)), "7 was never heard"
    assert box.behind
    box.begin()
    assert feed.deliver(record(8, 9))
    assert [box.continues(Cursor(EPOCH + at)) for at in (6, 7, 8)] == [False, False, True]


def test_a_commit_that_skips_one_that_was_read_does_not_follow() -> None:
    """Given a watch that has read a commit ahead of its message, when another message comes instead, then it was lost."""
    box = mailbox()
    feed, world = feed_at(5, box), World()
    feed.anchor(EPOCH + 6)
    assert not feed.deliver(record(5, 7))
    assert box.behind
    box.begin()
    assert feed.deliver(record(7, 8)), "that was told"
    feed.anchor(EPOCH + 9)
    feed.doubt()
    world.commit("a")
    assert feed.check(world.page(0, 0)), "the newest commit is older than one that was read"


def test_a_commit_that_was_read_before_its_message_came_still_follows() -> None:
    """Given a watch that is ahead of the feed, when the messages come, then nothing was missed."""
    box = mailbox()
    feed = feed_at(5, box)
    feed.anchor(EPOCH + 7)
    assert all(feed.deliver(record(revision - 1, revision)) for revision in (6, 7, 8))
    assert not box.behind
