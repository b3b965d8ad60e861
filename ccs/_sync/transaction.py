# Generated from ccs/_async/transaction.py by scripts/twin. Do not edit.
"""Several reads and writes as one commit: reads become guards, writes are applied together or not at all."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ccs._core.codec import decode, encode, validate
from ccs._core.commits.commit import Crowded
from ccs._core.commits.operations import Guard, Operation, delete_op, event_op, revision_guard, set_op
from ccs._core.names.address import check_path, check_writable
from ccs._core.recipes.outbox import INBOX_LIMIT, Draft, Outbox
from ccs._core.times import Duration, millis
from ccs._not_copyable import Local
from ccs._sync.reads import Reads, typed
from ccs.errors import Misuse
from ccs.types import Entry

__all__ = ["Transaction"]

_DELETED = object()


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
        self._writes: dict[str, tuple[Any, int | None]] = {}
        self._more: list[tuple[Operation, Sequence[Guard]]] = []
        self._outbox = Outbox(secrets.token_hex(8), self._handle.engine.max_value_bytes)
        self._open = self._entered = False
        self.revision = 0

    def __repr__(self) -> str:
        state = "open" if self._open else f"committed at {self.revision}" if self.revision else "not open"
        return f"<Transaction on {self._handle.address}, {len(self._seen)} read, {len(self._writes)} written, {state}>"

    def __enter__(self) -> Transaction:
        if self._entered:
            raise Misuse("a transaction is entered once; make another one")
        self._open = self._entered = True
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._open = False
        if kind is None:
            self._commit()

    def get(self, path: str, default: Any = None, *, type: Any = None) -> Any:
        """Returns the value at a path as this transaction sees it, or `default` if there is no entry."""
        self._check_open()
        if path in self._writes:  # its own write: nothing is read, so there is nothing to guard
            raw = self._writes[path][0]
            value = default if raw is _DELETED else decode(raw)
            return value if type is None or raw is _DELETED else validate(value, type)
        entry = self.entry(path, type=type)
        return default if entry is None else entry.value

    def entry(self, path: str, *, type: Any = None) -> Entry | None:
        """Returns the entry at a path as this transaction sees it; None if there is none.

        An entry that it has written itself has revision 0, as it is not committed yet, and the times of this machine.
        """
        self._check_open()
        raw, ttl = self._writes.get(path, (None, None))
        if raw is _DELETED:
            return None
        if path not in self._seen:
            self._seen[path] = self._reads.entry(check_path(path))
        entry = self._seen[path] if raw is None else self._written(path, raw, ttl)
        # A copy, so that a caller that changes it does not change what this transaction reads later.
        return None if entry is None else typed(copy.deepcopy(entry), type)

    def exists(self, path: str) -> bool:
        """Returns whether there is an entry at a path as this transaction sees it."""
        self._check_open()
        if path in self._writes:
            return self._writes[path][0] is not _DELETED
        return self.entry(path) is not None

    def set(self, path: str, value: Any, *, ttl: Duration | None = None) -> None:
        """Writes a value at the end. Without `ttl` it clears the deadline that the entry had."""
        self._check_open()
        raw = encode(value, self._handle.engine.max_value_bytes)
        deadline = None if ttl is None else millis(ttl)
        self._writes[check_writable(path)] = (raw, deadline)

    def delete(self, path: str) -> None:
        """Removes an entry at the end, if it exists."""
        self._check_open()
        self._writes[check_writable(path)] = (_DELETED, None)

    def send(
        self,
        to: str,
        content: Any,
        *,
        type: str = "note",
        reply_to: str | None = None,
        ttl: Duration | None = None,
        limit: int = INBOX_LIMIT,
    ) -> str:
        """Sends a message at the end, in the same commit. Returns its id.

        As `Context.send`, but leaving the transaction raises `InboxFull`.

        >>> with task.transaction() as tx:
        ...     tx.set("sources/a", "ready")
        ...     id = tx.send("analyst", "sources/a is ready")
        >>> [message.id == id for message in task.inbox("analyst").unread()]
        [True]
        """
        self._check_open()
        posted = self._outbox.put(Draft(to, content, type, reply_to, ttl, limit))
        self.add(posted.operation, [posted.guard])
        return posted.id

    def publish(self, topic: str, data: Any) -> None:
        """Publishes an event at the end, in the same commit; see `Context.publish`."""
        self._check_open()
        raw = encode(data, self._handle.engine.max_value_bytes)
        self.add(event_op(check_writable(topic), raw))

    def add(self, operation: Operation, guards: Sequence[Guard] = ()) -> None:
        """Adds an operation, and guards that must hold too. Internal: recipes use it."""
        self._check_open()
        self._more.append((operation, guards))

    def _check_open(self) -> None:
        if not self._open:
            raise Misuse("this transaction is not open: use it inside its with block")

    def _written(self, path: str, raw: bytes, ttl: int | None) -> Entry:
        before = self._seen[path]
        now = datetime.now(UTC)
        version = before.version + 1 if before else 1
        created = before.created_at if before else now
        expires = None if ttl is None else now + timedelta(milliseconds=ttl)
        return Entry(path, decode(raw), version, 0, self._handle.agent, created, now, expires)

    def _commit(self) -> None:
        if not self._seen and not self._writes and not self._more:
            return
        try:
            applied = self._handle.write(self._operations(), self._guards(), merging=True)
        except Crowded as crowded:
            self._handle.expect(1)  # messages may have expired while no client was there to sweep them
            raise self._outbox.refusal(crowded) from None
        self.revision = applied.revision
        for _, ttl in self._writes.values():
            self._handle.expect(ttl)
        for posted in self._outbox.posted:
            self._handle.expect(posted.ttl)

    def _operations(self) -> list[Operation]:
        writes = [
            delete_op(path) if raw is _DELETED else set_op(path, raw, ttl, lasting=True)
            for path, (raw, ttl) in self._writes.items()
        ]
        return writes + [operation for operation, _ in self._more]

    def _guards(self) -> list[Guard]:
        read = [revision_guard(path, entry.revision if entry else 0) for path, entry in self._seen.items()]
        return read + [guard for _, guards in self._more for guard in guards]
