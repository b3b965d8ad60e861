"""Crowds whose members stay between their waits: receivers of an inbox, workers of a pool.

Their view is kept up to date as long as there are members, also if those are garbage collected and never leave.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol
from weakref import WeakKeyDictionary

from ccs._async.context_handle import Handle
from ccs._async.engine import Engine
from ccs._async.recipes.crowd import Crowd, SharedPicture, Waiter
from ccs._core.changes.watch_mailbox import Mailbox
from ccs._core.commits.operations import sweep_op
from ccs.errors import CCSError, Unavailable
from ccs.types import Entry

__all__ = ["StandingCrowd"]

# The mailboxes of crowds that were garbage collected and not left; they leave the dispatcher when the next one opens.
Orphans = deque[tuple[str, Mailbox]]
_orphans: WeakKeyDictionary[Engine, Orphans] = WeakKeyDictionary()


class Shown(Protocol):
    """What a view keeps up to date."""

    def clear(self) -> None:
        """Forgets all, to be told of it anew."""

    def put(self, path: str, entry: Entry | None) -> str | None:
        """Notes that an entry was written; None: removed. Returns the key of a member that this concerns, if any."""


class View(SharedPicture):
    """Keeps something else up to date than entries. It also reports commits that change nothing there."""

    def __init__(
        self, engine: Engine, address: str, patterns: tuple[str, ...], put: Callable[[str, Entry | None], None]
    ) -> None:
        super().__init__(engine, address, patterns)
        self._take_entry = put
        self.on_progress: Callable[[int], object] = int

    def belong_to(self, owner: object, orphans: Orphans) -> None:
        """Adds its mailbox to `orphans` if the owner is garbage collected and did not close it."""
        # Not the view itself, which refers to the engine: that must stay collectable.
        self._forgotten = weakref.finalize(owner, orphans.append, (self._address, self._mailbox))
        self._forgotten.atexit = False

    async def aclose(self) -> None:
        """Closes the view."""
        self._forgotten.detach()
        await super().aclose()

    @property
    def has_mail(self) -> bool:
        """Whether something has arrived that it does not show yet."""
        return self._mailbox.behind or not self._mailbox.empty

    def call_on_mail(self, call: Callable[[], object]) -> None:
        """Has `call()` made, in any thread, whenever something arrives."""
        wake = self._mailbox.wake

        def woken() -> None:
            wake()
            call()

        self._mailbox.wake = woken

    def look_back(self) -> None:
        """Makes the consumer read in the journal what it has not received yet."""
        self._mailbox.nudge()

    def _advance(self) -> None:
        super()._advance()
        self.on_progress(self._read.revision)

    def _put(self, path: str, entry: Entry | None) -> None:
        self._take_entry(path, entry)


class StandingCrowd(Crowd[View]):
    """A crowd of members that stay, and what is shown to them, in one store."""

    _shown: Shown

    def __init__(self, engine: Engine, address: str, name: str, patterns: tuple[str, ...]) -> None:
        super().__init__(engine, address, name)
        self._patterns = patterns
        self._finders: list[str] = []
        self._orphans = _orphans.setdefault(engine, deque())

    @property
    def view(self) -> View | None:
        """What is kept up to date; None before the first member, and after the context has ended."""
        return self._picture

    async def open(self, member: Waiter, handle: Handle) -> None:
        """Adds a member. When this returns, it is shown all that was committed, or was due, before."""
        self.join(member)
        try:
            if self._picture:
                await self._catch_up(member, self._picture, handle)
            await self.wait(member, lambda: True, None)
        except BaseException:
            await self.leave(member)
            raise
        while self._orphans:  # after entering, so that the dispatcher stays subscribed to the context
            await self._engine.opening.dispatcher.leave(*self._orphans.popleft())

    async def _catch_up(self, member: Waiter, view: View, handle: Handle) -> None:
        known = view.revision
        page = await self._engine.look(self._address, known, 0)
        if 0 < page.next_expiry <= page.now:
            await handle.commit([sweep_op()])
            page = await self._engine.look(self._address, known, 0)
        # A context that ended, perhaps with a successor, has not got as far: this member belongs to what comes after it.
        member.after = page.last if page.last >= known else self._seen + 1
        if page.last != known:
            view.look_back()

    def look_again(self) -> None:
        """Has whoever leads look again."""
        if view := self._picture:
            view.call_back()

    def dismiss(self, member: Waiter, error: CCSError) -> None:
        """Ends the wait of a member with an error."""
        member.failure = error
        member.gate.open()
        self.look_again()

    def _new_picture(self) -> View:
        with self._lock:
            self._shown.clear()
        # It must not refer to the crowd, which is to be collected when the last member is.
        put = partial(_put, self._shown, self._lock, self._finders)
        view = View(self._engine, self._address, self._patterns, put)
        view.belong_to(self, self._orphans)
        view.on_progress = partial(_progress, weakref.ref(self))
        return view

    def _note(self, picture: View) -> Iterable[str | None]:
        finders = list(self._finders)
        del self._finders[: len(finders)]
        return finders

    def progressed(self, revision: int) -> None:
        """Notes how far the view has come, also if nothing has changed."""
        if revision > self._seen and self._picture:
            self._seen = revision
            if self._early:
                self._wake_early()
                self._picture.call_back()  # the leader may be among them

    async def _outage(self, error: Unavailable, deadline: float | None) -> None:
        """Every member that waits gets the error."""
        self._fail(list(self._waiting.values()), error)


def _put(
    shown: Shown, lock: AbstractContextManager[object], finders: list[str], path: str, entry: Entry | None
) -> None:
    with lock:
        finder = shown.put(path, entry)
    if finder:
        finders.append(finder)


def _progress(crowd: weakref.ref[StandingCrowd], revision: int) -> None:
    if found := crowd():
        found.progressed(revision)
