# Generated from ccs/aio/place.py by scripts/twin. Do not edit.
"""Where one context is: what its reads, writes and watches need to know."""

from __future__ import annotations

from dataclasses import dataclass

from ccs._core.commit import Applied, Commit, Guard, Operation, Settings
from ccs._core.keys import Keys
from ccs._sync.connection import Connection
from ccs._sync.engine import Engine
from ccs._sync.gather import Gatherer

__all__ = ["Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """A context of a store, as one agent with its settings sees it."""

    engine: Engine
    address: str
    agent: str
    given: Settings
    keys: Keys
    gatherer: Gatherer

    @property
    def connection(self) -> Connection:
        """What its commands go through."""
        return self.engine.connection

    def commit(self, operations: list[Operation], guards: list[Guard], size: int) -> Applied:
        """Makes one commit of the operations, if the guards hold; its errors are raised."""
        return self.gatherer.commit(Commit(self.agent, operations, guards, self.given, size))

    def expect(self, ttl: int | None) -> None:
        """An entry got a ttl in milliseconds: when it is due, somebody sweeps."""
        if ttl is not None:
            self.engine.listener.expect(self.address, ttl / 1000)
