"""The Lua scripts, put together once from the sources in the package."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha1
from pkgutil import get_data

from ccs._protocol.lua_source import assemble

__all__ = ["COMMIT", "CONFIRM", "INFO", "JOURNAL", "READ", "SCRIPTS", "Script"]

# Whatever is called so calls a command, or finds out whether it may.
_COMMAND = re.compile(r"\b\w+\('([A-Z]{3,})'")


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the SHA-1 digest by which the server knows it. `reads`: it only reads."""

    name: str
    text: str
    digest: str
    reads: bool = False

    @property
    def commands(self) -> frozenset[str]:
        """The commands that it calls, or asks whether it may. Looked for when asked, as only grants do."""
        return frozenset(_COMMAND.findall(self.text))


def _source(name: str) -> str | None:
    try:
        return (get_data("ccs", f"lua/{name}.lua") or b"").decode()
    except OSError:
        return None


def _part(name: str) -> str | None:
    return _source(f"parts/{name}")


def _load(name: str, *, reads: bool = True) -> Script:
    text = assemble(_source(name) or "", _part)
    digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(name, text, digest, reads)


COMMIT = _load("commit", reads=False)
READ = _load("read")
JOURNAL = _load("journal")
INFO = _load("info")
CONFIRM = _load("confirm", reads=False)

SCRIPTS = {script.name: script for script in (COMMIT, READ, JOURNAL, INFO, CONFIRM)}
