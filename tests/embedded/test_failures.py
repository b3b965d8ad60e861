"""Errors name the folder, what is wrong, and what to do."""

from __future__ import annotations

import importlib.util
import itertools
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from ccs.embedded import Embedded, binary
from ccs.embedded.binary import Version
from ccs.embedded.folder import Home
from ccs.embedded.locks import attempt, holders
from ccs.errors import Misuse, Unavailable, UnsafeServer
from tests.embedded.players import PATIENCE, ccs, client, crowd, ensure, enter, gone, leave, run_id, server_pid, servers
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import eventually, scaled

LINGER = 0.1
REDIS = shutil.which("redis-server")


def refused(folder: Path, timeout: float = PATIENCE) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        Embedded(folder, linger=0.0).open(timeout)
    assert caught.value.address == str(folder)
    assert not caught.value.maybe_applied
    eventually(lambda: gone(folder))
    return caught.value


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def fake(path: Path, version: str, then: str) -> str:
    """A server binary that prints `version` and otherwise runs `then`."""
    return script(path, f'[ "$1" = --version ] && echo "{version} sha=0" && exit\n{then}')


def test_a_file_in_place_of_the_folder(folder: Path) -> None:
    folder.touch()
    assert "it is a file: give a folder" in refused(folder).reason


def test_a_file_in_place_of_a_parent(folder: Path, root: Path) -> None:
    (root / "file").touch()
    assert "Not a directory" in refused(root / "file" / "brain").reason


def test_a_path_where_no_folder_can_be_made() -> None:
    assert "/proc/brain" in refused(Path("/proc/brain")).reason


def test_a_folder_that_this_user_cannot_write(folder: Path) -> None:
    folder.mkdir(mode=0o555)
    folder.parent.chmod(0o755)
    with crowd(1) as (player,):
        assert "Permission denied" in str(player.ask(reason_as_nobody, folder))


def reason_as_nobody(folder: Path) -> str:
    if os.geteuid() == 0:
        os.setuid(65534)  # permissions do not bind root
    try:
        Embedded(folder).open(PATIENCE)
    except Unavailable as error:
        return error.reason
    return "opened"


def test_a_full_disk_fails_writes_and_loses_nothing_that_was_acknowledged(folder: Path) -> None:
    with crowd(1) as (player,):
        before, path = player.ask(enter_with_little_disk, folder)
        with client(path) as server:
            written = write_until_it_fails(server)
            assert player.ask(ensure) == before
            assert server.get(str(written))
            player.ask(leave)
            eventually(lambda: pings_refused(server) > 3)  # the keeper asks, and lets it live
            assert servers(folder) == [server_pid(path)]
            resource.prlimit(server_pid(path), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    eventually(lambda: gone(folder))
    handle = Embedded(folder, linger=LINGER)
    with client(handle.open(PATIENCE)) as server:
        assert server.dbsize() == written + 1
    handle.close()


def enter_with_little_disk(folder: Path) -> tuple[str, str]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return enter(folder, LINGER)


def write_until_it_fails(server: redis.Redis) -> int:
    """The number of the last write that was acknowledged."""
    numbers = itertools.count()
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        write_on(server, numbers)
    return next(numbers) - 2


def write_on(server: redis.Redis, numbers: Iterator[int]) -> None:
    for number in itertools.takewhile(lambda number: number < 1000, numbers):
        server.set(str(number), b"x" * 1000)


def pings_refused(server: redis.Redis) -> int:
    return int(server.info("commandstats").get("cmdstat_ping", {}).get("rejected_calls", 0))


def test_a_lock_of_another_process_is_named_with_its_holder(folder: Path) -> None:
    Home(folder).create()
    lock = attempt(ccs(folder, "server.lock"))
    assert lock
    with pytest.raises(Unavailable) as caught:
        Embedded(folder, linger=0.0).open(0.2)
    assert f"{ccs(folder, 'server.lock')} is held by process {os.getpid()}" in caught.value.reason
    lock.release()
    eventually(lambda: gone(folder))


def test_clients_wait_for_a_shutdown_no_longer_than_their_timeout(folder: Path) -> None:
    Home(folder).create()
    lock = attempt(ccs(folder, "clients.lock"))
    assert lock
    with pytest.raises(Unavailable, match=f"shutting down, yet .*clients.lock is held by process {os.getpid()}"):
        Embedded(folder).open(0.2)
    lock.release()


def test_no_server_binary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCS_SERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    reason = refused(folder).reason
    assert "no server binary found" in reason
    assert "CCS_SERVER_BIN" in reason
    assert "redis://localhost" in reason


def test_only_a_server_that_is_too_old(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCS_SERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", str(root))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    fake(root / "redis-server", "Redis server v=6.2.14", "exit 1")
    assert "redis-server (redis 6.2.14): too old" in refused(folder).reason


def test_a_missing_chosen_binary_is_not_skipped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCS_SERVER_BIN", "/nowhere/valkey-server")
    assert "$CCS_SERVER_BIN is /nowhere/valkey-server: no such file" in refused(folder).reason


def test_a_chosen_binary_that_is_not_executable(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "server").touch(mode=0o644)
    monkeypatch.setenv("CCS_SERVER_BIN", str(root / "server"))
    assert "not executable" in refused(folder).reason


def test_a_chosen_binary_that_is_not_a_server(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCS_SERVER_BIN", script(root / "server", "echo no thanks; exit 1"))
    reason = refused(folder).reason
    assert "not a server" in reason
    assert "no thanks" in reason


def test_a_chosen_binary_that_is_too_old(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCS_SERVER_BIN", fake(root / "server", "Redis server v=6.2.14", "exit 1"))
    with pytest.raises(UnsafeServer, match="too old"):
        Embedded(folder, linger=0.0).open(PATIENCE)
    eventually(lambda: gone(folder))


def test_a_server_that_dies_at_start_is_retried_and_then_its_log_is_shown(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = fake(root / "server", "Valkey server v=9.1.2", f"echo tried >> {root}/tries; echo out of luck >&2; exit 1")
    monkeypatch.setenv("CCS_SERVER_BIN", dying)
    reason = refused(folder).reason
    assert "ends at start" in reason
    assert "out of luck" in reason
    assert (root / "tries").read_text().count("tried") == 4


def test_a_dying_server_is_given_up_on_time(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCS_SERVER_BIN", fake(root / "server", "Valkey server v=9.1.2", "echo bad luck; exit 1"))
    began = time.monotonic()
    assert "bad luck" in refused(folder, timeout=scaled(0.3)).reason
    assert time.monotonic() - began < scaled(10)


def test_a_server_whose_data_is_broken_shows_why(folder: Path) -> None:
    handle = Embedded(folder, linger=0.0)
    with client(handle.open(PATIENCE)) as server:
        server.set("a", "b" * 100)
    handle.close()
    eventually(lambda: gone(folder))
    for part in ccs(folder, "appendonlydir").glob("*.incr.aof"):
        part.write_bytes(b"*3\r\n$3\r\nSET\r\nnonsense" + part.read_bytes())
    assert "appendonly.aof.1.incr.aof" in refused(folder).reason


@pytest.mark.skipif(not REDIS, reason="needs redis-server")
def test_data_of_redis_7_moves_to_valkey_and_not_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REDIS
    monkeypatch.setenv("CCS_SERVER_BIN", REDIS)
    serve(folder, 1)
    assert ccs(folder, "version").read_text().startswith("redis 7")
    monkeypatch.delenv("CCS_SERVER_BIN")
    serve(folder, 2)
    assert ccs(folder, "version").read_text().startswith("valkey 9")
    monkeypatch.setenv("CCS_SERVER_BIN", REDIS)
    with pytest.raises(UnsafeServer, match=r"written by valkey 9.*redis-server \(redis 7.*cannot read"):
        Embedded(folder, linger=0.0).open(PATIENCE)
    eventually(lambda: gone(folder))


def serve(folder: Path, expected: int) -> None:
    handle = Embedded(folder, linger=0.0)
    path = handle.open(PATIENCE)
    with client(path) as server:
        assert run_id(path)
        assert server.incr("served") == expected
    handle.close()
    eventually(lambda: gone(folder))


def test_a_server_that_can_read_the_data_is_preferred_to_the_first_one(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CCS_SERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", str(root))
    fake(root / "redis-server", "Redis server v=8.4.0", "exit 1")
    assert binary.find(str(folder), Version("redis", (8, 2, 0))).path == root / "redis-server"
    assert binary.find(str(folder), None).version.flavour == "valkey"


@pytest.mark.parametrize(
    ("server", "written", "reads"),
    [
        ("valkey 9.1.2", None, True),
        ("valkey 9.1.2", "valkey 9.1.9", True),
        ("valkey 9.1.2", "valkey 9.2.0", False),
        ("valkey 9.1.2", "valkey 8.1.0", True),
        ("redis 8.0.0", "redis 7.2.4", True),
        ("redis 7.0.15", "redis 7.2.4", False),
        ("valkey 8.0.0", "redis 7.2.4", True),
        ("valkey 9.1.2", "redis 7.4.0", False),
        ("redis 8.4.0", "valkey 8.0.0", False),
    ],
)
def test_which_server_reads_which_data(server: str, written: str | None, reads: bool) -> None:
    parsed = Version.parse(server)
    assert parsed
    assert str(parsed) == server
    assert parsed.reads(Version.parse(written) if written else None) is reads


def test_a_failed_open_leaves_no_descriptor(folder: Path) -> None:
    folder.touch()
    with crowd(1) as (player,):
        before = player.ask(fail_and_list, folder)
        assert player.ask(fail_and_list, folder) == before


def fail_and_list(folder: Path) -> list[str]:
    with pytest.raises(Unavailable):
        Embedded(folder).open(0.1)
    return sorted(os.listdir("/proc/self/fd"))


def test_an_open_that_fails_between_two_locks_keeps_none(folder: Path) -> None:
    ccs(folder, "keeper.lock").mkdir(parents=True)
    with pytest.raises(Unavailable, match="Is a directory"):
        Embedded(folder).open(PATIENCE)
    assert not holders(ccs(folder, "server.lock"))
    ccs(folder, "keeper.lock").rmdir()
    handle = Embedded(folder, linger=LINGER)
    assert run_id(handle.open(PATIENCE))
    handle.close()


@pytest.mark.parametrize("colour", COLOURS)
async def test_where_gevent_has_replaced_os_but_not_subprocess_a_server_that_runs_is_used_and_none_is_started(
    colour: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given gevent's `os.close`, when a folder without a server is opened, then the error says at once what to do."""

    def close(fd: int, real: Callable[[int], None] = os.close) -> None:
        real(fd)

    close.__module__ = "gevent.os"
    with monkeypatch.context() as patched:
        patched.setattr(os, "close", close)
        with pytest.raises(Misuse, match=r"patch_all\(os=False, signal=False, subprocess=False\)"):
            async with connect_in(colour, folder, retry_for=PATIENCE):
                pass
    async with connect_in(colour, folder) as store:
        await store.set("/tasks/x/a", 1)
        monkeypatch.setattr(os, "close", close)
        async with connect_in(colour, folder) as other:
            assert await other.get("/tasks/x/a") == 1
