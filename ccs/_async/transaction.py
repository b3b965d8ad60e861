"""Several reads and writes as one commit: reads become guards, writes are applied together or not at all."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar, overload

from ccs._async.optimistic import Race
from ccs._async.reads import Reads, matcher_of
from ccs._core.codec import decode, encode, validate
from ccs._core.commits.commit import Crowded, NotComputable
from ccs._core.commits.edits import MISSING, Append, Edit, Increment, Merge, Renew, State, edited, renews, unseen
from ccs._core.commits.entry import typed
from ccs._core.commits.operations import Guard, Operation, delete_op, event_op, revision_guard, set_op
from ccs._core.names.address import check_path, check_writable
from ccs._core.names.pattern import escape
from ccs._core.recipes.outbox import INBOX_LIMIT, Draft, Outbox, waiting
from ccs._core.times import Duration, millis
from ccs._core.values.edits import checked_bound, checked_patch, checked_step
from ccs._not_copyable import Local
from ccs.errors import Conflict, InvalidPattern, Misuse
from ccs.types import Entry

__all__ = ["Transaction"]

T = TypeVar("T")
D = TypeVar("D")


class Write(NamedTuple):
    """What a path is set to: an encoded value, with a ttl in milliseconds; or None, if it is deleted."""

    raw: bytes | None
    ttl: int | None = None


class Transaction(Local):
    """Several reads and writes that are committed together when the block is left.

    Its own reads see its writes; others see them once it has committed. Every path that it reads is guarded, also one
    without an entry: if any has changed since, leaving raises `Conflict` and nothing is written. Nor is anything written
    if an exception leaves the block.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._handle = reads.handle
        self._seen: dict[str, Entry | None] = {}
        # What it has set or deleted, and the edits on top of that, or of what is there.
        self._writes: dict[str, Write] = {}
        self._edits: dict[str, list[Edit]] = {}
        self._more: list[tuple[Sequence[Operation], Sequence[Guard]]] = []
        self._outbox = Outbox(secrets.token_hex(8), self._handle.engine.max_value_bytes)
        self._open = self._entered = False
        self.revision = 0

    def __repr__(self) -> str:
        state = "open" if self._open else f"committed at {self.revision}" if self.revision else "not open"
        written = len({*self._writes, *self._edits})
        return f"<Transaction on {self._handle.address}, {len(self._seen)} read, {written} written, {state}>"

    async def __aenter__(self) -> Transaction:
        if self._entered:
            raise Misuse("a transaction is entered once; make another one")
        self._open = self._entered = True
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self._open = False
        if kind is None:
            await self._commit()

    @overload
    async def get(self, path: str, default: D, *, type: type[T]) -> T | D: ...
    @overload
    async def get(self, path: str, default: None = None, *, type: type[T]) -> T | None: ...
    @overload
    async def get(self, path: str, default: Any = None, *, type: Any = None) -> Any: ...
    async def get(self, path: str, default: Any = None, *, type: Any = None) -> Any:
        """Returns the value at a path as this transaction sees it, or `default` if there is no entry."""
        self._check_open()
        if path in self._writes:  # its own write: nothing is read, so there is nothing to guard
            value = self._state(path).value
            if value is MISSING:
                return default
            return copy.deepcopy(value) if type is None else validate(value, type)
        entry = await self.entry(path, type=type)
        return default if entry is None else entry.value

    async def entry(self, path: str, *, type: Any = None) -> Entry | None:
        """Returns the entry at a path as this transaction sees it; None if there is none.

        An entry that it has written itself has revision 0, as it is not committed yet, and the times of this machine.
        """
        self._check_open()
        if path in self._writes and self._state(path).value is MISSING:
            return None
        if path not in self._seen:
            self._seen[path] = await self._reads.entry(check_path(path))
        entry = self._shown(path)
        # A copy, so that a caller that changes it does not change what this transaction reads later.
        return None if entry is None else typed(copy.deepcopy(entry), type)

    async def exists(self, path: str) -> bool:
        """Returns whether there is an entry at a path as this transaction sees it."""
        self._check_open()
        if path in self._writes:
            return self._state(path).value is not MISSING
        if not renews(self._edits.get(path, ())):
            return True
        return await self.entry(path) is not None

    def set(self, path: str, value: Any, *, ttl: Duration | None = None) -> None:
        """Writes a value at the end. Without `ttl` it clears the deadline that the entry had."""
        self._check_open()
        raw = self._encode(value)
        deadline = None if ttl is None else millis(ttl)
        self._writes[check_writable(path)] = Write(raw, deadline)
        self._edits.pop(path, None)

    def delete(self, path: str) -> None:
        """Removes an entry at the end, if it exists."""
        self._check_open()
        self._writes[check_writable(path)] = Write(None)
        self._edits.pop(path, None)

    def increment(self, path: str, by: float = 1) -> None:
        """Adds to a number at the end, or to 0 if there is no entry; see `Context.increment`.

        It reads nothing, so increments by several transactions do not conflict; `get` returns the sum, and guards it.

            >>> async with task.transaction() as tx:
            ...     tx.set("findings/a", "growing")
            ...     tx.increment("progress/analysed")
            >>> await task.get("progress/analysed")
            1
        """
        self._edit(path, Increment(checked_step(path, by)))

    def append(self, path: str, *items: Any, max_items: int | None = None) -> None:
        """Appends items to a list at the end, or to a new one if there is no entry; see `Context.append`."""
        most = None if max_items is None else checked_bound(max_items)
        self._edit(path, Append([*map(self._encode, items)], most))

    def merge(self, path: str, patch: Mapping[Any, Any]) -> None:
        """Merges a patch into a map at the end, or into a new one if there is no entry; see `Context.merge`."""
        self._edit(path, Merge(checked_patch(decode(self._encode(patch)), patch)))

    def renew(self, path: str, ttl: Duration | None) -> None:
        """Moves the deadline of an entry at the end, or removes it (None), if there is one; see `Context.renew`."""
        self._edit(path, Renew(None if ttl is None else millis(ttl)))

    async def delete_matching(self, *patterns: str) -> int:
        """Removes, at the end, the entries that match now, as this transaction sees them. Returns how many.

        Each of them is guarded. Entries that others create meanwhile stay. Raises `InvalidPattern` without a pattern.
        """
        self._check_open()
        if not patterns:
            raise InvalidPattern("delete_matching got no pattern: give at least one; ** matches everything")
        matches = matcher_of(patterns).matches
        found = await self._reads.snapshot(*patterns)
        own = [path for path in (*self._writes, *self._edits) if matches(path)]
        paths = [check_writable(path) for path in dict.fromkeys([*found, *own])]
        for path, entry in found.items():
            self._seen.setdefault(path, entry)
        there = [path for path in paths if await self.exists(path)]
        for path in there:
            self.delete(path)
        return len(there)

    def send(
        self,
        to: str,
        content: Any,
        *,
        type: str = "note",
        reply_to: str | None = None,
        ttl: Duration | None = None,
        limit: int = INBOX_LIMIT,
        id: str | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        priority: int = 0,
    ) -> str:
        """Sends a message at the end, in the same commit. Returns its id.

        As `Context.send`, but leaving the transaction raises `InboxFull`, or `Conflict` if the `id` was sent before.

        >>> async with task.transaction() as tx:
        ...     tx.set("sources/a", "ready")
        ...     id = tx.send("analyst", "sources/a is ready")
        >>> [message.id == id for message in await task.inbox("analyst").unread()]
        [True]
        """
        self._check_open()
        wait = waiting(delay, at, datetime.now(UTC))
        posted = self._outbox.put(Draft(to, content, type, reply_to, ttl, limit, id, wait, priority))
        self._more.append((posted.operations, posted.guards))
        return posted.id

    def publish(self, topic: str, data: Any = None) -> None:
        """Publishes an event at the end, in the same commit; see `Context.publish`."""
        self._check_open()
        raw = encode(data, self._handle.engine.max_value_bytes)
        self._more.append(([event_op(check_writable(topic), raw)], ()))

    def _check_open(self) -> None:
        if not self._open:
            raise Misuse("this transaction is not open: use it inside its with block")

    def _encode(self, value: Any) -> bytes:
        return encode(value, self._handle.engine.max_value_bytes)

    def _edit(self, path: str, edit: Edit) -> None:
        self._check_open()
        edits = [*self._edits.get(check_writable(path), ()), edit]
        if self._is_known(path):
            self._encode(edited(path, self._base(path), edits).of(None))  # raises what leaving would
        self._edits[path] = edits

    def _is_known(self, path: str) -> bool:
        return path in self._writes or path in self._seen

    def _base(self, path: str, looked: Mapping[str, Entry | None] | None = None) -> State:
        """Returns the entry that edits change: written here, seen here, or looked at for them."""
        if path in self._writes:
            raw, ttl = self._writes[path]
            return State(MISSING if raw is None else decode(raw), ttl)
        entry = self._seen[path] if path in self._seen else (looked or {})[path]
        return State(MISSING if entry is None else entry.value, keeps_deadline=True)

    def _state(self, path: str, looked: Mapping[str, Entry | None] | None = None) -> State:
        return edited(path, self._base(path, looked), self._edits.get(path, ()))

    def _shown(self, path: str) -> Entry | None:
        """Returns an entry that was read, as this transaction leaves it."""
        before = self._seen[path]
        edits = self._edits.get(path, ())
        state = self._state(path)
        if state.value is MISSING:
            return None
        now = datetime.now(UTC)
        expires = None if state.ttl is None else now + timedelta(milliseconds=state.ttl)
        if state.keeps_deadline and before:
            expires = before.expires_at
        if path not in self._writes and renews(edits):
            return before and replace(before, expires_at=expires)
        version = before.version + 1 if before else 1
        created = before.created_at if before else now
        return Entry(path, state.value, version, 0, self._handle.agent, created, now, expires)

    async def _commit(self) -> None:
        if not self._seen and not self._writes and not self._edits and not self._more:
            return
        race = Race("transaction", patience=self._handle.engine.retry_for)
        # What is read for edits only: if it has changed, it is read again.
        looked = await self._look(path for path, edits in self._edits.items() if self._must_look(path, edits))
        while True:
            try:
                applied = await self._handle.write(
                    self._operations(looked), self._guards(looked), merging=True, unmerged=self._edits
                )
                break
            except NotComputable:
                looked = await self._look(self._edits)
            except Conflict as conflict:
                if conflict.path not in looked:
                    raise
                await race.lose(conflict)
                looked = await self._look(looked)
            except Crowded as crowded:
                self._handle.expect(1)  # messages may have expired while no client was there to sweep them
                raise self._outbox.refusal(crowded) from None
        self.revision = applied.revision
        self._expect()

    def _must_look(self, path: str, edits: Sequence[Edit]) -> bool:
        return unseen(path, edits, self._handle.engine.max_value_bytes) is None

    async def _look(self, paths: Iterable[str]) -> dict[str, Entry | None]:
        unknown = [path for path in paths if not self._is_known(path)]
        found = await self._reads.snapshot(*map(escape, unknown)) if unknown else {}
        return {path: found.get(path) for path in unknown}

    def _operations(self, looked: Mapping[str, Entry | None]) -> list[Operation]:
        writes = [self._operation(path, looked) for path in dict.fromkeys([*self._writes, *self._edits])]
        return writes + [each for operations, _ in self._more for each in operations]

    def _operation(self, path: str, looked: Mapping[str, Entry | None]) -> Operation:
        edits = self._edits.get(path, ())
        if path in self._writes and not edits:
            raw, ttl = self._writes[path]
            return delete_op(path) if raw is None else set_op(path, raw, ttl, lasting=True)
        if path not in self._writes:
            is_unseen = path not in self._seen and path not in looked
            operation = unseen(path, edits, self._handle.engine.max_value_bytes)
            if operation and (is_unseen or renews(edits)):
                return operation
        state = self._state(path, looked)
        if state.value is MISSING:
            return delete_op(path)
        encoded = self._encode(state.value)
        return set_op(path, encoded, state.ttl, keep_ttl=state.keeps_deadline, lasting=True)

    def _guards(self, looked: Mapping[str, Entry | None]) -> list[Guard]:
        read = {**looked, **self._seen}
        guards = [revision_guard(path, entry.revision if entry else 0) for path, entry in read.items()]
        return guards + [guard for _, guards in self._more for guard in guards]

    def _expect(self) -> None:
        """Has the context swept when the first of what was written is due."""
        renewed = [edit.ttl for edits in self._edits.values() for edit in edits if isinstance(edit, Renew)]
        for ttl in (*(write.ttl for write in self._writes.values()), *renewed):
            self._handle.expect(ttl)
        for posted in self._outbox.posted:
            self._handle.expect(posted.first_due)
