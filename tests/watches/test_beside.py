"""G6 for watches that come later, in the past or at the present, when the store already watches the context."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._core.commits.journal import parse_record
from ccs.types import Change
from tests.model.world import raw_record
from tests.support.colours import COLOURS, connect_in
from tests.support.threads import run_threads
from tests.support.waiting import aeventually, counts, eventually, scaled

ROUNDS = counts(25, 500)


@pytest.fixture
def first(connect: Callable[..., ccs.Store]) -> Iterator[Change]:
    """The first change of a context that a writer changes as fast as it can: numbers in `w/last`, each published too."""
    task = connect("writer").task("t", keep_commits=10**6)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            with task.transaction() as tx:
                tx.set("w/last", number)
                tx.publish("told", number)
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    eventually(lambda: len(task.history("w/last")) > 20)
    yield task.history("w/last", limit=1)[0]
    stop.set()
    thread.join()


def consecutive(numbers: list[Any]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_watch_that_resumes_beside_another_one_begins_right_after_its_cursor(
    colour: str, target: str, namespace: str, first: Change
) -> None:
    """Given a watch of the context in the same store, when others resume while writers write, none skips anything."""
    async with connect_in(colour, target, namespace=namespace) as store:
        task = store.task("t")
        async with task.watch("elsewhere"):
            for _ in range(ROUNDS):
                async with task.watch("w/*", since=first.revision) as changes:
                    assert (await changes.receive(timeout=scaled(10))).value == first.value + 1
                    assert (await changes.receive(timeout=scaled(10))).value == first.value + 2


def test_all_else_that_begins_in_the_past_misses_nothing_beside_a_watch(
    connect: Callable[..., ccs.Store], first: Change
) -> None:
    """Given a watch of the context, when callbacks and events begin at a revision, then they get all that came after."""
    task = connect().task("t")
    with task.watch("elsewhere"):
        for _ in range(counts(2, 50)):
            got: list[list[Any]] = [[], [], []]
            changes, events, told = got
            subscription = task.subscribe(
                "w/*", lambda change, to=changes: to.append(change.value), since=first.revision
            )
            task.on_event("told", since=first.revision)(lambda event, to=events: to.append(event.data))
            task.bus.subscribe("told", since=first.revision)(told.append)
            eventually(lambda got=got: all(len(each) > 30 for each in got))
            subscription.cancel()
            for each in got:
                assert each[0] == first.value + 1
                assert consecutive(each[:30])


@pytest.mark.parametrize("colour", COLOURS)
async def test_the_present_and_what_follows_fit_together_beside_a_watch(
    colour: str, target: str, namespace: str, first: Change
) -> None:
    """Given a watch of the context, when others begin with the present, then what follows has neither gap nor duplicate."""
    async with connect_in(colour, target, namespace=namespace) as store:
        task = store.task("t")
        async with task.watch("elsewhere"):
            for _ in range(ROUNDS):
                async with task.watch("w/*", initial=True, buffer=2) as changes:
                    assert consecutive([(await changes.receive(timeout=scaled(10))).value for _ in range(4)])


def test_watches_that_start_at_once_while_writers_write_all_miss_nothing(
    connect: Callable[..., ccs.Store], first: Change
) -> None:
    """Given one store, when many watches of one context start at once, live or in the past, then each gets every change."""
    task = connect().task("t")

    def follow(number: int) -> None:
        for _ in range(counts(3, 50)):
            since = first.revision if number % 2 else None
            with task.watch("w/*", since=since, buffer=3) as changes:
                got = [changes.receive(timeout=scaled(10)).value for _ in range(10)]
            assert consecutive(got)
            assert since is None or got[0] == first.value + 1

    run_threads(follow, 6)


async def test_a_watch_that_resumes_while_the_feed_is_behind_misses_nothing(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    """Given a slow watch that is behind, when another one resumes, then each gets all of it."""
    store, other = aconnect(), aconnect("other")
    first = await other.task("t").set("w", 0)
    async with store.task("t").watch("w", buffer=1) as slow:
        for number in range(1, 20):
            await other.task("t").set("w", number)
        await aeventually(lambda: "behind" in repr(slow._mailbox))
        async with store.task("t").watch("w", since=first.revision) as resumed:
            await other.task("t").set("w", 20)
            for watch in (slow, resumed):
                assert [(await watch.receive(timeout=scaled(10))).value for _ in range(20)] == list(range(1, 21))


async def test_messages_of_one_history_are_not_taken_after_the_journal_of_another(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    """Given a server that has taken over and lost a commit, and a watch that still reads the journal of the old one:

    what the new one sends is not taken as if it followed. So the fork is found as soon as the journal is the new one.
    """
    store, other = aconnect(), aconnect("other")
    async with store.task("t").watch("**") as changes:
        first = await other.task("t").set("p", 1)
        assert (await changes.receive(timeout=scaled(10))).value == 1
        changes._catch_up()
        lost = await other.task("t").set("p", 2)
        feed = store._engine.opening.dispatcher._feeds["/tasks/t"]
        await aeventually(lambda: feed.last == lost.revision)
        changes._catch_up()  # drops that message: what follows comes from the server that has taken over
        feed.last, feed.ahead = first.revision, 0
        forged = raw_record(first.revision, lost.revision + 1_000, "p", 3)
        assert feed.deliver(parse_record(forged))
        assert (await changes.receive(timeout=scaled(10))).value == 2, "the journal of the old one has it"
        with pytest.raises(TimeoutError):
            await changes.receive(timeout=0.2)
