"""One test for both colours, the other way round: an asyncio store that is spoken to as if it were a blocking one.

For what is no coroutine itself: state machines, threads, and programs of processes of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

import ccs
import ccs.aio

WRAPPED = ("Store", "Context", "Memory", "Semantic", "Episodic", "Procedural")


class Blocked:
    """An asyncio store, context or memory, whose calls run on its loop, in a thread of its own."""

    def __init__(self, portal: BlockingPortal, inner: Any) -> None:
        self._portal, self._inner = portal, inner

    def __repr__(self) -> str:
        return f"<Blocked {self._inner!r}>"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return partial(self._call, found) if inspect.ismethod(found) else self._blocked(found)

    def _call(self, method: Any, *args: Any, **options: Any) -> Any:
        return self._blocked(self._portal.call(partial(method, *args, **options)))

    def _blocked(self, result: Any) -> Any:
        if inspect.isfunction(result):  # a decorator
            return partial(self._call, result)
        return Blocked(self._portal, result) if type(result).__name__ in WRAPPED else result


@contextmanager
def open_in(colour: str, target: str, **options: Any) -> Iterator[Any]:
    """An entered store of a colour; both are called without `await`, from any thread."""
    if colour == "blocking":
        with ccs.connect(target, **options) as store:
            yield store
        return
    with start_blocking_portal() as portal:
        opened: Any = portal.wrap_async_context_manager(ccs.aio.connect(target, **options))
        with opened as store:
            yield Blocked(portal, store)
