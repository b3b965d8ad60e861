"""A program with a store at module level, whose children do the work: prints what each of them saw, as lines of JSON.

python -m tests.faults.fork_players COLOUR HOW URL NAMESPACE
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import ccs
import ccs.aio
from tests.support.waiting import counts

CHILDREN = counts(3, 6)

if __name__ in ("__main__", "__mp_main__"):
    COLOUR, HOW, URL, NAMESPACE = sys.argv[1:]
    store = ccs.connect(URL, namespace=NAMESPACE)
    astore = ccs.aio.connect(URL, namespace=NAMESPACE)
    task = store.task("forked")
    atask = astore.task("forked")


def work(number: int) -> dict[str, Any]:
    """Writes, counts, and tries to be the leader, which one stays: no claim, as that would end with its store."""
    return asyncio.run(_async_work(number)) if COLOUR == "asyncio" else _work(number)


def _work(number: int) -> dict[str, Any]:
    with store:
        entry = task.set(f"child/{os.getpid()}", number)
        for _ in range(20):
            task.increment("count")
        try:
            token = task.create("leader", os.getpid()).revision
        except ccs.Conflict:
            token = 0
    return _seen(entry, token)


async def _async_work(number: int) -> dict[str, Any]:
    async with astore:
        entry = await atask.set(f"child/{os.getpid()}", number)
        await asyncio.gather(*(atask.increment("count") for _ in range(20)))
        try:
            token = (await atask.create("leader", os.getpid())).revision
        except ccs.Conflict:
            token = 0
    return _seen(entry, token)


def _seen(entry: ccs.Entry, token: int) -> dict[str, Any]:
    return {"pid": os.getpid(), "path": entry.path, "revision": entry.revision, "agent": entry.agent, "token": token}


def by_pool(method: str) -> list[dict[str, Any]]:
    """One child a piece of work, as a store that was left is not opened again."""
    with multiprocessing.get_context(method).Pool(CHILDREN, maxtasksperchild=1) as pool:
        return pool.map(work, range(CHILDREN), chunksize=1)


def by_prefork_server() -> list[dict[str, Any]]:
    """As web servers do it: the socket and the application first, then children that accept on it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        children = [_serve(listening) for _ in range(CHILDREN)]
        seen = [_ask(listening.getsockname()) for _ in range(CHILDREN)]
    for child in children:
        os.waitpid(child, 0)
    return seen


def _serve(listening: socket.socket) -> int:
    child = os.fork()
    if child:
        return child
    connection, _ = listening.accept()
    with connection:
        connection.sendall(json.dumps(work(0)).encode())
    os._exit(0)


def _ask(address: tuple[str, int]) -> dict[str, Any]:
    with socket.create_connection(address) as connection, connection.makefile() as reply:
        return json.loads(reply.read())  # type: ignore[no-any-return]  # as it was sent


WAYS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "fork": lambda: by_pool("fork"),
    "forkserver": lambda: by_pool("forkserver"),
    "spawn": lambda: by_pool("spawn"),
    "prefork": by_prefork_server,
}

if __name__ == "__main__":
    for each in WAYS[HOW]():
        sys.stdout.write(json.dumps(each) + "\n")
