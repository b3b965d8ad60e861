"""What a store holds in its contexts: entries that it gives back when it is closed, or their owner is garbage collected.

A finalizer only notes what was forgotten: it may run at any moment, in any thread, so it takes no lock and does no I/O.
Each operation on the containers here is atomic, so threads need no lock either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from ccs._core.commits.commit import Batch, Commit
from ccs._core.commits.operations import Guard, delete_op, revision_guard

__all__ = ["Holding", "Holdings", "giving_back", "grouped"]

_AT_ONCE = 256


class Holding(NamedTuple):
    """The entry at `path`, of `revision`, which `agent` holds in the context at `address` for the object `owner`.

    The revision is None if no other can have this path, so that the holding can be noted before the entry is written.
    An entry that is not renewed expires: after `until` (monotonic) it need not be given back.
    """

    address: str
    path: str
    revision: int | None
    agent: str
    until: float = float("inf")
    owner: object = None


class Holdings:
    """All that a store holds, by context and path."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Holding] = {}
        self._forgotten: deque[Holding] = deque()

    def __repr__(self) -> str:
        return f"<Holdings of {len(self._held)} entries, {len(self._forgotten)} forgotten>"

    def add(self, holding: Holding) -> None:
        """Adds a holding."""
        self._held[holding.address, holding.path] = holding

    def remove(self, address: str, path: str, revision: int) -> None:
        """Removes what was given back, settled or lost, unless the path is held at another revision now."""
        held = self._held.get((address, path))
        if held and held.revision in (None, revision):
            self._held.pop((address, path), None)

    def prune(self, now: float) -> bool:
        """Removes what has expired. Returns whether anything is still held."""
        for holding in self.all():
            if holding.until < now:
                self._drop(holding)
        return bool(self._held)

    def note_forgotten(self, holding: Holding) -> None:
        """Notes what its owner can no longer give back. A finalizer calls it."""
        self._forgotten.append(holding)

    def note_left(self, owner: object) -> None:
        """Notes that what this owner holds now is to be given back, not what it takes later. A finalizer calls it."""
        self._forgotten.extend(self.owned_by(owner))

    def owned_by(self, owner: object) -> list[Holding]:
        """Returns what one owner holds."""
        return [holding for holding in list(self._held.values()) if holding.owner is owner]

    def all(self) -> list[Holding]:
        """Returns all that is held."""
        return list(self._held.values())

    def forgotten(self) -> list[Holding]:
        """Returns what was forgotten. It stays here until `done_with`."""
        return list(self._forgotten)

    def done_with(self, holdings: Iterable[Holding]) -> None:
        """Removes what has been given back."""
        for holding in holdings:
            with suppress(ValueError):
                self._forgotten.remove(holding)
            self._drop(holding)

    def _drop(self, holding: Holding) -> None:
        if self._held.get((holding.address, holding.path)) is holding:
            self._held.pop((holding.address, holding.path), None)


def giving_back(some: Iterable[Holding]) -> Batch:
    """Returns the batch that gives them back, a commit each, except those that another agent holds by now."""
    return Batch([Commit(holding.agent, [delete_op(holding.path)], _guards(holding)) for holding in some], "", 0)


def _guards(holding: Holding) -> list[Guard]:
    return [] if holding.revision is None else [revision_guard(holding.path, holding.revision)]


def grouped(holdings: Iterable[Holding]) -> Iterator[tuple[str, list[Holding]]]:
    """Yields holdings by the address of their context, as many as one batch takes."""
    by_address = attrgetter("address")
    for address, of_one in groupby(sorted(holdings, key=by_address), by_address):
        some = list(of_one)
        for start in range(0, len(some), _AT_ONCE):
            yield address, some[start : start + _AT_ONCE]
