"""Has the server of a folder running: finds it, or starts it, exactly once among all processes.

Who gets `server.lock` starts the server and lets it inherit the lock, so the kernel frees it when the server (and the
child that rewrites its file) is gone, however it ends. Everybody else asks the socket until it answers. Nobody waits
for anybody in particular: a starter that is killed midway leaves either a server or a free lock.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ccs.embedded import binary, keeper, locks
from ccs.embedded.folder import Home
from ccs.errors import Unavailable

__all__ = ["Launch", "ensure_keeper", "held", "ping"]

_logger = logging.getLogger("ccs")
_POLL = 0.01
_STARTS = 4
_BACK_OFF = 0.1  # seconds after the first failed start, doubled with each further one


class Launch:
    """One effort to have the server of `home` answer by `deadline` (of `time.monotonic`)."""

    def __init__(self, home: Home, deadline: float) -> None:
        self.home = home
        self.deadline = deadline
        self.starts = 0
        self._not_before = 0.0
        self._log_start = 0
        self._problem = ""

    def run(self) -> str:
        """The path of the socket on which the server answers. Raises `Unavailable` or `UnsafeServer`."""
        while not (path := self._answering()):
            late = time.monotonic() >= self.deadline
            if late or time.monotonic() >= self._not_before:
                self._try_start(late)
            time.sleep(_POLL)
        return path

    def _answering(self) -> str | None:
        path = self.home.socket()
        self._problem = ping(path, self.deadline - time.monotonic()) if path else "none was started here yet"
        return None if self._problem else path

    def _try_start(self, late: bool) -> None:
        lock = locks.attempt(self.home.server_lock)
        try:
            if lock and self.starts and (late or self.starts == _STARTS):
                raise self._unavailable(f"its server ends at start: {self.home.log_tail(self._log_start)}")
            if lock:
                self._start(lock)
            elif late:
                raise self._unavailable(f"no server answers ({self._problem}), {held(self.home.server_lock)}")
        finally:
            if lock:
                lock.release()

    def _start(self, lock: locks.Lock) -> None:
        server = binary.find(self._address, self.home.version())
        path = self.home.choose_socket()
        self.home.note(path, server.version)
        self._log_start = self.home.rotate_log()
        self.starts += 1
        _run(self.home, _command(server.path, self.home, path), lock, self.deadline - time.monotonic())
        self._not_before = time.monotonic() + _BACK_OFF * 2 ** (self.starts - 1)

    @property
    def _address(self) -> str:
        return str(self.home.path.parent)

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(self._address, reason=reason)

    def __repr__(self) -> str:
        left = self.deadline - time.monotonic()
        return f"<Launch {self._address!r} starts={self.starts} left={left:.1f}s problem={self._problem!r}>"


def ensure_keeper(home: Home, linger: float) -> None:
    """See to it that a keeper watches `home`; a running one keeps its own `linger`."""
    if lock := locks.attempt(home.keeper_lock):
        try:
            _spawn_keeper(home, linger, lock)
        finally:
            lock.release()


def ping(path: str, timeout: float) -> str:
    """Why the server at `path` cannot be used right now; empty if it can."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(min(1.0, max(0.05, timeout)))
            link.connect(path)
            link.sendall(b"PING\r\n")
            reply = link.recv(64)
    except OSError as error:
        return f"{path}: {error}"
    # Other errors, -MISCONF on a full disk or -BUSY, come from a server that is there.
    return "" if reply and not reply.startswith(b"-LOADING") else reply.decode(errors="replace").strip() or "hung up"


def held(path: Path) -> str:
    """Who holds the lock on `path`, as a part of a message."""
    found = ", ".join(map(str, locks.holders(path)))
    return f"yet {path} is held by {f'process {found}' if found else 'a process that cannot be seen from here'}"


def _spawn_keeper(home: Home, linger: float, lock: locks.Lock) -> None:
    # In a frozen program sys.executable is the program itself.
    python = shutil.which("python3") if getattr(sys, "frozen", False) else sys.executable
    if not python:
        _logger.warning("no Python interpreter for the keeper of %s: its server will not stop by itself", home.path)
        return
    command = [python, "-I", "-S", keeper.__file__, str(home.path), str(lock.fileno()), str(linger)]
    if code := _run(home, command, lock, timeout=10.0):
        _logger.warning("the keeper of %s ended at start with code %d, see %s", home.path, code, home.log)


def _command(server: Path, home: Home, path: str) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": path,
        "unixsocketperm": "700",
        "dir": str(home.path),
        "logfile": str(home.log),
        "pidfile": str(home.path / "server.pid"),
        "daemonize": "yes",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
    }
    return [str(server), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _run(home: Home, command: Sequence[str], lock: locks.Lock, timeout: float) -> int:
    """Run what detaches itself and inherits `lock`; its exit code. What it says at start goes to the log."""
    log = home.open_log()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock.fileno(),),
            start_new_session=True,
            restore_signals=False,  # SIGXFSZ stays ignored: at a limit for files, writes fail and the server lives
            env={**os.environ, "LC_ALL": "C"},  # a server refuses to start in an unknown locale
        )
    finally:
        os.close(log)
    return _wait(process, timeout)


def _wait(process: subprocess.Popen[bytes], timeout: float) -> int:
    try:
        return process.wait(max(timeout, 1.0))
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
