"""What a change of an entry of the system means: a claim was taken, a message was sent, an agent came or went."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from ccs._core.names.system_paths import name_of
from ccs._core.recipes.claim import resource_of, waited_for
from ccs._core.recipes.inbox import inbox_and_kind, message_id
from ccs.types import Activity, ActivityKind, Change

__all__ = ["activity"]

# What it means, the name of what it is about, and what tells apart others of that name.
_Told = tuple[ActivityKind, str, str] | None


def activity(change: Change) -> Activity | None:
    """Returns what a change below a root of the system means, as watches and histories of that root deliver it.

    Returns None for all other changes, and for those that only keep the books. Pure: it reads nothing.

        >>> async with task.watch("@claims/**") as changes:
        ...     async with task.claim("sources/a"):
        ...         seen = ccs.activity(await changes.receive(timeout=10))
        >>> seen.kind, seen.name, seen.agent
        ('claimed', 'sources/a', 'example')
    """
    tell = _TELLERS.get(change.path.partition("/")[0])
    told = tell(change) if tell else None
    if told is None:
        return None
    kind, name, key = told
    return Activity(kind, name, key, change.agent, change.at, change.revision)


def _claim(change: Change) -> _Told:
    name = resource_of(change.path)
    if change.op == "set":
        return ("claimed", name, change.path) if change.created else None
    return ("released" if change.op == "delete" else "lapsed"), name, change.path


def _line(change: Change) -> _Told:
    ticket = change.path.rpartition("/")[2]
    if change.op == "set":
        return ("waits", waited_for(change.path), ticket) if change.created else None
    return "stopped waiting", waited_for(change.path), ticket


def _member(change: Change) -> _Told:
    ticket = change.path.rpartition("/")[2]
    value = change.value or change.previous or {}
    name = value.get("role") or ""
    if change.op == "set":
        return ("joined", name, ticket) if change.created else None
    return ("left" if change.op == "delete" else "vanished"), name, ticket


def _message(change: Change) -> _Told:
    role, kind = inbox_and_kind(change.path)
    letter = message_id(change.path)
    if kind == "messages" and change.op != "set":
        return "settled", role, letter
    if kind == "messages" and change.created:
        return "sent", role, letter
    if kind == "dead" and change.created:
        return "died", role, letter
    if kind == "leases" and change.op == "set" and change.value["by"]:
        return "received", role, letter
    return None


def _run(change: Change) -> _Told:
    if change.op != "set":
        return None
    kinds: dict[str, ActivityKind] = {"running": "began", "done": "done", "failed": "failed"}
    key = name_of("@once", change.path)
    return kinds[change.value["state"]], key, key


def _agreement(change: Change) -> _Told:
    _, segment, *rest = change.path.split("/")
    name = unquote(segment)
    if not change.created:
        return None
    if rest[0] == "votes":
        return "voted", name, unquote(rest[1])
    return ("decided", name, name) if rest[0] == "decision" else None


def _barrier(change: Change) -> _Told:
    _, segment, *rest = change.path.split("/")
    name = unquote(segment)
    if change.op != "set":
        return None
    if rest:
        return ("arrived", name, rest[0]) if change.created else None
    return ("opened", name, name) if change.value["open"] else None


_TELLERS: dict[str, Callable[[Change], _Told]] = {
    "@claims": _claim,
    "@waiting": _line,
    "@members": _member,
    "@inbox": _message,
    "@once": _run,
    "@agreements": _agreement,
    "@barriers": _barrier,
}
