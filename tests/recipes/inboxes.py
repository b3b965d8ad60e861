"""How the tests of inboxes change and read inboxes without the library."""

from __future__ import annotations

from typing import Any

import pytest

from ccs._core.commits.operations import renew_op
from ccs._core.recipes.inbox import inbox_paths
from tests.recipes.work import commit
from tests.support.colours import Awaited
from tests.support.waiting import aeventually, scaled

PATIENCE = scaled(10)


async def lapse(task: Any, message: Any) -> None:
    """Lets the lease on a message expire, or the delay of its release."""
    path = inbox_paths(message.to).at("leases", message.id)
    await commit(task, [renew_op(path, 1)])
    task.handle.expect(1)
    await aeventually(lambda: _missing(task, path), what="the lease to lapse")


async def _missing(task: Any, path: str) -> bool:
    return not await task.exists(path)


async def take(task: Any, role: str = "r", **options: Any) -> Any:
    """Returns the message that a new receiver gets; the receiver is not closed, or it would give the message back."""
    return await task.inbox(role, **options).receive(timeout=PATIENCE)


async def assert_nothing(task: Any, role: str = "r", **options: Any) -> None:
    """Asserts that a new receiver gets no message."""
    async with task.inbox(role, **options) as inbox:
        with pytest.raises(TimeoutError):
            await inbox.receive(timeout=0)


async def close(closing: Any) -> None:
    """Closes a store or an inbox of either colour."""
    await (closing.close() if isinstance(closing, Awaited) else closing.aclose())


async def contents(messages: Any) -> list[Any]:
    return [message.content for message in await messages]


async def left_behind(task: Any) -> list[str]:
    """Returns the paths of the entries of all inboxes."""
    found: list[str] = await task.paths("@inbox/**")
    return found


async def nothing_left(task: Any) -> bool:
    return not await left_behind(task)
