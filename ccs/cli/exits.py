"""The exit codes of `ccs`, and which error gives which."""

from __future__ import annotations

from enum import IntEnum

from ccs import errors

__all__ = ["Exit", "Stop", "exit_code"]


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    OTHER = 1
    USAGE = 2
    NOT_THERE = 3
    CONFLICT = 4
    UNAVAILABLE = 5
    TIMEOUT = 6
    HISTORY = 7
    INTERRUPTED = 130


class Stop(Exception):
    """Ends a command with a code and, on stderr, a line that says why."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


_CODES: dict[type[Exception], Exit] = {
    errors.InvalidPath: Exit.USAGE,
    errors.InvalidPattern: Exit.USAGE,
    errors.InvalidValue: Exit.USAGE,
    errors.ReservedPath: Exit.USAGE,
    errors.ContextGone: Exit.NOT_THERE,
    errors.Conflict: Exit.CONFLICT,
    errors.AdoptConflict: Exit.CONFLICT,
    errors.AlreadyClaimed: Exit.CONFLICT,
    errors.ClaimLost: Exit.CONFLICT,
    errors.Unavailable: Exit.UNAVAILABLE,
    errors.HistoryCompacted: Exit.HISTORY,
    errors.HistoryDamaged: Exit.HISTORY,
    errors.HistoryForked: Exit.HISTORY,
    TimeoutError: Exit.TIMEOUT,
}


def exit_code(error: Exception) -> Exit:
    """Returns the exit code for an error of a command."""
    if isinstance(error, Stop):
        return error.code
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), Exit.OTHER)
