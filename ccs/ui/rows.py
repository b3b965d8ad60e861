"""Entries, changes and what recipes hold, as short lists and maps for the page. Times are milliseconds since 1970."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ccs
from ccs.types import (
    AgreementInfo,
    BarrierInfo,
    Change,
    ClaimInfo,
    ContextInfo,
    Entry,
    Event,
    InboxInfo,
    Member,
    MessageInfo,
    Overview,
    RunInfo,
)
from ccs.ui.plain_values import preview

__all__ = [
    "ROOTS",
    "SHOWN",
    "context_line",
    "log_line",
    "mark_of",
    "millis",
    "overview_lines",
    "row_of_change",
    "row_of_entry",
]

# The roots of the system that the page follows, each with the kind of an overview that shows it.
ROOTS = {
    "@claims": "claims",
    "@waiting": "claims",
    "@members": "members",
    "@inbox": "inboxes",
    "@once": "runs",
    "@runs": "runs",
    "@agreements": "agreements",
    "@barriers": "barriers",
    "@policies": "policies",
}

SHOWN = ("**", *(f"{root}/**" for root in ROOTS))
"""The patterns of all that the page follows."""

# How much of each list the page gets.
_MOST = 500
_MOST_LETTERS = 50


def millis(when: datetime | None) -> int:
    """Returns a time for the page; 0 for none."""
    return int(when.timestamp() * 1000) if when else 0


def row_of_entry(entry: Entry) -> list[Any]:
    """Returns a row of the tree: path, preview, agent, version, revision, time."""
    return [
        entry.path,
        preview(entry.value),
        entry.agent,
        entry.version,
        entry.revision,
        millis(entry.updated_at),
    ]


def row_of_change(change: Change) -> list[Any]:
    """Returns the same for the entry after a change."""
    return [change.path, preview(change.value), change.agent, change.version, change.revision, millis(change.at)]


def log_line(item: Change | Event) -> list[Any]:
    """Returns a line of the log: what, path or topic, agent, time, revision, preview, the one before, version."""
    if isinstance(item, Event):
        return ["event", item.topic, item.agent, millis(item.at), item.revision, preview(item.data), "", 0]
    op = "create" if item.created else item.op
    value = preview(item.value) if item.op == "set" else ""
    before = "" if item.created else preview(item.previous)
    return [op, item.path, item.agent, millis(item.at), item.revision, value, before, item.version]


def context_line(info: ContextInfo, rate: float) -> list[Any]:
    """Returns a line of the list of contexts: address, revision, entries, time, commits a second, outcome, finished."""
    outcome = preview(info.outcome, 60) if info.finished else ""
    return [info.address, info.revision, info.entries, millis(info.updated_at), round(rate, 1), outcome, info.finished]


def overview_lines(seen: Overview) -> dict[str, Any]:
    """Returns an overview as lists of maps, each cut to what a page can show, with the full numbers beside them."""
    return {
        "claims": [_claim(each) for each in seen.claims[:_MOST]],
        "members": [_member(each) for each in seen.members[:_MOST]],
        "inboxes": [_inbox(each) for each in seen.inboxes[:_MOST]],
        "runs": [_run(each) for each in sorted(seen.runs, key=_latest)[:_MOST]],
        "agreements": [_agreement(each) for each in seen.agreements[:_MOST]],
        "barriers": [_barrier(each) for each in seen.barriers[:_MOST]],
        "policies": dict(list(seen.policies.items())[:_MOST]),
        "counts": {
            "claims": len(seen.claims),
            "members": len(seen.members),
            "runs": len(seen.runs),
            "unread": sum(len(each.unread) for each in seen.inboxes),
            "dead": sum(len(each.dead) for each in seen.inboxes),
        },
    }


def _latest(run: RunInfo) -> tuple[bool, float]:
    return run.state == "done", -run.at.timestamp()


def _claim(claim: ClaimInfo) -> dict[str, Any]:
    return {
        "resource": claim.resource,
        "holder": claim.holder,
        "token": claim.token,
        "since": millis(claim.claimed_at),
        "until": millis(claim.expires_at),
        "note": "" if claim.note is None else preview(claim.note),
        "slots": claim.slots,
        "waiting": list(claim.waiting),
    }


def _member(member: Member) -> dict[str, Any]:
    meta = "" if member.meta is None else preview(member.meta)
    times = {"joined": millis(member.joined_at), "seen": millis(member.seen_at)}
    return {"id": member.id, "agent": member.agent, "role": member.role or "", "meta": meta, **times}


def _inbox(inbox: InboxInfo) -> dict[str, Any]:
    return {
        "role": inbox.role,
        "unread": len(inbox.unread),
        "dead": len(inbox.dead),
        "letters": [_letter(each) for each in inbox.unread[:_MOST_LETTERS]],
        "buried": [_letter(each) for each in inbox.dead[:_MOST_LETTERS]],
    }


def _letter(message: MessageInfo) -> dict[str, Any]:
    return {
        "id": message.id,
        "sender": message.sender,
        "type": message.type,
        "content": preview(message.content),
        "sent": millis(message.sent_at),
        "attempts": message.attempts,
        "held": message.held_by or "",
        "revision": message.revision,
    }


def _run(run: RunInfo) -> dict[str, Any]:
    return {
        "key": run.key,
        "state": run.state,
        "attempts": run.attempts,
        "agent": run.agent,
        "at": millis(run.at),
        "error": run.error,
    }


def _agreement(agreement: AgreementInfo) -> dict[str, Any]:
    decision = agreement.decision
    return {
        "name": agreement.name,
        "parties": list(agreement.parties),
        "votes": dict(agreement.votes),
        "opened": millis(agreement.opened_at),
        "decided": millis(decision.decided_at) if decision else 0,
        "committed": decision.committed if decision else None,
        "reason": decision.reason if decision else "",
    }


def _barrier(barrier: BarrierInfo) -> dict[str, Any]:
    waiting = list(barrier.waiting)
    return {"name": barrier.name, "parties": barrier.parties, "waiting": waiting, "open": barrier.open}


def mark_of(change: Change) -> list[Any] | None:
    """Returns what a change of the system means: kind, name, id, agent, time, revision; None for what tells nothing."""
    told = ccs.activity(change)
    return None if told is None else [told.kind, told.name, told.id, told.agent, millis(told.at), told.revision]
