"""G6 when other clients write to the channel or the journal: what is not a commit is ignored, or an error that says where."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from inspect import isawaitable
from typing import Any

import pytest
import redis

import ccs
import ccs.aio
from ccs._core.names.keys import keys_of
from tests.model.world import raw_record
from tests.support.colours import COLOURS, connect_in
from tests.support.journal import records
from tests.support.waiting import aeventually, eventually, scaled
from tests.watches.forgeries import NO_VALUE, chained

FORGERIES = list(chained(10**15))


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A context is not looked at just because it is silent: so whatever is noticed was noticed in the message."""
    monkeypatch.setattr("ccs._async.background.commit_dispatcher.SILENCE", 600.0)


def publish(url: str, namespace: str, message: bytes) -> None:
    with redis.Redis.from_url(url) as stranger:
        stranger.publish(keys_of(namespace, "/tasks/t").channel, message)


def append(url: str, namespace: str, item: bytes) -> None:
    with redis.Redis.from_url(url) as stranger:
        stranger.xadd(keys_of(namespace, "/tasks/t").journal, {"r": item})


# What strangers say


@pytest.mark.usefixtures("no_looks")
@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_malformed_message_that_chains_ends_nothing(
    colour: str, forgery: str, valkey: str, namespace: str
) -> None:
    """Given a message that names the newest commit but is not one, then all watches get the commits, and nothing else."""
    async with connect_in(colour, valkey, namespace=namespace) as store, AsyncExitStack() as stack:
        task = store.task("t")
        watches = [
            await stack.enter_async_context(each)
            for each in (task.watch(), task.watch("p", initial=True), store.watch("/tasks/*/p"))
        ]
        seen: list[Any] = []
        errors: list[Any] = []
        subscribed = task.subscribe(
            "p", lambda change: seen.append(change.value), on_error=lambda *error: errors.append(error)
        )
        if isawaitable(subscribed):
            await subscribed
        for number in range(3):
            before = (await task.set("p", number)).revision
            publish(valkey, namespace, chained(before)[forgery])
        await task.set("p", 3)
        for watch in watches:
            assert [(await watch.receive(timeout=scaled(10))).value for _ in range(4)] == [0, 1, 2, 3]
        await aeventually(lambda: seen == [0, 1, 2, 3])
        assert not errors


@pytest.mark.usefixtures("no_looks")
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_malformed_message_ends_no_mirror(forgery: str, valkey: str, namespace: str) -> None:
    changes: list[Any] = []
    with ccs.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        before = task.set("p", 0).revision
        with task.mirror("p", on_change=lambda change: changes.append(change.value)) as view:
            publish(valkey, namespace, chained(before)[forgery])
            view.caught_up(task.set("p", 1).revision, timeout=scaled(10))
            assert (dict(view), view.reloads) == ({"p": 1}, 0)
            eventually(lambda: changes == [1])


def test_a_message_that_is_no_commit_is_a_reason_to_look_at_the_journal(
    valkey: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a commit whose message was lost, when a stranger says something, then the commit is found."""
    monkeypatch.setattr("ccs._async.background.commit_dispatcher.SILENCE", 600.0)
    with ccs.connect(valkey, namespace=namespace) as store, store.task("t").watch() as changes:
        dispatcher = store.task("t").handle.engine.opening.dispatcher._dispatcher
        deliver, lost = dispatcher._on_message, list[bytes]()
        monkeypatch.setattr(dispatcher._subscriptions, "_on_message", lambda kind, channel, raw: lost.append(raw))
        store.task("t").set("p", 1)
        eventually(lambda: lost)
        monkeypatch.setattr(dispatcher._subscriptions, "_on_message", deliver)
        publish(valkey, namespace, b"hello")
        assert changes.receive(timeout=scaled(10)).value == 1


# What strangers write


@pytest.mark.parametrize("item", [b"hello", b"", b"1 2 3", b"\xff\x00"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_what_is_no_record_in_a_journal_is_an_error_that_says_where(
    colour: str, item: bytes, valkey: str, namespace: str
) -> None:
    """Given a journal that somebody else wrote into, then watches and history tell what comes before, and then say so."""
    async with connect_in(colour, valkey, namespace=namespace) as store:
        task = store.task("t")
        first = await task.set("p", 1)
        last = await task.set("p", 2)
        append(valkey, namespace, item)
        await task.set("p", 3)
        async with task.watch("p", since=first.revision) as changes:
            assert (await changes.receive(timeout=scaled(10))).value == 2
            for _ in range(2):
                with pytest.raises(ccs.HistoryDamaged) as caught:
                    await changes.receive(timeout=scaled(10))
                assert (caught.value.address, caught.value.revision) == ("/tasks/t", last.revision)
        for newest_first in (False, True):
            with pytest.raises(ccs.HistoryDamaged) as caught:
                await task.history(newest_first=newest_first)
            assert (caught.value.address, caught.value.revision) == ("/tasks/t", last.revision)
        for asked in (task.at(first.revision), task.diff(first.revision)) if colour == "asyncio" else ():
            with pytest.raises(ccs.HistoryDamaged):
                await asked


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_watch_of_the_store_goes_on_behind_a_damaged_journal(colour: str, valkey: str, namespace: str) -> None:
    """Given one damaged journal, then the watch of the store says so once, and goes on, there too."""
    async with connect_in(colour, valkey, namespace=namespace) as store:
        task = store.task("t")
        first = await task.set("p", 1)
        append(valkey, namespace, b"hello")
        await task.set("p", 2)
        other = await store.task("other").set("p", 1)
        cursor = {"/tasks/t": first.revision, "/tasks/other": 0}
        async with store.watch("/tasks/*/p", since=cursor) as changes:
            got = [await received(changes) for _ in range(2)]
            assert sorted(got) == [("/tasks/other", other.revision), ("damaged /tasks/t", first.revision)]
            third = await task.set("p", 3)
            assert await received(changes) == ("/tasks/t", third.revision)


async def received(changes: Any) -> tuple[str, int]:
    """The next change, or the next error."""
    try:
        change = await changes.receive(timeout=scaled(10))
    except ccs.HistoryDamaged as error:
        return f"damaged {error.address}", error.revision
    return change.context, change.revision


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_value_that_a_later_version_wrote_is_an_error_with_its_revision_and_can_be_skipped(
    colour: str, valkey: str, namespace: str
) -> None:
    """Given a commit with a value that cannot be read here, then a watch raises with its revision, and another goes on after it."""
    async with connect_in(colour, valkey, namespace=namespace) as store:
        task = store.task("t")
        first = await task.set("p", 1)
        found = records(valkey, namespace, "/tasks/t")[-1]
        strange = raw_record(found.revision, found.revision + 1, "p", "value").replace(b"\xa5value", NO_VALUE * 6)
        with redis.Redis.from_url(valkey) as stranger:
            stranger.xadd(keys_of(namespace, "/tasks/t").journal, {"r": strange}, id=f"{found.revision + 1}-0")
        async with task.watch(since=first.revision) as changes:
            with pytest.raises(ccs.HistoryDamaged) as caught:
                await changes.receive(timeout=scaled(10))
        assert (caught.value.address, caught.value.revision) == ("/tasks/t", found.revision + 1)
        async with store.watch(since={"/tasks/t": first.revision}) as everything:
            with pytest.raises(ccs.HistoryDamaged):
                await everything.receive(timeout=scaled(10))
            assert getattr(everything, "blocking", everything).revision == {"/tasks/t": found.revision + 1}


def test_a_damaged_journal_does_not_end_a_mirror(valkey: str, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """Given a mirror whose journal another client wrote into, then it is loaded again, and follows."""
    with ccs.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        task.set("p", 1)
        with task.mirror("p") as view:
            append(valkey, namespace, b"hello")
            publish(valkey, namespace, chained(task.last_revision)["a value that is none"])
            view.caught_up(task.set("p", 2).revision, timeout=scaled(10))
            assert dict(view) == {"p": 2}
            view.caught_up(task.set("p", 3).revision, timeout=scaled(10))
            assert dict(view) == {"p": 3}


def test_schedule_are_kept_whatever_one_of_them_meets(
    connect: Callable[..., ccs.Store], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a look that fails in a way that nobody foresaw, then leases are renewed and deadlines kept all the same."""
    store = connect()
    task = store.task("t")
    dispatcher = store.task("t").handle.engine.opening.dispatcher._dispatcher

    def fail(address: str) -> None:
        raise ValueError("nobody foresaw this")

    monkeypatch.setitem(dispatcher._schedule._kinds, "check", fail)
    with task.watch("x") as changes:
        dispatcher._call_soon(dispatcher.check_soon, "/tasks/t", 0.0)
        eventually(lambda: "nobody foresaw this" in caplog.text)
        task.set("x", 1, ttl=0.1)
        assert [changes.receive(timeout=scaled(10)).op for _ in range(2)] == ["set", "expire"]
