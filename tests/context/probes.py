"""What the tests of a context have in common, and how they look at it without the library."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anyio import to_thread

from ccs._core.commits.operations import set_op
from tests.support.colours import Awaited

Open = Callable[..., Awaitable[Any]]

WRITES: dict[str, Callable[[Any, str], Any]] = {
    "set": lambda task, path: task.set(path, 1),
    "create": lambda task, path: task.create(path, 1),
    "delete": lambda task, path: task.delete(path),
    "set_many": lambda task, path: task.set_many({"fine": 1, path: 2}),
    "update": lambda task, path: task.update(path, lambda value: 1),
    "merge": lambda task, path: task.merge(path, {}),
    "increment": lambda task, path: task.increment(path),
    "append": lambda task, path: task.append(path, 1),
    "renew": lambda task, path: task.renew(path, 60),
}
"""Every method that writes, at a path."""


async def stored(task: Any, path: str) -> bytes:
    """The bytes of a value as they lie in the server, without the header."""
    place, command = task.handle, ("HGET", task.handle.keys.entries, path)
    if isinstance(task, Awaited):
        raw = await to_thread.run_sync(place.opening.run, command)
    else:
        raw = await place.opening.run(command)
    *_, length, rest = raw.split(b" ", 6)
    return bytes(rest[int(length) :])


async def put(task: Any, path: str, raw: bytes) -> None:
    """Stores a value whose bytes another program might have written."""
    operations = [set_op(path, raw)]
    if isinstance(task, Awaited):
        await to_thread.run_sync(task.handle.commit, operations)
    else:
        await task.handle.commit(operations)


async def unchanged(task: Any, attempt: Any, error: type[Exception]) -> Any:
    """Awaits what must fail with that error, and that nothing was written; the error."""
    before = await task.snapshot("**", "@*/**"), await task.revision(), await task.history()
    with pytest.raises(error) as caught:
        await attempt
    assert (await task.snapshot("**", "@*/**"), await task.revision(), await task.history()) == before
    return caught.value


async def gone(task: Any, path: str) -> bool:
    """Whether there is no entry, or none any more."""
    return not await task.exists(path)


async def ended(task: Any) -> bool:
    """Whether the context is not there, or no more."""
    return bool(await task.revision() == 0)
