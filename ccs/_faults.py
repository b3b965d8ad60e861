"""What errors of redis-py mean for us: try again, or which of our errors; and one error for several callers."""

from __future__ import annotations

from collections.abc import Sequence
from ssl import SSLCertVerificationError
from typing import Any, TypeVar

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from ccs._rights import action_denied, is_denial
from ccs.errors import CCSError, Forbidden, StoreFull, Unavailable

__all__ = ["LinkDown", "copy_of", "denied", "dial_fault", "reply_fault"]

E = TypeVar("E", bound=BaseException)

_PASSING = (ReadOnlyError, ClusterDownError, MasterDownError, TryAgainError)
_PASSING_CODES = ("BUSY ", "NOREPLICAS ", "UNBLOCKED ", "LOADING ")
_REFUSED = (AuthenticationError, AuthorizationError)
_FULL_CODES = ("OOM ", "MISCONF ")


class LinkDown(Exception):
    """The command got no answer; `sent` says whether the server may have seen it."""

    def __init__(self, reason: object, sent: bool) -> None:
        super().__init__(str(reason) or type(reason).__name__)
        self.sent = sent


def dial_fault(error: Exception, address: str, user: str) -> Exception:
    """What a failed attempt to connect means: `LinkDown` where trying again may help."""
    if isinstance(error, CCSError):
        return error
    if denied(error):
        return Forbidden(address, user, action_denied(str(error), ("INFO",), ""))
    if isinstance(error, _REFUSED):
        return Unavailable(address, reason=f"it refuses us: {error}")
    if isinstance(error.__context__, SSLCertVerificationError):
        return Unavailable(address, reason=f"its certificate is not trusted: {error}")
    if isinstance(error, InvalidResponse):
        return Unavailable(address, reason=f"no Redis or Valkey speaks there: {error}")
    if isinstance(error, ResponseError) and not _passes(error):
        return Unavailable(address, reason=f"it refuses to begin: {error}")
    return LinkDown(error, sent=False)


def denied(error: Exception) -> bool:
    """Whether an error of the server says that the user may not do something."""
    return isinstance(error, NoPermissionError) or (isinstance(error, ResponseError) and is_denial(str(error)))


def reply_fault(error: ResponseError, address: str, user: str, command: Sequence[Any], source: str) -> str:
    """Why a command that the server answered with an error is tried again; raises what will not pass by itself.

    `source` is that of the script that the command calls.
    """
    text = str(error)
    if _passes(error):
        return text
    if denied(error):
        raise Forbidden(address, user, action_denied(text, command, source)) from error
    if isinstance(error, OutOfMemoryError) or text.startswith(_FULL_CODES):
        raise StoreFull(f"{address} takes no more writes: {text}") from error
    if isinstance(error, _REFUSED):
        raise Unavailable(address, reason=f"it refuses us: {text}") from error
    raise CCSError(f"{address} answered: {text}") from error


def _passes(error: ResponseError) -> bool:
    return isinstance(error, _PASSING) or str(error).startswith(_PASSING_CODES)


def copy_of(error: E) -> E:
    """The same error for another caller, who may raise it at the same time."""
    twin = error.__class__.__new__(error.__class__, *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    return twin
