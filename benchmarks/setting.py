"""What a measure is given: how much to measure, on which servers, with whom."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.contenders import CONTENDERS, Contender, Where
from benchmarks.interrupt import held
from benchmarks.progress import Progress
from benchmarks.server import Server, ServerMissing
from benchmarks.servers import Servers
from benchmarks.sizes import Sizes
from benchmarks.valkey import embedded

__all__ = ["Setting"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One run of the benchmark."""

    run_id: str  # in the name of everything that is written
    sizes: Sizes
    servers: Servers
    progress: Progress
    missing: dict[str, str] = field(default_factory=dict)  # why a contender does not take part
    _stack: ExitStack = field(default_factory=ExitStack)

    def contenders(self, measure: str) -> Iterator[Contender]:
        """Those that take part and can; of the others it is noted why they cannot."""
        for contender in CONTENDERS:
            if measure in contender.takes and self._is_there(contender):
                yield contender

    def where(self, contender: Contender, measure: str, callers: int = 1) -> Where:
        """Where a contender reads and writes: what it wrote in earlier rounds is still there."""
        room = f"{self.run_id}-{measure}-{contender.name}".replace(".", "-").replace("+", "-")
        return self.servers.get(contender.server).url, room, callers

    def new_room(self, contender: Contender, measure: str, callers: int = 1) -> Where:
        """Where nothing was written before."""
        return self.where(contender, f"{measure}-{secrets.token_hex(4)}", callers)

    def own_server(self) -> Server:
        """An embedded server of this measure's own."""
        with held():
            return self._stack.enter_context(embedded())

    def end_measure(self) -> None:
        """Ends the servers of the measure."""
        with held():
            self._stack.close()

    def close(self) -> None:
        """Ends all servers."""
        self._stack.close()
        self.servers.close()

    def _is_there(self, contender: Contender) -> bool:
        reason = contender.missing()
        if reason is None:
            try:
                self.servers.get(contender.server)
            except ServerMissing as missing:
                reason = str(missing)
        if reason is not None:
            self.missing[contender.name] = reason
        return reason is None
