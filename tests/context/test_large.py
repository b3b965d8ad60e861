"""Large writes keep others waiting no longer than they take themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import ccs
import ccs.aio
from tests.support.threads import run_threads
from tests.support.waiting import aeventually, eventually

LARGE, MANY, ON_THEIR_WAY = bytes(900_000), 30, 2


async def test_a_task_with_a_small_write_waits_only_for_what_is_on_its_way(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    """Given a queue of large writes, when a small one is asked for, then it goes before what was not sent yet."""
    store = aconnect()
    large, small, done = store.task("large"), store.task("small"), []

    async def write(number: int) -> None:
        done.append(await large.set(f"p/{number}", LARGE))

    writers = [asyncio.create_task(write(number)) for number in range(MANY)]
    await aeventually(lambda: len(done) >= 3)
    before = len(done)
    await small.set("p", 1)
    meanwhile = len(done) - before
    await asyncio.gather(*writers)
    assert meanwhile <= ON_THEIR_WAY + 1
    assert len(await large.paths()) == MANY


def test_a_thread_with_a_small_write_waits_only_for_what_is_on_its_way(connect: Callable[..., ccs.Store]) -> None:
    """Given a queue of large writes of threads, when another one asks for a small one, then it does not queue up."""
    store, done = connect(), []
    large, small, meanwhile = store.task("large"), store.task("small"), []

    def write(number: int) -> None:
        if number < MANY:
            done.append(large.set(f"p/{number}", LARGE))
            return
        eventually(lambda: len(done) >= 3)
        before = len(done)
        small.set("p", 1)
        meanwhile.append(len(done) - before)

    run_threads(write, MANY + 1)
    assert meanwhile[0] < MANY // 2
    assert len(large.paths()) == MANY
