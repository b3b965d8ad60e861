"""Work that tests run once, and how they look at its entries without the library."""

from __future__ import annotations

import threading
from typing import Any

from anyio import to_thread

from ccs._core.commits.operations import renew_op
from tests.support.colours import Awaited
from tests.support.waiting import aeventually, scaled


class Work:
    """A plain function that counts its runs, and never notices that it runs beside itself: it would fail.

    Each run does what the next outcome says: an exception is raised, a callable is called, all else is the result; the
    last outcome is for all further runs. While `gate` is closed, runs wait in it.
    """

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes, self._alone = outcomes, threading.Lock()
        self.runs = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, *args: Any) -> Any:
        assert self._alone.acquire(blocking=False), "two runs at one time"
        try:
            self.runs += 1
            outcome = self._outcomes[min(self.runs, len(self._outcomes)) - 1]
            assert self.gate.wait(scaled(20))
        finally:
            self._alone.release()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome(*args) if callable(outcome) else outcome

    async def begun(self, runs: int = 1) -> None:
        await aeventually(lambda: self.runs >= runs, what=f"run {runs}")


async def commit(task: Any, *commits: Any) -> Any:
    """Commits for the test, in either colour."""
    if isinstance(task, Awaited):
        return await to_thread.run_sync(lambda: task.handle.commit(*commits))
    return await task.handle.commit(*commits)


async def stall(task: Any, key: str) -> None:
    """Lets the lease of the run of a key expire, as if its process had been stopped: not renewed, and due."""
    # The blocking dispatcher is told of them a moment after they were taken.
    await aeventually(lambda: len(leases_of(task, key)) == 2, what="the runner to hold its leases")
    for lease in leases_of(task, key):
        task.handle.let_go(lease)
    await aeventually(lambda: not leases_of(task, key), what="the renewals to end")
    await commit(task, [renew_op(f"@runs/{key}", 1)])
    task.handle.expect(1)
    await aeventually(lambda: lapsed(task, key), what="the lease to lapse")


def leases_of(task: Any, key: str) -> list[Any]:
    """Returns the leases of a run that are renewed: of the run, and of its record."""
    dispatcher = task.handle.engine.opening.dispatcher
    leases = getattr(dispatcher, "_dispatcher", dispatcher)._leases.of(task.address)
    return [lease for lease in leases if lease.path in (f"@runs/{key}", f"@once/{key}")]


async def lapsed(task: Any, key: str) -> bool:
    return not await task.exists(f"@runs/{key}")


async def state(task: Any, key: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = await task.get(f"@once/{key}")
    return found
