"""What a store belongs to: a blocking one to its process, an asyncio one to its event loop."""

from __future__ import annotations

import asyncio
import os

from ccs.errors import Misuse

__all__ = ["async_here", "async_home", "here", "home"]

here = os.getpid
home = here


def async_here() -> asyncio.AbstractEventLoop | None:
    """Returns the running event loop; None if no loop runs, as in a child process right after a fork."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def async_home() -> object:
    """Returns the running event loop. Raises `Misuse` if asyncio runs none."""
    loop = async_here()
    if loop is None:
        raise Misuse(
            "no event loop of asyncio runs here (is it trio, or no coroutine?), and ccs.aio needs one: use asyncio.run(),"
            " or the blocking ccs, in a worker thread where another kind of loop runs"
        )
    return loop
