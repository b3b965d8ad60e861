"""The inbox of a role: its messages in order, each delivered to one receiver at a time."""

from __future__ import annotations

import secrets
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from ccs._async.context_handle import Handle
from ccs._async.entries import Entries
from ccs._async.recipes.crowd import Waiter
from ccs._async.recipes.message import Message, message_of
from ccs._async.recipes.message_lease import MessageLease
from ccs._async.recipes.message_removal import acknowledge, purge
from ccs._async.recipes.shared_desk import Finding, SharedDesk
from ccs._compat import AsyncWorker, async_shielded
from ccs._core.commits.operations import delete_op, revision_guard
from ccs._core.names.pattern import escape
from ccs._core.number_checks import flag, integer
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
from ccs._core.retry import Patience
from ccs._core.times import Duration, millis, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs.errors import (
    CCSError,
    ClaimLost,
    Conflict,
    ContextFinished,
    ContextGone,
    Misuse,
    ValueTooLarge,
)
from ccs.types import Entry

__all__ = ["Inbox"]

# Seconds for giving messages back; otherwise their leases expire later.
_FAREWELL = 1.0


class Inbox(Local):
    """The messages to one role: iterate, or `receive` one by one, and settle each with `ack` or `release`.

    Messages are delivered in the order of sending, those of a higher priority first, each to one receiver of the role at a
    time. A message that is not acknowledged within `lease` seconds is delivered again, before newer ones; after `attempts`
    deliveries it moves to the dead letters. With `renew`, the lease is renewed as long as the message object lives. An
    inbox has one consumer at a time, so give each receiver its own. Iterating ends when the context is finished, or when
    the inbox is closed; if the context has ended, it goes on once that is created again.

    Messages that were received and not settled are given back at once when a loop over the inbox ends, when its block is
    left, or when it or the store is closed. They can still be settled until another receiver takes them.
    """

    def __init__(self, entries: Entries, role: str, lease: Duration, attempts: int, renew: bool = False) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._paths = inbox_paths(role)
        self._handle.require(f"{escape(self._paths.root)}/**")
        self._lease = millis(lease, "lease")
        self._tries = integer("attempts", attempts, "how often to deliver a message, at least once", 1)
        self._renew = flag("renew", renew)
        # The desk that it shares with the other receivers in this store, while it listens, and what it is there.
        self._desk: SharedDesk | None = None
        self._receiver = Waiter(secrets.token_hex(8))
        self._closed = self._receiving = False
        # The owner of what it holds: not the inbox itself, which may be garbage collected before its messages.
        self._token = object()
        # The message and the token of its lease, if a call was cancelled while taking it: perhaps it did.
        self._unsure: tuple[str, str] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._desk.unread} messages" if self._desk else "not listening"
        return f"<Inbox of {self._paths.role!r} in {self._handle.address}, {state}>"

    async def __aenter__(self) -> Inbox:
        await self._listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Deliveries:
        return Deliveries(self, self._handle)

    async def __anext__(self) -> Message:
        while True:
            try:
                return await self.receive()
            except ContextGone as error:
                logger.info("%r goes on if the context is created again: %s", self, error)
            except ContextFinished:
                raise StopAsyncIteration from None
            except Misuse:
                if not self._closed:
                    raise
                raise StopAsyncIteration from None

    async def receive(self, timeout: Duration | None = None) -> Message:
        """Waits for the oldest message that no receiver holds, takes it in one commit, and returns it.

        Raises `TimeoutError` after `timeout` seconds; `ContextFinished` or `ContextGone` once no message can come; after
        `Unavailable`, receive again. A message that a cancelled call has taken is delivered by one of the next two calls.
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        with self._alone():
            while True:
                try:
                    return await self._next(deadline)
                except TimeoutError:
                    raise TimeoutError(f"no message for {self._paths.role!r} within {timeout} seconds") from None
                except Misuse:
                    if self._closed:  # while it waited
                        raise self._over() from None
                    raise

    async def receive_many(self, n: int, timeout: Duration | None = None) -> list[Message]:
        """Waits as `receive` does, then takes what else is free, up to `n` messages in all. Returns them, at least one.

        Each is taken in a commit of its own. If the call is cancelled, the next ones deliver what it has taken.
        """
        most = integer("n", n, "how many messages to receive at most, at least one", 1)
        messages = [await self.receive(timeout)]
        try:
            while len(messages) < most:
                messages.append(await self.receive(timeout=0))
        except (TimeoutError, CCSError) as error:
            logger.debug("%r got %d of %d messages: %s", self, len(messages), most, error)
        except BaseException:
            if self._desk:
                for message in messages:
                    self._desk.hand_back(message.id)
            raise
        return messages

    async def ack(self, id: str, token: int) -> None:
        """Acknowledges a message that was received here or in any other process, by its `id` and `token`.

        Raises `ClaimLost`, and changes nothing, if it is settled already, or if another receiver has taken it since.

            >>> message = await task.send("analyst", "hello")
            >>> async with task.inbox("analyst") as inbox:
            ...     message = await inbox.receive(timeout=5)
            ...     await task.inbox("analyst").ack(message.id, message.token)
            ...     await inbox.count()
            0
        """
        await acknowledge(self._handle, self._paths, id, token)

    async def count(self) -> int:
        """Returns how many messages are not acknowledged, also those that a receiver holds or that are delayed."""
        return len(await self._entries.paths(*self._paths.patterns("messages")))

    async def purge(self) -> int:
        """Removes all messages that are not acknowledged, whoever holds them. Returns how many. Dead letters stay.

        A receiver that holds one gets `ClaimLost` when it settles it. More than one commit can hold is removed in several.
        """
        return await purge(self._handle, self._paths)

    async def unread(self) -> list[Message]:
        """Returns all messages that are not acknowledged, in order, also those that a receiver holds."""
        snapshot = await self._entries.snapshot(*self._paths.patterns("messages", "deliveries"))
        desk = _desk_of(self._paths, snapshot.values())
        return [message_of(offer.letter(offer.deliveries), self._handle) for offer in desk.all()]

    async def dead(self) -> list[Message]:
        """Returns the messages that were delivered `attempts` times and never acknowledged, in order; `ack` removes one."""
        await self._bury_all()
        found = await self._entries.snapshot(*self._paths.patterns("dead"))
        letters = [(dead_letter(self._paths, entry), entry) for entry in found.values()]
        messages = [
            message_of(letter, self._handle, revision_guard(entry.path, entry.revision)) for letter, entry in letters
        ]
        return sorted(messages, key=lambda message: in_order(message.revision, message.id))

    async def aclose(self) -> None:
        """Closes the inbox: a waiting call ends, and the messages that it delivered and nobody settled are given back."""
        self._closed = True
        await self._leave()
        await self._give_back()

    async def _give_back(self) -> None:
        """Gives back the messages that it has delivered and nobody has settled: other receivers can get them at once."""
        try:
            await self._learn()
            held = self._handle.holdings.owned_by(self._token)
            if held:
                await self._handle.engine.give_back(held, Patience(time.monotonic() + _FAREWELL))
        except CCSError as error:
            logger.info("%r: the leases that it holds expire by themselves: %s", self, error)

    async def _learn_soon(self) -> None:
        try:
            await self._learn()
        except CCSError as error:
            logger.info("%r: what it was taking is looked up when it is closed: %s", self, error)

    async def _learn(self) -> None:
        """Notes the message that a cancelled call has taken, so that it is given back with the others."""
        unsure = self._unsure
        if unsure is None:
            return
        message, by = unsure
        # After this commit, an earlier one that is still on its way is not applied any more.
        with suppress(ClaimLost):
            await self._handle.commit([delete_op(self._paths.at("leases", by))])
        lease = await self._entries.entry(self._paths.at("leases", message))
        if lease and lease.value["by"] == by:
            until = time.monotonic() + self._lease / 1000
            self._handle.holding(lease.path, lease.revision, until, self._token)
        if self._unsure is unsure:  # if not, the next call is taking something by now
            self._unsure = None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._receiving:
            raise Misuse(f"{self!r} is waiting already: give every receiver an inbox of its own")
        self._receiving = True
        try:
            yield
        finally:
            self._receiving = False

    async def _next(self, deadline: float | None) -> Message:
        desk = await self._listen()
        while True:
            found = await desk.find(self._receiver, deadline)
            message = await self._accept(desk, found)
            if message:
                return message

    async def _accept(self, desk: SharedDesk, found: Finding) -> Message | None:
        offer = found.offer
        if found.held:
            self._unsure = None
            return await self._found(desk, offer)
        try:
            if offer.deliveries < self._tries:
                return await self._take(desk, offer)
            with _left_where_it_is(offer):
                await self._win(desk, self._burying(offer))
        except BaseException:
            desk.put_back(offer.id)
            raise
        return None

    async def _take(self, desk: SharedDesk, offer: Offer) -> Message | None:
        sent = time.monotonic()
        lease = self._lease / 1000
        term = self._handle.term(lease)
        token = self._receiver.key
        self._unsure = (offer.id, token)
        try:
            revision = await self._win(desk, taking(offer, token, millis(term)))
        except CCSError:
            raise
        except BaseException:
            # The caller was cancelled or interrupted, and should not wait long; nor should the message.
            desk.put_back(offer.id)
            await async_shielded(AsyncWorker("ccs inbox", self._learn_soon).finish, _FAREWELL)
            raise
        self._unsure = None
        if not revision:
            return None
        desk.taken(offer.id, revision)
        held = self._lease_of(offer, revision)
        held.begin(sent, term)
        return self._message(offer, offer.deliveries + 1, revision, held)

    async def _found(self, desk: SharedDesk, offer: Offer) -> Message | None:
        """Returns a message that a cancelled call has taken; None if its lease has ended since."""
        lease = self._lease_of(offer, offer.seen)
        if not self._renew:
            lease.begin(time.monotonic(), self._handle.term(self._lease / 1000))
        elif not await self._goes_on(desk, offer, lease):
            return None
        return self._message(offer, offer.deliveries, offer.seen, lease)

    async def _goes_on(self, desk: SharedDesk, offer: Offer, lease: MessageLease) -> bool:
        try:
            held = held_by_delivery(offer.letter(0), offer.seen)
            return await lease.prolong(self._lease / 1000, held)
        except Conflict:
            return False
        except BaseException:
            desk.hand_back(offer.id)
            raise

    def _lease_of(self, offer: Offer, revision: int) -> MessageLease:
        path = self._paths.at("leases", offer.id)
        return MessageLease(self._handle, path, revision, self._token, self._lease / 1000, self._renew)

    async def _win(self, desk: SharedDesk, move: GuardedCommit) -> int:
        """Returns the revision of the commit, or 0 if another receiver was faster."""
        try:
            applied = await self._handle.commit(move.operations, move.guards)
        except Conflict:
            desk.lost()
            return 0
        return applied.revision

    def _message(self, offer: Offer, attempts: int, revision: int, lease: MessageLease) -> Message:
        letter = offer.letter(attempts, revision)
        return message_of(letter, self._handle, held_by_delivery(letter, revision), self._tries, lease)

    def _burying(self, offer: Offer) -> GuardedCommit:
        letter = offer.letter(offer.deliveries)
        return burying(letter, held_by_delivery(letter, offer.seen))

    async def _bury_all(self) -> None:
        snapshot = await self._entries.snapshot(*self._paths.patterns("messages", "deliveries", "leases"))
        desk = _desk_of(self._paths, snapshot.values())
        for offer in desk.all():
            if offer.deliveries >= self._tries and desk.is_free(offer.id):
                move = self._burying(offer)
                with suppress(Conflict), _left_where_it_is(offer):  # or another receiver has buried or taken it
                    await self._handle.commit(move.operations, move.guards)

    async def _listen(self) -> SharedDesk:
        desk = self._desk or (None if self._closed else await self._open())
        if desk is None or self._closed:
            await self._leave()
            raise self._over()
        return desk

    def _over(self) -> Misuse:
        return Misuse(f"this inbox of {self._paths.role!r} was closed; make another one")

    async def _open(self) -> SharedDesk:
        desk = SharedDesk.of(self._handle.engine, self._handle.address, self._paths)
        await desk.open(self._receiver, self._handle)
        self._desk = desk
        return desk

    async def _leave(self) -> None:
        desk = self._desk
        self._desk = None
        if desk:
            desk.dismiss(self._receiver, self._over())
            await desk.leave(self._receiver)


class Deliveries:
    """A loop over an inbox; when it ends, the messages that it got and has not settled are given back."""

    def __init__(self, inbox: Inbox, handle: Handle) -> None:
        self._inbox = inbox
        left = weakref.finalize(self, handle.holdings.note_left, inbox._token)
        left.atexit = False

    def __aiter__(self) -> Deliveries:
        return self

    async def __anext__(self) -> Message:
        inbox = self._inbox
        # The traceback of an error below may keep this frame alive, which must not keep the loop alive.
        del self
        return await inbox.__anext__()

    async def aclose(self) -> None:
        """Gives the messages back at once."""
        await self._inbox._give_back()


@contextmanager
def _left_where_it_is(offer: Offer) -> Iterator[None]:
    """Leaves a message among the others that no commit can move to the dead letters: it is set aside, and holds up none."""
    try:
        yield
    except ValueTooLarge as error:  # moving a value counts it twice, and a commit has its limit
        logger.warning("the dead message %s to %s stays where it is: %s", offer.id, offer.paths.role, error)


def _desk_of(paths: InboxPaths, entries: Iterable[Entry]) -> Desk:
    desk = Desk(paths, {})
    for entry in entries:
        desk.put(entry.path, entry)
    return desk
