"""The Lua scripts, put together once from the sources in the package."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from pkgutil import get_data

from ccs._protocol.lua_source import assemble

__all__ = ["COMMIT", "INFO", "JOURNAL", "READ", "SCRIPTS", "Script"]


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the SHA-1 digest by which the server knows it."""

    name: str
    text: str
    digest: str


def _source(name: str) -> str | None:
    try:
        return (get_data("ccs", f"lua/{name}.lua") or b"").decode()
    except OSError:
        return None


def _part(name: str) -> str | None:
    return _source(f"parts/{name}")


def _load(name: str) -> Script:
    text = assemble(_source(name) or "", _part)
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


COMMIT = _load("commit")
READ = _load("read")
JOURNAL = _load("journal")
INFO = _load("info")

SCRIPTS = {script.name: script for script in (COMMIT, READ, JOURNAL, INFO)}
