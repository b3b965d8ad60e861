"""The Lua scripts, read once from the package."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from pkgutil import get_data

__all__ = ["COMMIT", "INFO", "JOURNAL", "READ", "Script"]


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the SHA-1 digest by which the server knows it."""

    name: str
    text: str
    digest: str


def _load(name: str) -> Script:
    text = (get_data("ccs", f"lua/{name}.lua") or b"").decode()
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


COMMIT = _load("commit")
READ = _load("read")
JOURNAL = _load("journal")
INFO = _load("info")
