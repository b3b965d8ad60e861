"""A writer that always loses: `update` and `transact` end at their caller's bounds, the others when the store's patience ends."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import ccs._async.reads
import ccs._sync.reads
from tests.context.probes import Open
from tests.support.colours import Awaited
from tests.support.waiting import scaled

FOREVER = scaled(20.0)
SHORT = 0.2


@pytest.fixture
async def outrun(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[list[int]]]:
    """`await outrun(task, path, value)`: a rival writes right after each read of the task; a list that grows with it."""
    rival = (await open_store("rival")).task("t")

    async def begin(task: Any, path: str, value: Any) -> list[int]:
        lost: list[int] = []
        if isinstance(task, Awaited):
            read = ccs._sync.reads.Reads._raw

            def read_and_lose(self: Any, path: str) -> Any:
                found = read(self, path)
                lost.append(rival.blocking.set(path, value).revision)
                return found

            monkeypatch.setattr(ccs._sync.reads.Reads, "_raw", read_and_lose)
        else:
            aread = ccs._async.reads.Reads._raw

            async def aread_and_lose(self: Any, path: str) -> Any:
                found = await aread(self, path)
                lost.append((await rival.set(path, value)).revision)
                return found

            monkeypatch.setattr(ccs._async.reads.Reads, "_raw", aread_and_lose)
        await rival.set(path, value)
        return lost

    return begin


async def test_an_update_that_always_loses_ends_after_its_attempts(task: Any, outrun: Any) -> None:
    lost = await outrun(task, "a", 1)
    with pytest.raises(ccs.Conflict) as caught:
        await task.update("a", lambda value: "mine", attempts=3)
    assert len(lost) == 3
    conflict = caught.value
    assert (conflict.path, conflict.guard, conflict.agent, conflict.revision) == ("a", "revision", "rival", lost[-1])
    assert f"is not at revision {conflict.expected}" in str(conflict)


async def test_an_update_that_always_loses_ends_after_its_timeout(task: Any, outrun: Any) -> None:
    lost = await outrun(task, "a", 1)
    started = time.monotonic()
    with pytest.raises(
        TimeoutError, match=rf"update of 'a' was given up after {SHORT} s.*\d+ times.*'rival'"
    ) as caught:
        await task.update("a", lambda value: "mine", timeout=SHORT)
    assert SHORT <= time.monotonic() - started < FOREVER
    assert "nothing was written" in str(caught.value)
    assert isinstance(caught.value.__cause__, ccs.Conflict)
    assert len(lost) > 1
    assert await task.get("a") == 1


async def test_what_its_function_takes_counts_too(task: Any) -> None:
    await task.set("a", 1)

    def slow(value: Any) -> Any:
        deadline = time.monotonic() + SHORT
        while time.monotonic() < deadline:
            pass
        return "late"

    with pytest.raises(TimeoutError, match="it was slow, but nobody else wrote first; nothing was written"):
        await task.update("a", slow, timeout=SHORT / 2)
    assert await task.get("a") == 1


async def test_a_transaction_that_always_loses_ends_after_its_attempts_or_its_timeout(
    open_store: Open, task: Any
) -> None:
    rival = (await open_store("rival")).task("t")
    tries = 0

    async def lose(tx: Any) -> None:
        nonlocal tries
        tries += 1
        seen = await tx.get("a", 0)
        await rival.set("a", seen + 1)
        tx.set("a", "mine")

    with pytest.raises(ccs.Conflict):
        await task.transact(lose, attempts=2)
    assert tries == 2
    with pytest.raises(TimeoutError, match=r"the transaction was given up after .* nothing was written"):
        await task.transact(lose, attempts=None, timeout=SHORT)
    assert await task.get("a") == tries


async def test_bounds_that_are_not_reached_change_nothing(task: Any) -> None:
    assert (await task.update("a", lambda value: 1, attempts=1, timeout=FOREVER)).value == 1

    async def write(tx: Any) -> str:
        tx.set("a", 2)
        return "done"

    assert await task.transact(write, attempts=1, timeout=FOREVER) == "done"


UNBOUNDED: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "merge": ({}, lambda task: task.merge("a", {"mine": 1})),
    "append": ([], lambda task: task.append("a", "mine", max_items=3)),
    "increment": (0.5, lambda task: task.increment("a", 0.5)),
}


@pytest.mark.parametrize("call", UNBOUNDED)
async def test_what_takes_no_bounds_ends_with_the_patience_of_its_store(
    open_store: Open, outrun: Any, call: str
) -> None:
    task = (await open_store(retry_for=SHORT)).task("t")
    value, lose = UNBOUNDED[call]
    lost = await outrun(task, "a", value)
    with pytest.raises(ccs.Conflict) as caught:
        await lose(task)
    assert (caught.value.agent, caught.value.revision) == ("rival", lost[-1])
    assert await task.get("a") == value


@pytest.mark.parametrize("bound", [{"attempts": 0}, {"attempts": 1.5}, {"timeout": -1}, {"timeout": "1"}])
async def test_a_bound_that_is_none_is_refused(task: Any, bound: dict[str, Any]) -> None:
    with pytest.raises(ccs.InvalidValue):
        await task.update("a", lambda value: 1, **bound)
    with pytest.raises(ccs.InvalidValue):
        await task.transact(lambda tx: None, **bound)
    assert not await task.exists("a")
