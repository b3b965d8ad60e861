"""What a store holds in its contexts: the entries that it gives back when it is closed, or when their owner is forgotten.

A finalizer only notes what was forgotten: it may run at any moment, on any thread, so it takes no lock and does no I/O.
Each step on the containers here is atomic, so threads need no lock either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from ccs._core.commits.commit import Batch, Commit, Guard, delete_op, revision_guard

__all__ = ["Holding", "Holdings", "giving_back", "grouped"]

_AT_ONCE = 256


class Holding(NamedTuple):
    """The entry at `path`, of `revision`, held by `agent` in the context at `address`; `owner` tells whose it is.

    The revision is None where the path is nobody else's, so that it may be noted before the entry is written.
    What is not renewed ends by itself: nothing is lost if it is given back after `until` (monotonic).
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
        """Notes what is held from now on."""
        self._held[holding.address, holding.path] = holding

    def remove(self, address: str, path: str, revision: int) -> None:
        """It was given back, settled or lost; unless what is held there now is another one."""
        held = self._held.get((address, path))
        if held and held.revision in (None, revision):
            self._held.pop((address, path), None)

    def prune(self, now: float) -> bool:
        """Drops what has ended by itself; whether anything is held."""
        for holding in self.all():
            if holding.until < now:
                self._drop(holding)
        return bool(self._held)

    def note_forgotten(self, holding: Holding) -> None:
        """Called by a finalizer: nobody can give this back any more."""
        self._forgotten.append(holding)

    def note_left(self, owner: object) -> None:
        """Called by a finalizer: what this owner holds now is to be given back, what it takes later is not."""
        self._forgotten.extend(self.owned_by(owner))

    def owned_by(self, owner: object) -> list[Holding]:
        """What one owner holds."""
        return [holding for holding in list(self._held.values()) if holding.owner is owner]

    def all(self) -> list[Holding]:
        """All that is held."""
        return list(self._held.values())

    def forgotten(self) -> list[Holding]:
        """What was forgotten; it stays here until it is `done_with`."""
        return list(self._forgotten)

    def done_with(self, holdings: Iterable[Holding]) -> None:
        """They have been given back."""
        for holding in holdings:
            with suppress(ValueError):
                self._forgotten.remove(holding)
            self._drop(holding)

    def _drop(self, holding: Holding) -> None:
        if self._held.get((holding.address, holding.path)) is holding:
            self._held.pop((holding.address, holding.path), None)


def giving_back(some: Iterable[Holding]) -> Batch:
    """What gives them back, each in a commit of its own, but for those that are somebody else's by now."""
    return Batch([Commit(holding.agent, [delete_op(holding.path)], _guards(holding)) for holding in some], "", 0)


def _guards(holding: Holding) -> list[Guard]:
    return [] if holding.revision is None else [revision_guard(holding.path, holding.revision)]


def grouped(holdings: Iterable[Holding]) -> Iterator[tuple[str, list[Holding]]]:
    """Holdings by the address of their context, as many as travel at once."""
    by_address = attrgetter("address")
    for address, of_one in groupby(sorted(holdings, key=by_address), by_address):
        some = list(of_one)
        for start in range(0, len(some), _AT_ONCE):
            yield address, some[start : start + _AT_ONCE]
