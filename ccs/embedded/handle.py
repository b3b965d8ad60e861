"""An open handle on a folder: it makes this process a client, and keeps the server running."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ccs.embedded import locks
from ccs.embedded.folder import ADVICE, Home, expanded
from ccs.embedded.launch import Launch, held
from ccs.errors import CCSError, InvalidPath, StoreClosed, Unavailable

__all__ = ["Embedded"]

_POLL = 0.01
_NO_LOCKS = "its file system has no file locks (flock): use a folder on a local disk, or a URL"
_ADVICE = {
    errno.EACCES: ADVICE,
    errno.EPERM: ADVICE,
    errno.EROFS: "give a folder that can be written, or a URL",
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room on its disk",
    errno.ENOLCK: _NO_LOCKS,
    errno.ENOSYS: _NO_LOCKS,
    errno.ENOTSUP: _NO_LOCKS,
    errno.EOPNOTSUPP: _NO_LOCKS,
}


class Embedded:
    """One handle on the server of `folder`. It blocks: call it from a worker thread. Creating one does no I/O.

    The server runs while any handle is open in any process, and for `linger` seconds after; the keeper uses the `linger`
    of the handle that started it. A handle belongs to its process: a forked child has to open its own. An open handle
    stays with its folder if that is moved; if it is deleted, the handle continues with a new one at its path.
    """

    def __init__(self, folder: str | Path, *, linger: float = 10.0) -> None:
        if "\0" in str(folder):
            raise InvalidPath(f"a folder's name has no NUL: {str(folder)!r}")
        self.folder = expanded(os.fspath(folder))
        self.linger = linger
        self._home = Home(self.folder)
        self._mutex = threading.Lock()
        self._wanted = False
        self._clients: locks.Lock | None = None
        self._flushing: locks.Lock | None = None
        self._socket: str | None = None
        self._started = 0

    def open(self, timeout: float) -> str:
        """Becomes a client of the server, which answers when this returns. Returns its socket's path. Idempotent.

        Raises `Unavailable`, with the reason, if folder or server are not usable within `timeout` seconds, and
        `UnsafeServer` if all server binaries are too old for the data in the folder.
        """
        self._wanted = True
        try:
            return self.ensure(timeout)
        except BaseException:
            self.close()
            raise

    def ensure(self, timeout: float) -> str:
        """Makes sure that the server answers, and starts it if needed. Returns its socket's path. Call it before connecting.

        Raises the same as `open`, and `StoreClosed` on a handle that is not open.
        """
        deadline = time.monotonic() + timeout
        with self._explained():
            path = None
            while path is None:
                path = self._try_ensure(deadline)
            return path

    def keep_flushing(self, timeout: float) -> None:
        """Has the keeper leave a server as it is that flushes each commit, until this is closed. Call it, then switch that on.

        The keeper switches it off when no handle is left that has called this, however its process has ended. Idempotent.
        Raises the same as `ensure`.
        """
        deadline = time.monotonic() + timeout
        with self._explained():
            while not self._try_keep_flushing():
                if time.monotonic() >= deadline:
                    raise Unavailable(str(self.folder), reason=held(self._home.flush_lock))
                time.sleep(_POLL)

    def close(self) -> None:
        """Stops being a client. The keeper ends a server without clients. Idempotent."""
        with self._mutex:
            self._wanted = False
            for lock in (self._clients, self._flushing):
                if lock:
                    lock.release()
            self._clients = self._flushing = self._socket = None
            self._home = Home(self.folder)

    def _try_ensure(self, deadline: float) -> str | None:
        """Returns the socket's path; None if the folder was moved or deleted meanwhile."""
        self._enter(deadline)
        try:
            path = self._reach(Launch(self._home, self.linger, deadline))
        except FileNotFoundError:
            if self._stayed():
                raise
            return None
        return path if self._stayed() else None

    def _stayed(self) -> bool:
        with self._mutex:
            return self._clients is not None and self._clients.is_current()

    def _enter(self, deadline: float) -> None:
        while not self._try_enter():
            if time.monotonic() >= deadline:
                raise Unavailable(str(self.folder), reason=f"it is shutting down, {held(self._home.clients_lock)}")
            time.sleep(_POLL)

    def _try_enter(self) -> bool:
        with self._mutex:
            if not self._wanted:
                raise StoreClosed(f"{self.folder} is not open; open it again")
            if self._clients and not self._clients.is_current():
                self._follow(self._clients)
            if not self._clients:
                self._home.create()
                self._clients = locks.attempt(self._home.clients_lock, shared=True)
            return self._clients is not None

    def _try_keep_flushing(self) -> bool:
        with self._mutex:
            if not self._wanted:
                raise StoreClosed(f"{self.folder} is not open; open it again")
            if self._flushing and self._flushing.is_current():
                return True
            lock = locks.attempt(self._home.flush_lock, shared=True)
            if not lock:
                return False
            if self._flushing:
                self._flushing.release()
            self._flushing = lock
            # What tells the keeper that there is something to switch off.
            os.pwrite(lock.fileno(), b"1", 0)
            return True

    def _follow(self, clients: locks.Lock) -> None:
        """Follows a folder that was moved, or begins anew at the old path if it was deleted."""
        path = clients.moved_to()
        if path:
            clients.path = path
            self._home = Home(path.parents[1], path.parent.name)
        else:
            clients.release()
            self._clients = None
            self._home = Home(self.folder)

    def _reach(self, launch: Launch) -> str:
        try:
            self._socket = launch.run()
            return self._socket
        finally:
            self._started += launch.starts

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        if sys.platform == "win32":
            raise Unavailable(str(self.folder), reason="no server runs on Windows; connect to one by URL, redis://host")
        try:
            yield
        except CCSError:
            raise
        except OSError as error:
            advice = _replaced() or _ADVICE.get(error.errno or 0)
            reason = f"{error}; {advice}" if advice else str(error)
            raise Unavailable(str(self.folder), reason=reason) from error

    def __repr__(self) -> str:
        state = f"open socket={self._socket!r}" if self._clients else "closed"
        return f"<Embedded {str(self.folder)!r} {state} started={self._started}>"


def _replaced() -> str:
    # That of gevent cannot start a process that inherits locks. A running server can still be used.
    module = subprocess.Popen.__module__
    if module == "subprocess":
        return ""
    return (
        f"{module} has replaced subprocess here, which may be why the server could not be started: have a program without"
        " it hold the folder open, or connect to a server by its URL"
    )
