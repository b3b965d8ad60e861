"""An agent: one that makes calls, one after the other, and notes each before it is sent and after it is answered."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any

import ccs
from ccs._core.codec import encode
from tests.torture.diary import Diary
from tests.torture.truth import mark
from tests.torture.workload.paths import CONTEXTS

__all__ = ["Agent", "Broken", "mark_of", "outcome_of"]


class Broken(Exception):
    """Work that fails, as work does."""


def mark_of(value: Any) -> int:
    """The mark of a value."""
    return mark(encode(value))


def outcome_of(error: BaseException) -> str:
    """What a diary calls this error."""
    open_ended = isinstance(error, ccs.Unavailable) and error.maybe_applied
    return f"{type(error).__name__}{'?' if open_ended else ''}"


Shape = Callable[[Any], dict[str, Any]]


class Agent:
    """One agent of a store. Its name is its own, so that its commits are found in the journal."""

    def __init__(self, store: Any, name: str, diary: Diary, dice: random.Random, progress: Callable[[], None]) -> None:
        self.store, self.name, self.diary, self.dice, self._progress = store, name, diary, dice, progress
        self._contexts: dict[str, Any] = {}
        self._written = 0
        self.revisions: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=8))

    @property
    def store_name(self) -> str:
        """The name of what its store does by itself."""
        return self.name.partition(".")[0]

    def context(self, address: str | None = None) -> Any:
        """The context at an address, or any; its journal is kept whole."""
        address = address or self.dice.choice(CONTEXTS)
        if address not in self._contexts:
            self._contexts[address] = self.store.context(
                address, agent=self.name, ttl=None, keep_commits=100_000_000, keep_bytes=2**40
            )
        return self._contexts[address]

    def value(self) -> dict[str, Any]:
        """A value that nobody else writes, and this agent once."""
        self._written += 1
        return {"by": f"{self.diary.process}.{self.name}", "n": self._written, "x": self.dice.choice(_FILLINGS)}

    async def call(
        self, op: str, task: Any, made: Awaitable[Any], shape: Shape, *, quiet: bool = True, by: str = "", **args: Any
    ) -> Any:
        """Makes a call and notes it. Returns its result; None if it was refused, which is raised unless `quiet`.

        `by`: the name under which it is made, if not that of the agent.
        """
        address = task.address
        number = self.diary.ask(by or self.name, op, address, task.last_revision, args)
        try:
            result = await made
        except EXPECTED as error:
            facts = {"revision": error.revision} if isinstance(error, ccs.NotDurable) else {}
            self._answer(number, outcome_of(error), task, facts)
            if quiet:
                return None
            raise
        except Exception as error:  # noqa: BLE001  # the checker tells that it is not documented
            self._answer(number, type(error).__name__, task, {"text": str(error)[:500]})
            return None
        reply = shape(result)
        if "revision" in reply and op not in ("at", "snapshot"):
            self.revisions[address].append(reply["revision"])
        self._answer(number, "ok", task, reply)
        return result

    def _answer(self, number: int, outcome: str, task: Any, reply: dict[str, Any]) -> None:
        self.diary.answer(number, outcome, task.last_revision, reply)
        self._progress()


_FILLINGS = (None, "", "123", 0, 2**70, [1, {"a": None}], "é" * 9, 1.5, True)

EXPECTED = (ccs.CCSError, TimeoutError, Broken)
"""What may come of any call. The checker says which of them are documented."""
