"""The schedule of a store: which calls the commit dispatcher makes for which contexts, and when.

Calls that are due at one time are sent together: a thousand contexts with one lease each cost a few round trips, not a
thousand. The blocking dispatcher runs this class in its thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ccs._async.transport.commands import Commands
from ccs._core.agenda import Agenda
from ccs._core.commits.script_calls import Call
from ccs._core.retry import Patience
from ccs._log import logger
from ccs.errors import CCSError, Forbidden, UnknownFormat

__all__ = ["Appointment", "Schedule", "ScheduledCall"]

# How many operations are sent together. Seconds that they may take, since what is due next has to wait; and until a
# retry.
_WEIGHT = 512
_PATIENCE = 1.0
_REST = 1.0

Appointment = tuple[str, str]
"""The kind, and the address of the context."""


@dataclass(frozen=True, slots=True)
class ScheduledCall:
    """A call of a script, and the function that gets its answer. `weight` counts single operations."""

    call: Call[Any]
    take: Callable[[Any], object]
    weight: int = 1


class Schedule:
    """Runs appointments when they are due: `kinds` has a function for each kind, which returns the errands to run.

    It calls `refused` with the address of a context whose format this version does not know.
    """

    def __init__(
        self,
        commands: Commands,
        kinds: dict[str, Callable[[str], Sequence[ScheduledCall]]],
        call_soon: Callable[..., object],
        refused: Callable[[str], object],
    ) -> None:
        self._commands = commands
        self._kinds = kinds
        self._call_soon = call_soon
        self._refused = refused
        self._agenda: Agenda[Appointment] = Agenda()
        self._forbidden: set[Appointment] = set()
        self._planned = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Schedule by {self._agenda!r}>"

    def plan(self, kind: str, address: str, seconds: float) -> None:
        """Makes an appointment in so many seconds, unless there is an earlier one. Called from any thread."""
        what = kind, address
        when = time.monotonic() + seconds
        if what not in self._forbidden and not self._agenda.covers(what, when):
            self._call_soon(self._appoint, what, when)

    def covers(self, kind: str, address: str, seconds: float) -> bool:
        """Returns whether there is an appointment by then. Called from any thread."""
        return self._agenda.covers((kind, address), time.monotonic() + seconds)

    def cancel(self, kind: str, address: str) -> None:
        """Cancels an appointment, if there is one."""
        self._agenda.cancel((kind, address))

    async def aclose(self) -> None:
        """Ends all appointments."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _appoint(self, what: Appointment, when: float) -> None:
        if self._agenda.plan(what, when):
            self._planned.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="ccs appointments")

    async def _keep(self) -> None:
        while True:
            when = self._agenda.next()
            self._planned.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if when is None else max(0.0, when - time.monotonic())):
                    await self._planned.wait()
            await self._run(self._agenda.due(time.monotonic()))

    async def _run(self, due: Sequence[Appointment]) -> None:
        failure: Exception | None = None
        for some in _loads((what, errand) for what in due for errand in self._errands(what)):
            failure = failure or await self._travel(some)
            if failure:
                # The server does not answer, so the rest is not tried either.
                for what, _ in some:
                    self._agenda.plan(what, time.monotonic() + _REST)
        if failure:
            logger.warning("%d appointments failed, to be retried in a second: %s", len(due), failure)

    def _errands(self, what: Appointment) -> Sequence[ScheduledCall]:
        kind, address = what
        try:
            return self._kinds[kind](address)
        except Exception as error:  # noqa: BLE001  # whatever it is, the other appointments run
            self._failed(what, error)
            return ()

    async def _travel(self, some: Sequence[tuple[Appointment, ScheduledCall]]) -> Exception | None:
        patience = Patience(time.monotonic() + _PATIENCE)
        try:
            replies = await self._commands.calls([errand.call for _, errand in some], patience)
        except Exception as error:  # noqa: BLE001  # as above
            return error
        for (what, errand), reply in zip(some, replies, strict=True):
            try:
                if isinstance(reply, Exception):
                    raise reply
                errand.take(errand.call.parse(reply))
            except Exception as error:  # noqa: BLE001  # as above
                self._failed(what, error)
        return None

    def _failed(self, what: Appointment, error: Exception) -> None:
        kind, address = what
        if isinstance(error, Forbidden):
            # Clients with that right do it for all; a retry after every read would not help.
            self._forbidden.add(what)
            logger.warning("%s of %s is left to others: %s", kind, address, error)
            return
        if isinstance(error, UnknownFormat):
            logger.error("%s of %s is left to others: %s", kind, address, error)
            self._refused(address)
            return
        if isinstance(error, CCSError):
            logger.warning("%s of %s failed, to be retried in a second: %s", kind, address, error)
        else:
            logger.error("%s of %s failed, to be retried in a second", kind, address, exc_info=error)
        self._agenda.plan(what, time.monotonic() + _REST)


def _loads(errands: Iterator[tuple[Appointment, ScheduledCall]]) -> Iterator[list[tuple[Appointment, ScheduledCall]]]:
    """Splits errands into loads that are sent together, in order."""
    load: list[tuple[Appointment, ScheduledCall]] = []
    weight = 0
    for what, errand in errands:
        if load and weight + errand.weight > _WEIGHT:
            yield load
            load = []
            weight = 0
        load.append((what, errand))
        weight += errand.weight
    if load:
        yield load
