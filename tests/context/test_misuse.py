"""An object that is used in a wrong state says so, and so does one that is copied or sent to another process."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.support.colours import Awaited
from tests.support.waiting import scaled

PATIENCE = scaled(10.0)
AHEAD = 3600 * 1_000_000


def bare(thing: Any) -> Any:
    """The object itself, of either colour."""
    return thing.blocking if isinstance(thing, Awaited) else thing


async def _refused(attempt: Any, message: str) -> None:
    with pytest.raises(ccs.Misuse, match=message) as caught:
        await attempt
    assert isinstance(caught.value, RuntimeError)


async def test_a_watch_is_entered_once_and_used_while_it_is_open(task: Any) -> None:
    watch = task.watch("**")
    await _refused(watch.receive(timeout=0), "not entered")
    async with watch:
        await _refused(watch.__aenter__(), "entered once")
    await _refused(watch.receive(timeout=0), "was closed")
    assert [change async for change in watch] == []


async def test_a_watch_of_the_store_is_entered_once_and_used_while_it_is_open(shared: Any) -> None:
    watch = shared.watch("/**")
    await _refused(watch.receive(timeout=0), "not entered")
    async with watch:
        await _refused(watch.__aenter__(), "entered once")
    await _refused(watch.receive(timeout=0), "was closed")


async def test_a_watch_of_a_closed_store_says_that_the_store_is_closed(open_store: Any) -> None:
    store = await open_store()
    watch = store.task("t").watch("**")
    async with watch:
        await (store.close if isinstance(store, Awaited) else store.aclose)()
        with pytest.raises(ccs.StoreClosed):
            await watch.receive(timeout=PATIENCE)
    with pytest.raises(ccs.StoreClosed):
        await watch.receive(timeout=PATIENCE)


async def test_a_mirror_is_entered_once_and_read_after_that(task: Any) -> None:
    mirror = task.mirror("**") if not isinstance(task, Awaited) else Awaited(task.blocking.mirror("**"))
    with pytest.raises(ccs.Misuse, match="not entered"):
        len(bare(mirror))
    async with mirror:
        await _refused(mirror.__aenter__(), "entered once")
    await _refused(mirror.caught_up(1), "was left")


async def test_a_claim_is_acquired_first_and_by_one(task: Any) -> None:
    claim = task.claim("a")
    for early in ("token", "context"):
        with pytest.raises(ccs.Misuse, match="not acquired yet"):
            getattr(bare(claim), early)
    await _refused(claim.release(), "not acquired yet")
    async with claim:
        await _refused(claim.acquire(), "in use")
    with pytest.raises(ccs.ClaimLost):
        await claim.release()


async def test_a_transaction_is_used_inside_its_block_and_once(task: Any) -> None:
    tx = task.transaction()
    await _refused(tx.get("a"), "not open")
    async with tx:
        tx.set("a", 1)
        await _refused(tx.__aenter__(), "entered once")
    await _refused(tx.__aenter__(), "entered once")
    await _refused(tx.exists("a"), "not open")
    with pytest.raises(ccs.Misuse):
        tx.set("a", 2)


async def test_a_presence_is_entered_once(task: Any) -> None:
    presence = task.join("reviewer")
    async with presence:
        await _refused(presence.enter(), "entered before")


async def test_an_inbox_that_was_closed_receives_no_more(task: Any) -> None:
    inbox = task.inbox("role")
    async with inbox:
        pass
    await _refused(inbox.receive(timeout=0), "this inbox of 'role' was closed")
    assert [message async for message in inbox] == []


async def test_a_message_is_settled_once_and_by_the_one_that_received_it(task: Any) -> None:
    sent = await task.send("role", {"a": [1]})
    await _refused(sent.ack(), "not received")
    async with task.inbox("role") as inbox:
        message = await inbox.receive(timeout=PATIENCE)
        await message.ack()
        for settle in (message.ack, message.release):
            await _refused(settle(), "settled before")
            with pytest.raises(ccs.ClaimLost):
                await settle()


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda it: pickle.loads(pickle.dumps(it)),  # noqa: S301  # our own
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", [*COPIES.values(), dataclasses.replace], ids=[*COPIES, "replace"])
async def test_a_copy_of_a_message_says_the_same_but_cannot_be_settled(task: Any, copied: Callable[[Any], Any]) -> None:
    await task.send("role", {"a": [1]})
    async with task.inbox("role") as inbox:
        received = await inbox.receive(timeout=PATIENCE)
        twin = copied(bare(received))
        assert twin == bare(received)
        assert repr(twin) == repr(bare(received))
        also = Awaited(twin) if isinstance(task, Awaited) else twin
        for use in (also.ack, also.release):
            await _refused(use(), "is a copy of message .*receive")
        await _refused(also.reply("hello"), "is a copy of message .*reply_to")
        await received.ack()


async def test_the_fields_of_a_message_are_what_it_says(task: Any) -> None:
    sent = bare(await task.send("role", {"a": [1]}))
    told = dataclasses.asdict(sent)
    public = ["id", "sender", "to", "type", "content", "sent_at", "attempts", "reply_to", "revision"]
    public += ["priority", "token"]
    assert list(told) == public
    assert told == {name: getattr(sent, name) for name in public}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
async def test_what_lives_on_a_store_is_not_copied_and_says_what_to_do(
    task: Any, shared: Any, copied: Callable[[Any], Any]
) -> None:
    context = bare(task)
    memory = bare(shared).memory(session="s")
    subscription = task.subscribe("never", print)
    subscription = await subscription if isinstance(task, Awaited) else subscription
    for thing in (
        bare(shared),
        context,
        context.claim("a"),
        context.watch("**"),
        context.events("**"),
        bare(shared).watch("/**"),
        context.mirror("**"),
        context.inbox("role"),
        context.join(),
        context.transaction(),
        context.bus,
        context.semantic,
        context.episodic,
        context.procedural,
        memory,
        bare(subscription),
    ):
        with pytest.raises(ccs.Misuse, match=r"connect\(\)"):
            copied(thing)


# Cursors that lie ahead.


async def test_a_cursor_ahead_of_the_servers_clock_is_refused(task: Any, shared: Any) -> None:
    entry = await task.set("a", 1)
    ahead = entry.revision + AHEAD
    for attempt in (
        task.watch("**", since=ahead).__aenter__(),
        task.events("**", since=ahead).__aenter__(),
        task.history(since=ahead),
        task.history(since=ahead, newest_first=True),
        shared.watch("/**", since={"/tasks/t": ahead}).__aenter__(),
    ):
        with pytest.raises(ccs.InvalidValue, match="is ahead of the server"):
            await attempt


async def test_a_cursor_that_no_commit_has_may_be_lost_or_never_was(task: Any) -> None:
    entry = await task.set("a", 1)
    with pytest.raises(ccs.HistoryForked, match="has lost acknowledged commits, or there never was such a revision"):
        await task.history(since=entry.revision + 1)


# Other event loops.


def test_under_another_event_loop_than_asyncios_it_says_so(target: str) -> None:
    entered, written, read = (ccs.aio.connect(target) for _ in range(3))
    for coroutine in (entered.__aenter__(), written.task("t").set("a", 1), read.task("t").get("a")):
        with pytest.raises(ccs.Misuse, match="asyncio"):
            coroutine.send(None)  # as any loop begins a coroutine
