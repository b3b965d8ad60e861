"""Decorated functions of a notebook whose cell is run again: the new one replaces the old one, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

import ccs
import ccs.aio
from tests.support.waiting import aeventually, eventually

CELLS = {
    "changes": "@task.on_change({patterns})\ndef react(change): calls.append(({number}, change.value))",
    "events": "@task.on_event({patterns})\ndef react(event): calls.append(({number}, event.data))",
    "bus": "@task.bus.subscribe({patterns})\ndef react(data): calls.append(({number}, data))",
    "memory": "@memory.on_change({patterns})\ndef react(event): calls.append(({number}, event.data))",
}


def run(kind: str, number: int, names: dict[str, Any], patterns: str = "'p'", module: str = "__main__") -> None:
    """Runs a cell."""
    exec(CELLS[kind].format(number=number, patterns=patterns), {"__name__": module, **names})  # noqa: S102  # as a notebook does


def write(task: ccs.Context, kind: str, value: int) -> None:
    task.publish("p", value) if kind in ("events", "bus") else task.set("p", value)


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_that_is_run_again_calls_once(store: ccs.Store, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[tuple[int, int]] = []
    task = store.task("t")
    names = {"task": task, "memory": store.memory(workflow="t"), "calls": calls}
    for number in range(3):
        run(kind, number, names)
        write(task, kind, number)
        eventually(lambda: calls)
        write(task, kind, 10 + number)
        eventually(lambda: (number, 10 + number) in calls)  # noqa: B023  # called at once
        assert calls == [(number, number), (number, 10 + number)]
        calls.clear()
    assert caplog.text.count("react was decorated again") == 2 * (2 if kind == "memory" else 1)
    states = [each.state for each in store._engine.subscriptions]  # type: ignore[attr-defined]  # of a worker
    assert states.count("live") == (2 if kind == "memory" else 1)


def test_other_patterns_contexts_kinds_and_names_are_not_replaced(store: ccs.Store) -> None:
    calls: list[tuple[int, int]] = []
    names = {"task": store.task("t"), "memory": store.memory(workflow="t"), "calls": calls}
    for number, (kind, patterns) in enumerate([("changes", "'p'"), ("changes", "'*'"), ("memory", "'p'")]):
        run(kind, number, names, patterns)
    run("changes", 3, {**names, "task": store.task("other")})
    run("changes", 4, names, module="imported")
    run("changes", 5, names, module="imported")
    exec(  # noqa: S102  # as a notebook does
        "def decorate(number):\n"
        "    @task.on_change('p')\n"
        "    def react(change): calls.append((number, change.value))\n"
        "decorate(6), decorate(7)\n"
        "task.on_change('p')(lambda change: calls.append((8, change.value)))\n"
        "task.on_change('p')(lambda change: calls.append((9, change.value)))\n"
        "task.subscribe('p', named := (lambda change: calls.append((10, change.value))))\n"
        "def react(change): calls.append((11, change.value))\n"
        "task.subscribe('p', react), task.subscribe('p', react)\n",
        {"__name__": "__main__", **names},
    )
    store.task("t").set("p", 1)
    store.task("other").set("p", 1)
    eventually(lambda: len(calls) == 13)
    assert sorted(number for number, _ in calls) == [*range(12), 11]


@pytest.mark.parametrize("kind", CELLS)
def test_methods_of_two_objects_are_both_called(store: ccs.Store, kind: str) -> None:
    calls: list[tuple[int, int]] = []
    task = store.task("t")
    exec(  # noqa: S102  # as a program does
        "class Agent:\n"
        "    def __init__(self, number): self.number = number\n"
        f"    def react(self, item): calls.append((self.number, item if {kind == 'bus'} else getattr(item, value)))\n"
        f"for number in (1, 2): {CELLS[kind].split('{')[0].removeprefix('@')}'p')(Agent(number).react)\n",
        {
            "__name__": "__main__",
            "task": task,
            "memory": store.memory(workflow="t"),
            "calls": calls,
            "value": "value" if kind == "changes" else "data",
        },
    )
    write(task, kind, 7)
    eventually(lambda: len(calls) == 2)
    assert sorted(calls) == [(1, 7), (2, 7)]


async def test_before_the_store_is_entered_and_after_it_was_closed_too(aconnect: Any) -> None:
    calls: list[tuple[int, int]] = []
    store: ccs.aio.Store = aconnect()
    task = store.task("t")
    names = {"task": task, "calls": calls}
    run("changes", 0, names)
    run("changes", 1, names)
    async with store:
        await task.set("p", 5)
        await aeventually(lambda: calls)
    async with store:
        run("changes", 2, names)
        await task.set("p", 6)
        await aeventually(lambda: len(calls) > 1)
    async with store:
        await task.set("p", 7)
        await aeventually(lambda: len(calls) > 2)
    assert calls == [(1, 5), (2, 6), (2, 7)]
