# Generated from ccs/_async/recipes/shared_desk.py by scripts/twin. Do not edit.
"""The receivers of one inbox in one store: they share one desk, and each free message is offered to one of them.

The leader takes the first message, and the next receiver leads. A message whose receiver could not take it is offered
again. A store that was often slower than others leaves a message to them for up to 8 ms.
"""

from __future__ import annotations

import random
import time
from typing import NamedTuple, Self

from ccs._core.recipes.contention import Contention
from ccs._core.recipes.inbox import Desk, InboxPaths, Offer
from ccs._sync.engine import Engine
from ccs._sync.recipes.crowd import Waiter
from ccs._sync.recipes.standing_crowd import StandingCrowd

__all__ = ["Finding", "SharedDesk"]


class Finding(NamedTuple):
    """A message to take; or, if it is `held`, one that the receiver holds already and has not learned of."""

    offer: Offer
    held: bool


class SharedDesk(StandingCrowd):
    """All receivers of an inbox in one store."""

    def __init__(self, engine: Engine, address: str, paths: InboxPaths) -> None:
        patterns = paths.patterns("messages", "deliveries", "leases")
        super().__init__(engine, address, f"the inbox of {paths.role!r}", patterns)
        self._desk = Desk(paths, self._members)
        self._shown = self._desk
        self._contention = Contention()
        # The message that is left to others for now, and until when (monotonic).
        self._left: tuple[str, float] = ("", 0.0)

    @classmethod
    def of(cls, engine: Engine, address: str, paths: InboxPaths) -> Self:
        """Returns the desk that all receivers of this inbox in this store share."""
        return engine.common(("inbox", address, paths.root), lambda: cls(engine, address, paths))

    @property
    def unread(self) -> int:
        """How many messages there are."""
        return len(self._desk)

    def find(self, receiver: Waiter, deadline: float | None) -> Finding:
        """Waits for a message for this receiver, which no other one of this store gets until it is taken or put back."""
        return self.wait(receiver, lambda: self._find(receiver), deadline)

    def _find(self, receiver: Waiter) -> Finding | None:
        with self._lock:
            found = self._desk.found(receiver.key)
            if found:
                return Finding(found, True)
            offer = self._desk.oldest()
            if offer is None or self._is_left(offer, receiver):
                return None
            self._desk.set_aside(offer.id)
            return Finding(offer, False)

    def _is_left(self, offer: Offer, receiver: Waiter) -> bool:
        now = time.monotonic()
        if self._left[0] != offer.id:
            self._left = (offer.id, now + self._contention.pause(random.random()))
        receiver.until = self._left[1]
        return now < receiver.until

    def taken(self, id: str, revision: int) -> None:
        """Notes that a receiver of this store took a message in the commit of `revision`."""
        with self._lock:
            self._desk.handed_out(id, revision)
            self._contention.won()

    def lost(self) -> None:
        """Notes that another store was faster. The message stays aside until that commit is received."""
        with self._lock:
            self._contention.lost()

    def put_back(self, id: str) -> None:
        """Offers a message again: its receiver could not take it, or does not know whether it did."""
        with self._lock:
            self._desk.put_back(id)
        self.look_again()

    def hand_back(self, id: str) -> None:
        """Notes that a message which its receiver has taken did not reach the caller, whose next call gets it."""
        with self._lock:
            self._desk.hand_back(id)
