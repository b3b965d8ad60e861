"""What a user may not do, out of what the server says of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["action_denied", "is_denial", "keys_named"]

# At the call; in a script, Redis 7.0; in a script, everything newer.
_DENIALS = ("NOPERM ", "The user executing the script can't ", "ACL failure in script: ")
_COMMAND = re.compile(r"to run the '([^']+)' command")
_LINE = re.compile(r"on @user_script:(\d+)")
_CALL = re.compile(r"call\('([A-Z]+)'(?:, KEYS\[(\d)\])?")


def is_denial(text: str) -> bool:
    """Whether an error of the server says that the user may not do something."""
    return text.removeprefix("ERR ").startswith(_DENIALS)


def action_denied(text: str, command: Sequence[Any], source: str) -> str:
    """The action that the server denied with this text, as an answer to a command; `source` is that of its script."""
    name, keys = command[0], keys_named(command)
    if line := _LINE.search(text):
        # Which command a script was at is known by its line alone to Redis 7.0, and which key to no server.
        name, keys = _called(source, int(line[1]), keys) or (name, keys)
    if found := _COMMAND.search(text):
        name = found[1].upper()
    if "channel" in text:
        return f"run {name} on a channel" + (f" of {_tag(keys[0])!r}" if keys else "")
    return f"run {name} on {', '.join(map(repr, keys))}" if keys else f"run {name}"


def keys_named(command: Sequence[Any]) -> list[str]:
    """The keys that a command names."""
    name, *arguments = command
    if name in ("EVAL", "EVALSHA"):
        return list(arguments[2 : 2 + int(arguments[1])])
    return list(arguments[:1])


def _called(source: str, line: int, keys: list[str]) -> tuple[str, list[str]] | None:
    lines = source.splitlines()
    found = _CALL.search(lines[line - 1]) if 0 < line <= len(lines) else None
    if found is None:
        return None
    return found[1], [keys[int(found[2]) - 1]] if found[2] else []


def _tag(key: str) -> str:
    return key[: key.rfind("}") + 1] or key
