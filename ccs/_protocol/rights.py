"""Which action the server denied to a user, from the text of its error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["action_denied", "command_lacking", "is_denial", "keys_named", "lacks_read_only"]

# For a command; in a script, Redis 7.0; in a script, all newer servers.
_DENIALS = ("NOPERM ", "The user executing the script can't ", "ACL failure in script: ")
_KEYLESS = ("ACL", "CLUSTER", "COMMAND", "INFO", "PING", "SCAN", "TIME")
_COMMAND = re.compile(r"to run the '([^']+)' command")
_LINE = re.compile(r"on @user_script:(\d+)")
_CALL = re.compile(r"\b(?:call|may)\((?:'(?P<name>[A-Z]+)'|ARGV\[(?P<argument>\d)\])(?:, KEYS\[(?P<key>\d)\])?")
# For a command; in a script, by all servers; where a script asks for the right to it.
_LACKING = re.compile(
    r"^(?:ERR )?(?:unknown command|Unknown (?:Redis )?command called|Invalid command passed to \w+\.acl_check_cmd)"
)
_UNKNOWN = re.compile(r"unknown command '(\w+)'")


def is_denial(text: str) -> bool:
    """Returns whether an error of the server says that the user lacks a right."""
    return text.removeprefix("ERR ").startswith(_DENIALS)


def lacks_read_only(text: str) -> bool:
    """Returns whether an error of the server says that it lacks the read-only calls of scripts, or the user lacks them."""
    return text.removeprefix("ERR ").startswith(("NOPERM ", "unknown command")) and "_ro'" in text.lower()


def command_lacking(text: str, command: Sequence[Any], source: str) -> str:
    """Returns the command that the server does not have, by the text of its error; '' for any other error.

    `source` is the script that the `command` calls.
    """
    if not _LACKING.search(text):
        return ""
    named = _UNKNOWN.search(text)
    line = _LINE.search(text)
    called = _called(source, int(line[1]), command) if line else None
    return named[1].upper() if named else called[0] if called else str(command[0])


def action_denied(text: str, command: Sequence[Any], source: str) -> str:
    """Returns the action that the server denied with this text, in reply to a command with the script `source`."""
    name = command[0]
    keys = keys_named(command)
    line = _LINE.search(text)
    denied = _COMMAND.search(text)
    if line:
        # For a script, Redis 7.0 tells only the line, not the command, and no server tells the key.
        name, keys = _called(source, int(line[1]), command) or (name, keys)
    if denied:
        name = denied[1].upper()
    if "channel" in text:
        return f"run {name} on a channel" + (f" of {_tag(keys[0])!r}" if keys else "")
    return f"run {name} on {', '.join(map(repr, keys))}" if keys else f"run {name}"


def keys_named(command: Sequence[Any]) -> list[str]:
    """Returns the keys that a command names."""
    name, *arguments = command
    if name in _KEYLESS:
        return []
    if name in ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"):
        return list(arguments[2 : 2 + int(arguments[1])])
    return list(arguments[:1])


def _called(source: str, line: int, command: Sequence[Any]) -> tuple[str, list[str]] | None:
    """Returns what a line of the script calls, or asks the right to, and the key for it."""
    lines = source.splitlines()
    found = _CALL.search(lines[line - 1]) if 0 < line <= len(lines) else None
    if found is None:
        return None
    keys = keys_named(command)
    # The command that publishes is an argument.
    name = found["name"] or str(command[2 + len(keys) + int(found["argument"])])
    return name, [keys[int(found["key"]) - 1]] if found["key"] else []


def _tag(key: str) -> str:
    return key[: key.rfind("}") + 1] or key
