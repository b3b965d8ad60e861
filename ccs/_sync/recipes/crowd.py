# Generated from ccs/_async/recipes/crowd.py by scripts/twin. Do not edit.
"""The waiters of one store that wait for changes of the same entries, and share one picture of them.

One waiter, the leader, receives the changes, and wakes only the waiters that they concern. The others sleep, so a waiter
costs the same in a large crowd as in a small one. A leader that stops waiting, for whatever reason, wakes another waiter
to lead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from ccs._compat import Gate, Lock, sleep
from ccs._log import logger
from ccs._protocol.faults import copy_of
from ccs._sync.changes.watch_kinds import Picture
from ccs._sync.engine import Engine
from ccs.errors import (
    CCSError,
    ContextFinished,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    Unavailable,
)
from ccs.types import Entry

__all__ = ["Crowd", "SharedPicture", "Waiter"]

# Seconds before the next try after an outage: a server that refuses at once would do so again.
_REST = 0.5

T = TypeVar("T")


class CalledBack(TimeoutError):
    """The leader is to look again."""


class Waiter:
    """A member of a crowd, with the gate that it sleeps at; a picture that is older than `after` does not count.

    It looks again at `until` (monotonic seconds), even if nobody wakes it.
    """

    __slots__ = ("__weakref__", "after", "failure", "gate", "key", "until")

    def __init__(self, key: str, after: int = 0) -> None:
        self.key = key
        self.after = after
        self.gate = Gate()
        self.failure: CCSError | None = None
        self.until: float | None = None


class SharedPicture(Picture):
    """A picture that notes which paths have changed, and whose consumer can be called back from waiting."""

    def __init__(self, engine: Engine, address: str, patterns: tuple[str, ...]) -> None:
        super().__init__(engine, address, patterns)
        self.touched: set[str] = set()
        self._called_back = False

    def call_back(self) -> None:
        """Makes the consumer, now or when it waits next, get a `CalledBack` instead of a change."""
        # In this order: whoever waits looks at the flag after the signal.
        self._called_back = True
        self._signal.set()

    def _wait(self, deadline: float | None) -> None:
        if self._called_back:
            self._called_back = False
            raise CalledBack
        super()._wait(deadline)

    def _put(self, path: str, entry: Entry | None) -> None:
        super()._put(path, entry)
        self.touched.add(path)


P = TypeVar("P", bound=SharedPicture)


class Crowd(Generic[P]):
    """Members that share a picture; a member waits by looking at it, whenever it is woken, until it finds something."""

    def __init__(self, engine: Engine, address: str, name: str) -> None:
        self._engine = engine
        self._address = address
        self._name = name
        self._lock = Lock()
        # A member that was forgotten is none any more.
        self._members: WeakValueDictionary[str, Waiter] = WeakValueDictionary()
        self._waiting: dict[str, Waiter] = {}
        self._leader: Waiter | None = None
        self._picture: P | None = None
        # Whether the picture may lack a change, as its leader was interrupted.
        self._spoilt = False
        # The revision up to which the picture was noted, and who waits for a later one.
        self._seen = 0
        self._early: dict[str, Waiter] = {}

    def __repr__(self) -> str:
        waiting = f"{len(self._waiting)} of {len(self._members)} waiting"
        return f"<{type(self).__name__} for {self._name} in {self._address}, {waiting}, seen {self._seen}>"

    def _new_picture(self) -> P:
        """Returns a picture that is not entered yet."""
        raise NotImplementedError

    def _note(self, picture: P) -> Iterable[str | None]:
        """Takes in what the picture shows. Returns the keys of the members that this concerns."""
        raise NotImplementedError

    def _next(self) -> str | None:
        """Returns the key of the member that should wake first when the leader goes, if any."""
        return None

    def join(self, waiter: Waiter) -> None:
        """Adds a member. The picture is kept while there are members."""
        self._members[waiter.key] = waiter

    def leave(self, waiter: Waiter) -> None:
        """Removes a member that does not wait, or is about to stop; the last one ends the picture."""
        picture: P | None = None
        with self._lock:
            self._members.pop(waiter.key, None)
            if not self._members:
                picture = self._picture
                self._picture = None
        if picture:
            picture.close()

    def wait(self, waiter: Waiter, look: Callable[[], T | None], deadline: float | None) -> T:
        """Returns what the waiter finds when it looks. Raises `TimeoutError` at the deadline (monotonic seconds).

        Raises `ContextFinished` or `ContextGone` once the picture cannot change, and `Unavailable`.
        """
        try:
            self._waiting[waiter.key] = waiter
            self._drain(waiter)
            return self._wait(waiter, look, deadline)
        finally:
            try:
                self._stop(waiter)
            except BaseException:
                self._stop(waiter)
                raise

    def _wait(self, waiter: Waiter, look: Callable[[], T | None], deadline: float | None) -> T:
        while True:
            # A new gate first, so that a change after this look opens it.
            waiter.gate = Gate()
            waiter.until = None
            if waiter.failure:
                failure = waiter.failure
                waiter.failure = None
                raise failure
            if self._shows(waiter):
                found = look()
                if found is not None:
                    return found
            if self._leads(waiter):
                self._lead(waiter, deadline)
            else:
                self._sleep(waiter, deadline)

    def _shows(self, waiter: Waiter) -> bool:
        """Returns whether the picture is new enough for a waiter; if not, it is woken when that may have changed."""
        # In this order, so that none is missed: the leader notes what it has seen, then wakes those that are early.
        self._early[waiter.key] = waiter
        if self._picture is None or self._seen < waiter.after:
            return False
        self._early.pop(waiter.key, None)
        return True

    def _leads(self, waiter: Waiter) -> bool:
        with self._lock:
            self._leader = self._leader or waiter
            return self._leader is waiter

    def _sleep(self, waiter: Waiter, deadline: float | None) -> None:
        until = _earlier(deadline, waiter.until)
        woken = waiter.gate.wait(None if until is None else max(0.0, until - time.monotonic()))
        if not woken and until == deadline:
            raise TimeoutError(f"nothing happened to {self._name} in {self._address} in time")

    def _lead(self, waiter: Waiter, deadline: float | None) -> None:
        until = _earlier(deadline, waiter.until)
        try:
            if self._spoilt:
                self._spoilt = False
                self._drop()
            if self._picture is None:
                self._draw()
            else:
                self._refresh(self._picture, until)
        except CalledBack:
            pass
        except TimeoutError:
            if until == deadline:
                raise
        except (ContextGone, ContextFinished) as error:
            self._drop()
            concerned = self._members if isinstance(error, ContextGone) else self._waiting
            # A member that came later than what was seen belongs to the next context at this address.
            self._fail([each for each in list(concerned.values()) if each.after <= self._seen], error)
            self._wake_all()
        except (HistoryCompacted, HistoryDamaged, HistoryForked) as error:
            logger.info("reading %s in %s again: %s", self._name, self._address, error)
            self._drop()
        except Unavailable as error:
            self._outage(error, deadline)
        except CCSError as error:
            self._fail([each for each in list(self._waiting.values()) if each is not waiter], error)
            raise
        except BaseException:
            self._spoilt = True
            raise

    def _outage(self, error: Unavailable, deadline: float | None) -> None:
        """Draws a new picture after a while, or raises the error after the deadline."""
        self._drop()
        if deadline is None or time.monotonic() >= deadline:
            raise error
        logger.info("reading %s in %s again after an outage: %s", self._name, self._address, error)
        sleep(_REST)

    def _drain(self, waiter: Waiter) -> None:
        """Takes in what has been received, if nobody leads, so that the first look is up to date."""
        if self._picture is not None and self._leads(waiter):
            waiter.until = 0.0
            self._lead(waiter, None)

    def _fail(self, concerned: Iterable[Waiter], error: CCSError) -> None:
        for waiter in concerned:
            waiter.failure = copy_of(error)
            waiter.gate.open()

    def _wake_all(self) -> None:
        for waiter in list(self._waiting.values()):
            waiter.gate.open()

    def _draw(self) -> None:
        before = [(waiter, waiter.after) for waiter in list(self._members.values())]
        picture = self._new_picture()
        picture.__enter__()
        self._picture = picture
        self._take_in(picture)
        for waiter, after in before:
            # The picture was drawn after that revision and does not show it: the server has lost it.
            if waiter.after == after > self._seen:
                waiter.after = 0
        # It is not known what has changed meanwhile, so each waiter looks for itself.
        self._wake_all()

    def _refresh(self, picture: P, deadline: float | None) -> None:
        picture.changed(deadline)
        with suppress(TimeoutError, ContextFinished, ContextGone):  # the next look raises the end again
            while True:
                picture.changed(0.0)
        for key in self._take_in(picture):
            self._wake(key)
        self._wake_early()

    def _take_in(self, picture: P) -> Iterable[str | None]:
        concerned = self._note(picture)
        # Last: a waiter that reads this revision finds what belongs to it.
        self._seen = picture.revision
        return concerned

    def _wake(self, key: str | None) -> None:
        """Wakes a member, if it sleeps."""
        waiter = None if key is None else self._waiting.get(key)
        if waiter:
            waiter.gate.open()

    def _wake_early(self) -> None:
        while self._early:
            with suppress(KeyError):  # another thread was faster
                self._early.popitem()[1].gate.open()

    def _drop(self) -> None:
        picture = self._picture
        self._picture = None
        if picture:
            picture.close()

    def _stop(self, waiter: Waiter) -> None:
        """Ends a waiter's turn to wait, and passes on what it may have been woken for."""
        with self._lock:
            self._waiting.pop(waiter.key, None)
            self._early.pop(waiter.key, None)
            # None: this may be the waiter that the last leader woke.
            if self._leader is waiter or self._leader is None:
                self._leader = None
                following = self._waiting.get(self._next() or "") or next(iter(self._waiting.values()), None)
                if following:
                    following.gate.open()


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
