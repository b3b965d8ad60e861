"""When a server answers a commit: before or after that is on its disk. And how to ask it whether it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ccs._protocol.replies import ServerError
from ccs._protocol.rights import is_denial
from ccs.errors import UnsafeServer

__all__ = ["NO_WAIT", "QUESTIONS", "SWITCH_ON", "Flushing", "check_of", "flushed", "flushing_of"]

Flushing = Literal["always", "waitaof"]
"""`always`: each commit is on disk before its answer. `waitaof`: later, and WAITAOF tells when."""

_SETTINGS = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
QUESTIONS = (("INFO",), ("CONFIG", "GET", *_SETTINGS))
NO_WAIT = {"WAIT": ("WAIT", "0", "1"), "WAITAOF": ("WAITAOF", "0", "0", "1")}
"""Questions that are answered at once: they show whether the user may ask."""
SWITCH_ON = ("CONFIG", "SET", "appendfsync", "always")
# Valkey's WAITAOF counts what was handed to the system, not what was flushed, with `appendfsync everysec`.
_HONEST = 8


def flushing_of(replies: Sequence[Any], address: str) -> Flushing:
    """Judges a server by its answers to `QUESTIONS`. Raises `UnsafeServer` where nobody can know what is on its disk."""
    info, config = replies
    if _settings(config) == _SETTINGS:
        return "always"
    facts = dict(line.split(":", 1) for line in _text(info).splitlines() if ":" in line)
    keeps_file = facts.get("aof_enabled", "").strip() == "1"
    if keeps_file and _waits_honestly(facts):
        return "waitaof"
    raise UnsafeServer(f"{address} {_fault(keeps_file, config)}; or ask for less: durable(disk=False)")


def check_of(flushing: Flushing, millis: int) -> tuple[str, ...]:
    """Returns the command behind a commit whose reply tells whether that is on disk, within so many milliseconds."""
    return QUESTIONS[1] if flushing == "always" else ("WAITAOF", "1", "0", str(millis))


def flushed(flushing: Flushing, reply: Any) -> bool:
    """Returns whether the commit is on disk, by the reply to `check_of`."""
    if flushing == "always":
        return _settings(reply) == _SETTINGS
    return isinstance(reply, list) and bool(reply) and reply[0] >= 1


def _waits_honestly(facts: dict[str, str]) -> bool:
    major = facts.get("redis_version", "0").split(".")[0].strip()
    return "valkey_version" not in facts and major.isdigit() and int(major) >= _HONEST


def _fault(keeps_file: bool, config: Any) -> str:
    if not keeps_file:
        return "keeps no file of what is written (appendonly no), so no commit is on its disk: set appendonly to yes"
    if isinstance(config, ServerError):
        who = "does not let this user see" if is_denial(str(config)) else "does not tell"
        return f"{who} its setting appendfsync ({config}), which has to be always: allow CONFIG GET"
    settings = _settings(config)
    if settings.get("appendfsync") == "always":
        return "does not flush while it rewrites its file: set no-appendfsync-on-rewrite to no"
    setting = settings.get("appendfsync", "unknown")
    return f"answers before a commit is on its disk (appendfsync {setting}): set appendfsync to always"


def _settings(config: Any) -> dict[str, str]:
    """Returns the settings in a reply of CONFIG GET; none for an error."""
    pairs = config if isinstance(config, list) else []
    return dict(zip(map(_text, pairs[::2]), map(_text, pairs[1::2]), strict=False))


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""
