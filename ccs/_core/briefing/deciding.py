"""What a briefing tells of a moment: items, decided from the entries of that moment and the commits before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ccs._core.briefing.items import Item
from ccs._core.briefing.plain_text import agents_text, count_text, name_text, time_text
from ccs._core.codec import decode, encode
from ccs._core.commits.entry import RawEntry, parse_entry, to_entry
from ccs._core.commits.journal import EVENT, OPERATIONS, Record, RecordOperation
from ccs._core.recipes.claim import CLAIMS, info_of, resource_of
from ccs._core.recipes.inbox import InboxPaths, Offer
from ccs._core.recipes.presence import ROOT as MEMBERS
from ccs._core.recipes.presence import member_of
from ccs._core.times import from_micros

__all__ = ["REASONS", "Moment", "decide", "finished", "notice"]

REASONS = {
    "compacted": "history compacted: what happened since you last looked is no longer kept in full; this is the present state",
    "forked": "history forked: the server has lost commits that you may have seen, so check what you know; this is the"
    " present state",
    "gone": "context gone: it ended since you last looked, so what you knew of it is void; this is the present state",
    "damaged": "history damaged: what happened since you last looked cannot be read; this is the present state",
}
"""Why the present state is told instead of what changed."""

_EXPIRED = b"x"


@dataclass(slots=True)
class Moment:
    """All that a briefing is decided from: the entries at a revision, and the commits since another.

    `since` is None if the present state is told, by everybody. `wanted` matches the paths, topics and resources that are
    asked for. `notices` are told first. Entries hold those that are pinned, claims, messages for the role, members, and all
    that match if the present state is told.
    """

    agent: str
    since: int | None
    own: bool
    wanted: Callable[[str], bool]
    visible: Callable[[str], bool]
    pinned: tuple[str, ...]
    inbox: InboxPaths | None
    entries: Mapping[str, RawEntry]
    records: Sequence[Record]
    notices: list[Item] = field(default_factory=list)

    def counts(self, agent: str) -> bool:
        """Returns whether what this agent does is told."""
        return self.own or self.since is None or agent != self.agent

    def is_new(self, revision: int) -> bool:
        """Returns whether a commit came after the cursor."""
        return self.since is None or revision > self.since


def decide(moment: Moment) -> dict[str, list[Item]]:
    """Returns the items by section, in each those first that get room first."""
    changes = {item.path: item for item in (_present(moment) if moment.since is None else _net_changes(moment))}
    pinned = [_told_always(item, changes.pop(item.path, None)) for item in _pinned(moment)]
    return {
        "notices": moment.notices,
        "messages": list(_messages(moment)),
        "claims": [*_lost_claims(moment), *_claims(moment)],
        "pinned": pinned,
        "changes": sorted(changes.values(), key=lambda item: (-item.revision, item.place)),
        "events": list(_events(moment))[::-1],
        "members": list(_members_present(moment)) if moment.since is None else list(_comings(moment))[::-1],
    }


def _of_entry(path: str, raw: RawEntry, section: str, new: bool) -> Item:
    kind: Any = "pinned" if section == "pinned" else "entry"
    at = from_micros(raw.updated)
    return Item(section, kind, path, "", (raw.agent,), at, raw.revision, (path,), new, raw.value)


def _told_always(pinned: Item, change: Item | None) -> Item:
    """Returns what is told of a pinned path: what has happened to it, if anything has."""
    return pinned if change is None else replace(change, section="pinned", kind="pinned")


def _present(moment: Moment) -> Iterator[Item]:
    for path, raw in moment.entries.items():
        if moment.wanted(path):
            yield _of_entry(path, raw, "changes", True)


def _pinned(moment: Moment) -> Iterator[Item]:
    for path in moment.pinned:
        raw = moment.entries.get(path)
        if raw is None:
            yield Item("pinned", "pinned", path, "does not exist", (), None, 0, (path,), new=False)
        else:
            new = moment.is_new(raw.revision) and moment.counts(raw.agent)
            yield _of_entry(path, raw, "pinned", new)


@dataclass(slots=True)
class _Net:
    """What has happened to one path: the first and the last operation, and who wrote it how often."""

    first: RecordOperation
    last: RecordOperation
    record: Record
    writers: dict[str, int] = field(default_factory=dict)
    own: int = 0
    told: Record | None = None


def _net_changes(moment: Moment) -> Iterator[Item]:
    nets: dict[str, _Net] = {}
    for record in moment.records:
        for operation in record.operations:
            if operation.kind in OPERATIONS and moment.wanted(operation.path):
                _note(nets, record, operation, moment)
    for path, net in nets.items():
        if net.told:
            yield _of_net(path, net)


def _note(nets: dict[str, _Net], record: Record, operation: RecordOperation, moment: Moment) -> None:
    net = nets.setdefault(operation.path, _Net(operation, operation, record))
    net.last = operation
    net.record = record
    if operation.kind == _EXPIRED:
        net.told = record
    elif moment.counts(record.agent):
        net.told = record
        net.writers[record.agent] = net.writers.pop(record.agent, 0) + 1
    else:
        net.own += 1


def _of_net(path: str, net: _Net) -> Item:
    told = net.told or net.record
    value = parse_entry(net.last.after).value if net.last.after else None
    lead = f"{_done(net)}{_then(net)}"
    at = from_micros(told.at)
    return Item("changes", "change", path, lead, tuple(net.writers), at, told.revision, (path,), True, value)


def _done(net: _Net) -> str:
    writes = sum(net.writers.values())
    by = f" by {agents_text(list(net.writers)[::-1])}" if net.writers else ""
    if not writes:
        return "expired"
    if writes > 1 or net.own:
        return f"{count_text(writes, 'write')}{by}{' and yours' if net.own else ''}"
    if not net.last.after and net.last.kind != _EXPIRED:
        return f"removed{by}"
    return f"{'set' if net.first.before else 'created'}{by}"


def _then(net: _Net) -> str:
    if net.last.after:
        return "; now "
    if net.last.kind == _EXPIRED:
        return "; expired" if net.writers else ""
    return "; now removed" if sum(net.writers.values()) + net.own > 1 else ""


def _messages(moment: Moment) -> Iterator[Item]:
    inbox = moment.inbox
    if inbox is None:
        return
    below = inbox.below("messages")
    sent = [to_entry(path, raw) for path, raw in moment.entries.items() if path.startswith(below)]
    offers = [Offer(inbox, entry.path.removeprefix(below), entry, None) for entry in sent]
    for offer in sorted(offers, key=lambda each: each.order):
        yield _of_offer(offer, moment.is_new(offer.message.revision))


def _of_offer(offer: Offer, new: bool) -> Item:
    entry = offer.message
    lead = f"{name_text(entry.value['type'], 40)} from {name_text(entry.agent, 60)}, "
    content = encode(entry.value["content"])
    at = entry.created_at
    return Item("messages", "message", offer.id, lead, (entry.agent,), at, entry.revision, offer.order, new, content)


def _claims(moment: Moment) -> Iterator[Item]:
    found = [path for path in moment.entries if path.startswith(f"{CLAIMS}/") and moment.visible(path)]
    for path in sorted(found):
        claim = info_of(to_entry(path, moment.entries[path]))
        if claim.holder != moment.agent and moment.wanted(claim.resource):
            what = f"claimed by {name_text(claim.holder, 60)}"
            new = moment.is_new(claim.token)
            since = claim.claimed_at
            yield Item(
                "claims", "claim", claim.resource, what, (claim.holder,), since, claim.token, (1, claim.resource), new
            )


def _lost_claims(moment: Moment) -> Iterator[Item]:
    for record, operation in _operations_below(moment, CLAIMS):
        if operation.after or not operation.before:
            continue
        before = parse_entry(operation.before)
        holder = decode(before.value)["holder"]
        taken = operation.kind != _EXPIRED
        if holder != moment.agent or (taken and record.agent == moment.agent):
            continue
        resource = resource_of(operation.path)
        how = f"taken away by {name_text(record.agent, 60)}" if taken else "expired"
        what = f"your claim r{before.revision} was lost: {how}"
        agents = (record.agent,) if taken else ()
        yield Item(
            "claims", "lost", resource, what, agents, from_micros(record.at), record.revision, (0, record.revision)
        )


def _events(moment: Moment) -> Iterator[Item]:
    for record in moment.records if moment.since is not None else ():
        if not moment.counts(record.agent):
            continue
        for number, operation in enumerate(record.operations):
            if operation.kind == EVENT and moment.wanted(operation.path):
                yield _of_event(record, operation, number)


def _of_event(record: Record, event: RecordOperation, number: int) -> Item:
    lead = f"event by {name_text(record.agent, 60)}, "
    at = from_micros(record.at)
    place = (record.revision, number)
    return Item("events", "event", event.path, lead, (record.agent,), at, record.revision, place, True, event.after)


def _members_present(moment: Moment) -> Iterator[Item]:
    found = [to_entry(path, raw) for path, raw in moment.entries.items() if path.startswith(f"{MEMBERS}/")]
    for entry in sorted(found, key=lambda each: (each.revision, each.path)):
        if moment.visible(entry.path):
            yield _of_member("member", "is here", entry.agent, entry.value["role"], entry.revision, entry.created_at)


def _comings(moment: Moment) -> Iterator[Item]:
    for record, operation in _operations_below(moment, MEMBERS):
        raw = operation.after or operation.before
        if not raw or (operation.after and operation.before):
            continue
        member = member_of(to_entry(operation.path, parse_entry(raw)))
        if not moment.counts(member.agent):
            continue
        at = from_micros(record.at)
        if operation.after:
            yield _of_member("joined", "joined", member.agent, member.role, record.revision, at)
        else:
            how = "was lost" if operation.kind == _EXPIRED else "left"
            yield _of_member("left", how, member.agent, member.role, record.revision, at)


def _of_member(kind: Any, what: str, agent: str, role: str | None, revision: int, at: Any) -> Item:
    text = what if role is None else f"{what} as {name_text(role, 60)}"
    return Item("members", kind, agent, text, (agent,), at, revision, (revision, agent))


def _operations_below(moment: Moment, root: str) -> Iterable[tuple[Record, RecordOperation]]:
    """Yields what happened below a root of the system since the cursor, as far as it is visible."""
    if moment.since is None:
        return
    for record in moment.records:
        for operation in record.operations:
            if (
                operation.kind in OPERATIONS
                and operation.path.startswith(f"{root}/")
                and moment.visible(operation.path)
            ):
                yield record, operation


def notice(what: str) -> Item:
    """Returns a notice."""
    return Item("notices", "notice", "", what, (), None, 0, (0,))


def finished(outcome: bytes, at: int) -> Item:
    """Returns the notice that the context is finished, with its outcome, at a time in microseconds."""
    lead = f"finished at {time_text(from_micros(at))}: it can be read, not written; the outcome is "
    if decode(outcome) is None:
        return Item("notices", "notice", "", f"{lead}null", (), None, 0, (1,))
    return Item("notices", "notice", "", lead, (), None, 0, (1,), True, outcome)
