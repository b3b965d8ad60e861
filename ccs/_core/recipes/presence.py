"""Presence: how a member of a context is written down, and what an entry tells of one.

A member is an entry `@members/<id>` with a ttl that it renews. A renewal moves the deadline and is no commit, so when
the member was last seen is its deadline less its ttl, which is why the entry holds that.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ccs.types import Entry, Member

__all__ = ["EVERYBODY", "ROOT", "agents_in", "member_of", "members_in", "written"]

ROOT = "@members"
EVERYBODY = f"{ROOT}/*"


def written(role: str | None, ttl: int, meta: Any) -> dict[str, Any]:
    """The value of a member's entry; its ttl in milliseconds."""
    return {"role": role, "meta": meta, "ttl": ttl}


def member_of(entry: Entry) -> Member:
    """The member that an entry stands for."""
    value, joined = entry.value, entry.created_at
    # Deadlines are whole milliseconds: less its ttl, one may lie a little before the commit.
    seen = max(joined, entry.expires_at - timedelta(milliseconds=value["ttl"])) if entry.expires_at else joined
    return Member(entry.agent, value["role"], joined, seen, value["meta"], entry.path.removeprefix(f"{ROOT}/"))


def members_in(entries: Mapping[str, Entry]) -> list[Member]:
    """The members among some entries, who joined first first."""
    found = [member_of(entry) for path, entry in entries.items() if path.startswith(f"{ROOT}/")]
    return sorted(found, key=lambda member: (member.joined_at, member.id))


def agents_in(entries: Mapping[str, Entry]) -> set[str]:
    """The names of the agents that are members, each perhaps several times."""
    return {entry.agent for path, entry in entries.items() if path.startswith(f"{ROOT}/")}
