"""The keeper of an embedded server: starts it, and shuts it down once it had no client for a while.

Runs as a script (`python -I -S keeper.py HOME LINGER KEEPER_FD [SERVER_FD COMMAND...]`), detached, with `keeper.lock`
held on the descriptor KEEPER_FD, and imports only the standard library, so that it starts fast and stays small. With
SERVER_FD, on which `server.lock` is held, it starts the server; without, it takes over one whose keeper was killed.

- It and its server work inside the directory HOME, not at a path: if a folder is renamed, copied or replaced, they never
  touch another one.
- A server reports the directory in which it works (`identity`), by a setting that is fixed at its start. While it lives,
  the kernel reuses that inode for nothing else. So a copied note, socket or lock leads to no other folder's server.
- On Linux the kernel ends the server when its keeper dies. Elsewhere it stays until the next client starts a keeper.
- The keeper holds `clients.lock` exclusively from the decision to stop the server until the server is gone. So a client
  comes either before (and the server stays) or after (and it starts a new server and a new keeper: `keeper.lock` is
  released first).
- A client that wants each commit on disk before its answer holds `flush.lock` shared, marks that file with a byte, and
  switches the server to `appendfsync always`. The keeper switches back once it gets that lock exclusively: then nobody is
  left who wants it, also if all were killed. Last it removes the mark.
- It ends when its server does. While it has no connection it polls fast: a server that ends at start should be noticed
  soon, and one whose folder was deleted before the connection is made cannot be reached any more.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

if sys.platform != "win32":
    import fcntl

__all__ = ["Keeper", "greet", "identity", "main"]

_QUICK = 0.01  # seconds between the first checks, while there is no connection
_QUICK_CHECKS = 500  # how many of those
_PATIENCE = 10.0  # seconds for a server to write out its data and end, before clients are admitted again
_PR_SET_PDEATHSIG = 1


def identity(home: str | os.PathLike[str]) -> str:
    """Returns the identity of the directory `home`, the same by any path. A copy has another one."""
    found = os.stat(home)
    return f"ccs-{found.st_dev:x}-{found.st_ino:x}"


def greet(link: socket.socket, timeout: float = 1.0) -> tuple[str, str]:
    """Returns the identity of the directory in which the connected server works, and its reply to PING.

    If it has no identity, returns "" and its first reply.
    """
    words = _ask(link, b"CONFIG GET syslog-ident\r\nPING", timeout).decode(errors="replace").split("\r\n")
    return (words[4], words[5]) if len(words) == 7 else ("", words[0])


class Keeper:
    """Watches the folder that is the working directory."""

    def __init__(self, linger: float) -> None:
        self.linger = linger
        self.identity = identity(".")
        self.clients = os.open("clients.lock", os.O_RDWR)
        self.server = os.open("server.lock", os.O_RDWR)
        self.child = 0
        self.link: socket.socket | None = None
        self.unlinked = 0
        self.idle_since: float | None = None

    def start(self, lock: int, command: Sequence[str]) -> None:
        """Starts the server, which alone holds `lock` from then on."""
        keeper = os.getpid()
        prctl = _prctl()
        words = [*command, *self.named()]
        self.child = os.fork()
        if not self.child:
            _become(words, keeper, prctl)
        os.close(lock)

    def named(self) -> list[str]:
        """Returns the options that identify a server: to its clients, and in lists of processes."""
        path = os.path.join(os.getcwd(), "server.sock").replace("{", "{{")
        return ["--syslog-ident", self.identity, "--proc-title-template", f"{{title}} unixsocket:{path}"]

    def run(self) -> None:
        """Returns once the server is gone, with `server.lock` held, and `clients.lock` if there was no client."""
        while not self.check():
            self.rest()

    def rest(self) -> None:
        """Waits before the next check. The end of the server's connection ends the wait."""
        self.unlinked = 0 if self.link else self.unlinked + 1
        pause = _QUICK if 0 < self.unlinked < _QUICK_CHECKS else min(1.0, max(_QUICK, self.linger / 10))
        select.select([self.link] if self.link else [], [], [], pause)

    def check(self) -> bool:
        """Checks the server and its clients once, and stops it if it is due. Returns whether the server is gone."""
        self.link = self.link if self.link and _open(self.link) else self.connect()
        if not self.link and _lock(self.server):
            return True
        self.stop_flushing()
        if not _lock(self.clients):
            self.idle_since = None
            return False
        if self.is_due(time.monotonic()) and self.stop():
            return True
        fcntl.flock(self.clients, fcntl.LOCK_UN)
        return False

    def stop_flushing(self) -> None:
        """Has the server flush once a second again, if nobody is left who wants each commit on disk."""
        if not self.link or not _is_marked("flush.lock"):
            return
        flush = os.open("flush.lock", os.O_RDWR)
        try:
            if _lock(flush) and _ask(self.link, b"CONFIG SET appendfsync everysec").startswith(b"+OK"):
                os.ftruncate(flush, 0)
        finally:
            os.close(flush)  # the lock goes with it

    def is_due(self, now: float) -> bool:
        """Returns whether there was no client for `linger` seconds, or none can come. Called while there is none."""
        self.idle_since = now if self.idle_since is None else self.idle_since
        return now - self.idle_since >= self.linger or not self.is_current()

    def stop(self) -> bool:
        """Shuts the server down. Returns whether it is gone."""
        current = self.is_current()
        if not self.link:
            return not current and self.end_child()
        # A server that could not write its data to disk (disk full) still has it in memory: it must live on.
        if current and _ask(self.link, b"PING").startswith(b"-MISCONF"):
            return False
        if _ask(self.link, b"SHUTDOWN" if current else b"SHUTDOWN NOSAVE FORCE").startswith(b"-"):
            return False
        return self.await_end()

    def end_child(self) -> bool:
        """Ends a server that cannot be reached, as its folder was deleted. Returns whether it is gone."""
        if self.child:
            os.kill(self.child, signal.SIGTERM)  # it was not waited for, so no other process has this id
        return self.await_end()

    def await_end(self) -> bool:
        """Waits for `server.lock`, and holds it. Returns False if that takes too long."""
        deadline = time.monotonic() + _PATIENCE
        while not _lock(self.server):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True

    def connect(self) -> socket.socket | None:
        """Returns a connection to the server of this folder, or None."""
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(1.0)
        with contextlib.suppress(OSError):
            with open("socket", "rb") as noted:
                link.connect(noted.read())
            if greet(link)[0] == self.identity:
                return link
        link.close()
        return None

    def is_current(self) -> bool:
        """Returns whether the folder is still the same, and was not deleted."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.stat("server.lock"), os.fstat(self.server))
        return False

    def __repr__(self) -> str:
        return f"<Keeper {os.getcwd()!r} linger={self.linger} idle_since={self.idle_since} linked={bool(self.link)}>"


def _become(command: list[str], keeper: int, prctl: Callable[[int, int], Any] | None) -> NoReturn:
    """Turns this process into the server, which the kernel ends when the keeper dies."""
    try:
        if prctl:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == keeper:  # else it died before prctl
            os.execv(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error}\n")
    os._exit(1)


def _prctl() -> Callable[[int, int], Any] | None:
    """Returns the function that asks Linux for a signal at the death of the parent, if there is one."""
    if sys.platform != "linux":
        return None
    try:
        ctypes: Any = importlib.import_module("ctypes")  # here, as clients import this file for its functions
        return ctypes.CDLL(None).prctl  # type: ignore[no-any-return]
    except (ImportError, OSError, AttributeError):
        return None


def _lock(fd: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _open(link: socket.socket) -> bool:
    link.setblocking(False)
    try:
        while link.recv(4096):  # a late reply
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _ask(link: socket.socket, command: bytes, timeout: float = 1.0) -> bytes:
    """Returns the server's reply; empty if none comes within `timeout` seconds."""
    link.settimeout(timeout)
    with contextlib.suppress(OSError):
        link.sendall(command + b"\r\n")
        return link.recv(512)
    return b""


def _is_marked(name: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.stat(name).st_size > 0
    return False


def _is_at(fd: int, name: str) -> bool:
    return os.path.samestat(os.fstat(fd), os.stat(name))


def main(home: str, linger: str, keeper_fd: str, server_fd: str = "", *command: str) -> None:
    """Detaches, starts the server of `home` if there is a `command`, and keeps it until it is no longer needed."""
    os.chdir(home)
    keeper_lock = int(keeper_fd)
    if not _is_at(keeper_lock, "keeper.lock") or (server_fd and not _is_at(int(server_fd), "server.lock")):
        sys.exit(f"{home} is another folder than it was a moment ago")
    keeper = Keeper(float(linger))
    if os.fork():
        os._exit(0)  # the client waits only for this process, so it leaves no zombie
    os.set_inheritable(keeper_lock, False)
    if server_fd:
        keeper.start(int(server_fd), command)
    keeper.run()
    os.close(keeper_lock)
    os.close(keeper.server)
    os.close(keeper.clients)


if __name__ == "__main__":
    main(*sys.argv[1:])
