"""Writers and watchers of one store that go on whatever happens to its servers, and what they have seen."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import ccs
from tests.support.waiting import scaled

__all__ = ["Received", "Traffic", "traffic"]


class Received(defaultdict[str, list[int]]):
    """The revisions that watches have delivered, by the address of the context; and the forks that they told of."""

    def __init__(self, name: str, *, ends: bool) -> None:
        super().__init__(list)
        self.name = name
        self.ends = ends
        """Whether a watch ends with a fork; else it goes on behind it."""
        self.forks: dict[str, list[ccs.HistoryForked]] = defaultdict(list)

    @property
    def forked(self) -> set[str]:
        """The contexts with a fork."""
        return {*self.forks}

    def complaints(self, address: str, revisions: list[int]) -> list[str]:
        """What was not told, for a context whose journal has these revisions."""
        seen = self[address]
        if seen != sorted(set(seen)):
            return [f"{self.name}: {address}: not in order, or twice: {seen}"]
        missed = [
            at for at, revision in enumerate(revisions) if revision not in set(seen) and self._owes(address, revision)
        ]
        lost = [at for at, revision in enumerate(seen) if revision not in set(revisions) and address not in self.forks]
        return [
            f"{self.name}: {address}: {what} at {where} of {count}, and told of {self.forks.get(address, 'no fork')}"
            for what, where, count in (("missed", missed, len(revisions)), ("has what is lost", lost, len(seen)))
            if where
        ]

    def _owes(self, address: str, revision: int) -> bool:
        """Whether a commit was to be delivered: in a fork, what was written between its two ends was not."""
        return not any(
            fork.since < revision and (self.ends or revision <= fork.last) for fork in self.forks.get(address, ())
        )


class Traffic:
    """What was acknowledged, and what each watch has received, by the address of the context."""

    def __init__(self, tasks: list[Any]) -> None:
        self.tasks = tasks
        self.acknowledged: dict[str, list[int]] = defaultdict(list)
        self.not_durable = 0
        self.seen = Received("the watch", ends=True)
        self.seen_by_all = Received("the store watch", ends=False)
        self.slowest = 0.0
        self.stopping = False

    @property
    def forked(self) -> set[str]:
        """The contexts whose fork was told by any watch."""
        return self.seen.forked | self.seen_by_all.forked

    async def histories(self) -> dict[str, list[int]]:
        """The revisions of what was written, by context."""
        return {task.address: [change.revision for change in await task.history("n*")] for task in self.tasks}

    def lost(self, histories: Mapping[str, list[int]]) -> dict[str, list[int]]:
        """What was acknowledged and is not there, by context."""
        found = {
            address: sorted(set(self.acknowledged[address]) - set(revisions))
            for address, revisions in histories.items()
        }
        return {address: revisions for address, revisions in found.items() if revisions}

    def complaints(self, histories: Mapping[str, list[int]]) -> list[str]:
        """Where a watch was not told the truth: of each commit, or of what was lost."""
        untold = [f"{address}: lost, and told by no watch" for address in self.lost(histories).keys() - self.forked]
        return untold + [
            complaint
            for address, revisions in histories.items()
            for received in (self.seen, self.seen_by_all)
            for complaint in received.complaints(address, revisions)
        ]

    async def write(self, task: Any, path: str) -> None:
        number = 0
        while not self.stopping:
            began = time.monotonic()
            try:
                entry = await task.set(path, number)
            except ccs.NotDurable:
                self.not_durable += 1
            else:
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.acknowledged[task.address].append(entry.revision)
            number += 1
            await asyncio.sleep(0.005)

    async def receive(self, watch: Any, into: Received) -> None:
        while True:
            last = self.stopping
            try:
                change = await watch.receive(timeout=scaled(1) if last else 0.2)
            except TimeoutError:
                if last:
                    return
            except ccs.HistoryForked as error:
                into.forks[error.address].append(error)
                if into.ends:
                    return  # the watch of one context ends with its history
            else:
                into[change.context].append(change.revision)


@asynccontextmanager
async def traffic(
    store: Any, contexts: int = 6, writers: int = 2, name: str = "t", durable: dict[str, Any] | None = None
) -> AsyncIterator[Traffic]:
    """So many writers to each context, a watch of each, and one of the whole store. At the end, all has been received.

    `durable` are the arguments of a `Context.durable` through which all is written.
    """
    tasks = [store.task(f"{name}{number}") for number in range(contexts)]
    for task in tasks:
        await task.set("first", 0)
    found = Traffic(tasks)
    async with AsyncExitStack() as stack:
        receiving = [(await stack.enter_async_context(task.watch("n*")), found.seen) for task in tasks]
        receiving.append((await stack.enter_async_context(store.watch(f"/tasks/{name}*/n*")), found.seen_by_all))
        async with asyncio.TaskGroup() as group:
            for watch, into in receiving:
                group.create_task(found.receive(watch, into))
            through = [task.durable(**durable) if durable else task for task in tasks]
            writing = [found.write(task, f"n{number}") for task in through for number in range(writers)]
            for each in writing:
                group.create_task(each)
            try:
                yield found
            finally:
                found.stopping = True
