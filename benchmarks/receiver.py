"""A process that receives, and tells when: `python -m benchmarks.receiver CONTENDER URL ROOM COUNT`.

So many changes of a watch, then so many messages of an inbox. It prints a line when it listens, and one for each that
it gets: the time by `perf_counter`, a clock that all processes of a machine share.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.contenders import CONTENDERS, AsyncContender, BlockingContender, Where

__all__ = ["LISTENING", "PATH", "PATIENCE", "ROLE", "main"]

LISTENING = "listening"
PATH = "sources/a/status"
ROLE = "analyst"
PATIENCE = 60.0


def main(name: str, url: str, room: str, count: int) -> None:
    """Receives it all; gives up when nothing comes for a minute."""
    (contender,) = (one for one in CONTENDERS if one.name == name)
    where = url, room, 1
    contender.run(lambda one: _receive(one, where, count), lambda one: _async_receive(one, where, count))


def _receive(contender: BlockingContender, where: Where, count: int) -> None:
    with contender.client(where) as one:
        client: Any = one  # those that take part in this measure have a task
        with client.task.watch(PATH) as changes:
            _tell(LISTENING)
            for _ in range(count):
                changes.receive(timeout=PATIENCE)
                _tell(time.perf_counter())
        with client.task.inbox(ROLE) as inbox:
            _tell(LISTENING)
            for _ in range(count):
                message = inbox.receive(timeout=PATIENCE)
                received = time.perf_counter()
                message.ack()
                _tell(received)


async def _async_receive(contender: AsyncContender, where: Where, count: int) -> None:
    async with contender.client(where) as one:
        client: Any = one
        async with client.task.watch(PATH) as changes:
            _tell(LISTENING)
            for _ in range(count):
                await changes.receive(timeout=PATIENCE)
                _tell(time.perf_counter())
        async with client.task.inbox(ROLE) as inbox:
            _tell(LISTENING)
            for _ in range(count):
                message = await inbox.receive(timeout=PATIENCE)
                received = time.perf_counter()
                await message.ack()
                _tell(received)


def _tell(what: object) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
