"""A full disk: writers get an error, readers continue, new ones too, and all works again when there is room."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

import ccs
from ccs._async.transport import subscription_connection
from tests.embedded.players import ccs as inside
from tests.embedded.players import clean_up, client, keepers, kill, mounted, servers
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import aeventually, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files")
UNLIMITED = resource.RLIM_INFINITY


def limit(folder: Path, size: int) -> None:
    """Let the server's files grow to `size` bytes: past that, its writes fail as on a full disk."""
    (pid,) = eventually(lambda: servers(folder))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, UNLIMITED))


async def fill(folder: Path, ctx: Any) -> int:
    """Write until the store is full; the number of the last write that was acknowledged."""
    await to_thread.run_sync(limit, folder, 100_000)
    with pytest.raises(ccs.StoreFull):
        await write_on(ctx)
    return int(await ctx.get("number"))


async def write_on(ctx: Any) -> None:
    for number in range(1_000):
        await ctx.set("number", number)
        await ctx.set("filler", "x" * 1_000)


def pings_refused(folder: Path) -> int:
    with client(str(inside(folder, "server.sock"))) as server:
        return int(server.info("commandstats").get("cmdstat_ping", {}).get("rejected_calls", 0))


async def more_pings(folder: Path, count: int = 5) -> None:
    before = await to_thread.run_sync(pings_refused, folder)

    def heard() -> bool:
        return pings_refused(folder) >= before + count

    await aeventually(lambda: to_thread.run_sync(heard))


@pytest.mark.parametrize("colour", COLOURS)
async def test_readers_of_a_full_disk_continue_and_new_ones_too(folder: Path, colour: str) -> None:
    async with connect_in(colour, str(folder)) as store:
        written = await fill(folder, store.task("t"))
        async with connect_in(colour, str(folder), agent="late") as late:
            ctx = late.task("t")
            assert await ctx.get("number") == written
            assert len(await ctx.snapshot()) == 2
            assert len(await ctx.history("number", limit=3)) == 3
            async with ctx.watch("number", initial=True) as changes:
                assert (await changes.receive(timeout=10)).value == written
            with pytest.raises(ccs.StoreFull):
                await ctx.set("number", -1)
        assert await store.task("t").get("number") == written
        await to_thread.run_sync(limit, folder, UNLIMITED)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_full_disk_does_not_cut_the_subscriptions(
    folder: Path, colour: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a watch, when its heartbeat gets the error of the full disk, then it stays, and continues afterwards."""
    monkeypatch.setattr(subscription_connection, "HEARTBEAT", 0.05)
    async with connect_in(colour, str(folder)) as store:
        ctx = store.task("t")
        async with ctx.watch("after") as changes:
            await fill(folder, ctx)
            await more_pings(folder)
            assert not any("MISCONF" in record.getMessage() for record in caplog.records)  # as a reason to reconnect
            await to_thread.run_sync(limit, folder, UNLIMITED)
            await aeventually(lambda: written(ctx))
            assert (await changes.receive(timeout=10)).path == "after"


async def written(ctx: Any) -> bool:
    try:
        await ctx.set("after", 1)
    except ccs.StoreFull:
        return False
    return True


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_folder_on_a_full_disk_is_opened_for_readers(field: Path, colour: str) -> None:
    """Given a server that was killed when its disk was full, when the next client comes, then it reads what was written."""
    folder = field / "disk" / "brain"
    with mounted(field / "disk", "size=1m"):
        async with connect_in(colour, str(folder)) as store:
            with pytest.raises(ccs.StoreFull):
                await write_on(store.task("t"))
            written = await store.task("t").get("number")
        await to_thread.run_sync(kill_both, folder)
        async with connect_in(colour, str(folder)) as store:
            assert await store.task("t").get("number") == written
            with pytest.raises(ccs.StoreFull):
                await write_on(store.task("t"))
        await to_thread.run_sync(clean_up, folder)


def kill_both(folder: Path) -> None:
    for pid in keepers(folder) + servers(folder):
        kill(pid)
