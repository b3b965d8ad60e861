"""How the tests of claims change holds, and look at them, without the library."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from anyio import to_thread

from ccs._core.commits.operations import renew_op
from ccs._core.recipes.claim import site_of
from tests.recipes.work import commit
from tests.support.colours import Awaited
from tests.support.waiting import aeventually

HOSTILE = [
    "a",
    "a/b",
    "a//b",
    "/",
    "//",
    ".",
    "..",
    "../a",
    "%",
    "%queue",
    "a/%queue",
    "a/%queue/x",
    "a/%25queue",
    "%2E",
    "@claims/a",
    "@waiting",
    "**",
    "*?[]{}",
    "[a",
    "https://example.org/?q=a%20b&c={d}#e",
    "nul\x00",
    "new\nline",
    "tab\t ",
    " ",
    "é/ü/\U0001f980",
    "{ccs:/tasks/t}:entries",
    "x" * 700,
    "/".join("y" * 50),
]
"""Names that other schemes trip over; no two of them name the same thing, and none is below another."""


async def lapse(task: Any, claim: Any) -> None:
    """Lets the hold expire on the server, as if its process had been stopped for longer than the ttl."""
    lease = plain(claim)._lease
    task.handle.let_go(lease)
    await expire(task, lease.path)


async def expire(task: Any, path: str) -> None:
    """Makes an entry end now, by its deadline."""
    revision = (await task.entry(path)).revision
    await commit(task, [renew_op(path, 1)])
    task.handle.expect(1)
    await aeventually(lambda: is_gone(task, path, revision), what=f"the end of {path}")


async def is_gone(task: Any, path: str, revision: int) -> bool:
    entry = await task.entry(path)
    return entry is None or bool(entry.revision > revision)


def plain(claim: Any) -> Any:
    return claim.blocking if isinstance(claim, Awaited) else claim


async def whole(task: Any, step: Callable[..., Any], *args: Any) -> Any:
    """A step of a claim from the inside, in either colour."""
    return await (to_thread.run_sync(step, *args) if isinstance(task, Awaited) else step(*args))


async def tickets(task: Any, resource: str) -> list[str]:
    """Returns the paths of the tickets, the first in line first."""
    found = (await task.snapshot(site_of(resource).patterns[1])).values()
    return [entry.path for entry in sorted(found, key=lambda entry: entry.revision)]


async def in_line(task: Any, resource: str, count: int) -> None:
    """Waits until that many callers wait for the resource."""

    async def enough() -> bool:
        return len(await tickets(task, resource)) >= count

    await aeventually(enough, what=f"{count} who wait for {resource!r}")


async def queue_up(task: Any, resource: str, names: Iterable[Any], done: list[Any], **options: Any) -> list[Any]:
    """Tasks that wait for the resource in this order; each is noted in `done` while it holds it."""

    async def wait(name: Any) -> None:
        async with task.claim(resource, **{"wait": 20, **options}):
            done.append(name)

    before, waiting = len(await tickets(task, resource)), list[Any]()
    for name in names:
        waiting.append(asyncio.create_task(wait(name)))
        await in_line(task, resource, before + len(waiting))
    return waiting


async def nothing_left(task: Any) -> bool:
    """Returns whether there is neither a claim nor a ticket."""
    return not await task.paths("@claims/**", "@waiting/**")
