"""How the agents of a context work together, put together from the entries of the recipes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from ccs._core.names.system_paths import name_of
from ccs._core.quoted_values import shown
from ccs._core.recipes.claim import infos_of
from ccs._core.recipes.inbox import in_order, inbox_and_kind, is_taken, message_id
from ccs._core.recipes.presence import members_in
from ccs.errors import InvalidValue
from ccs.types import AgreementInfo, BarrierInfo, Decision, Entry, InboxInfo, MessageInfo, Overview, RunInfo

__all__ = ["overview_of", "patterns_of"]

Entries = Mapping[str, Entry]

_ROOTS = {
    "claims": ("@claims", "@waiting"),
    "members": ("@members",),
    "inboxes": ("@inbox",),
    "runs": ("@once", "@runs"),
    "agreements": ("@agreements",),
    "barriers": ("@barriers",),
    "policies": ("@policies",),
}


def patterns_of(kinds: Iterable[str]) -> tuple[str, ...]:
    """Returns the patterns of the entries from which these kinds are told, of all kinds if none is given.

    Raises `InvalidValue` for one that there is not.
    """
    asked = tuple(kinds) or tuple(_ROOTS)
    for kind in asked:
        if not isinstance(kind, str) or kind not in _ROOTS:
            raise InvalidValue(f"{shown(kind)} is no kind of an overview: give some of {', '.join(_ROOTS)}")
    return tuple(f"{root}/**" for kind in asked for root in _ROOTS[kind])


def overview_of(entries: Entries, revision: int) -> Overview:
    """Returns the overview of some entries, which may be more than those of the recipes."""
    return Overview(
        revision,
        tuple(infos_of(entries)),
        tuple(members_in(entries)),
        tuple(_inboxes(entries)),
        tuple(_runs(entries)),
        tuple(_agreements(entries)),
        tuple(_barriers(entries)),
        _policies(entries),
    )


def _below(entries: Entries, root: str) -> Iterable[Entry]:
    return (entry for path, entry in entries.items() if path.startswith(f"{root}/"))


def _groups(entries: Entries, root: str) -> dict[str, dict[str, Entry]]:
    """Returns the entries below a root by their next segment, and within that by the rest of their path."""
    groups: dict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in _below(entries, root):
        _, segment, *rest = entry.path.split("/")
        groups[_plain(segment)]["/".join(rest)] = entry
    return dict(sorted(groups.items()))


def _plain(segment: str) -> str:
    return "" if segment == "%" else unquote(segment)


def _inboxes(entries: Entries) -> Iterable[InboxInfo]:
    found: dict[str, dict[str, dict[str, Entry]]] = {}
    for entry in _below(entries, "@inbox"):
        role, kind = inbox_and_kind(entry.path)
        found.setdefault(role, defaultdict(dict))[kind][message_id(entry.path)] = entry
    for role, kinds in sorted(found.items()):
        unread = [_unread(role, each, kinds) for each in kinds["messages"]]
        dead = [_dead(role, each, entry.value) for each, entry in kinds["dead"].items()]
        if unread or dead:
            yield InboxInfo(role, _in_order(unread), _in_order(dead))


def _in_order(messages: list[MessageInfo]) -> tuple[MessageInfo, ...]:
    return tuple(sorted(messages, key=lambda message: in_order(message.revision, message.id)))


def _unread(role: str, id: str, kinds: Mapping[str, Mapping[str, Entry]]) -> MessageInfo:
    entry = kinds["messages"][id]
    delivery = kinds["deliveries"].get(id)
    lease = kinds["leases"].get(id)
    return MessageInfo(
        id=id,
        sender=entry.agent,
        to=role,
        type=entry.value["type"],
        content=entry.value["content"],
        sent_at=entry.created_at,
        attempts=delivery.value["count"] if delivery else 0,
        revision=entry.revision,
        held_by=lease.agent if lease and is_taken(lease) else None,
    )


_KEPT = ("sender", "type", "content", "sent_at", "attempts", "revision")


def _dead(role: str, id: str, value: Mapping[str, Any]) -> MessageInfo:
    return MessageInfo(id=id, to=role, **{name: value[name] for name in _KEPT})


def _runs(entries: Entries) -> Iterable[RunInfo]:
    under_way = {name_of("@runs", entry.path) for entry in _below(entries, "@runs")}
    runs = (_run(entry, under_way) for entry in _below(entries, "@once"))
    return sorted(runs, key=lambda run: run.key)


def _run(entry: Entry, under_way: set[str]) -> RunInfo:
    key = name_of("@once", entry.path)
    value = entry.value
    state = "lost" if value["state"] == "running" and key not in under_way else value["state"]
    return RunInfo(key, state, value["attempts"], entry.agent, entry.updated_at, value.get("error", ""))


def _agreements(entries: Entries) -> Iterable[AgreementInfo]:
    groups = _groups(entries, "@agreements")
    return (_agreement(name, group) for name, group in groups.items() if "terms" in group)


def _agreement(name: str, group: Entries) -> AgreementInfo:
    votes = {
        _plain(rest.removeprefix("votes/")): bool(entry.value["vote"])
        for rest, entry in sorted(group.items())
        if rest.startswith("votes/")
    }
    terms = group["terms"]
    decision = _decision(name, group.get("decision"))
    return AgreementInfo(name, tuple(terms.value["parties"]), votes, terms.created_at, decision)


def _decision(name: str, entry: Entry | None) -> Decision | None:
    if entry is None:
        return None
    value = entry.value
    return Decision(name, value["committed"], value["votes"], entry.created_at, value["reason"])


def _barriers(entries: Entries) -> Iterable[BarrierInfo]:
    groups = _groups(entries, "@barriers")
    return (_barrier(name, group) for name, group in groups.items() if "" in group)


def _barrier(name: str, group: Entries) -> BarrierInfo:
    value = group[""].value
    arrived = sorted((entry for rest, entry in group.items() if rest), key=_written)
    return BarrierInfo(name, value["parties"], tuple(entry.agent for entry in arrived), bool(value["open"]))


def _written(entry: Entry) -> int:
    return entry.revision


def _policies(entries: Entries) -> dict[str, str]:
    in_turn = sorted(_below(entries, "@policies"), key=_written)
    return {entry.value["pattern"]: entry.value["policy"] for entry in in_turn}
