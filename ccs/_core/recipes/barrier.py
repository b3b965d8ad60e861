"""A barrier, decided: what a party that has arrived does, given the entries.

`@barriers/<name>` says how many parties it is for and whether it is open. Below it is an arrival for each party that
waits, with a ttl that it renews. Opening is one commit, guarded by the arrivals that it counts; withdrawing an arrival
is guarded by the barrier being closed. So an arrival either counts or is withdrawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ccs._core.codec import encode
from ccs._core.commits.operations import delete_op, set_op
from ccs._core.names.system_paths import as_segment
from ccs._core.number_checks import integer
from ccs._core.quoted_values import shown
from ccs._core.recipes.guarded_commit import GuardedCommit, unchanged
from ccs._core.times import millis
from ccs.errors import InvalidValue
from ccs.types import Entry

__all__ = ["Arrival", "arrival_at", "check_parties", "count_with", "is_full", "is_open", "next_action", "withdrawal"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A party at a barrier for so many `parties`, whose arrival is held for `term` seconds at a time."""

    name: str
    root: str
    path: str
    parties: int
    term: float


def arrival_at(name: str, id: str, parties: int, term: float) -> Arrival:
    """Returns an arrival. Raises `InvalidValue` or `InvalidPath` for invalid arguments."""
    root = f"@barriers/{as_segment(name)}"
    count = integer("parties", parties, "how many it takes, at least one", 1)
    return Arrival(name, root, f"{root}/{id}", count, term)


def is_open(barrier: Entry | None) -> bool:
    """Returns whether a barrier has opened."""
    return barrier is not None and bool(barrier.value["open"])


def check_parties(arrival: Arrival, barrier: Entry | None) -> None:
    """Raises `InvalidValue` if the barrier is for another number of parties."""
    wanted = barrier.value["parties"] if barrier else arrival.parties
    if wanted != arrival.parties:
        raise InvalidValue(
            f"the barrier {shown(arrival.name)} is for {wanted} parties, not {arrival.parties}; use another name"
        )


def is_full(entries: Mapping[str, Entry], root: str) -> bool:
    """Returns whether a barrier is still closed although as many arrivals as it is for are there."""
    barrier = entries.get(root)
    return barrier is not None and not is_open(barrier) and len(entries) > barrier.value["parties"]


def count_with(arrival: Arrival, entries: Mapping[str, Entry]) -> int:
    """Returns how many parties have arrived, this one included."""
    return len(entries) - (arrival.root in entries) + (arrival.path not in entries)


def next_action(arrival: Arrival, entries: Mapping[str, Entry]) -> GuardedCommit | None:
    """Returns the commit that opens a closed barrier, or the one that arrives; None: wait."""
    if count_with(arrival, entries) >= arrival.parties:
        return _opening(arrival, entries, [path for path in entries if path not in (arrival.root, arrival.path)])
    return None if arrival.path in entries else _arriving(arrival, entries)


def withdrawal(arrival: Arrival, barrier: Entry | None) -> GuardedCommit:
    """Returns the commit that withdraws an arrival, unless the barrier opens first."""
    entries = {arrival.root: barrier} if barrier else {}
    return GuardedCommit([delete_op(arrival.path)], unchanged(entries, [arrival.root]))


def _opening(arrival: Arrival, entries: Mapping[str, Entry], others: list[str]) -> GuardedCommit:
    raw = _written(arrival, True)
    operations = [set_op(arrival.root, raw), *map(delete_op, [*others, arrival.path])]
    return GuardedCommit(operations, unchanged(entries, [arrival.root, *others[: arrival.parties - 1]]))


def _arriving(arrival: Arrival, entries: Mapping[str, Entry]) -> GuardedCommit:
    raw = _written(arrival, False)
    empty = encode({})
    ttl = millis(arrival.term)
    operations = [set_op(arrival.path, empty, ttl)]
    if arrival.root not in entries:
        operations.append(set_op(arrival.root, raw))
    return GuardedCommit(operations, unchanged(entries, [arrival.root]), ttl)


def _written(arrival: Arrival, opened: bool) -> bytes:
    return encode({"parties": arrival.parties, "open": opened})
