"""Run-once: one run of a key at a time, its result for all callers; a failed run is retried up to its attempts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

import ccs
from tests.context.probes import Open, unchanged
from tests.recipes.work import Work, lapsed, stall, state
from tests.support.colours import Awaited
from tests.support.waiting import aeventually, bounded, counts


class Receipt(BaseModel):
    id: int
    note: str | None = None


async def outcomes(*calls: Any) -> list[Any]:
    """Returns the results and errors of concurrent calls."""
    return list(await bounded(asyncio.gather(*calls, return_exceptions=True), 30))


# --- One run, one result ----------------------------------------------------------------------------------------------


async def test_a_later_caller_gets_the_result_and_runs_nothing(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    work = Work(lambda *args: list(args))
    assert await mine.once("k", work, 1, "b") == [1, "b"]
    assert await mine.once("k", work, 2) == [1, "b"]
    assert await other.once("k", work) == [1, "b"]
    assert work.runs == 1
    assert await other.once("another", work) == []


async def test_callers_during_a_run_wait_and_get_its_result(open_store: Open) -> None:
    tasks = [(await open_store(f"agent {index}")).task("t") for index in range(3)]
    work = Work({"sent": True})
    work.gate.clear()
    calls = [asyncio.ensure_future(task.once("k", work)) for task in tasks for _ in range(counts(4, 17))]
    await work.begun()
    work.gate.set()
    assert await outcomes(*calls) == [{"sent": True}] * len(calls)
    assert work.runs == 1
    assert await lapsed(tasks[0], "k")


@pytest.mark.parametrize(
    "value",
    [
        None,
        False,
        "",
        "123",
        b"\x00",
        2**70,
        1.5,
        Decimal("1.10"),
        UUID(int=7),
        {1, 2},
        datetime(2026, 1, 1, tzinfo=UTC),
        {"a": [1, {"b": None}]},
    ],
    ids=repr,
)
async def test_a_result_keeps_its_type(task: Any, value: Any) -> None:
    """G11: None is a result too."""
    work = Work(value)
    for _ in "runs it", "finds it":
        found = await task.once("k", work)
        assert (found, type(found)) == (value, type(value))
    assert work.runs == 1


async def test_all_callers_read_the_same_result_as_the_type_that_they_ask_for(task: Any) -> None:
    """G11: the caller that ran it gets the stored value too."""
    work = Work(Receipt(id=7))
    for _ in "runs it", "finds it":
        assert await task.once("model", work) == {"id": 7, "note": None}
        assert await task.once("tuple", Work((1, 2))) == [1, 2]
        assert await task.once("typed", work, type=Receipt) == Receipt(id=7)
    with pytest.raises(ccs.InvalidValue):
        await task.once("typed", work, type=list[int])
    assert work.runs == 2


async def test_a_result_is_kept_for_keep_seconds_and_then_the_key_is_free(task: Any) -> None:
    work = Work("first", "second")
    assert await task.once("k", work, input=1, keep=0.05) == "first"
    await aeventually(lambda: gone(task, "@once/k"))
    assert await task.once("k", work, input=2) == "second"
    entry = await task.entry("@once/k")
    assert 86_399 < (entry.expires_at - entry.updated_at).total_seconds() <= 86_400


async def gone(task: Any, path: str) -> bool:
    return not await task.exists(path)


@pytest.mark.parametrize("key", ["a/b", "/", "https://x.test/a?b=%20&c=*", "..", "{a}[b", "a\x00b", "é", "a b"])
async def test_a_key_is_any_text(task: Any, key: str) -> None:
    work = Work("of the key", "of its neighbour")
    assert await task.once(key, work) == "of the key"
    assert await task.once(f"{key}/x", work) == "of its neighbour"
    assert await task.once(key, work) == "of the key"


async def test_a_run_may_ask_for_other_keys(open_store: Open) -> None:
    task = (await open_store()).task("t")
    work = Work("fine")
    if isinstance(task, Awaited):
        nested = lambda: [task.blocking.once("k/inner", work), task.blocking.once("other", work)]  # noqa: E731
    else:

        async def nested() -> list[Any]:
            return [await task.once("k/inner", work), await task.once("other", work)]

    assert await task.once("k", nested) == ["fine", "fine"]
    assert await task.once("k/inner", work) == "fine"
    assert work.runs == 2


# --- Failing ----------------------------------------------------------------------------------------------------------


async def test_an_error_reaches_its_caller_unchanged_and_the_next_one_tries_again(task: Any) -> None:
    boom = KeyError("boom")
    work = Work(boom, "fine")
    with pytest.raises(KeyError) as caught:
        await task.once("k", work)
    assert caught.value is boom
    assert await lapsed(task, "k"), "the lease is released at once"
    assert await task.once("k", work) == "fine"
    assert await task.once("k", work) == "fine"
    assert work.runs == 2


async def test_after_all_attempts_it_is_not_run_again(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    work = Work(ValueError("first"), ValueError("second"), OSError("the last"))
    for _ in range(3):
        with pytest.raises((ValueError, OSError)):
            await mine.once("k", work, attempts=3)
    for task in (mine, other, mine):
        error = await unchanged(task, task.once("k", work), ccs.RetriesExhausted)
        assert (error.key, error.attempts) == ("k", 3)
        assert error.error == "OSError: the last"
    assert work.runs == 3
    # It is the caller who says how much is enough.
    assert await mine.once("k", Work("at last"), attempts=4) == "at last"
    assert await other.once("k", work, attempts=1) == "at last"


async def test_when_a_run_fails_one_waiting_caller_runs_next_and_so_on(open_store: Open) -> None:
    """No retry storm: three runs, one after the other, and all callers get the error."""
    tasks = [(await open_store(f"agent {index}")).task("t") for index in range(3)]
    work = Work(ValueError("no"))
    work.gate.clear()
    calls = [asyncio.ensure_future(task.once("k", work)) for task in tasks for _ in range(counts(4, 17))]
    await work.begun()
    work.gate.set()
    found = await outcomes(*calls)
    assert work.runs == 3
    assert sum(isinstance(error, ValueError) for error in found) == 3
    assert sum(isinstance(error, ccs.RetriesExhausted) for error in found) == len(calls) - 3


async def test_when_a_run_fails_all_waiting_callers_get_the_result_of_the_next(open_store: Open) -> None:
    tasks = [(await open_store(f"agent {index}")).task("t") for index in range(3)]
    work = Work(ValueError("no"), "yes")
    work.gate.clear()
    calls = [asyncio.ensure_future(task.once("k", work)) for task in tasks for _ in range(3)]
    await work.begun()
    work.gate.set()
    found = await outcomes(*calls)
    assert work.runs == 2
    assert sorted(map(repr, found)) == ["'yes'"] * 8 + ["ValueError('no')"]


async def test_a_result_that_cannot_be_stored_is_a_failed_attempt(task: Any) -> None:
    work = Work(object(), b"x" * 2_000_000, lambda: ccs, "fine")
    for error in (ccs.EncodingError, ccs.ValueTooLarge, ccs.EncodingError):
        with pytest.raises(error):
            await task.once("k", work, attempts=4)
    assert (await state(task, "k"))["attempts"] == 3  # type: ignore[index]
    with pytest.raises(ccs.RetriesExhausted, match="EncodingError"):
        await task.once("k", work, attempts=3)
    assert await task.once("k", work, attempts=4) == "fine"


class Unprintable(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    "error", [Unprintable(), ValueError("\ud800"), ValueError("x" * 3_000_000)], ids=["", "�", "x"]
)
async def test_an_error_that_cannot_be_shown_or_stored_is_still_a_failed_attempt(task: Any, error: Exception) -> None:
    with pytest.raises(type(error)):
        await task.once("k", Work(error))
    with pytest.raises(ccs.RetriesExhausted, match=type(error).__name__):
        await task.once("k", Work("never"), attempts=1)


async def test_an_interrupted_run_has_failed_and_no_caller_waits_for_it(task: Any) -> None:
    """G14: Ctrl-C is no Exception."""

    class Interrupt(BaseException):
        """What Ctrl-C is, without its name."""

    with pytest.raises(Interrupt):
        await task.once("k", Work(Interrupt()), lease=3600)
    assert await lapsed(task, "k")
    assert await bounded(task.once("k", Work("fine"))) == "fine"


# --- Input ------------------------------------------------------------------------------------------------------------


async def test_another_input_for_a_key_that_was_used_is_refused(task: Any) -> None:
    await task.once("done", Work("fine"), input={"a": 1, "b": [2, {"c": 3, "d": 4}]})
    with pytest.raises(ValueError, match="no"):
        await task.once("failed", Work(ValueError("no")), input=1)
    work = Work("never")
    for key, given in [("done", None), ("done", {"a": 1}), ("failed", 2), ("failed", True), ("failed", "1")]:
        error = await unchanged(task, task.once(key, work, input=given, attempts=9), ccs.IdempotencyMismatch)
        assert error.key == key
    assert await task.once("done", work, input={"b": (2, {"d": 4, "c": 3}), "a": 1}) == "fine"
    assert work.runs == 0


async def test_another_input_is_refused_also_while_it_runs(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    work = Work("fine")
    work.gate.clear()
    running = asyncio.ensure_future(mine.once("k", work, input="mine"))
    await work.begun()
    await unchanged(other, other.once("k", work, input="other"), ccs.IdempotencyMismatch)
    work.gate.set()
    assert await running == "fine"


async def test_only_a_digest_of_the_input_is_kept(task: Any) -> None:
    await task.once("k", Work("fine"), input="secret words")
    assert "secret" not in repr(await task.snapshot("@*/**"))


# --- Leases -----------------------------------------------------------------------------------------------------------


async def test_a_waiting_caller_takes_over_when_the_lease_has_expired(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    late, work = Work("late"), Work("in time")
    late.gate.clear()
    first = asyncio.ensure_future(mine.once("k", late))
    await late.begun()
    second = asyncio.ensure_future(other.once("k", work))
    await stall(mine, "k")
    assert await bounded(second) == "in time"
    late.gate.set()
    assert await bounded(first) == "in time", "the late run's result is not stored: its caller gets the stored one"
    assert (await state(mine, "k"))["attempts"] == 2  # type: ignore[index]


async def test_a_late_run_whose_successor_still_runs_is_claim_lost(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    late, work = Work("late"), Work("in time")
    late.gate.clear()
    work.gate.clear()
    first = asyncio.ensure_future(mine.once("k", late))
    await late.begun()
    await stall(mine, "k")
    second = asyncio.ensure_future(other.once("k", work))
    await work.begun()
    late.gate.set()
    with pytest.raises(ccs.ClaimLost) as caught:
        await bounded(first)
    assert caught.value.resource == "k"
    work.gate.set()
    assert await bounded(second) == "in time"


async def test_a_late_failure_reaches_its_caller_and_changes_nothing(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    late = Work(ValueError("late"))
    late.gate.clear()
    first = asyncio.ensure_future(mine.once("k", late))
    await late.begun()
    await stall(mine, "k")
    assert await other.once("k", Work("in time")) == "in time"
    late.gate.set()
    await unchanged(other, first, ValueError)


async def test_a_late_run_without_a_successor_is_stored_after_all(task: Any) -> None:
    late = Work("late")
    late.gate.clear()
    first = asyncio.ensure_future(task.once("k", late))
    await late.begun()
    await stall(task, "k")
    late.gate.set()
    assert await bounded(first) == "late"
    assert await task.once("k", Work("never")) == "late"


async def test_runners_that_die_use_up_the_attempts(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    work = Work("late")
    work.gate.clear()
    first = asyncio.ensure_future(mine.once("k", work, attempts=1))
    await work.begun()
    await stall(mine, "k")
    for task in (other, mine):
        with pytest.raises(ccs.RetriesExhausted, match="'me' did not end within its lease") as caught:
            await task.once("k", work, attempts=1)
        assert caught.value.attempts == 1
    work.gate.set()
    with pytest.raises(ccs.ClaimLost):  # it was given up for lost, and everybody told so
        await bounded(first)


async def test_a_run_that_takes_longer_than_its_lease_keeps_it_while_its_process_lives(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    work = Work("fine")
    work.gate.clear()
    first = asyncio.ensure_future(mine.once("k", work, lease=1.0))
    await work.begun()
    second = asyncio.ensure_future(other.once("k", Work("never")))
    begun = (await other.entry("@runs/k")).expires_at

    async def renewed() -> bool:
        return bool(((await other.entry("@runs/k")).expires_at - begun).total_seconds() > 1.0)

    await aeventually(renewed, what="the first lease to be over")
    work.gate.set()
    assert await outcomes(first, second) == ["fine", "fine"]


async def test_each_run_has_a_fencing_token_that_only_grows(shared: Any) -> None:
    tokens: list[int] = []

    def fail(order: int, *, token: int) -> None:
        tokens.append(token)
        raise ValueError(order)

    task = shared.task("t")
    for _ in range(3):
        with pytest.raises(ValueError, match="7"):
            await task.once("k", fail, 7)
    assert tokens == sorted(set(tokens))
    writes = [change.revision for change in await task.history("@runs/k") if change.op == "set"]
    assert writes == tokens


async def test_a_parameter_that_callers_can_pass_themselves_is_theirs(task: Any) -> None:
    def call(token: str = "theirs") -> str:
        return token

    assert await task.once("k", call) == "theirs"
    assert await task.once("l", call, "given") == "given"


# --- Waiting, contexts, arguments -------------------------------------------------------------------------------------


async def test_waiting_for_others_takes_no_longer_than_the_timeout(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    work = Work("fine")
    work.gate.clear()
    first = asyncio.ensure_future(mine.once("k", work))
    await work.begun()
    for patience in (0, 0.05):
        with pytest.raises(TimeoutError, match="'k'"):
            await bounded(other.once("k", work, timeout=patience))
    work.gate.set()
    assert await first == "fine"
    assert await other.once("k", work, timeout=0) == "fine"


async def test_a_finished_context_still_gives_its_results_and_begins_nothing(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    await mine.once("done", Work("fine"))
    work = Work("too late")
    work.gate.clear()
    first = asyncio.ensure_future(mine.once("k", work))
    await work.begun()
    second = asyncio.ensure_future(other.once("k", work))
    await other.finish()
    work.gate.set()
    assert [type(error) for error in await outcomes(first, second)] == [ccs.ContextFinished] * 2
    assert await other.once("done", work) == "fine"
    with pytest.raises(ccs.ContextFinished):
        await other.once("new", work)
    assert work.runs == 1


async def test_a_caller_that_waits_in_a_context_that_is_dropped_gets_an_error(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    work = Work("too late")
    work.gate.clear()
    first = asyncio.ensure_future(mine.once("k", work))
    await work.begun()
    second = asyncio.ensure_future(other.once("k", Work("never")))
    await waits(other)
    await mine.drop()
    with pytest.raises(ccs.ContextGone):
        await bounded(second)
    work.gate.set()
    with pytest.raises(ccs.ClaimLost):
        await bounded(first)
    assert await mine.paths("@*/**") == []


async def waits(task: Any) -> None:
    """Waits until a caller in this store has seen that another one runs the key."""
    stats = task.handle.engine.stats
    await aeventually(lambda: stats.frozen().deliveries == 2, what="the record and the lease to be seen")


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease": 0},
        {"lease": "60"},
        {"lease": float("inf")},
        {"keep": 0},
        {"keep": None},
        {"lease": 3e9, "keep": 3e9},
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": True},
        {"timeout": -1},
    ],
    ids=repr,
)
async def test_terms_that_make_no_sense_are_refused(task: Any, wrong: dict[str, Any]) -> None:
    work = Work("never")
    await unchanged(task, task.once("k", work, **wrong), ccs.InvalidValue)
    assert work.runs == 0


async def test_keys_inputs_and_functions_that_cannot_be_used_are_refused(task: Any) -> None:
    work = Work("never")
    for key in ("", None, 7, "\ud800", "x" * 2_000):
        await unchanged(task, task.once(key, work), ccs.InvalidPath)
    await unchanged(task, task.once("k", work, input=object()), ccs.EncodingError)
    for fn in (None, "work", 7):
        await unchanged(task, task.once("k", fn), ccs.InvalidValue)
    assert work.runs == 0


async def test_a_stored_result_costs_one_read(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await task.once("k", Work("fine"))
    connection, asked = task.handle.opening.commands, []
    run = connection.run  # which the scripts go through too
    monkeypatch.setattr(connection, "run", lambda *args, **named: asked.append(args) or run(*args, **named))
    commits = task.handle.engine.stats.frozen().commits
    assert await task.once("k", Work("never")) == "fine"
    assert len(asked) == 1
    assert task.handle.engine.stats.frozen().commits == commits


# --- Forgetting -------------------------------------------------------------------------------------------------------


async def test_a_key_that_is_forgotten_is_run_again(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    work = Work("first", "second")
    assert not await mine.forget_once("k")
    assert await mine.once("k", work, input=1) == "first"
    assert await other.forget_once("k")
    assert not await other.forget_once("k")
    assert await mine.once("k", work, input=2) == "second"
    assert work.runs == 2


async def test_failures_that_used_up_all_attempts_are_forgotten_too(task: Any) -> None:
    work = Work(ValueError("no"), "yes")
    for error in (ValueError, ccs.RetriesExhausted):
        with pytest.raises(error):
            await task.once("k", work, attempts=1)
    assert await task.forget_once("k")
    assert await task.once("k", work, attempts=1) == "yes"


async def test_what_is_being_run_is_not_forgotten(open_store: Open) -> None:
    mine, other = (await open_store("me")).task("t"), (await open_store("other")).task("t")
    work = Work("done")
    work.gate.clear()
    running = asyncio.ensure_future(mine.once("k", work))
    await work.begun()
    before = await other.revision()
    assert not await other.forget_once("k")
    assert await other.revision() == before
    work.gate.set()
    assert await bounded(running) == "done"
    assert await other.once("k", work) == "done"
    assert work.runs == 1


async def test_a_run_that_was_lost_and_forgotten_overwrites_nothing(task: Any, open_store: Open) -> None:
    late, work = Work("late"), Work("new")
    late.gate.clear()
    running = asyncio.ensure_future(task.once("k", late))
    await late.begun()
    await stall(task, "k")
    other = (await open_store("other")).task("t")
    assert await other.forget_once("k")
    assert await other.once("k", work) == "new"
    late.gate.set()
    assert await bounded(running) == "new"


async def test_forgetting_while_callers_come_never_runs_two_at_one_time(open_store: Open) -> None:
    """`Work` fails if it is run beside itself."""
    tasks = [(await open_store(f"agent {index}")).task("t") for index in range(3)]
    work, forgotten = Work("done"), 0

    async def call(task: Any) -> None:
        for _ in range(counts(6, 100)):
            assert await task.once("k", work) == "done"

    async def forget() -> None:
        nonlocal forgotten
        for _ in range(counts(6, 100)):
            forgotten += await tasks[0].forget_once("k")

    await bounded(asyncio.gather(*map(call, tasks), forget()), 30)
    assert 1 <= work.runs <= forgotten + 1
