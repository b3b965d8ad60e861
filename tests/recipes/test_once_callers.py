"""Run-once as callers see it: cancelled, interrupted, decorated; with coroutine functions and plain ones."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest

import ccs
import ccs.aio
from tests.recipes.work import Work, lapsed, state
from tests.support.leftovers import tasks
from tests.support.waiting import aeventually, bounded, scaled

# --- asyncio ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def atask(astore: ccs.aio.Store) -> ccs.aio.Context:
    return astore.task("t")


async def test_a_coroutine_function_runs_in_the_callers_task_and_a_plain_one_in_a_thread(atask: Any) -> None:
    async def here(value: int) -> list[Any]:
        assert asyncio.current_task() is caller
        return [value, threading.current_thread() is threading.main_thread()]

    def there(value: int) -> list[Any]:
        return [value, threading.current_thread() is threading.main_thread()]

    async def seven() -> int:
        return 7

    caller = asyncio.current_task()
    assert await atask.once("a", here, 1) == [1, True]
    assert await atask.once("b", there, 2) == [2, False]
    assert await atask.once("c", partial(here, 3)) == [3, True]
    assert await atask.once("d", lambda: seven()) == 7


async def test_more_plain_functions_run_beside_each_other_than_there_are_threads_in_a_pool(atask: Any) -> None:
    meeting = threading.Barrier(60)
    calls = [atask.once(f"k{index}", meeting.wait, scaled(20)) for index in range(60)]
    assert sorted(await bounded(asyncio.gather(*calls), 30)) == list(range(60))


async def cancel_by_task(call: Any, begun: Callable[[], Any]) -> None:
    caller = asyncio.ensure_future(call)
    await begun()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bounded(caller)


async def cancel_by_scope(call: Any, begun: Callable[[], Any]) -> None:
    """Cancels as anyio does: again and again, until the scope is left."""
    async with anyio.create_task_group() as group:
        group.start_soon(partial(_await, call))
        await begun()
        group.cancel_scope.cancel()


async def _await(call: Any) -> None:
    await call


cancels = pytest.mark.parametrize("cancel", [cancel_by_task, cancel_by_scope])


@cancels
async def test_a_cancelled_run_has_failed_and_the_next_caller_runs_at_once(atask: Any, cancel: Any) -> None:
    """G14: no caller has to wait for the lease to expire."""
    entered = asyncio.Event()

    async def forever() -> None:
        entered.set()
        await asyncio.Event().wait()

    async def begun() -> None:
        await bounded(entered.wait())
        second.append(asyncio.ensure_future(atask.once("k", Work("fine"))))

    second: list[asyncio.Future[Any]] = []
    await cancel(atask.once("k", forever, lease=3600), begun)
    assert await bounded(second[0]) == "fine"
    assert (await state(atask, "k") or {})["attempts"] == 2
    assert not atask.handle.engine.opening.dispatcher._leases
    assert "once" not in repr(tasks())


@cancels
async def test_a_plain_function_whose_caller_is_cancelled_goes_on_and_its_result_is_stored(
    atask: Any, cancel: Any
) -> None:
    work = Work("fine")
    work.gate.clear()

    async def begun() -> None:
        await work.begun()
        asyncio.get_running_loop().call_later(0.05, work.gate.set)

    await cancel(atask.once("k", work, lease=3600), begun)
    assert work.gate.is_set(), "the caller was cancelled after the end of the function"
    assert await atask.once("k", Work("never")) == "fine"
    assert not atask.handle.engine.opening.dispatcher._leases


async def test_a_plain_function_that_fails_after_its_caller_was_cancelled_has_failed(atask: Any) -> None:
    work = Work(ValueError("no"))
    work.gate.clear()

    async def begun() -> None:
        await work.begun()
        asyncio.get_running_loop().call_later(0.05, work.gate.set)

    await cancel_by_task(atask.once("k", work, lease=3600), begun)
    assert await lapsed(atask, "k")
    with pytest.raises(ccs.RetriesExhausted, match="CancelledError"):
        await atask.once("k", Work("never"), attempts=1)


@cancels
async def test_a_caller_that_is_cancelled_while_waiting_leaves_nothing_behind(atask: Any, cancel: Any) -> None:
    work = Work("fine")
    work.gate.clear()
    running = asyncio.ensure_future(atask.once("k", work))
    await work.begun()
    dispatcher = atask.handle.engine.opening.dispatcher
    await cancel(atask.once("k", Work("never")), lambda: aeventually(lambda: dispatcher._feeds))
    assert not dispatcher._feeds
    work.gate.set()
    assert await bounded(running) == "fine"


async def test_whenever_a_caller_is_cancelled_no_lease_stays(atask: Any) -> None:
    """G14: at every step of a call, one after the other."""

    async def work() -> str:
        await asyncio.sleep(0)
        return "fine"

    fates = set()
    for steps in range(60):
        caller = asyncio.ensure_future(atask.once(f"k{steps}", work, lease=3600))
        for _ in range(steps):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait([caller])
        fates.add("cancelled" if caller.cancelled() else caller.result())
        assert not atask.handle.engine.opening.dispatcher._leases
        assert await bounded(atask.once(f"k{steps}", work)) == "fine"
    assert "cancelled" in fates


# --- Blocking ---------------------------------------------------------------------------------------------------------


def test_a_coroutine_function_is_refused_where_nothing_could_await_it(store: ccs.Store) -> None:
    async def work() -> None: ...

    task = store.task("t")
    for attempt in (lambda: task.once("k", work), lambda: task.idempotent("k")(work)):
        with pytest.raises(ccs.InvalidValue, match="coroutine function"):
            attempt()
    assert task.revision() == 0


def test_ctrl_c_during_a_run_releases_its_lease(store: ccs.Store) -> None:
    """G14."""
    task = store.task("t")

    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        task.once("k", interrupted, lease=3600)
    assert not task.exists("@runs/k")
    assert task.once("k", Work("fine"), timeout=scaled(5)) == "fine"
    with pytest.raises(KeyboardInterrupt):
        task.once("l", interrupted)
    with pytest.raises(ccs.RetriesExhausted, match="KeyboardInterrupt"):
        task.once("l", interrupted, attempts=1)


def test_a_run_is_in_the_callers_thread(store: ccs.Store) -> None:
    assert store.task("t").once("k", threading.get_ident) == threading.get_ident()


# --- Decorated --------------------------------------------------------------------------------------------------------


def test_a_decorated_function_runs_once_for_each_key_that_its_arguments_make(store: ccs.Store) -> None:
    task, calls = store.task("t"), []

    @task.idempotent("charge/{order}")
    def charge(order: str, amount: int = 10) -> str:
        """Takes the money."""
        calls.append((order, amount))
        return f"{amount} for {order}"

    for _ in "once", "and again":
        assert charge("a") == charge("a", 10) == charge(order="a", amount=10) == "10 for a"
        assert charge("b", amount=20) == "20 for b"
    assert calls == [("a", 10), ("b", 20)]
    with pytest.raises(ccs.IdempotencyMismatch) as caught:
        charge("a", 11)
    assert caught.value.key == "charge/a"
    assert task.once("charge/b", charge, input={"order": "b", "amount": 20}) == "20 for b"
    assert (charge.__name__, charge.__doc__) == ("charge", "Takes the money.")  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="order"):
        charge()
    assert len(calls) == 2


async def test_decorated_functions_of_both_kinds_are_awaited(atask: Any) -> None:
    @atask.idempotent("a/{order}")
    async def charge(order: str) -> str:
        return f"paid {order}"

    @atask.idempotent("b/{order}")
    def refund(order: str) -> str:
        return f"got {order}"

    assert inspect.iscoroutinefunction(charge)
    for _ in "once", "and again":
        assert (await charge("x"), await refund("x")) == ("paid x", "got x")


def test_a_decorated_function_gets_the_token_and_callers_do_not_see_it(store: ccs.Store) -> None:
    task = store.task("t")

    @task.idempotent("charge/{order}")
    def charge(order: str, *rest: int, token: int, **more: int) -> list[Any]:
        return [order, rest, token, more]

    found = charge("a", 1, 2, x=3)
    token = next(change.revision for change in task.history("@runs/*/*") if change.op == "set")
    assert found == charge("a", 1, 2, x=3) == ["a", [1, 2], token, {"x": 3}]
    assert str(inspect.signature(charge)) == "(order: 'str', *rest: 'int', **more: 'int') -> 'list[Any]'"


def test_the_terms_of_a_decorated_function_are_those_of_once(store: ccs.Store) -> None:
    task, work = store.task("t"), Work(ValueError("no"))

    @task.idempotent("k", attempts=2, type=str)
    def fail() -> str:
        return str(work())

    for error in (ValueError, ValueError, ccs.RetriesExhausted, ccs.RetriesExhausted):
        with pytest.raises(error):
            fail()
    assert work.runs == 2
    for wrong in ({"lease": 0}, {"keep": 0}, {"attempts": 0}):
        with pytest.raises(ccs.InvalidValue):
            task.idempotent("k", **wrong)


@pytest.mark.parametrize("template", ["{}", "{0}", "{ordr}", "{order", "order}", "{order!x}", "{token}", None])
def test_a_key_that_the_arguments_cannot_fill_is_refused_when_the_function_is_decorated(
    store: ccs.Store, template: Any
) -> None:
    def charge(order: str, *, token: int) -> None: ...

    with pytest.raises(ccs.InvalidValue):
        store.task("t").idempotent(template)(charge)


def test_arguments_that_cannot_be_stored_are_refused_before_anything_runs(store: ccs.Store) -> None:
    work = Work("never")
    decorated = store.task("t").idempotent("k")(lambda thing: work(thing))
    with pytest.raises(ccs.EncodingError):
        decorated(object())
    assert work.runs == 0


def test_only_the_arguments_that_are_named_tell_requests_apart(store: ccs.Store) -> None:
    task, calls = store.task("t"), []

    @task.idempotent("charge/{order}", input=("order", "amount"))
    def charge(order: str, amount: int, connection: object) -> int:
        calls.append(connection)
        return amount

    assert charge("a", 10, object()) == charge("a", 10, object()) == 10
    with pytest.raises(ccs.IdempotencyMismatch):
        charge("a", 11, calls[0])
    assert len(calls) == 1
    free = task.idempotent("free/{order}", input=())(lambda order, amount: amount)
    assert free("a", 10) == free("a", 11) == 10
    for wrong in ("order", ("order", "amont"), 7):
        with pytest.raises(ccs.InvalidValue, match="input"):
            task.idempotent("k", input=wrong)(lambda order: order)  # type: ignore[arg-type]  # on purpose


class Till:
    """Takes money; not storable itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.orders: list[str] = []


def test_methods_run_once_whatever_their_object(store: ccs.Store) -> None:
    task = store.task("t")

    class Counted(Till):
        @task.idempotent("method/{order}")
        def charge(self, order: str, *, token: int) -> str:
            self.orders.append(order)
            return f"{order} at {self.name}, {token > 0}"

        @task.idempotent("own/{self.name}/{order}")
        def charge_here(self, order: str) -> str:
            return f"{order} at {self.name}"

        @classmethod
        @task.idempotent("class/{order}")
        def refund(cls, order: str) -> str:
            return f"{order} by {cls.__name__}"

        @staticmethod
        @task.idempotent("static")
        def look(order: str) -> str:
            return order

    first, second = Counted("north"), Counted("south")
    assert first.charge("a") == second.charge("a") == Counted.charge(second, "a") == "a at north, True"
    assert first.orders + second.orders == ["a"]
    assert (first.charge_here("a"), second.charge_here("a")) == ("a at north", "a at south")
    assert (first.refund("a"), Counted.refund("a")) == ("a by Counted", "a by Counted")
    assert Counted.look("a") == first.look("a") == "a"
    with pytest.raises(ccs.IdempotencyMismatch):
        first.look("b")
    with pytest.raises(ccs.EncodingError):
        task.idempotent("k")(lambda self: self.name)(first)


async def test_a_coroutine_method_runs_once(atask: Any) -> None:
    class Counted(Till):
        @atask.idempotent("charge/{order}")
        async def charge(self, order: str) -> str:
            self.orders.append(order)
            return self.name

    first, second = Counted("north"), Counted("south")
    assert await asyncio.gather(first.charge("a"), second.charge("a"), first.charge("a")) in (
        ["north"] * 3,
        ["south"] * 3,
    )
    assert len(first.orders + second.orders) == 1
