"""The contents of a folder's `.ccs`: four lock files, the server's log and data, and two notes about the server.

The notes (the path of its socket, the version that wrote the data) are written atomically, under `server.lock` only, by
the process that starts the server. All others read them, since environments differ between processes. A copy of the
folder has copies of the notes, so they are hints: the server that answers must identify itself as this folder's.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from ccs.embedded import keeper
from ccs.embedded.binary import Version
from ccs.errors import Unavailable

__all__ = ["ADVICE", "Home", "default_folder", "expanded"]

ADVICE = "one user a folder: give each a folder of their own, or use a URL, such as redis://localhost:6379, for all"

_SOCKET_BYTES = 103  # what fits into sockaddr_un everywhere: 104 with the final NUL on macOS, 108 on Linux
_SOCKET = "server.sock"
_LOG_BYTES = 1 << 20


def default_folder() -> Path:
    """Returns the folder that all programs of this user share. Raises `Unavailable` if no home folder is known."""
    if not os.path.isabs(os.environ.get("XDG_DATA_HOME") or _home_folder()):
        raise _homeless("the embedded server")
    return Path(platformdirs.user_data_dir("ccs"))


def expanded(folder: str) -> Path:
    """Returns an absolute path, with a leading `~` or `~user` expanded. Raises `Unavailable` if that is unknown."""
    if folder.startswith("~"):
        user = folder.split("/")[0]
        home = _home_folder() if user == "~" else os.path.expanduser(user)
        if not os.path.isabs(home):
            raise _homeless(folder)
        folder = home + folder[len(user) :]
    return Path(os.path.abspath(folder))


def _home_folder() -> str:
    """Returns the home folder of this user; not an absolute path if none is known."""
    return os.environ.get("HOME", os.path.expanduser("~"))


def _homeless(address: str) -> Unavailable:
    return Unavailable(address, reason="no home folder is known: set $HOME, or $CCS_URL to a folder or a URL")


class Home:
    """The paths and notes in `<folder>/.ccs`."""

    def __init__(self, folder: Path, name: str = ".ccs") -> None:
        self.path = folder / name
        self.server_lock = self.path / "server.lock"
        self.clients_lock = self.path / "clients.lock"
        self.keeper_lock = self.path / "keeper.lock"
        self.flush_lock = self.path / "flush.lock"
        self.log = self.path / "server.log"

    def create(self) -> None:
        """Makes the folder, private to this user; an existing one is kept. Raises `Unavailable` if it is another user's."""
        folder = self.path.parent
        if folder.exists() and not folder.is_dir():
            raise Unavailable(str(folder), reason="it is a file: give a folder, which need not exist yet, or a URL")
        if not self.path.is_dir():
            _check_home(folder)
            folder.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
        owner = self.path.stat().st_uid
        if owner != os.geteuid():
            # Root too: the owner could no longer use what root writes here.
            reason = f"{self.path} belongs to user {owner}, and this is user {os.geteuid()}; {ADVICE}"
            raise Unavailable(str(folder), reason=reason)

    def check_locks(self) -> None:
        """Raises `Unavailable` if another folder shares these files: a server here would write into its data."""
        if self.server_lock.stat().st_nlink > 1:
            reason = f"{self.server_lock} is hard-linked to another folder; copy this one without hard links, use that"
            raise Unavailable(str(self.path.parent), reason=reason)

    def identity(self) -> str:
        """Returns the identity of this folder's server."""
        return keeper.identity(self.path)

    def socket(self) -> str | None:
        """Returns the path of the present or last server's socket; None before the first server."""
        noted = self._noted("socket")
        if not noted:
            return None
        path = os.path.join(os.path.realpath(self.path), noted)
        return path if _fits(path) else os.path.join(self._alias(), noted)

    def version(self) -> Version | None:
        """Returns which server wrote the data; None if none did."""
        return Version.parse(self._noted("version"))

    def note(self, socket: str, version: Version) -> None:
        """Writes both notes, for the server that is about to start."""
        self._note("socket", socket)
        self._note("version", str(version))

    def choose_socket(self) -> str:
        """Returns the socket's path for the next server: in the folder, or in a private folder if that is too long."""
        own = os.path.join(os.path.realpath(self.path), _SOCKET)
        return _SOCKET if _fits(own) else _elsewhere(str(self.path.parent), f"{self.identity()}.sock")

    def rotate_log(self) -> int:
        """Renames a log that has grown large. Returns the bytes in the log now."""
        size = self.log.stat().st_size if self.log.exists() else 0
        if size <= _LOG_BYTES:
            return size
        os.replace(self.log, f"{self.log}.1")
        return 0

    def open_log(self) -> int:
        """Returns a descriptor that appends to the log."""
        return os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def log_tail(self, start: int, lines: int = 12) -> str:
        """Returns the last lines of the log after byte `start`."""
        try:
            with open(self.log, "rb") as log:
                log.seek(start)
                return "\n".join(log.read()[-4096:].decode(errors="replace").splitlines()[-lines:])
        except OSError as error:
            return f"(no log: {error})"

    def _alias(self) -> str:
        """Returns a short path of a folder that was moved, with its server running, to where its path is too long."""
        alias = _elsewhere(str(self.path.parent), self.identity())
        target = os.path.realpath(self.path)
        if not (os.path.islink(alias) and os.readlink(alias) == target):
            fresh = f"{alias}.{os.urandom(8).hex()}"
            os.symlink(target, fresh)
            os.replace(fresh, alias)
        return alias

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


def _elsewhere(folder: str, name: str) -> str:
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        path = os.path.join(parent or "", f"ccs-{os.geteuid()}", name)
        if parent and os.path.isabs(path) and _fits(os.path.join(path, _SOCKET)) and os.access(parent, os.W_OK):
            _make_private(folder, os.path.dirname(path))
            return path
    raise Unavailable(folder, reason="its path is too long for a socket, and no temporary folder is usable instead")


def _check_home(folder: Path) -> None:
    # A missing one is that of a user without a home (/nonexistent), which we must not make.
    home = _home_folder()
    if os.path.isabs(home) and folder.is_relative_to(home) and not os.path.isdir(home):
        raise Unavailable(
            str(folder), reason=f"the home folder {home} does not exist; set $HOME, $CCS_URL, or give a folder"
        )


def _make_private(folder: str, path: str) -> None:
    # The owner of this folder could replace our server with another one.
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            reason = f"{path}, for its socket, is not a private folder of this user (0700); remove or rename it"
            raise Unavailable(folder, reason=reason) from None
