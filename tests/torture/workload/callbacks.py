"""What is called back: subscriptions to changes and to events, and those of a memory. Each notes what it was given.

A subscription is over once its callback was called with a last commit that was made for that. Callbacks do what callbacks
do: they are slow, they raise, and they use the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from anyio import to_thread

import ccs
from tests.torture.history import Delivery
from tests.torture.workload.agent import EXPECTED, Agent, Broken, mark_of
from tests.torture.workload.moves import delivery_of, event_of, maybe, wrote
from tests.torture.workload.paths import WATCHED

__all__ = ["CallBack", "called_back", "called_back_by_memory"]

_MEMORY = "/tasks/m"


class CallBack:
    """A callback and its error handler, of either colour."""

    def __init__(self, agent: Agent, address: str, name: str, kind: str, end: str) -> None:
        self.agent, self.address, self.name, self.kind, self.end = agent, address, name, kind, end
        self.heard_all = False
        self.failure: BaseException | None = None
        self._got: list[Delivery] = []
        self._noted = 0
        self._raised: list[list[Any]] = []
        self._told: list[list[Any]] = []
        self._loop = asyncio.get_running_loop()

    def called(self, item: Any) -> None:
        """As a plain function."""
        self._take(item)
        self._trip(item)

    def called_and_writes(self, item: Any) -> None:
        """As a function of the blocking colour, which may use the store."""
        self._take(item)
        if self.agent.dice.random() < 0.1:
            asyncio.run_coroutine_threadsafe(self._write(), self._loop).result()
        self._trip(item)

    async def awaited(self, item: Any) -> None:
        """As a coroutine function."""
        self._take(item)
        if self.agent.dice.random() < 0.1:
            await self._write()
        self._trip(item)

    def on_error(self, error: BaseException, item: Any) -> None:
        """What did not work; that a server is away for a while is no end."""
        if isinstance(error, Broken):
            self._told.append([item.revision, item.topic if isinstance(item, ccs.Event) else item.path])
        elif not isinstance(error, ccs.Unavailable):
            self.failure = error

    def _take(self, item: Any) -> None:
        self._got.append(_SHAPES[self.kind](item))

    def _trip(self, item: Any) -> None:
        got, chance = _SHAPES[self.kind](item), self.agent.dice.random()
        if got.path == self.end:
            self.heard_all = True
        elif chance < 0.1:
            self._raised.append([got.revision, got.path])
            raise Broken(got.path)

    async def _write(self) -> None:
        task = self.agent.context(self.address)
        await self.agent.call(
            "increment", task, task.increment("cb/n"), lambda found: {"writes": [["cb/n", mark_of(found)]]}
        )

    def note(self) -> None:
        """Notes what it was called with since the last time."""
        got = self._got[self._noted :]
        self._noted += len(got)
        if got:
            self.agent.diary.delivered(self.name, got)

    def note_end(self, cursor: int) -> None:
        """Notes its end, at the revision of its last commit, if it came that far."""
        self.note()
        how = "closed" if self.failure is None else type(self.failure).__name__
        self.agent.diary.end(self.name, how, cursor if how == "closed" else 0)
        # Others may have committed more before the last commit was answered.
        whole = bool(self._got) and self._got[-1].path == self.end
        errors = {"raised": self._raised, "told": self._told, "whole": whole}
        self.agent.diary.note("callback errors", address=self.address, name=self.name, **errors)


def _memory_event(event: ccs.MemoryEvent) -> Delivery:
    marks = [None if value is None else mark_of(value) for value in (event.data, event.previous_data)]
    return Delivery(event.key, event.action, event.revision, 0, marks[0], marks[1], False, event.agent)


_SHAPES: dict[str, Callable[[Any], Delivery]] = {
    "changes": delivery_of, "live": delivery_of, "events": event_of, "memory": _memory_event,
}  # fmt: skip


async def called_back(agent: Agent, over: Callable[[], bool]) -> None:
    """One subscription after the other."""
    count = 0
    while not over():
        count += 1
        try:
            await _subscribe(agent, f"{agent.name}.cb{count}", over)
        except EXPECTED:
            await asyncio.sleep(0.2)


async def _subscribe(agent: Agent, name: str, over: Callable[[], bool]) -> None:
    task, end = agent.context(), f"cb/{agent.diary.process}-{agent.name}"
    kind = agent.dice.choice(("changes", "live", "events"))
    patterns = (*(("e/**",) if kind == "events" else agent.dice.choice(WATCHED)), end)
    since = None if kind == "live" else await task.revision()
    agent.diary.open(name, task.address, kind, patterns, since)
    back = CallBack(agent, task.address, name, kind, end)
    make = task.subscribe_events if kind == "events" else task.subscribe
    subscription = await maybe(make(list(patterns), _in_colour(task, back), since=since, on_error=back.on_error))
    try:
        await _live(agent, task, subscription)
        agent.diary.entered(name, since or 0)
        for _ in range(agent.dice.randrange(5, 40)):
            await asyncio.sleep(0.2)
            back.note()
            if over() or back.failure:
                break
        cursor = await _hear_the_last(back, task)
    finally:
        await (to_thread.run_sync(subscription.cancel) if _is_blocking(task) else maybe(subscription.cancel()))
    back.note_end(cursor)


def _is_blocking(task: Any) -> bool:
    return hasattr(task, "blocking")


def _in_colour(task: Any, back: CallBack) -> Callable[[Any], Any]:
    if _is_blocking(task):
        return back.called_and_writes
    chosen: Callable[[Any], Any] = back.agent.dice.choice((back.called, back.awaited))
    return chosen


async def _live(agent: Agent, task: Any, subscription: Any) -> None:
    """A blocking subscription is live by now; one of asyncio when it says so, and before the store's next command."""
    if _is_blocking(task) or agent.dice.random() < 0.5:
        await task.revision()
    else:
        await subscription.ready(timeout=30)


async def _hear_the_last(back: CallBack, task: Any) -> int:
    """Makes a last commit and waits until the callback is called with it. Returns its revision, 0 if there is none."""
    agent, value = back.agent, back.agent.value()
    writes = [[back.end, mark_of(value)]]
    if back.kind == "events":
        last = await agent.call(
            "publish", task, task.publish(back.end, value), lambda made: {"revision": made, "writes": writes},
            writes=writes,
        )  # fmt: skip
        revision = int(last or 0)
    else:
        entry = await agent.call("set", task, task.set(back.end, value), wrote, writes=writes)
        revision = entry.revision if entry else 0
    for _ in range(300 if revision else 0):
        if back.heard_all or back.failure:
            break
        await asyncio.sleep(0.1)
    return revision


async def called_back_by_memory(agent: Agent, over: Callable[[], bool]) -> None:
    """A callback of a memory, which ends with its store."""
    task, end = agent.context(_MEMORY), f"cb/{agent.diary.process}-{agent.name}"
    name, patterns = f"{agent.name}.memory", ("s/*", end)
    memory = await maybe(agent.store.memory(workflow="m", agent=agent.name))
    back = CallBack(agent, task.address, name, "memory", end)
    agent.diary.open(name, task.address, "memory", patterns, None)
    try:
        if _is_blocking(task):
            register = memory.blocking.on_change(*patterns, scope="workflow", on_error=back.on_error)
            await to_thread.run_sync(register, back.called_and_writes)
        else:
            memory.on_change(*patterns, scope="workflow", on_error=back.on_error)(back.called)
        await task.revision()
    except EXPECTED:
        return
    agent.diary.entered(name, 0)
    while not over() and not back.failure:
        await asyncio.sleep(0.2)
        back.note()
    back.note_end(await _hear_the_last(back, task))
