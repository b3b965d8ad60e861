"""Run once, decided: what a caller does, given the entries of a key.

The record at `@once/<key>` holds the state of the work; the lease at `@runs/<key>` exists exactly while it runs. A runner
that begins writes both in one commit, whose revision is the run's fencing token and the record's revision. All that a
runner commits is guarded by that revision: once another runner begins, or the run is declared lost, a late runner is shut
out.
"""

from __future__ import annotations

import hashlib
import traceback
from typing import Any, NamedTuple

from ccs._core.codec import decode, encode
from ccs._core.names.system_paths import system_path
from ccs._core.number_checks import integer
from ccs._core.times import Duration, seconds
from ccs.errors import IdempotencyMismatch, RetriesExhausted
from ccs.types import Entry

__all__ = [
    "Begin",
    "Condemn",
    "Done",
    "Request",
    "Terms",
    "contained",
    "decide",
    "digest",
    "done",
    "failed",
    "reason",
    "request_of",
    "result_in",
    "running",
    "terms_of",
]

_LONGEST_REASON = 1_000


class Terms(NamedTuple):
    """The terms of a run: durations in seconds, attempts in all, and the type of the result."""

    lease: float
    keep: float
    attempts: int
    timeout: float | None
    type: Any


class Request(NamedTuple):
    """A caller's request: the key, the paths of its record and of its lease, the input's digest, the terms."""

    key: str
    record: str
    run: str
    digest: str
    terms: Terms


class Begin(NamedTuple):
    """Run it, as the attempt of this number. `revision` is that of the record that was read, 0 for none."""

    attempt: int
    revision: int


class Done(NamedTuple):
    """There is a result."""

    result: Any


class Condemn(NamedTuple):
    """The last attempt was lost with its runner: record its failure."""

    attempt: int
    revision: int
    error: str


def terms_of(lease: Duration, keep: Duration, attempts: int, timeout: Duration | None, type: Any) -> Terms:
    """Returns the terms. Raises `InvalidValue` for invalid arguments."""
    lease = seconds(lease, "lease", least=0.001)
    keep = seconds(keep, "keep", least=0.001)
    seconds(lease + keep, "lease and keep together")
    patience = None if timeout is None else seconds(timeout, "timeout")
    tries = integer("attempts", attempts, "how often to try in all, at least once", 1)
    return Terms(lease, keep, tries, patience, type)


def request_of(key: str, input: Any, terms: Terms) -> Request:
    """Returns a request for a key. Raises `InvalidPath` or `EncodingError` for an unusable key or input."""
    return Request(key, system_path("@once", key), system_path("@runs", key), digest(input), terms)


def digest(value: Any) -> str:
    """Returns a digest that only equal values share; maps are equal in any order."""
    return hashlib.sha256(encode(_ordered(decode(encode(value))))).hexdigest()


def _ordered(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_ordered, value))
    if not isinstance(value, dict):
        return value
    keys = sorted(value, key=encode)
    return dict(zip(keys, map(_ordered, map(value.__getitem__, keys)), strict=True))


def decide(request: Request, entries: dict[str, Entry]) -> Begin | Done | Condemn | None:
    """Returns what to do, given the entries; None: wait, as another runner is at it.

    Raises `IdempotencyMismatch` if the input is not that of the first request, and `RetriesExhausted` if all attempts
    have failed.
    """
    record = entries.get(request.record)
    run = entries.get(request.run)
    if record is None:
        return None if run else Begin(1, 0)
    if record.value["input"] != request.digest:
        raise IdempotencyMismatch(request.key)
    found = result_in(request, record)
    return found or (None if run else _next(request, record))


def result_in(request: Request, record: Entry | None) -> Done | None:
    """Returns the result that a record holds for a request, or None."""
    state = record.value if record else {}
    if state.get("state") == "done" and state["input"] == request.digest:
        return Done(state["result"])
    return None


def _next(request: Request, record: Entry) -> Begin | Condemn:
    state = record.value
    attempts = state["attempts"]
    if attempts < request.terms.attempts:
        return Begin(attempts + 1, record.revision)
    if state["state"] == "failed":
        raise RetriesExhausted(request.key, attempts, state["error"])
    return Condemn(attempts, record.revision, f"the run of {record.agent!r} did not end within its lease")


def running(request: Request, attempt: int) -> dict[str, Any]:
    """Returns the record of a run, or of a lost runner."""
    return {"state": "running", "attempts": attempt, "input": request.digest}


def done(request: Request, attempt: int, result: Any) -> dict[str, Any]:
    """Returns the record of a result."""
    return {"state": "done", "attempts": attempt, "input": request.digest, "result": result}


def failed(request: Request, attempt: int, error: str) -> dict[str, Any]:
    """Returns the record of a failed attempt."""
    return {"state": "failed", "attempts": attempt, "input": request.digest, "error": error}


def reason(error: BaseException) -> str:
    """Returns any error as a few lines of text that can be stored."""
    return contained("".join(traceback.format_exception_only(error)).strip())


def contained(text: str) -> str:
    """Returns a text as it can be stored: cut to 1,000 characters, with lone surrogates escaped."""
    return text[:_LONGEST_REASON].encode("utf-8", "backslashreplace").decode()[:_LONGEST_REASON]
