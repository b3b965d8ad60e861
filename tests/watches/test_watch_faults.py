"""G6 under faults: whatever happens to its connections or to the server, a watch misses nothing, or says so.

The faults hit the watcher only; the writers talk to the server directly.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

import ccs
import ccs.aio
from ccs._async.changes.watch import Watch
from ccs._core.names.keys import keys_of
from ccs._core.retry import Patience
from ccs._protocol.faults import Disconnected
from tests.support.colours import COLOURS
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, counts, eventually, scaled
from tests.watches.breakage import Fault, anything, cutting, hanging, losing
from tests.watches.traffic import commit_one, write
from tests.watches.watcher import Watcher

pytestmark = pytest.mark.usefixtures("impatient")

Watching = Callable[..., Watcher]


@pytest.fixture
def ctx(valkey: str, namespace: str) -> Iterator[ccs.Context]:
    """The context that is watched, for a writer whom no fault hits."""
    with ccs.connect(valkey, namespace=namespace) as store:
        yield store.task("t")


@pytest.fixture
def own_ctx(own_server: PrivateServer, namespace: str) -> Iterator[ccs.Context]:
    """The same on a server of this test's own."""
    with ccs.connect(own_server.url, namespace=namespace) as store:
        yield store.task("t")


@pytest.fixture(params=COLOURS)
def watching(request: pytest.FixtureRequest, namespace: str) -> Iterator[Watching]:
    """`watching(url, *patterns, **options)`: a watcher of that context, of each colour in turn."""
    with ExitStack() as stack:

        def enter(url: str, *patterns: str, **options: Any) -> Watcher:
            return stack.enter_context(Watcher(request.param, url, namespace, "/tasks/t", *patterns, **options))

        yield enter


@pytest.mark.parametrize("faults", [losing, cutting, hanging, anything], ids=lambda faults: faults.__name__)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_watch_over_a_broken_connection_misses_nothing(
    colour: str, valkey: str, namespace: str, proxy: Proxy, faults: Callable[[random.Random], Fault]
) -> None:
    for turn in range(counts(1, 10)):
        address, dice = f"/tasks/{turn}", random.Random(turn)
        proxy.fault, proxy.replies = lambda count, chunk: "pass", 0
        with (
            ccs.connect(valkey, namespace=namespace) as store,
            Watcher(colour, proxy.url, namespace, address, buffer=16) as watcher,
        ):
            ctx = store.context(address)
            proxy.fault = faults(dice)
            for number in range(counts(150, 1000)):
                commit_one(ctx, dice, number)
                if number % 10 == 0:
                    time.sleep(0.002)  # so that messages travel in chunks of their own
            proxy.fault = lambda count, chunk: "pass"
            watcher.check(ctx)


def test_the_last_message_before_a_silence_is_not_lost(proxy: Proxy, ctx: ccs.Context, watching: Watching) -> None:
    watcher = watching(proxy.url, "p")
    ctx.set("p", 1)
    watcher.wait(1)
    proxy.fault = lambda count, chunk: "lose" if b"message" in chunk else "pass"
    ctx.set("p", 2)
    watcher.wait(2, 10)
    assert [change.value for change in watcher.changes] == [1, 2]
    assert watcher.stats().gaps_filled >= 1


def test_a_watch_outlives_an_outage_and_then_tells_what_happened_meanwhile(
    proxy: Proxy, ctx: ccs.Context, watching: Watching
) -> None:
    watcher = watching(proxy.url, retry_for=0.5)
    write(ctx, 20)
    proxy.refuse()
    write(ctx, 50, seed=1)
    eventually(lambda: watcher.outages, 10, "the outage to be told")
    write(ctx, 20, seed=2)
    proxy.refuse(False)
    write(ctx, 20, seed=3)
    watcher.check(ctx)


async def test_an_outage_is_raised_once_by_each_watch_and_passes(valkey: str, namespace: str, proxy: Proxy) -> None:
    async with (
        ccs.aio.connect(valkey, namespace=namespace) as writer,
        ccs.aio.connect(proxy.url, namespace=namespace, retry_for=0.4) as store,
        store.task("t").watch() as one,
        store.task("t").watch() as other,
    ):
        proxy.refuse()
        for watch in (one, other):
            with pytest.raises(ccs.Unavailable):
                await watch.receive(timeout=scaled(10))
        await writer.task("t").set("p", 1)
        with pytest.raises(TimeoutError):
            await one.receive(timeout=0.5)
        proxy.refuse(False)
        for watch in (one, other):
            assert (await watch.receive(timeout=scaled(10))).value == 1


def test_a_watch_outlives_a_server_that_is_killed_and_comes_back(
    own_server: PrivateServer, own_ctx: ccs.Context, watching: Watching
) -> None:
    watcher = watching(own_server.url)
    for turn in range(counts(2, 10)):
        write(own_ctx, 30, seed=turn)
        own_server.sync()
        own_server.kill()
        own_server.start()
    write(own_ctx, 30, seed=99)
    watcher.check(own_ctx)


def rewind(server: PrivateServer, copy: Path) -> None:
    """The server comes back with the data that it had when the copy was made."""
    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    shutil.copytree(copy, server.folder / "appendonlydir")
    server.start()


def copied(server: PrivateServer, to: Path) -> Path:
    server.sync()
    return Path(shutil.copytree(server.folder / "appendonlydir", to))


@pytest.mark.parametrize("afterwards", ["silence", "new commits"])
def test_a_server_that_lost_acknowledged_commits_forks_history_and_the_watch_says_so(
    own_server: PrivateServer, own_ctx: ccs.Context, watching: Watching, tmp_path: Path, afterwards: str
) -> None:
    watcher, quiet = watching(own_server.url), watching(own_server.url, "nothing/matches")
    write(own_ctx, 10)
    copy = copied(own_server, tmp_path / "copy")
    write(own_ctx, 10, seed=1)
    lost = own_ctx.history(since=0)
    watcher.wait(len(lost))
    rewind(own_server, copy)
    if afterwards == "new commits":
        write(own_ctx, 5, seed=2)
    error = watcher.wait_end()
    assert isinstance(error, ccs.HistoryForked)
    assert error.since == lost[-1].revision
    assert watcher.changes == lost
    assert isinstance(quiet.wait_end(), ccs.HistoryForked), "what did not match may matter all the same"
    for since in (lost[-1].revision, lost[-2].revision):
        with pytest.raises(ccs.HistoryForked), own_ctx.watch(since=since):
            raise AssertionError("it was entered")
    kept = own_ctx.history(since=0)
    with own_ctx.watch(since=kept[9].revision) as changes:
        left = [change for change in kept if change.revision > kept[9].revision]
        assert [changes.receive(timeout=scaled(5)) for _ in left] == left


def test_a_watch_whose_cursor_survived_a_rewind_goes_on(
    own_server: PrivateServer, namespace: str, tmp_path: Path
) -> None:
    with ccs.connect(own_server.url, namespace=namespace) as store:
        ctx = store.task("t")
        write(ctx, 10)
        copy = copied(own_server, tmp_path / "copy")
        with ctx.watch() as changes:
            rewind(own_server, copy)
            entry = ctx.set("p", 1)
            assert changes.receive(timeout=scaled(10)).revision == entry.revision


def test_a_server_that_lost_everything_is_a_context_that_is_gone(
    own_server: PrivateServer, own_ctx: ccs.Context, watching: Watching
) -> None:
    watcher = watching(own_server.url)
    own_ctx.set("p", 1)
    watcher.wait(1)
    own_server.kill()
    shutil.rmtree(own_server.folder / "appendonlydir")
    own_server.start()
    assert isinstance(watcher.wait_end(), ccs.ContextGone)


@pytest.mark.parametrize("recreated", [False, True])
def test_a_drop_that_a_watch_did_not_hear_still_ends_it(
    proxy: Proxy, ctx: ccs.Context, watching: Watching, recreated: bool
) -> None:
    watcher = watching(proxy.url)
    ctx.set("p", 1)
    watcher.wait(1)
    proxy.refuse()
    ctx.drop()
    if recreated:
        ctx.set("p", "of another life")
    proxy.refuse(False)
    assert isinstance(watcher.wait_end(), ccs.ContextGone)
    assert [change.value for change in watcher.changes] == [1]


def test_a_journal_that_moved_on_during_an_outage_is_history_compacted(
    proxy: Proxy, ctx: ccs.Context, watching: Watching
) -> None:
    watcher = watching(proxy.url)
    ctx = ctx.store.task("t", keep_commits=10)
    first = ctx.set("p", 0)
    watcher.wait(1)
    proxy.refuse()
    for number in range(100):
        ctx.set("p", number)
    proxy.refuse(False)
    error = watcher.wait_end()
    assert isinstance(error, ccs.HistoryCompacted)
    assert error.since == first.revision


def test_strangers_that_talk_on_its_channel_do_not_harm_a_watch(
    valkey: str, namespace: str, ctx: ccs.Context, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccs._async.background.commit_dispatcher.SILENCE", 600.0)
    watcher, channel = watching(valkey), keys_of(namespace, ctx.address).channel
    with redis.Redis.from_url(valkey) as stranger:
        for number, noise in enumerate((b"", b"hello", b"1 2 3 4 5 6 7 8 9 10\n", b"\xff" * 50, b"0 1 x y z\n")):
            ctx.set("p", number)
            stranger.publish(channel, noise)
    ctx.set("p", "last")
    watcher.check(ctx)


async def test_a_store_that_connects_to_a_hung_server_is_unavailable_and_recovers_with_it(
    own_server: PrivateServer, namespace: str
) -> None:
    async with ccs.aio.connect(own_server.url, namespace=namespace, retry_for=1.0) as store:
        ctx = store.task("t")
        async with ctx.watch() as changes:
            await ctx.set("p", 1)
            assert (await changes.receive(timeout=scaled(5))).value == 1
            own_server.pause()
            with pytest.raises(ccs.Unavailable):
                await changes.receive(timeout=scaled(20))
            own_server.resume()
            await aeventually(lambda: _set(ctx, 2), 20)
            while (change := await changes.receive(timeout=scaled(10))).value != 2:
                pass
            assert change.path == "p"


async def _set(ctx: Any, value: Any) -> bool:
    try:
        await ctx.set("p", value)
    except ccs.Unavailable:
        return False
    return True


async def test_many_watches_recover_together(valkey: str, namespace: str, proxy: Proxy) -> None:
    async with (
        ccs.aio.connect(valkey, namespace=namespace) as writer,
        ccs.aio.connect(proxy.url, namespace=namespace) as store,
    ):
        watches = [store.task(f"t{number % 10}").watch() for number in range(50)]
        for watch in watches:
            await watch.__aenter__()
        for turn in range(3):
            await asyncio.gather(*(writer.task(f"t{number}").set("p", turn) for number in range(10)))
            proxy.cut_all()
            await asyncio.gather(*(writer.task(f"t{number}").set("q", turn) for number in range(10)))
        for watch in watches:
            seen = [await watch.receive(timeout=scaled(10)) for _ in range(6)]
            assert [(change.path, change.value) for change in seen] == [
                (path, turn) for turn in range(3) for path in "pq"
            ]
        for watch in watches:
            await watch.aclose()


async def test_a_commit_between_the_snapshot_and_the_first_look_is_delivered_also_if_its_message_is_lost(
    valkey: str, namespace: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccs._async.background.commit_dispatcher.SILENCE", 600.0)
    take_snapshot = Watch._take_snapshot
    async with (
        ccs.aio.connect(valkey, namespace=namespace) as writer,
        ccs.aio.connect(proxy.url, namespace=namespace) as store,
    ):
        ctx = writer.task("t")
        await ctx.set("p", 1)

        async def take_it_and_write(watch: Watch, patience: Patience) -> None:
            await take_snapshot(watch, patience)
            await ctx.set("p", 2)

        monkeypatch.setattr(Watch, "_take_snapshot", take_it_and_write)
        proxy.fault = lambda count, chunk: "lose" if b"message" in chunk else "pass"
        async with store.task("t").watch(initial=True) as changes:
            assert [(await changes.receive(timeout=scaled(5))).value for _ in range(2)] == [1, 2]


async def test_a_connection_that_breaks_before_its_first_command_leaves_nobody_waiting(
    valkey: str, namespace: str
) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        talk = store._engine.opening.commands.topology.only._pipeline
        assert talk
        talk.connection.lose(ConnectionError("broken"))
        with pytest.raises(Disconnected) as caught:
            await bounded(talk.call(("PING",), store._engine.opening.commands.patience()), 5)
        assert not caught.value.sent
        assert (await bounded(store.task("t").set("p", 1), 5)).version == 1
