"""The keeper of an embedded server: shuts it down once no client has been there for a while.

Runs as a script of its own (`python -I -S keeper.py HOME KEEPER_FD LINGER`), detached, with `keeper.lock` held on the
descriptor KEEPER_FD, and imports nothing but the standard library so that it starts fast and stays small.

- It holds `clients.lock` exclusively from the decision to stop the server until the server is gone, so clients come
  either before (and the server stays) or after (and they start a new server and a new keeper: `keeper.lock` is given
  back first).
- It keeps a connection to the server that it watches, so that it never stops another one by mistake: if the folder is
  deleted and made anew, the same socket path leads to somebody else's server. The old server has nothing left to save
  then and is killed, since one that shuts down removes the socket at its path, be it its own or not. A server whose
  folder is deleted before the connection stands cannot be reached any more, so while there is none the keeper hurries.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import time

if sys.platform != "win32":
    import fcntl

__all__ = ["Keeper", "main"]

_SOL_LOCAL, _LOCAL_PEERPID = 0, 2  # macOS; the socket module lacks them
_QUICK, _QUICK_LOOKS = 0.01, 500  # seconds between looks at first, while there is no connection, and how many
_PATIENCE = 10.0  # seconds for a server to write out its data and end, before clients are let in again


class Keeper:
    """Watches the folder that is the working directory."""

    def __init__(self, linger: float) -> None:
        self.linger = linger
        self.clients = os.open("clients.lock", os.O_RDWR)
        self.server = os.open("server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self.link: socket.socket | None = None
        self.unlinked = 0
        self.idle_since: float | None = None

    def run(self) -> None:
        """Return once the server is gone, with `clients.lock` and `server.lock` held."""
        while not self.step():
            self.rest()

    def rest(self) -> None:
        """Wait until it is worth while to look again; the end of the server's connection ends the wait."""
        self.unlinked = 0 if self.link else self.unlinked + 1
        pause = _QUICK if 0 < self.unlinked < _QUICK_LOOKS else min(1.0, max(_QUICK, self.linger / 10))
        select.select([self.link] if self.link else [], [], [], pause)

    def step(self) -> bool:
        """Look once; whether the server is gone for good."""
        self.link = self.link if self.link and _open(self.link) else self.connect()
        if not _lock(self.clients):
            self.idle_since = None
            return False
        if self.is_due(time.monotonic()) and self.stop():
            return True
        fcntl.flock(self.clients, fcntl.LOCK_UN)
        return False

    def is_due(self, now: float) -> bool:
        """Whether nobody has been there for `linger` seconds, or can come any more; called when nobody is there."""
        self.idle_since = now if self.idle_since is None else self.idle_since
        return now - self.idle_since >= self.linger or not self.is_current()

    def stop(self) -> bool:
        """Shut the server down; whether it is gone."""
        if not self.link:
            return _lock(self.server)
        if not self.is_current() and (pid := _peer(self.link)):
            os.kill(pid, signal.SIGKILL)
            return self.await_end()
        # A server that could not write its data out (disk full) still has it in memory: it must live on.
        if _ask(self.link, b"PING").startswith(b"-MISCONF") or _ask(self.link, b"SHUTDOWN").startswith(b"-"):
            return False
        return self.await_end()

    def await_end(self) -> bool:
        """Wait until nobody holds `server.lock`, and hold it; false if that takes too long."""
        deadline = time.monotonic() + _PATIENCE
        while not _lock(self.server):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True

    def connect(self) -> socket.socket | None:
        """A connection to the server of this folder, if there is one."""
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(1.0)
        with contextlib.suppress(OSError):
            if self.is_current():
                with open("socket", "rb") as noted:
                    link.connect(noted.read())
                return link
        link.close()
        return None

    def is_current(self) -> bool:
        """Whether the folder still is what it was, and not deleted or made anew."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.stat("server.lock"), os.fstat(self.server))
        return False

    def __repr__(self) -> str:
        return f"<Keeper {os.getcwd()!r} linger={self.linger} idle_since={self.idle_since} linked={bool(self.link)}>"


def _lock(fd: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _open(link: socket.socket) -> bool:
    link.setblocking(False)
    try:
        while link.recv(4096):  # an answer that came too late
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _ask(link: socket.socket, command: bytes) -> bytes:
    link.settimeout(1.0)
    with contextlib.suppress(OSError):
        link.sendall(command + b"\r\n")
        return link.recv(512)
    return b""


def _peer(link: socket.socket) -> int:
    # Not out of INFO: in another container that number may be somebody else.
    if sys.platform == "linux":
        pid, _, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    else:
        (pid,) = struct.unpack("i", link.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID, 4))
    return int(pid)


def main(home: str, keeper_fd: str, linger: str) -> None:
    """Detach, and keep the server of `home` until it is no longer needed."""
    os.chdir(home)
    keeper = Keeper(float(linger))
    if os.fork():
        os._exit(0)  # the client waits for this process only, so none is left for it to bury
    keeper.run()
    os.close(int(keeper_fd))
    os.close(keeper.server)
    os.close(keeper.clients)


if __name__ == "__main__":
    main(*sys.argv[1:])
