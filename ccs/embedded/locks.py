"""File locks (flock): held exactly while some process has the descriptor open, however that process ends.

A lock belongs to the open file description, not to the process. So two locks of one process on one file exclude each
other, and a descriptor that a child process inherits is the same lock. Hence `release` only closes: an explicit unlock
would also take the lock from the server that inherited it.

A plain `os.fork` would give every lock to the child by accident, and a worker that lives on would keep the lock of a dead
server. So a forked child closes its copies at once, and no fork can happen between opening a file and noting it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["Lock", "attempt", "holders", "tried"]

_held: set[Lock] = set()
_opening = threading.RLock()  # re-entrant: a signal handler or a finalizer may run while its thread holds it


class Lock:
    """A lock file that is open in this process, and locked if `attempt` returned it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opening:
            self._fd = _open(path)
            _held.add(self)

    def fileno(self) -> int:
        """Returns the descriptor, for `flock` and for a child process that inherits the lock; -1 after `release`."""
        return self._fd

    def is_current(self) -> bool:
        """Returns whether this is open and still the file at its path, not one that was moved or removed."""
        with contextlib.suppress(FileNotFoundError):
            return self._fd >= 0 and os.path.samestat(os.fstat(self._fd), os.stat(self.path))
        return False

    def moved_to(self) -> Path | None:
        """Returns the path of this file now, if the system tells; None if it was removed."""
        with contextlib.suppress(OSError):
            found = _path_of(self._fd)
            if found and os.path.samestat(os.fstat(self._fd), os.stat(found)):
                return Path(found)
        return None

    def release(self) -> None:
        """Closes this process's descriptor. A process that inherited the lock keeps it. Idempotent."""
        with _opening:
            self._close()

    def _close(self) -> None:
        _held.discard(self)
        fd = self._fd
        self._fd = -1
        if fd >= 0:
            os.close(fd)

    def __repr__(self) -> str:
        return f"<Lock {str(self.path)!r} {f'fd={self._fd}' if self._fd >= 0 else 'released'}>"


def attempt(path: Path, *, shared: bool = False) -> Lock | None:
    """Returns the lock on `path`, exclusive unless `shared`; None if another lock is in the way. Never waits."""
    lock = Lock(path)
    try:
        fcntl.flock(lock.fileno(), (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.release()
        return None
    except BaseException:
        lock.release()
        raise
    return lock


@contextlib.contextmanager
def tried(path: Path) -> Iterator[Lock | None]:
    """Yields the exclusive lock on `path`, and releases it in the end; None if another lock is in the way."""
    lock = attempt(path)
    try:
        yield lock
    finally:
        if lock:
            lock.release()


def holders(path: Path) -> list[int]:
    """Returns the processes with a lock on `path`, as far as /proc shows (Linux, own processes); for error texts, tests."""
    with contextlib.suppress(OSError):
        wanted = os.stat(path)
        return sorted({pid for pid, found in _locked() if os.path.samestat(found, wanted)})
    return []


def _open(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if fd > 2:
        return fd
    # A process without standard streams gets these numbers, and a child process replaces them with /dev/null.
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _path_of(fd: int) -> str:
    if sys.platform == "darwin":
        return os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
    return os.readlink(f"/proc/self/fd/{fd}") if sys.platform == "linux" else ""


def _locked() -> Iterator[tuple[int, os.stat_result]]:
    # /proc/locks names the process that took a lock, perhaps long dead; fdinfo shows which one has it now.
    for info in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with contextlib.suppress(OSError):
            if "FLOCK" in info.read_text():
                yield int(info.parts[2]), os.stat(info.parents[1] / "fd" / info.name)


def _drop_in_child() -> None:
    for lock in list(_held):
        lock._close()
    _opening.release()


if sys.platform != "win32":
    os.register_at_fork(before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_drop_in_child)
