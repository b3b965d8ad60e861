# Generated from ccs/_async/recipes/inbox.py by scripts/twin. Do not edit.
"""The inbox of a role: its messages in order, each delivered to one receiver at a time."""

from __future__ import annotations

import secrets
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary

from ccs._compat import Worker, shielded
from ccs._core.changes.watch_mailbox import Mailbox
from ccs._core.commits.operations import delete_op, revision_guard
from ccs._core.number_checks import integer
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._core.recipes.inbox import (
    Desk,
    InboxPaths,
    Offer,
    burying,
    dead_letter,
    held_by_delivery,
    in_order,
    inbox_paths,
    taking,
)
from ccs._core.recipes.lease import Lease
from ccs._core.retry import Patience
from ccs._core.times import Duration, millis, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs._sync.changes.watch_kinds import Picture
from ccs._sync.context_handle import Handle
from ccs._sync.engine import Engine
from ccs._sync.entries import Entries
from ccs._sync.recipes.message import Message, message_of
from ccs.errors import (
    CCSError,
    ClaimLost,
    Conflict,
    ContextFinished,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    Misuse,
)
from ccs.types import Entry

__all__ = ["Inbox"]

# The mailboxes of inboxes that were garbage collected and not closed; they leave the listener when the next one opens.
Orphans = deque[tuple[str, Mailbox]]
_orphans: WeakKeyDictionary[Engine, Orphans] = WeakKeyDictionary()
# Seconds for giving messages back; otherwise their leases expire later.
_FAREWELL = 1.0


class _View(Picture):
    """The desk of one receiver, kept up to date."""

    def __init__(self, handle: Handle, paths: InboxPaths) -> None:
        super().__init__(handle.engine, handle.address, paths.patterns("messages", "deliveries", "leases"))
        self.desk = Desk(paths, secrets.token_hex(8))

    def belong_to(self, inbox: Inbox, orphans: Orphans) -> None:
        """Adds its mailbox to `orphans` if the inbox is garbage collected and was not closed."""
        # Not the view itself, which refers to the engine: that must stay collectable.
        self._forgotten = weakref.finalize(inbox, orphans.append, (self._address, self._mailbox))
        self._forgotten.atexit = False

    def close(self) -> None:
        """Closes the view."""
        self._forgotten.detach()
        super().close()

    def refresh(self) -> None:
        """Takes in the changes that have been received, without waiting for more."""
        with suppress(TimeoutError):
            while True:
                self.changed(0.0)

    def _put(self, path: str, entry: Entry | None) -> None:
        self.desk.put(path, entry)


class Inbox(Local):
    """The messages to one role: iterate, or `receive` one by one, and settle each with `ack` or `release`.

    Messages are delivered in the order of sending, each to one receiver of the role at a time. A message that is not
    acknowledged within `lease` seconds is delivered again, before newer ones; after `attempts` deliveries it moves to the
    dead letters. An inbox has one consumer at a time, so give each receiver its own. Iterating ends when the context is
    finished, or when the inbox is closed; if the context has ended, it goes on once that is created again.

    Messages that were received and not settled are given back at once when a loop over the inbox ends, when its block is
    left, or when it or the store is closed. They can still be settled until another receiver takes them.
    """

    def __init__(self, entries: Entries, role: str, lease: Duration, attempts: int) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._paths = inbox_paths(role)
        self._lease = millis(lease, "lease")
        self._tries = integer("attempts", attempts, "how often to deliver a message, at least once", 1)
        self._view: _View | None = None
        self._closed = self._receiving = False
        # The owner of what it holds: not the inbox itself, which may be garbage collected before its messages.
        self._token = object()
        # The message and the token of its lease, if a call was cancelled while taking it: perhaps it did.
        self._unsure: tuple[str, str] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._view.desk)} messages" if self._view else "not listening"
        return f"<Inbox of {self._paths.role!r} in {self._handle.address}, {state}>"

    def __enter__(self) -> Inbox:
        self._listen()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Deliveries:
        return Deliveries(self, self._handle)

    def __next__(self) -> Message:
        while True:
            try:
                return self.receive()
            except ContextGone as error:
                logger.info("%r goes on if the context is created again: %s", self, error)
            except ContextFinished:
                raise StopIteration from None
            except Misuse:
                if not self._closed:
                    raise
                raise StopIteration from None

    def receive(self, timeout: Duration | None = None) -> Message:
        """Waits for the oldest message that no receiver holds, takes it in one commit, and returns it.

        Raises `TimeoutError` after `timeout` seconds; `ContextFinished` or `ContextGone` once no message can come; after
        `Unavailable`, receive again. A message that a cancelled call has taken is delivered by one of the next two calls.
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        with self._alone():
            while True:
                try:
                    return self._next(deadline)
                except TimeoutError:
                    raise TimeoutError(f"no message for {self._paths.role!r} within {timeout} seconds") from None
                except Misuse:
                    if self._closed:  # while it waited
                        raise self._over() from None
                    raise
                except (HistoryCompacted, HistoryDamaged, HistoryForked):  # only the present messages matter
                    self._leave()
                except (ContextFinished, ContextGone):
                    self._leave()
                    raise

    def unread(self) -> list[Message]:
        """Returns all messages that are not acknowledged, in order, also those that a receiver holds."""
        snapshot = self._entries.snapshot(*self._paths.patterns("messages", "deliveries"))
        desk = _desk_of(self._paths, snapshot.values())
        return [message_of(offer.letter(offer.deliveries), self._handle) for offer in desk.all()]

    def dead(self) -> list[Message]:
        """Returns the messages that were delivered `attempts` times and never acknowledged, in order; `ack` removes one."""
        self._bury_all()
        found = self._entries.snapshot(*self._paths.patterns("dead"))
        letters = [(dead_letter(self._paths, entry), entry) for entry in found.values()]
        messages = [
            message_of(letter, self._handle, revision_guard(entry.path, entry.revision)) for letter, entry in letters
        ]
        return sorted(messages, key=lambda message: in_order(message.revision, message.id))

    def close(self) -> None:
        """Closes the inbox: a waiting call ends, and the messages that it delivered and nobody settled are given back."""
        self._closed = True
        self._leave()
        self.give_back()

    def give_back(self) -> None:
        """Gives back the messages that it has delivered and nobody has settled: other receivers can get them at once."""
        try:
            self._learn()
            held = self._handle.holdings.owned_by(self._token)
            if held:
                self._handle.engine.give_back(held, Patience(time.monotonic() + _FAREWELL))
        except CCSError as error:
            logger.info("%r: the leases that it holds expire by themselves: %s", self, error)

    def _learn_soon(self) -> None:
        try:
            self._learn()
        except CCSError as error:
            logger.info("%r: what it was taking is looked up when it is closed: %s", self, error)

    def _learn(self) -> None:
        """Notes the message that a cancelled call has taken, so that it is given back with the others."""
        unsure = self._unsure
        if unsure is None:
            return
        message, by = unsure
        # After this commit, an earlier one that is still on its way is not applied any more.
        with suppress(ClaimLost):
            self._handle.commit([delete_op(self._paths.at("leases", by))])
        lease = self._entries.entry(self._paths.at("leases", message))
        if lease and lease.value["by"] == by:
            self._note_held(message, lease.revision)
        if self._unsure is unsure:  # if not, the next call is taking something by now
            self._unsure = None

    def _note_held(self, id: str, revision: int) -> None:
        until = time.monotonic() + self._lease / 1000
        self._handle.holding(self._paths.at("leases", id), revision, until, self._token)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._receiving:
            raise Misuse(f"{self!r} is waiting already: give every receiver an inbox of its own")
        self._receiving = True
        try:
            yield
        finally:
            self._receiving = False

    def _next(self, deadline: float | None) -> Message:
        view = self._listen()
        while True:
            view.refresh()
            message = self._first(view)
            if message:
                return message
            view.changed(deadline)

    def _first(self, view: _View) -> Message | None:
        found = view.desk.found()
        if found:
            self._unsure = None
            return self._message(found, found.deliveries, found.seen)
        while offer := view.desk.oldest():
            if offer.deliveries >= self._tries:
                self._win(view, offer, self._burying(offer))
                continue
            message = self._take(view, offer)
            if message:
                return message
        return None

    def _take(self, view: _View, offer: Offer) -> Message | None:
        sent = time.monotonic()
        lease = self._lease / 1000
        term = self._handle.term(lease)
        self._unsure = (offer.id, view.desk.token)
        try:
            revision = self._win(view, offer, taking(offer, view.desk.token, millis(term)))
        except CCSError:
            raise
        except BaseException:
            # The caller was cancelled or interrupted, and should not wait long.
            shielded(Worker("ccs inbox", self._learn_soon).finish, _FAREWELL)
            raise
        self._unsure = None
        if not revision:
            return None
        if term < lease:
            # Renewed while this agent is present; it ends with its entry, or when the whole lease has passed.
            path = self._paths.at("leases", offer.id)
            self._handle.hold(Lease(path, revision, term, sent + term, sent + lease))
        self._handle.expect(millis(term))
        view.desk.handed_out(offer.id, revision)
        return self._message(offer, offer.deliveries + 1, revision)

    def _win(self, view: _View, offer: Offer, move: GuardedCommit) -> int:
        """Returns the revision of the commit, or 0 if another receiver was faster; either way the message is taken."""
        try:
            applied = self._handle.commit(move.operations, move.guards)
        except Conflict:
            view.desk.set_aside(offer.id)
            return 0
        view.desk.set_aside(offer.id)
        return applied.revision

    def _message(self, offer: Offer, attempts: int, revision: int) -> Message:
        letter = offer.letter(attempts)
        self._note_held(offer.id, revision)
        return message_of(letter, self._handle, held_by_delivery(letter, revision), self._tries)

    def _burying(self, offer: Offer) -> GuardedCommit:
        letter = offer.letter(offer.deliveries)
        return burying(letter, held_by_delivery(letter, offer.seen))

    def _bury_all(self) -> None:
        snapshot = self._entries.snapshot(*self._paths.patterns("messages", "deliveries", "leases"))
        desk = _desk_of(self._paths, snapshot.values())
        for offer in desk.all():
            if offer.deliveries >= self._tries and desk.is_free(offer.id):
                move = self._burying(offer)
                with suppress(Conflict):  # another receiver has buried or taken it
                    self._handle.commit(move.operations, move.guards)

    def _listen(self) -> _View:
        view = self._view or (None if self._closed else self._open())
        if view is None or self._closed:
            self._leave()
            raise self._over()
        return view

    def _over(self) -> Misuse:
        return Misuse(f"this inbox of {self._paths.role!r} was closed; make another one")

    def _open(self) -> _View:
        engine = self._handle.engine
        orphans = _orphans.setdefault(engine, deque())
        view = _View(self._handle, self._paths)
        view.belong_to(self, orphans)
        view.__enter__()
        self._view = view
        while orphans:  # after entering, so that the listener stays subscribed to the context
            engine.opening.listener.leave(*orphans.popleft())
        return view

    def _leave(self) -> None:
        view = self._view
        self._view = None
        if view:
            view.close()


class Deliveries:
    """A loop over an inbox; when it ends, the messages that it got and has not settled are given back."""

    def __init__(self, inbox: Inbox, handle: Handle) -> None:
        self._inbox = inbox
        left = weakref.finalize(self, handle.holdings.note_left, inbox._token)
        left.atexit = False

    def __iter__(self) -> Deliveries:
        return self

    def __next__(self) -> Message:
        inbox = self._inbox
        # The traceback of an error below may keep this frame alive, which must not keep the loop alive.
        del self
        return inbox.__next__()

    def close(self) -> None:
        """Gives the messages back at once."""
        self._inbox.give_back()


def _desk_of(paths: InboxPaths, entries: Iterable[Entry]) -> Desk:
    desk = Desk(paths)
    for entry in entries:
        desk.put(entry.path, entry)
    return desk
