"""Every error that CCS raises. Each carries its facts as attributes and says what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal, Self

__all__ = [
    "AdoptConflict",
    "AlreadyClaimed",
    "CCSError",
    "ClaimLost",
    "Conflict",
    "ContextFinished",
    "ContextGone",
    "EncodingError",
    "Forbidden",
    "HistoryCompacted",
    "HistoryDamaged",
    "HistoryForked",
    "IdempotencyMismatch",
    "InboxFull",
    "InvalidPath",
    "InvalidPattern",
    "InvalidValue",
    "MirrorFull",
    "MissingExtra",
    "Misuse",
    "NoEmbedder",
    "NotDurable",
    "ReservedPath",
    "RetriesExhausted",
    "StoreClosed",
    "StoreFull",
    "Unavailable",
    "UnknownFormat",
    "UnsafeServer",
    "ValueTooLarge",
]


class CCSError(Exception):
    """The base class of all errors of CCS. They can be copied and pickled."""

    def __reduce__(self) -> tuple[Callable[..., CCSError], tuple[Any, ...], dict[str, Any]]:
        # By default an exception is restored by calling its class with its text, which these constructors do not take.
        return _restored, (self.__class__, self.args), self.__dict__


def _restored(kind: type[CCSError], args: tuple[Any, ...]) -> CCSError:
    error = kind.__new__(kind)
    error.args = args
    return error


GuardKind = Literal["version", "revision", "below"]
_PRESENT = {
    "version": "exists already (the guard was version 0)",
    "revision": "exists already (the guard was revision 0)",
    "below": "has something below it",
}


class Conflict(CCSError):
    """A guard did not hold, so nothing of the commit was applied. Read again, decide again, write again.

    `path` is the guarded path, and `expected` the version or revision that it should have had. `guard` is "version",
    "revision", or "below" (there must be nothing below the path). `version`, `revision` (both 0 if there is no entry) and
    `agent` are those of the present entry. `policy` is the policy of the context that set the guard, None if the writer
    did.
    """

    def __init__(
        self,
        path: str,
        expected: int,
        version: int,
        revision: int,
        agent: str | None,
        policy: str | None = None,
        guard: GuardKind = "version",
    ) -> None:
        found = f"version {version}, revision {revision}, written by {agent!r}" if revision else "nothing is there"
        held = f"is not at {guard} {expected}" if expected else _PRESENT[guard]
        refused = (
            f"the policy {policy!r} of its path forbids this change" if policy else "read it again and decide again"
        )
        super().__init__(f"{path!r} {held}: {found}; {refused}")
        self.path = path
        self.expected = expected
        self.version = version
        self.revision = revision
        self.agent = agent
        self.policy = policy
        self.guard = guard


class ContextFinished(CCSError):
    """The context was finished with `outcome`: it can still be read, but no longer written."""

    def __init__(self, address: str, outcome: object = None) -> None:
        super().__init__(
            f"{address} is finished (outcome {outcome!r}) and takes no more writes; drop() it or use a new one"
        )
        self.address = address
        self.outcome = outcome


class ContextGone(CCSError):
    """The context was dropped or has expired: what was derived from it is no longer valid.

    A watch of the context ends with it. `store.watch` does not raise it, but delivers a change with `op="gone"`.
    """

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} was dropped or has expired (or the revision asked for is not one of its own); discard what came"
            " from it, and watch it again"
        )
        self.address = address


class InvalidPath(CCSError, ValueError):
    """A path, an id or an address that is not valid."""


class InvalidPattern(CCSError, ValueError):
    """A pattern that does not parse, an unclosed `[` or `{` for example. `ccs.escape` makes text literal."""


class InvalidValue(CCSError, ValueError):
    """A value that does not fit the operation, or the `type=` asked for. Nothing was changed."""


class ReservedPath(CCSError, ValueError):
    """A write to a path whose first segment begins with `@`: such paths belong to the system."""


class EncodingError(CCSError, TypeError):
    """A value that cannot be stored, and nothing was written; or bytes on the server that are not a value.

    `what` is the type that was refused, `where` its location in the value (`value["sources"][3]`) and `hint` what to do
    instead. All three are empty for bytes that cannot be read.
    """

    def __init__(self, message: str, *, what: str = "", where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.what = what
        self.where = where
        self.hint = hint

    @classmethod
    def of(cls, what: str, where: str, hint: str = "") -> Self:
        """Returns the error for the type `what` at the location `where`."""
        message = f"cannot store {what} at {where}{f'; {hint}' if hint else ''}"
        return cls(message, what=what, where=where, hint=hint)


class ValueTooLarge(CCSError, ValueError):
    """A value or a commit of `size` bytes (or guards and operations) is over the `limit`. Split it, or store a reference."""

    def __init__(self, size: int, limit: int, what: str = "value", unit: str = "bytes encoded") -> None:
        super().__init__(f"the {what} takes {size} {unit}, over the limit of {limit}; split it or store a reference")
        self.size = size
        self.limit = limit


class HistoryCompacted(CCSError):
    """The journal of the context at `address` no longer holds all commits after `since`. Read a snapshot.

    `oldest` is the earliest revision from which the journal continues.
    """

    def __init__(self, since: int, oldest: int, address: str = "") -> None:
        super().__init__(
            f"the journal{_of(address)} begins after revision {oldest}, past {since}; read a snapshot and watch from"
            " there"
        )
        self.since = since
        self.oldest = oldest
        self.address = address


class HistoryForked(CCSError):
    """`since` is not a revision of the context at `address`, whose newest is `last`. What was read since may be lost.

    Either the server lost acknowledged commits (a failover or a crash), or the context never had this revision.
    """

    def __init__(self, since: int, last: int, address: str = "") -> None:
        super().__init__(
            f"revision {since} is not in the history{_of(address)} that now ends at {last}: either the server has lost"
            " acknowledged commits, or there never was such a revision here; read a snapshot and reconcile"
        )
        self.since = since
        self.last = last
        self.address = address


class HistoryDamaged(CCSError):
    """The journal of the context at `address` holds something at or right after `revision` that CCS cannot read.

    Another program, or a later version, wrote it. A snapshot can still be read, and a watch started from its revision.
    """

    def __init__(self, address: str, revision: int) -> None:
        super().__init__(
            f"the journal of {address} cannot be read past revision {revision}: another program or a later version"
            " wrote there; read a snapshot and watch from its revision"
        )
        self.address = address
        self.revision = revision


def _of(address: str) -> str:
    return f" of {address}" if address else ""


class MirrorFull(CCSError):
    """More entries match than the mirror may hold, so it has stopped. Use narrower patterns, or a larger bound."""

    def __init__(self, address: str, limit: int) -> None:
        super().__init__(f"more than {limit} entries of {address} match; narrow the patterns or raise max_entries")
        self.address = address
        self.limit = limit


class Misuse(CCSError, RuntimeError):
    """An object was used in a state that does not allow it, or where it would wait for itself."""


class MissingExtra(CCSError, ImportError):
    """A feature needs the package `name`, which is not installed. The extra `extra` of ccs installs it."""

    def __init__(self, what: str, name: str, extra: str) -> None:
        super().__init__(f"{what} needs {name}: pip install 'collaborative-context-store[{extra}]'")
        self.name = name
        self.extra = extra


class Unavailable(CCSError, ConnectionError):
    """The server at `address` did not answer in time. With `maybe_applied`, a write may have been applied."""

    def __init__(self, address: str, maybe_applied: bool = False, reason: str = "") -> None:
        doubt = "; the write may have been applied: read before you repeat it" if maybe_applied else ""
        super().__init__(f"{address} is unavailable{f': {reason}' if reason else ''}{doubt}")
        self.address = address
        self.maybe_applied = maybe_applied
        self.reason = reason


class Forbidden(CCSError, PermissionError):
    """The server at `address` does not let `user` do `action`: a right to a command, a key or a channel is missing."""

    def __init__(self, address: str, user: str, action: str, hint: str = "") -> None:
        ask = "ask its operator to grant that (ACL SETUSER), or connect as another user"
        super().__init__(f"{address} does not let the user {user!r} {action}; {hint or ask}")
        self.address = address
        self.user = user
        self.action = action


class NotDurable(CCSError):
    """A commit was applied to the context at `address`, but is not known to be as durable as was asked.

    It stands at `revision` (0 if it changed nothing), others can see it, and it may become as durable yet; only if servers
    fail now it may be lost. Do not simply repeat it: read first. `disk` tells whether it is known to be on the disk of the
    primary (None if that was not asked), and `replicas` how many replicas are known to have it.
    """

    def __init__(self, address: str, revision: int, disk: bool | None, replicas: int) -> None:
        flushed = "" if disk is None else f"it is {'' if disk else 'not known to be '}on the disk of the primary, and "
        super().__init__(
            f"revision {revision} of {address} was applied, but not as durably as asked: {flushed}{replicas} replicas are"
            " known to have it; read before you repeat it"
        )
        self.address = address
        self.revision = revision
        self.disk = disk
        self.replicas = replicas


class StoreFull(CCSError):
    """The server has no room left (RAM or disk). Nothing of the commit was applied. Delete, drop or enlarge."""


class UnsafeServer(CCSError):
    """The server cannot keep the guarantees: it may evict keys, or is too old. Change it, or use another one."""


class UnknownFormat(CCSError):
    """A later version of CCS has written the context at `address`, in a `format` that this one does not know.

    Nothing was read or written. `needs` is the oldest version that knows the format. Where the context does not tell,
    `format` is 0 and `needs` empty.
    """

    def __init__(self, address: str, format: int, needs: str) -> None:
        written = f"format {format}" if format else "a format"
        wanted = f"version {needs} or later" if needs else "a later version"
        super().__init__(
            f"{address} is in {written} that this version of CCS does not know, so nothing was read or written: install"
            f" {wanted} of collaborative-context-store"
        )
        self.address = address
        self.format = format
        self.needs = needs


class StoreClosed(CCSError):
    """The store was closed, or belongs to another process or event loop. Connect again."""


class AdoptConflict(CCSError):
    """These `paths` changed both in the fork at `address` and in the context that adopts it. Nothing was adopted.

    Adopt again with `on_conflict="ours"`, `"theirs"` or a function that decides path by path.
    """

    def __init__(self, address: str, paths: Iterable[str]) -> None:
        self.address = address
        self.paths = tuple(paths)
        named = ", ".join(map(repr, self.paths[:5]))
        more = f" and {len(self.paths) - 5} more" if len(self.paths) > 5 else ""
        super().__init__(
            f"changed both in {address} and here since they parted: {named}{more}; nothing was adopted: adopt again with"
            ' on_conflict="ours", "theirs" or a function, or other patterns'
        )


class AlreadyClaimed(CCSError):
    """The claim on `resource` is held by another agent: by `holder`, until `expires_at` unless it is renewed.

    If all `slots` of it are held, these two are of the one that expires first. They are None if the claim, or a slot, is
    free, but others wait for it.
    """

    def __init__(self, resource: str, holder: str | None, expires_at: datetime | None, slots: int = 1) -> None:
        first = f"has all its {slots} slots claimed, the first to expire by" if slots > 1 else "is claimed by"
        held = f"{first} {holder!r} until {expires_at}" if holder else "is free, but others wait for it"
        super().__init__(f"{resource!r} {held}; take another one, or wait= for it")
        self.resource = resource
        self.holder = holder
        self.expires_at = expires_at
        self.slots = slots


class ClaimLost(CCSError):
    """The claim on `resource` is no longer held: it expired or was released. Nothing was changed.

    What was written under it before is kept. To go on with the resource, claim it again and read its state.
    For a message it means that this delivery is no longer valid: leave the message.
    """

    def __init__(self, resource: str, text: str = "") -> None:
        lapsed = f"the claim on {resource!r} is no longer held, so nothing was changed; claim it again"
        super().__init__(text or lapsed)
        self.resource = resource


class IdempotencyMismatch(CCSError):
    """The idempotency key was used before with another input, so it names another request."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} was used with another input; give this request a key of its own")
        self.key = key


class RetriesExhausted(CCSError):
    """All `attempts` at the work of an idempotency key have failed, the last one with `error`. It was not retried.

    To try again, use a new key, or forget the outcome of this one: `ctx.forget_once(key)`.
    """

    def __init__(self, key: str, attempts: int, error: str) -> None:
        super().__init__(
            f"{attempts} attempts at {key!r} failed, the last one with: {error}; use a new key to try again, or"
            " forget_once(key) first"
        )
        self.key = key
        self.attempts = attempts
        self.error = error


class InboxFull(CCSError):
    """The inbox of `to` holds `limit` messages that were not acknowledged. Nothing was sent."""

    def __init__(self, to: str, limit: int) -> None:
        super().__init__(f"the inbox of {to!r} holds {limit} messages or more; try again when some are acknowledged")
        self.to = to
        self.limit = limit


class NoEmbedder(CCSError):
    """A text needs an embedding, but this store has no embedder: connect with `embed=`, or give an embedding."""

    def __init__(self) -> None:
        super().__init__("this store cannot embed a text: connect with embed=, or give an embedding")
