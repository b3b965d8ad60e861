"""Presence: the members of a context as entries.

A member is an entry `@members/<id>` with a ttl that it renews. A renewal moves the deadline without a commit, so a member
was last seen at its deadline minus its ttl. Hence the entry holds the ttl.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ccs.types import Entry, Member

__all__ = ["EVERYBODY", "ROOT", "agents_in", "member_of", "members_in", "written"]

ROOT = "@members"
EVERYBODY = f"{ROOT}/*"


def written(role: str | None, ttl: int, meta: Any) -> dict[str, Any]:
    """Returns the value of a member's entry. `ttl` in milliseconds."""
    return {"role": role, "meta": meta, "ttl": ttl}


def member_of(entry: Entry) -> Member:
    """Returns the member of an entry."""
    value = entry.value
    name = entry.path.removeprefix(f"{ROOT}/")
    return Member(entry.agent, value["role"], entry.created_at, _seen_at(entry), value["meta"], name)


def _seen_at(entry: Entry) -> datetime:
    if entry.expires_at is None:
        return entry.created_at
    # Deadlines are rounded to milliseconds, so this may be a little before the commit.
    return max(entry.created_at, entry.expires_at - timedelta(milliseconds=entry.value["ttl"]))


def members_in(entries: Mapping[str, Entry]) -> list[Member]:
    """Returns the members among some entries, in the order in which they joined."""
    found = [member_of(entry) for path, entry in entries.items() if path.startswith(f"{ROOT}/")]
    return sorted(found, key=lambda member: (member.joined_at, member.id))


def agents_in(entries: Mapping[str, Entry]) -> set[str]:
    """Returns the names of the agents among the members. One agent may be several members."""
    return {entry.agent for path, entry in entries.items() if path.startswith(f"{ROOT}/")}
