"""Processes that open folders, and what the tests see of servers and keepers. Linux only: it looks into /proc."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import redis

from ccs.embedded import Embedded
from ccs.embedded.locks import holders, tried
from tests.support.waiting import scaled

PATIENCE = scaled(20.0)

_spawner = multiprocessing.get_context("forkserver")
# What each player would import by itself: the ten of a crowd took two seconds of a processor for that.
_spawner.set_forkserver_preload(["ccs", "ccs.aio", __name__])


def ccs(folder: Path, name: str) -> Path:
    return folder / ".ccs" / name


def client(path: str) -> redis.Redis:
    return redis.Redis(unix_socket_path=path, socket_timeout=PATIENCE)


def run_id(path: str) -> str:
    """Which run of the server answers on the socket `path`."""
    with client(path) as server:
        return str(server.info("server")["run_id"])


def server_pid(path: str) -> int:
    with client(path) as server:
        return int(server.info("server")["process_id"])


def servers(folder: Path) -> list[int]:
    """The server processes of `folder` by their command lines, whether or not they hold its lock."""
    wanted = os.fsencode(os.path.realpath(ccs(folder, "server.sock")))
    return [pid for pid, line in _cmdlines() if b"-server" in line and wanted in line]


def keepers(folder: Path) -> list[int]:
    wanted = os.fsencode(ccs(folder, ""))
    return [pid for pid, line in _cmdlines() if b"keeper.py" in line and wanted in line]


def gone(folder: Path) -> bool:
    """Whether there is no server, no keeper, and no other holder of a lock."""
    locks = [ccs(folder, f"{name}.lock") for name in ("server", "clients", "keeper")]
    return not (any(map(held, locks)) or servers(folder) or keepers(folder))


def held(lock: Path) -> bool:
    """Whether anybody holds the lock. Costs a system call, where `holders` looks at all files of all processes."""
    if not lock.exists():
        return False
    with tried(lock) as own:
        return own is None


def alive(pid: int) -> bool:
    return bool(_cmdline(pid))  # a zombie has none


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def clean_up(folder: Path) -> None:
    """Ends what the test started on `folder`: only processes that hold its locks or were started with its paths."""
    locks = [ccs(folder, f"{name}.lock") for name in ("keeper", "server")]
    owners = {pid for lock in filter(held, locks) for pid in holders(lock)}
    for pid in {*keepers(folder), *servers(folder), *owners} - {os.getpid()}:
        kill(pid)


class Player:
    """A process that runs functions on demand, and can be killed meanwhile."""

    def __init__(self) -> None:
        self._pipe, theirs = _spawner.Pipe()
        self._process = _spawner.Process(target=_play, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def begin(self, function: Callable[..., Any], *args: Any) -> None:
        """Starts a call of `function`, without waiting for it."""
        self._pipe.send((function, args))

    def result(self) -> Any:
        """What the function returned, or its exception raised here."""
        assert self._pipe.poll(PATIENCE), f"{self} does not answer"
        result = self._pipe.recv()
        if isinstance(result, BaseException):
            raise result
        return result

    @property
    def has_answered(self) -> bool:
        """Whether the call has ended."""
        return self._pipe.poll()

    def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        self.begin(function, *args)
        return self.result()

    def kill(self) -> None:
        kill(self.pid)
        self._process.join(PATIENCE)

    def end(self) -> None:
        self._pipe.close()
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self.kill()
        self._process.close()

    def __repr__(self) -> str:
        return f"<Player {self.pid} exit code {self._process.exitcode}>"


@contextmanager
def crowd(size: int) -> Iterator[list[Player]]:
    """`size` players, all started and waiting for a call."""
    players = [Player() for _ in range(size)]
    try:
        for player in players:
            player.ask(os.getpid)
        yield players
    finally:
        for player in players:
            player.end()


def _play(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        while True:
            function, args = pipe.recv()
            try:
                pipe.send(function(*args))
            except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
                pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    return AssertionError(f"in a player: {type(error).__name__}: {error}")


handle: Embedded | None = None  # the one that this player has open


def enter(folder: Path, linger: float) -> tuple[str, str]:
    """Opens `folder`. Returns which run of the server answers, and on which socket."""
    global handle
    handle = Embedded(folder, linger=linger)
    path = handle.open(PATIENCE)
    return run_id(path), path


def come(folder: Path, linger: float) -> None:
    """Opens `folder`, whose server may be killed right after."""
    global handle
    handle = Embedded(folder, linger=linger)
    handle.open(PATIENCE)


def ensure() -> str:
    assert handle
    return run_id(handle.ensure(PATIENCE))


def leave() -> None:
    assert handle
    handle.close()


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """A file system in memory at `place`; skips the test where that is not allowed."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def descriptors() -> set[int]:
    return {int(each) for each in os.listdir("/proc/self/fd")}


def _cmdlines() -> Iterator[tuple[int, bytes]]:
    return ((int(each), _cmdline(int(each))) for each in os.listdir("/proc") if each.isdigit())


def _cmdline(pid: int) -> bytes:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


assert sys.platform != "win32"
