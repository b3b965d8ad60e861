"""What lies in a folder's `.ccs`: three lock files, the server's log and data, and two notes about the server.

The notes (where its socket is, which version wrote the data) are written under `server.lock` only, atomically, by
whoever starts the server; everybody else reads them, since environments differ between processes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from ccs.embedded.binary import Version
from ccs.errors import Unavailable

__all__ = ["Home", "default_folder"]

_SOCKET_BYTES = 103  # what fits into sockaddr_un everywhere: 104 with the final NUL on macOS, 108 on Linux
_LOG_BYTES = 1 << 20


def default_folder() -> Path:
    """The folder that all programs of this user share."""
    return Path(platformdirs.user_data_dir("ccs"))


class Home:
    """The paths and notes in `<folder>/.ccs`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".ccs"
        self.server_lock = self.path / "server.lock"
        self.clients_lock = self.path / "clients.lock"
        self.keeper_lock = self.path / "keeper.lock"
        self.log = self.path / "server.log"

    def create(self) -> None:
        """Make the folder, private to this user; an existing one stays as it is."""
        folder = self.path.parent
        if folder.exists() and not folder.is_dir():
            raise Unavailable(str(folder), reason="it is a file: give a folder, which need not exist yet, or a URL")
        if not self.path.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)

    def socket(self) -> str | None:
        """Where the server listens, or did last; `None` before the first one."""
        noted = self._noted("socket")
        return os.path.join(os.path.realpath(self.path), noted) if noted else None

    def version(self) -> Version | None:
        """Which server wrote the data; `None` if none did."""
        return Version.parse(self._noted("version"))

    def note(self, socket: str, version: Version) -> None:
        """Write both notes, for the server that is about to start."""
        self._note("socket", os.path.relpath(socket, os.path.realpath(self.path)) if self._own(socket) else socket)
        self._note("version", str(version))

    def choose_socket(self) -> str:
        """Where the next server is to listen: in the folder, or in a private folder elsewhere if its path is long."""
        own = os.path.join(os.path.realpath(self.path), "server.sock")
        return own if _fits(own) else _elsewhere(str(self.path.parent), hashlib.sha256(os.fsencode(own)).hexdigest())

    def rotate_log(self) -> int:
        """Put a log aside that has grown large; the bytes that are in the log now."""
        size = self.log.stat().st_size if self.log.exists() else 0
        if size <= _LOG_BYTES:
            return size
        os.replace(self.log, f"{self.log}.1")
        return 0

    def open_log(self) -> int:
        """A descriptor that appends to the log."""
        return os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def log_tail(self, start: int, lines: int = 12) -> str:
        """The last lines of the log from byte `start` on."""
        try:
            with open(self.log, "rb") as log:
                log.seek(start)
                return "\n".join(log.read()[-4096:].decode(errors="replace").splitlines()[-lines:])
        except OSError as error:
            return f"(no log: {error})"

    def _own(self, socket: str) -> bool:
        return os.path.dirname(socket) == os.path.realpath(self.path)

    def _noted(self, name: str) -> str:
        try:
            return os.fsdecode((self.path / name).read_bytes())
        except FileNotFoundError:
            return ""

    def _note(self, name: str, text: str) -> None:
        if self._noted(name) == text:
            return
        fresh = self.path / f"{name}.new"
        with open(fresh, "wb") as file:
            file.write(os.fsencode(text))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path / name)

    def __repr__(self) -> str:
        return f"<Home {str(self.path)!r}>"


def _fits(path: str) -> bool:
    return len(os.fsencode(path)) <= _SOCKET_BYTES


def _elsewhere(folder: str, digest: str) -> str:
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        socket = os.path.join(parent or "", f"ccs-{os.getuid()}", f"{digest[:24]}.sock")
        if parent and os.path.isabs(socket) and _fits(socket) and os.access(parent, os.W_OK):
            _make_private(folder, os.path.dirname(socket))
            return socket
    raise Unavailable(folder, reason="its path is too long for a socket, and no temporary folder is usable instead")


def _make_private(folder: str, path: str) -> None:
    # Whoever owns this folder could put a server of their own in place of ours.
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            reason = f"{path}, for its socket, is not a private folder of this user (0700); remove or rename it"
            raise Unavailable(folder, reason=reason) from None
