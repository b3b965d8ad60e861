"""Copies the data of a store while programs use it.

    python backup.py ./brain ./copy                                 a folder; the copy is a folder to open
    python backup.py redis://localhost:6379 /var/lib/valkey ./copy  a server, run where its data are

A copy that is made while the server rewrites its log may lack a file that it needs. So no rewrite begins meanwhile.
What is copied is the log up to some moment: it holds all that was acknowledged before, and each commit wholly or not at all.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

REWRITE = "auto-aof-rewrite-percentage"


def copy_folder(brain: Path, to: Path) -> None:
    """Copies the store of a folder, which some program has open, into a new folder."""
    data = brain / ".ccs"
    socket = data / (data / "socket").read_text().strip()
    with redis.Redis(unix_socket_path=str(socket)) as server:
        copy_log(server, data, to / ".ccs")
    shutil.copy2(data / "version", to / ".ccs")


def copy_log(server: redis.Redis, data: Path, to: Path) -> None:
    """Copies the append-only log of a server, whose `dir` is `data`, into a folder from which a server can start."""
    name = server.config_get("appenddirname")["appenddirname"]
    with no_rewrite(server):
        shutil.copytree(data / name, to / name)


@contextmanager
def no_rewrite(server: redis.Redis) -> Iterator[None]:
    """The server does not rewrite its log."""
    usual = server.config_get(REWRITE)[REWRITE]
    server.config_set(REWRITE, 0)
    try:
        while rewrites(server):
            time.sleep(0.1)
        yield
    finally:
        server.config_set(REWRITE, usual)


def rewrites(server: redis.Redis) -> bool:
    """Whether the server rewrites its log, or is about to."""
    state = server.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


if __name__ == "__main__":
    *where, to = sys.argv[1:]
    if len(where) == 1:
        copy_folder(Path(where[0]), Path(to))
    else:
        with redis.Redis.from_url(where[0]) as server:
            copy_log(server, Path(where[1]), Path(to))
