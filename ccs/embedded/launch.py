"""Finds the running server of a folder, or starts it, exactly once among all processes.

A client that gets `server.lock` and `keeper.lock` starts a keeper, which starts the server. The server inherits the
first lock, so the kernel frees it when the server (and the child that rewrites its file) is gone, however it ends; the
keeper holds the second one. All other clients poll the socket until this folder's server answers. No process waits for a
certain other one: a client that is killed while it starts a server leaves either a server or free locks.
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
from ccs.errors import Misuse, Unavailable

__all__ = ["Launch", "answers", "held"]

_logger = logging.getLogger("ccs")
_POLL = 0.005
_STARTS = 4
_GRACE = 3.0  # seconds for the first server that we start to answer or to end, so that the error can say why
_LAST_WORDS = 0.2  # seconds for which a server may still answer after its keeper has died
_BACK_OFF = 0.1  # seconds after the first failed start, doubled with each further one


class Launch:
    """One attempt to get an answer from the server of `home` before `deadline` (of `time.monotonic`)."""

    def __init__(self, home: Home, linger: float, deadline: float) -> None:
        self.home = home
        self.linger = linger
        self.deadline = deadline
        self.starts = 0
        self._not_before = 0.0
        self._log_start = 0
        self._problem = ""

    def run(self) -> str:
        """Returns the path of the socket on which the server answers. Raises `Unavailable` or `UnsafeServer`."""
        while True:
            path = self._answering()
            if path and self._is_kept():
                return path
            late = time.monotonic() >= self.deadline
            if late or time.monotonic() >= self._not_before:
                self._try_start(late)
            time.sleep(_POLL)

    def _answering(self) -> str | None:
        path = self.home.socket()
        left = self.deadline - time.monotonic()
        self._problem = _problem(path, self.home.identity(), left) if path else "none was started here yet"
        return None if self._problem else path

    def _try_start(self, late: bool) -> None:
        with locks.tried(self.home.server_lock) as server_lock:
            if not server_lock:
                return self._check_wait(self.home.server_lock, late)
            with locks.tried(self.home.keeper_lock) as keeper_lock:
                if not keeper_lock:
                    return self._check_wait(self.home.keeper_lock, late)
                self._check_starts(late)
                self._start(keeper_lock, server_lock)

    def _check_wait(self, wanted: Path, late: bool) -> None:
        """Raises `Unavailable` if it is useless or too late to wait for the holder of the lock `wanted`."""
        self.home.check_locks()
        if late:
            log = f"; its log: {self.home.log_tail(self._log_start)}" if self.starts else ""
            raise self._unavailable(f"no server answers ({self._problem}), {held(wanted)}{log}")

    def _check_starts(self, late: bool) -> None:
        if self.starts and (late or self.starts == _STARTS):
            raise self._unavailable(f"its server ends at start: {self.home.log_tail(self._log_start)}")

    def _start(self, keeper_lock: locks.Lock, server_lock: locks.Lock) -> None:
        _check_programs_can_start()
        self.home.check_locks()
        server = binary.find(self._address, self.home.version())
        name = self.home.choose_socket()
        self.home.note(name, server.version)
        self._log_start = self.home.rotate_log()
        self.starts += 1
        command = _command(server.path, self.home, name)
        _run_keeper(self.home, self.linger, self.deadline - time.monotonic(), keeper_lock, server_lock, command)
        if self.starts == 1:
            self.deadline = max(self.deadline, time.monotonic() + _GRACE)
        self._not_before = time.monotonic() + _BACK_OFF * 2 ** (self.starts - 1)

    def _is_kept(self) -> bool:
        """Returns whether the server has a keeper. One that outlived its keeper gets another one."""
        with locks.tried(self.home.keeper_lock) as keeper_lock:
            if not keeper_lock:
                return True
            time.sleep(_LAST_WORDS)
            if not self._answering():
                return False
            _check_programs_can_start()
            _run_keeper(self.home, self.linger, 10.0, keeper_lock)
            return True

    @property
    def _address(self) -> str:
        return str(self.home.path.parent)

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(self._address, reason=reason)

    def __repr__(self) -> str:
        left = self.deadline - time.monotonic()
        return f"<Launch {self._address!r} starts={self.starts} left={left:.1f}s problem={self._problem!r}>"


def _problem(path: str, identity: str, timeout: float) -> str:
    """Returns why the server at `path` cannot be used now; empty if it can."""
    timeout = min(1.0, max(0.05, timeout))
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(timeout)
            link.connect(path)
            found, pong = keeper.greet(link, timeout)
    except OSError as error:
        return f"{path}: {error}"
    if found != identity:
        return f"{path}: {'the server of another folder' if found else pong or 'no answer'}"
    # A server with another error, such as -MISCONF on a full disk, can be used.
    return pong if pong.startswith("-LOADING") else ""


def _check_programs_can_start() -> None:
    """Raises `Misuse` if gevent has replaced `os.close` but not subprocess, which then waits for ever for a pipe to close."""
    if os.close.__module__.startswith("gevent") and subprocess.Popen.__module__ == "subprocess":
        raise Misuse(
            "gevent has replaced os but not subprocess here, so the server of a folder cannot be started: call"
            " monkey.patch_all(os=False, signal=False, subprocess=False), have a program without gevent hold the folder"
            " open, or connect to a server by its URL"
        )


def answers(home: Home) -> bool:
    """Returns whether the folder's server answers now. Starts nothing."""
    path = home.socket()
    return path is not None and not _problem(path, home.identity(), 1.0)


def held(path: Path) -> str:
    """Returns which processes hold the lock on `path`, as part of an error text."""
    found = ", ".join(map(str, locks.holders(path)))
    return f"yet {path} is held by {f'process {found}' if found else 'a process that cannot be seen from here'}"


def _run_keeper(
    home: Home,
    linger: float,
    timeout: float,
    keeper_lock: locks.Lock,
    server_lock: locks.Lock | None = None,
    command: Sequence[str] = (),
) -> None:
    """Starts a keeper, which inherits the locks, and starts a server if there is a `command`."""
    python = _python()
    if not python:
        return _run_alone(home, timeout, server_lock, command)
    words = [python, "-I", "-S", keeper.__file__, str(home.path), str(linger), str(keeper_lock.fileno())]
    inherited = [keeper_lock.fileno()]
    if server_lock:
        words += [str(server_lock.fileno()), *command]
        inherited.append(server_lock.fileno())
    code = _run(home, words, inherited, timeout)
    if code:
        _logger.warning("the keeper of %s ended at start with code %d, see %s", home.path, code, home.log)


def _python() -> str | None:
    # In a frozen program sys.executable is the program; and a process that changed its user may not be able to run it.
    own = not getattr(sys, "frozen", False) and os.access(sys.executable, os.X_OK)
    return sys.executable if own else shutil.which("python3")


def _run_alone(home: Home, timeout: float, server_lock: locks.Lock | None, command: Sequence[str]) -> None:
    _logger.warning("no Python interpreter for the keeper of %s: its server will not stop by itself", home.path)
    if server_lock:
        server, *options = command
        own = ["--dir", str(home.path), "--syslog-ident", home.identity(), "--daemonize", "yes"]
        _run(home, [server, *own, *options], [server_lock.fileno()], timeout)


def _command(server: Path, home: Home, name: str) -> list[str]:
    # Paths are relative to the folder, where the keeper starts the server: so they hold wherever the folder is moved.
    options = {
        "port": "0",
        "unixsocket": name,
        "unixsocketperm": "700",
        "logfile": home.log.name,
        "pidfile": "server.pid",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        # Small hashes stay packed, also those with the state of a context.
        "hash-max-listpack-value": "512",
        "hash-max-listpack-entries": "32",
    }
    return [str(server), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _run(home: Home, command: Sequence[str], inherited: Sequence[int], timeout: float) -> int:
    """Runs a command that detaches itself. Returns its exit code. Its output goes to the log."""
    log = home.open_log()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=inherited,
            start_new_session=True,
            restore_signals=False,  # SIGXFSZ stays ignored: at a limit of file sizes, writes fail and the server lives
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
