"""Times a spell of operations: by the clock, and by the processors of client and server."""

from __future__ import annotations

import gc
import time
from types import TracebackType

from benchmarks.server import Server

__all__ = ["Stopwatch"]


class Stopwatch:
    """`with Stopwatch(server) as watch: …`; the garbage of whatever was before is collected first."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.seconds = self.client_cpu = self.server_cpu = 0.0

    def __enter__(self) -> Stopwatch:
        gc.collect()
        self.server_cpu = -self._server.cpu()
        self.client_cpu = -time.process_time()
        self.seconds = -time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.seconds += time.perf_counter()
        self.client_cpu += time.process_time()
        self.server_cpu += self._server.cpu()
