# Generated from ccs/_async/recipes/once.py by scripts/twin. Do not edit.
"""Run-once: work under a key that one caller runs, and whose result all callers get."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, NoReturn

from ccs._compat import Work, shielded
from ccs._core.codec import decode, encode, validate
from ccs._core.commits.operations import delete_op, revision_guard, set_op
from ccs._core.names.pattern import escape
from ccs._core.names.system_paths import system_path
from ccs._core.quoted_values import shown
from ccs._core.recipes.idempotency_keys import KeyTemplate, asks_for_token
from ccs._core.recipes.lease import Lease
from ccs._core.recipes.once import (
    Begin,
    Condemn,
    Done,
    Request,
    Terms,
    decide,
    done,
    failed,
    reason,
    request_of,
    result_in,
    running,
)
from ccs._core.times import millis
from ccs._log import logger
from ccs._sync.changes.watch_kinds import Picture
from ccs._sync.context_handle import Handle
from ccs._sync.entries import Entries
from ccs._sync.recipes.waiting import act_on_picture
from ccs.errors import CCSError, ClaimLost, Conflict, InvalidValue, RetriesExhausted
from ccs.types import Entry

__all__ = ["Attempt", "Function", "Once", "forget_once", "idempotent"]


class Function:
    """A function to run once for each key; it gets the token of its run if it asks for it."""

    def __init__(self, fn: Callable[..., object]) -> None:
        if not callable(fn):
            raise InvalidValue(f"{shown(fn)} is not callable: give a function, and its arguments after it")
        self._work = Work(fn)
        self._wants_token = asks_for_token(fn)
        self.stops = self._work.stops

    def __call__(self, token: int, *args: Any, **named: Any) -> Any:
        if self._wants_token:
            named["token"] = token
        return self._work(*args, **named)


class Attempt:
    """One run: the leases that it holds, and the one commit that ends it."""

    def __init__(self, handle: Handle, request: Request, begin: Begin) -> None:
        self._handle = handle
        self._request = request
        self._upon = begin
        self._leases: list[Lease] = []
        self.token = 0

    @property
    def is_open(self) -> bool:
        """Whether the run has begun and was not settled yet."""
        return bool(self._leases)

    def begin(self) -> None:
        """Takes the lease, and notes in the record that a run is active; raises `Conflict` if another run was faster."""
        request = self._request
        lease = request.terms.lease
        keep = request.terms.keep
        record = encode(running(request, self._upon.attempt))
        run = encode({"attempt": self._upon.attempt})
        term = self._handle.term(lease)
        sent = time.monotonic()
        applied = self._handle.commit(
            [set_op(request.record, record, millis(lease + keep)), set_op(request.run, run, millis(term))],
            [revision_guard(request.record, self._upon.revision), revision_guard(request.run, 0)],
        )
        self.token = applied.revision
        # The record is renewed as well, so that it outlives a lost run by `keep` seconds, however long that took.
        self._leases = [
            Lease(request.run, self.token, term, sent + term),
            Lease(request.record, self.token, lease + keep, sent + lease + keep),
        ]
        for each in self._leases:
            self._handle.hold(each)
        # If the store is closed before the run is settled, the next caller need not wait for the lease to expire.
        self._handle.holding(request.run, self.token)

    def complete(self, result: Any) -> Any:
        """Stores the result and ends the run. Returns the result as others read it; raises `Conflict` if the run was lost."""
        raw = encode(done(self._request, self._upon.attempt, result), self._handle.engine.max_value_bytes)
        self._settle(raw)
        return decode(raw)["result"]

    def fail(self, error: BaseException) -> None:
        """Records the failure and ends the run, so the next one can begin at once; raises `Conflict` if the run was lost."""
        self._settle(encode(failed(self._request, self._upon.attempt, reason(error))))

    def _settle(self, raw: bytes) -> None:
        request = self._request
        try:
            _conclude(self._handle, request, raw, self.token)
        except Conflict:
            self._let_go()
            raise
        self._let_go()

    def _let_go(self) -> None:
        while self._leases:
            self._handle.let_go(self._leases.pop())

    def give_up(self, error: BaseException) -> None:
        """Ends the run after an error. The caller gets that error, so a failure to end the run is only logged."""
        if not self.is_open:
            return
        try:
            shielded(self.fail, error)
        except Conflict:
            logger.info("the run of %r had been lost when it failed: %r", self._request.key, error)
        except CCSError as problem:
            logger.warning("the failed run of %r stays until its lease expires: %s", self._request.key, problem)
        finally:
            self._let_go()


class Once:
    """One call under a key: it finds the result, waits for it, or runs the function."""

    def __init__(self, entries: Entries, function: Function, key: str, input: Any, terms: Terms) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._function = function
        self._request = request_of(key, input, terms)
        self._patterns = (escape(self._request.record), escape(self._request.run))
        self._attempt: Attempt | None = None
        self._handle.require(*self._patterns)

    def result(self, *args: Any, **named: Any) -> Any:
        """Returns the result, whichever caller ran the function; see `Context.once`."""
        try:
            found = self._result(args, named)
        except BaseException as error:
            if self._attempt:
                self._attempt.give_up(error)
            raise
        wanted = self._request.terms.type
        return found if wanted is None else validate(found, wanted)

    def _result(self, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        found = self._find() or self._wait()
        if isinstance(found, Done):
            return found.result
        if self._function.stops:
            return self._perform(found, args, named)
        # A function that cannot be stopped goes on when its caller is cancelled, and its result is stored.
        return shielded(self._perform, found, args, named)

    def _find(self) -> Done | Attempt | None:
        snapshot = self._entries.snapshot(*self._patterns)
        return self._act(dict(snapshot))

    def _wait(self) -> Done | Attempt:
        timeout = self._request.terms.timeout
        deadline = None if timeout is None else time.monotonic() + timeout

        def act(picture: Picture) -> Done | Attempt:
            while not (found := self._act(picture.entries)):
                picture.changed(deadline)
            return found

        try:
            return act_on_picture(self._handle, self._patterns, act, deadline or 0.0)
        except TimeoutError:
            raise TimeoutError(f"another caller still runs {self._request.key!r} after {timeout:g} s") from None

    def _act(self, entries: dict[str, Entry]) -> Done | Attempt | None:
        """Acts on these entries. Returns the result, or a run that has begun; None if it must wait until they change."""
        step = decide(self._request, entries)
        try:
            if isinstance(step, Begin):
                return self._begin(step)
            return self._condemn(step) if isinstance(step, Condemn) else step
        except Conflict:
            return None

    def _begin(self, step: Begin) -> Attempt:
        self._attempt = Attempt(self._handle, self._request, step)
        # Run to the end: a cancelled caller must not leave a lease behind that nobody knows of.
        shielded(self._attempt.begin)
        return self._attempt

    def _condemn(self, step: Condemn) -> NoReturn:
        raw = encode(failed(self._request, step.attempt, step.error))
        _conclude(self._handle, self._request, raw, step.revision)
        raise RetriesExhausted(self._request.key, step.attempt, step.error)

    def _perform(self, attempt: Attempt, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        result = self._function(attempt.token, *args, **named)
        try:
            return shielded(attempt.complete, result)
        except Conflict as lost:
            return self._result_instead(lost)

    def _result_instead(self, lost: Conflict) -> Any:
        """Returns the result that another run has stored after this one was lost, or raises `ClaimLost`."""
        found = result_in(self._request, self._entries.entry(self._request.record))
        if found is None:
            key = self._request.key
            text = (
                f"this run of {key!r} was lost: its process stood still for longer than its lease, so another caller may"
                " have taken over, and there is no result yet; call once() again to get it, or to run it again"
            )
            raise ClaimLost(key, text) from lost
        return found.result


def forget_once(handle: Handle, key: str) -> bool:
    """Removes the outcome of a key, unless it is being run. Returns whether there was one; see `Context.forget_once`."""
    record = system_path("@once", key)
    try:
        applied = handle.commit([delete_op(record)], [revision_guard(system_path("@runs", key), 0)])
    except Conflict:
        return False
    return applied.result == (1,)


def idempotent(
    entries: Entries, template: str, terms: Terms, input: Iterable[str] | None = None
) -> Callable[..., Callable[..., Any]]:
    """Returns a decorator that runs a function once for each key; see `Context.idempotent`."""

    def decorate(fn: Callable[..., object]) -> Callable[..., Any]:
        keys = KeyTemplate(template, fn, input)
        function = Function(fn)

        @wraps(fn)
        def run_once(*args: Any, **named: Any) -> Any:
            key, wanted = keys.of(args, named)
            return Once(entries, function, key, wanted, terms).result(*args, **named)

        run_once.__signature__ = keys.signature  # type: ignore[attr-defined]  # for inspect.signature
        return run_once

    return decorate


def _conclude(handle: Handle, request: Request, raw: bytes, revision: int) -> None:
    """Writes the outcome of the run whose record has this revision, and ends its lease."""
    keep = millis(request.terms.keep)
    operations = [set_op(request.record, raw, keep), delete_op(request.run)]
    handle.commit(operations, [revision_guard(request.record, revision)])
    handle.expect(keep)
