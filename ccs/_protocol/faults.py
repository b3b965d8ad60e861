"""Faults of a connection, and what they mean: retry, or which of our errors to raise. And errors for several callers."""

from __future__ import annotations

from collections.abc import Sequence
from ssl import SSLCertVerificationError
from typing import Any, TypeVar

from ccs._core.commits.commit import without_command
from ccs._core.commits.field_layout import FORMAT_ERROR, format_refused
from ccs._core.names.keys import address_within
from ccs._protocol.replies import InvalidReply, ServerError
from ccs._protocol.rights import action_denied, command_lacking, is_denial, keys_named
from ccs.errors import CCSError, Forbidden, StoreFull, Unavailable

__all__ = [
    "Departed",
    "Disconnected",
    "copy_of",
    "denied",
    "dial_fault",
    "is_served_elsewhere",
    "passes",
    "refuses_login",
    "reply_fault",
]

E = TypeVar("E", bound=BaseException)

_PASSING = (
    "ASK", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "NOREPLICAS", "READONLY", "TRYAGAIN", "UNBLOCKED",
)  # fmt: skip
# Errors without a code of their own. The second is what Valkey's replicas say to a script that writes.
_PASSING_TEXTS = (
    "max number of clients reached",
    "Attempted to access a non local key",
    "Script attempted to access a non local key",
)
# What another node of the Cluster is to be asked for.
_ELSEWHERE = ("ASK", "MOVED", "TRYAGAIN")
_REFUSED = ("NOAUTH", "WRONGPASS")
_FULL = ("MISCONF", "OOM")


class Disconnected(Exception):
    """The command got no reply. `sent` says whether the server may have received it."""

    def __init__(self, reason: object, sent: bool) -> None:
        super().__init__(str(reason) or type(reason).__name__)
        self.sent = sent


class Departed(Exception):  # not an error: the command has to be thought over
    """The node that a command was for serves no slot of the Cluster any more."""


def dial_fault(error: Exception, address: str, user: str) -> Exception:
    """Returns the error for a failed attempt to connect: `Disconnected` if a retry may help."""
    if isinstance(error, CCSError):
        return error
    if denied(error):
        return Forbidden(address, user, action_denied(str(error), ("INFO",), ""))
    if isinstance(error, SSLCertVerificationError):
        return Unavailable(address, reason=f"its certificate is not trusted: {error}")
    if isinstance(error, InvalidReply):
        return Unavailable(address, reason=f"no Redis or Valkey speaks there: {error}")
    if refuses_login(error):
        return Unavailable(address, reason=f"it refuses us: {error}")
    if isinstance(error, ServerError) and not passes(error):
        return Unavailable(address, reason=f"it refuses to begin: {error}")
    return Disconnected(error, sent=False)


def refuses_login(error: object) -> bool:
    """Returns whether an error of the server says that it does not know the user, or its password."""
    return isinstance(error, ServerError) and error.code in _REFUSED


def denied(error: object) -> bool:
    """Returns whether an error of the server says that the user lacks a right."""
    return isinstance(error, ServerError) and is_denial(str(error))


def reply_fault(error: ServerError, address: str, user: str, command: Sequence[Any], source: str) -> str:
    """Returns the reason for a retry of a command that the server answered with an error.

    Raises our error if a retry cannot help. `source` is the text of the script that the command calls.
    """
    if passes(error):
        return str(error)
    if denied(error):
        raise Forbidden(address, user, action_denied(str(error), command, source)) from error
    if error.code in _FULL:
        raise StoreFull(f"{address} takes no more writes: {error}") from error
    if error.code in _REFUSED:
        raise Unavailable(address, reason=f"it refuses us: {error}") from error
    if error.code == FORMAT_ERROR:
        raise format_refused(address_within(keys_named(command)[0]), str(error).partition(" ")[2]) from error
    if lacking := command_lacking(str(error), command, source):
        raise without_command(address, lacking) from error
    raise CCSError(f"{address} answered: {error}") from error


def passes(error: ServerError) -> bool:
    """Returns whether an error of the server passes by itself, so that a retry may help."""
    return error.code in _PASSING or str(error).startswith(_PASSING_TEXTS)


def is_served_elsewhere(error: object) -> bool:
    """Returns whether an error of the server concerns one slot alone, whose node has changed or is changing."""
    return isinstance(error, ServerError) and error.code in _ELSEWHERE


def copy_of(error: E) -> E:
    """Returns a copy of an error, for another caller that may raise it at the same time."""
    twin = error.__class__.__new__(error.__class__, *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    return twin
