"""A backup that is made while agents write is the store as it was at a revision; what was watched later is told so."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.embedded.players import held
from tests.support.servers import PrivateServer, binary_of
from tests.support.waiting import aeventually, scaled

BACKUP = Path(__file__).parents[2] / "docs" / "deploy" / "backup.py"
WRITERS = 4
KINDS = ("valkey", "redis")

Start = Callable[..., PrivateServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server on a folder of that name."""
    started: list[PrivateServer] = []

    def start(kind: str, name: str, *options: str) -> PrivateServer:
        (tmp_path / name).mkdir(exist_ok=True)
        started.append(PrivateServer(binary_of(kind), tmp_path / name, *options).start())
        return started[-1]

    yield start
    for server in started:
        server.kill()


def back_up(*arguments: object) -> None:
    subprocess.run([sys.executable, str(BACKUP), *map(str, arguments)], check=True, timeout=scaled(60))


async def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(call, *args)


def has_ended(folder: Path) -> bool:
    """Whether the server of a folder runs no longer."""
    return not held(folder / ".ccs" / "server.lock")


@asynccontextmanager
async def writing(task: Any) -> AsyncIterator[None]:
    """Several agents write at once, several entries in each commit; many of them before this begins, and more until it ends."""
    stopping = False

    async def write(name: str) -> None:
        number = 0
        while not stopping:
            number += 1
            await task.set_many({f"{name}/one": number, f"{name}/other": number})

    async def wait_for(number: int) -> None:
        for writer in range(WRITERS):
            await task.wait_for(f"w{writer}/one", lambda value: value >= number, timeout=scaled(30))

    writers = [asyncio.create_task(write(f"w{number}")) for number in range(WRITERS)]
    await wait_for(100)
    yield
    await wait_for(await task.get("w0/one") + 20)
    stopping = True
    await asyncio.gather(*writers)


async def is_of_its_past(copied: Any, original: Any) -> int:
    """Checks that a copy holds what the original held at the copy's revision. Returns that revision."""
    held = {path: entry.value for path, entry in (await copied.snapshot()).items()}
    revision = (await copied.info()).revision
    past = {path: entry.value for path, entry in (await original.at(revision)).items()}
    assert held == past
    assert revision < (await original.info()).revision
    assert all(held[f"w{number}/one"] == held[f"w{number}/other"] for number in range(WRITERS))
    return int(revision)


async def tells_the_later_ones_apart(copied: Any, revision: int, later: int) -> None:
    """A watch of what the copy has goes on there, one that has received more is told that this is lost."""
    async with copied.watch(since=revision) as changes:
        entry = await copied.set("new", "history")
        assert (await changes.receive(timeout=scaled(10))).revision == entry.revision
    with pytest.raises(ccs.HistoryForked):
        async with copied.watch(since=later) as changes:
            await changes.receive(timeout=scaled(10))


@pytest.mark.parametrize("how", ["the program", "a copy of the closed folder"])
async def test_a_copy_of_a_folder_is_a_store_of_its_past(how: str, field: Path) -> None:
    original, copy = field / "brain", field / "copy"
    async with ccs.aio.connect(original) as store:
        task = store.task("t")
        async with writing(task):
            if how == "the program":
                await in_thread(back_up, original, copy)
        later = (await task.info()).revision
        if how == "the program":
            async with ccs.aio.connect(copy) as other:
                revision = await is_of_its_past(other.task("t"), task)
                await tells_the_later_ones_apart(other.task("t"), revision, later)
            assert (await task.info()).revision == later
    if how != "the program":
        await aeventually(lambda: in_thread(has_ended, original), 30)
        await in_thread(shutil.copytree, original, copy)
        async with ccs.aio.connect(copy) as other:
            assert (await other.task("t").info()).revision == later


@pytest.mark.parametrize("kind", KINDS)
async def test_a_copy_of_a_servers_log_is_a_store_of_its_past(kind: str, start: Start, tmp_path: Path) -> None:
    server = await in_thread(
        start, kind, "original", "--auto-aof-rewrite-percentage", "10", "--auto-aof-rewrite-min-size", "20kb"
    )
    async with ccs.aio.connect(server.url) as store:
        task = store.task("t")
        async with writing(task):
            await in_thread(back_up, server.url, server.folder, tmp_path / "copy")
        with server.client() as client:
            assert client.config_get("auto-aof-rewrite-percentage") == {"auto-aof-rewrite-percentage": "10"}
        later = (await task.info()).revision
        restored = await in_thread(start, kind, "copy")
        async with ccs.aio.connect(restored.url) as other:
            revision = await is_of_its_past(other.task("t"), task)
            await tells_the_later_ones_apart(other.task("t"), revision, later)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_snapshot_of_a_server_is_a_store_of_its_past(kind: str, start: Start, tmp_path: Path) -> None:
    """Given `BGSAVE`, when its dump.rdb starts a server without a log, which then begins one, then nothing is lost by that."""
    server = await in_thread(start, kind, "original")
    async with ccs.aio.connect(server.url) as store:
        task = store.task("t")
        with server.client() as client:
            async with writing(task):
                client.bgsave()
                await aeventually(lambda: not client.info("persistence")["rdb_bgsave_in_progress"])
        await in_thread((tmp_path / "copy").mkdir)
        await in_thread(shutil.copy, server.folder / "dump.rdb", tmp_path / "copy")
        later = (await task.info()).revision
        restored = await in_thread(start, kind, "copy", "--appendonly", "no")
        with restored.client() as client:
            client.config_set("appendonly", "yes")
            await aeventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        restored.kill()
        restored.options = ()
        await in_thread(restored.start)
        async with ccs.aio.connect(restored.url) as other:
            revision = await is_of_its_past(other.task("t"), task)
            await tells_the_later_ones_apart(other.task("t"), revision, later)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_watch_of_a_server_whose_data_are_put_back_is_told_what_is_lost(
    kind: str, start: Start, tmp_path: Path
) -> None:
    """Given a server that is restored in its place, then a watch that has received more is told, and one that has not goes on."""
    server = await in_thread(start, kind, "original")
    async with ccs.aio.connect(server.url, retry_for=scaled(30)) as store:
        changed, unchanged = store.task("changed"), store.task("unchanged")
        await changed.set("a", 1)
        await unchanged.set("a", 1)
        await in_thread(back_up, server.url, server.folder, tmp_path / "copy")
        async with changed.watch() as lost, unchanged.watch() as kept:
            await changed.set("a", 2)
            assert (await lost.receive(timeout=scaled(10))).value == 2
            server.kill()
            await in_thread(shutil.rmtree, server.folder / "appendonlydir")
            await in_thread(shutil.copytree, tmp_path / "copy", server.folder, False, None, shutil.copy2, False, True)
            await in_thread(server.start)
            with pytest.raises(ccs.HistoryForked):
                await lost.receive(timeout=scaled(30))
            await unchanged.set("a", 3)
            assert (await kept.receive(timeout=scaled(30))).value == 3
        assert await changed.get("a") == 1
