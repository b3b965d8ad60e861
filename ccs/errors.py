"""Every error that CCS raises. Each carries its facts as attributes and says what to do next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, Self

__all__ = [
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
    """The root of all errors of CCS. Each can be copied, and raised again in another process."""

    def __reduce__(self) -> tuple[Callable[..., CCSError], tuple[Any, ...], dict[str, Any]]:
        # Exceptions are made anew by calling their class with their text, which is not what these are made from.
        return _made_anew, (self.__class__, self.args), self.__dict__


def _made_anew(kind: type[CCSError], args: tuple[Any, ...]) -> CCSError:
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

    `path` is the guarded path, `guard` what was guarded of it ("version", "revision", or "below": that there is nothing
    below it), and `expected` the version or revision that was asked for. `version`, `revision` (both 0 where nothing is
    there) and `agent` say what stands there now and who wrote it. `policy` is the policy of the context that asked for
    the guard, None where the writer did.
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
            f"the policy {policy!r} of its path forbids to change it so" if policy else "read it again and decide anew"
        )
        super().__init__(f"{path!r} {held}: {found}; {refused}")
        self.path, self.expected, self.version, self.revision, self.agent = path, expected, version, revision, agent
        self.policy, self.guard = policy, guard


class ContextFinished(CCSError):
    """The context was finished with `outcome`: it can still be read, but no longer be written."""

    def __init__(self, address: str, outcome: object = None) -> None:
        super().__init__(
            f"{address} is finished (outcome {outcome!r}) and takes no more writes; drop() it or use a new one"
        )
        self.address, self.outcome = address, outcome


class ContextGone(CCSError):
    """The context was dropped or has expired: whatever was derived from it no longer holds."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} was dropped or has expired (or the revision asked for is not one of its own); forget what came"
            " from it, and watch it anew"
        )
        self.address = address


class InvalidPath(CCSError, ValueError):
    """A path, an id or an address that cannot name anything."""


class InvalidPattern(CCSError, ValueError):
    """A pattern that does not parse, an unclosed `[` or `{` for example. `ccs.escape` makes text literal."""


class InvalidValue(CCSError, ValueError):
    """A value that does not fit the operation or the `type=` asked for; nothing was changed."""


class ReservedPath(CCSError, ValueError):
    """A write to a path whose first segment begins with `@`: those belong to the system."""


class EncodingError(CCSError, TypeError):
    """A value that cannot be stored; nothing was written. Or bytes on the server that are no value.

    `what` names the type that was refused, `where` its place in the value (`value["sources"][3]`) and `hint` what to
    do instead. All three are empty for bytes that cannot be read.
    """

    def __init__(self, message: str, *, what: str = "", where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.what = what
        self.where = where
        self.hint = hint

    @classmethod
    def of(cls, what: str, where: str, hint: str = "") -> Self:
        """The error for this type at this place."""
        message = f"cannot store {what} at {where}{f'; {hint}' if hint else ''}"
        return cls(message, what=what, where=where, hint=hint)


class ValueTooLarge(CCSError, ValueError):
    """A value or a commit of `size` bytes (or guards and operations) is over the `limit`; split it, or store a reference."""

    def __init__(self, size: int, limit: int, what: str = "value", unit: str = "bytes encoded") -> None:
        super().__init__(f"the {what} takes {size} {unit}, over the limit of {limit}; split it or store a reference")
        self.size, self.limit = size, limit


class HistoryCompacted(CCSError):
    """The journal of the context at `address` no longer holds what comes after `since`. Read a snapshot.

    `oldest` is the earliest revision from which the journal still goes on.
    """

    def __init__(self, since: int, oldest: int, address: str = "") -> None:
        super().__init__(
            f"the journal{_of(address)} begins after revision {oldest}, past {since}; read a snapshot and watch from"
            " there"
        )
        self.since, self.oldest, self.address = since, oldest, address


class HistoryForked(CCSError):
    """`since` is no revision of the context at `address`, whose newest is `last`. What was seen after it may not exist.

    Either the server lost acknowledged commits (a failover or a crash), or there never was such a revision here.
    """

    def __init__(self, since: int, last: int, address: str = "") -> None:
        super().__init__(
            f"revision {since} is not in the history{_of(address)} that now ends at {last}: either the server has lost"
            " acknowledged commits, or there never was such a revision here; read a snapshot and reconcile"
        )
        self.since, self.last, self.address = since, last, address


class HistoryDamaged(CCSError):
    """The journal of the context at `address` holds something at or right after `revision` that CCS cannot read.

    Another program, or a later version, wrote it. A snapshot may still be read, and watched from.
    """

    def __init__(self, address: str, revision: int) -> None:
        super().__init__(
            f"the journal of {address} cannot be read past revision {revision}: another program or a later version"
            " wrote there; read a snapshot and watch from its revision"
        )
        self.address, self.revision = address, revision


def _of(address: str) -> str:
    return f" of {address}" if address else ""


class MirrorFull(CCSError):
    """More entries match than the mirror may hold; it follows no more. Use narrower patterns, or a larger bound."""

    def __init__(self, address: str, limit: int) -> None:
        super().__init__(f"more than {limit} entries of {address} match; narrow the patterns or raise max_entries")
        self.address, self.limit = address, limit


class Misuse(CCSError, RuntimeError):
    """An object was used in a state in which it cannot be, or at a moment at which it would wait for itself."""


class MissingExtra(CCSError, ImportError):
    """What was asked for needs the package `name`, which is not installed; the extra `extra` of ccs brings it."""

    def __init__(self, what: str, name: str, extra: str) -> None:
        super().__init__(f"{what} needs {name}: pip install 'collaborative-context-store[{extra}]'")
        self.name, self.extra = name, extra


class Unavailable(CCSError, ConnectionError):
    """The server at `address` did not answer in time. With `maybe_applied`, a write may have been applied."""

    def __init__(self, address: str, maybe_applied: bool = False, reason: str = "") -> None:
        doubt = "; the write may have been applied: read before you repeat it" if maybe_applied else ""
        super().__init__(f"{address} is unavailable{f': {reason}' if reason else ''}{doubt}")
        self.address, self.maybe_applied, self.reason = address, maybe_applied, reason


class Forbidden(CCSError, PermissionError):
    """The server at `address` does not let `user` do `action`: a right to a command, a key or a channel is missing."""

    def __init__(self, address: str, user: str, action: str) -> None:
        super().__init__(
            f"{address} does not let the user {user!r} {action}; have whoever runs it grant that (ACL SETUSER), or connect"
            " as another user"
        )
        self.address, self.user, self.action = address, user, action


class StoreFull(CCSError):
    """The server has no room (memory or disk) left; nothing of the commit was applied. Delete, drop or enlarge."""


class UnsafeServer(CCSError):
    """The server could break the guarantees: it may evict keys, or is too old. Change it or choose another one."""


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
        self.address, self.format, self.needs = address, format, needs


class StoreClosed(CCSError):
    """The store was closed, or belongs to another process or event loop; connect anew."""


class AlreadyClaimed(CCSError):
    """Somebody else holds the claim: `holder` on `resource`, until `expires_at` unless it is renewed.

    `holder` and `expires_at` are None where nobody holds it, but others were first in the queue.
    """

    def __init__(self, resource: str, holder: str | None, expires_at: datetime | None) -> None:
        held = f"is claimed by {holder!r} until {expires_at}" if holder else "is free, but others wait for it"
        super().__init__(f"{resource!r} {held}; take another one, or wait= for it")
        self.resource, self.holder, self.expires_at = resource, holder, expires_at


class ClaimLost(CCSError):
    """The claim on `resource` is not held any more: it lapsed or was released. Nothing was changed.

    What was written under it before stands. Whoever needs the resource still claims it anew, and looks at its state.
    Of a message it says that this delivery no longer counts: there is nothing left to do with it.
    """

    def __init__(self, resource: str, text: str = "") -> None:
        lapsed = f"the claim on {resource!r} is not held any more, so nothing was changed; claim it anew"
        super().__init__(text or lapsed)
        self.resource = resource


class IdempotencyMismatch(CCSError):
    """The idempotency key was used before with another input: it names another request."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} was used with another input; give this request a key of its own")
        self.key = key


class RetriesExhausted(CCSError):
    """All `attempts` at the work of an idempotency key have failed, the last one with `error`; it was not tried again."""

    def __init__(self, key: str, attempts: int, error: str) -> None:
        super().__init__(
            f"{attempts} attempts at {key!r} failed, the last one with: {error}; use a new key to try again"
        )
        self.key, self.attempts, self.error = key, attempts, error


class InboxFull(CCSError):
    """The inbox of `to` holds `limit` messages that nobody has acknowledged; nothing was sent."""

    def __init__(self, to: str, limit: int) -> None:
        super().__init__(f"the inbox of {to!r} holds {limit} messages or more; try again when some are acknowledged")
        self.to, self.limit = to, limit


class NoEmbedder(CCSError):
    """A text was to become a vector, but this store has no embedder: connect with `embed=`, or give an embedding."""

    def __init__(self) -> None:
        super().__init__("this store cannot embed a text: connect with embed=, or give an embedding")
