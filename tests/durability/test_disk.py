"""Commits that return once they are on the disk of the primary."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ccs
import ccs.aio
from tests.embedded import players
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import PrivateServer
from tests.support.waiting import bounded, counts, eventually, scaled

HOLDER = """
import sys, ccs
with ccs.connect(sys.argv[1], agent="holder") as store:
    store.task("42").durable().set("held", True)
    print("held", flush=True)
    sys.stdin.read()
"""


def setting(folder: Path) -> str:
    """How the server of a folder writes to its disk."""
    with players.client(str(players.ccs(folder, "server.sock"))) as client:
        return str(client.config_get("appendfsync")["appendfsync"])


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, with a store that has made a durable commit."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("colour", COLOURS)
async def test_the_server_of_a_folder_flushes_each_commit_while_a_durable_store_is_open(
    colour: str, folder: Path
) -> None:
    async with ccs.aio.connect(folder) as other:
        await other.task("42").set("a", 1)
        assert setting(folder) == "everysec"
        async with connect_in(colour, str(folder)) as store:
            await store.task("42").set("a", 2)
            assert setting(folder) == "everysec"
            await store.task("42").durable().set("a", 3)
            assert setting(folder) == "always"
            await asyncio.sleep(scaled(1.5))  # longer than the keeper takes to look
            assert setting(folder) == "always"
        await asyncio.to_thread(eventually, lambda: setting(folder) == "everysec")
        assert await other.task("42").get("a") == 3


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_durable_store_switches_as_it_is_entered(colour: str, folder: Path) -> None:
    async with connect_in(colour, str(folder), durability=ccs.Durability()) as store:
        assert setting(folder) == "always"
        await store.set("/tasks/42/a", 1)


def test_a_folder_of_two_processes_is_switched_back_when_the_durable_one_is_killed(folder: Path) -> None:
    with ccs.connect(folder) as store, holder(folder) as process:
        task = store.task("42")
        assert setting(folder) == "always"
        task.durable().set("a", 1)
        process.kill()
        process.wait()
        time.sleep(scaled(1.5))  # longer than the keeper takes to look
        assert setting(folder) == "always"
        task.durable().set("a", 2)
    with ccs.connect(folder) as store:
        eventually(lambda: setting(folder) == "everysec")
        with holder(folder) as process:
            assert setting(folder) == "always"
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        eventually(lambda: setting(folder) == "everysec")
        assert store.task("42").get("held") is True


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_server_that_was_started_again_is_switched_before_the_next_durable_commit(
    colour: str, folder: Path
) -> None:
    async with connect_in(colour, str(folder)) as store:
        safe = store.task("42").durable()
        for number in range(counts(2, 10)):
            await safe.set("a", number)
            path = str(players.ccs(folder, "server.sock"))
            os.kill(players.server_pid(path), signal.SIGKILL)
            assert await safe.increment("n") == number + 1
            assert setting(folder) == "always"


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_setting_that_somebody_changes_is_noticed(colour: str, folder: Path) -> None:
    async with connect_in(colour, str(folder)) as store:
        safe = store.task("42").durable()
        await safe.set("a", 1)
        with players.client(str(players.ccs(folder, "server.sock"))) as client:
            client.config_set("appendfsync", "everysec")
        with pytest.raises(ccs.NotDurable) as caught:
            await safe.set("a", 2)
        assert caught.value.disk is False
        await safe.set("a", 3)
        assert setting(folder) == "always"


@pytest.mark.parametrize("colour", COLOURS)
async def test_what_was_acknowledged_is_there_after_the_server_is_killed_right_after_it(
    colour: str, folder: Path
) -> None:
    async with connect_in(colour, str(folder)) as store:
        task = store.task("42")
        safe = task.durable()
        for number in range(counts(5, 50)):
            entry = await safe.set(f"p/{number}", number)
            os.kill(players.server_pid(str(players.ccs(folder, "server.sock"))), signal.SIGKILL)
            assert await task.entry(f"p/{number}") == entry


async def test_fifty_tasks_half_of_them_durable_share_the_batches_of_a_folder(folder: Path) -> None:
    async with ccs.aio.connect(folder, durability=ccs.Durability()) as store:
        safe = store.task("42")
        task = safe.durable(disk=False)

        async def write(context: ccs.aio.Context, writer: int) -> None:
            for number in range(10):
                assert (await context.set(f"p/{writer}", number)).version == number + 1

        await bounded(asyncio.gather(*(write(safe if n % 2 else task, n) for n in range(50))), 60)
        assert len(await safe.paths("p/*")) == 50


# The order of system calls.

LINE = re.compile(r"^(?:\[pid +)?\d+\]? +(\w+)\((.*)$")


@contextmanager
def traced(pid: int, file: Path) -> Iterator[None]:
    """Writes down what a process, and each of its threads, writes and flushes."""
    if not shutil.which("strace"):
        pytest.skip("no strace on the PATH")
    calls = "trace=write,writev,sendto,sendmsg,fsync,fdatasync"
    words = ["strace", "-f", "-s", "2000", "-e", calls, "-o", str(file), "-p", str(pid)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        said = process.stderr.readline()
        if "attached" not in said:
            pytest.skip(f"strace may not trace here: {said.strip()}")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def order(file: Path, marker: str, answer: str) -> list[str]:
    """What came in which order: `file` (the marker was written to it), `flush`, `answer`."""
    steps = []
    for line in file.read_text(errors="replace").splitlines():
        found = LINE.match(line)
        if not found:
            continue
        name, rest = found.groups()
        if name in ("fsync", "fdatasync"):
            steps.append("flush")
        elif answer in rest and "HSET" not in rest and marker not in rest:
            steps.append("answer")
        elif marker in rest and "HSET" in rest:
            steps.append("file")
    return steps


@pytest.mark.parametrize("colour", COLOURS)
async def test_it_is_flushed_before_the_answer(colour: str, folder: Path, tmp_path: Path) -> None:
    async with connect_in(colour, str(folder)) as store:
        task = store.task("42")
        await task.durable().set("a", 1)
        pid = players.server_pid(str(players.ccs(folder, "server.sock")))
        with traced(pid, tmp_path / "trace"):
            entry = await task.durable().set("a", "the marker 4711")
        steps = order(tmp_path / "trace", "the marker 4711", f"+{entry.revision}")
        after = steps[steps.index("file") :]
        assert after.index("flush") < after.index("answer"), steps


async def test_an_ordinary_commit_is_answered_before_it_is_flushed(folder: Path, tmp_path: Path) -> None:
    """So the test above can fail."""
    async with ccs.aio.connect(folder) as store:
        task = store.task("42")
        await task.set("a", 1)
        pid = players.server_pid(str(players.ccs(folder, "server.sock")))
        with traced(pid, tmp_path / "trace"):
            entry = await task.set("a", "the marker 4711")
        steps = order(tmp_path / "trace", "the marker 4711", f"+{entry.revision}")
        after = steps[steps.index("file") :]
        assert "answer" in after
        assert "flush" not in after[: after.index("answer")], steps


# Servers that cannot do it.


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_server_that_answers_before_it_flushes_is_refused_by_the_name_of_its_setting(
    colour: str, valkey: str, namespace: str
) -> None:
    async with connect_in(colour, valkey, namespace=namespace) as store:
        with pytest.raises(ccs.UnsafeServer, match=r"appendfsync everysec.*set appendfsync to always"):
            await store.task("42").durable().set("a", 1)
        assert await store.task("42").get("a") is None
        await store.task("42").set("a", 2)
    with pytest.raises(ccs.UnsafeServer, match="appendfsync"):
        await connect_in(colour, valkey, namespace=namespace, durability=ccs.Durability()).__aenter__()


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_server_that_flushes_before_it_answers_is_fine(start: Callable[..., PrivateServer], kind: str) -> None:
    server = start("--appendfsync", "always", kind=kind)
    with ccs.connect(server.url, durability=ccs.Durability()) as store:
        assert store.task("42").increment("n") == 1


def test_a_server_without_a_file_is_refused(start: Callable[..., PrivateServer]) -> None:
    server = start("--appendonly", "no", "--appendfsync", "always")
    with ccs.connect(server.url) as store, pytest.raises(ccs.UnsafeServer, match="set appendonly to yes"):
        store.task("42").durable().set("a", 1)


def test_who_may_not_see_the_setting_is_told_so(start: Callable[..., PrivateServer]) -> None:
    server = start("--appendfsync", "always")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "agent", "on", ">secret", "~*", "&*", "+@all", "-config")
    url = server.url.replace("redis://", "redis://agent:secret@")
    with ccs.connect(url) as store, pytest.raises(ccs.UnsafeServer, match="allow CONFIG GET"):
        store.task("42").durable().set("a", 1)


@pytest.mark.parametrize("colour", COLOURS)
async def test_memory_is_refused(colour: str) -> None:
    async with connect_in(colour, "memory://") as store:
        for asked in ({}, {"disk": False, "replicas": 1}):
            with pytest.raises(ccs.UnsafeServer, match="nothing there is on a disk"):
                await store.task("42").durable(**asked).set("a", 1)
        assert (await store.task("42").durable(disk=False).set("a", 1)).value == 1
    with pytest.raises(ccs.UnsafeServer, match="nothing there is on a disk"):
        await connect_in(colour, "memory://", durability=ccs.Durability()).__aenter__()
