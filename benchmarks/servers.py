"""The servers of a run, each started when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack

from benchmarks.interrupt import held
from benchmarks.programs import etcd, nats, replicated
from benchmarks.server import Server, ServerMissing
from benchmarks.valkey import embedded, given

__all__ = ["Servers"]


class Servers:
    """Those that run, by kind; leaving it ends what it started."""

    def __init__(self, run_id: str, url: str | None = None) -> None:
        self._kinds: Mapping[str, Callable[[], AbstractContextManager[Server]]] = {
            "valkey": embedded if url is None else lambda: given(url, run_id),
            "fsync": lambda: embedded("always"),
            "replicated": replicated,
            "nats": lambda: nats(run_id),
            "etcd": etcd,
        }
        self._found: dict[str, Server | ServerMissing] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends them."""
        self._stack.close()

    def __repr__(self) -> str:
        return f"<Servers {self.running()!r}>"

    def get(self, kind: str) -> Server:
        """The server of that kind. `ServerMissing` where there is none."""
        if kind not in self._found:
            self._found[kind] = self._start(kind)
        found = self._found[kind]
        if isinstance(found, ServerMissing):
            raise found
        return found

    def running(self) -> dict[str, Server]:
        """Those that were started."""
        return {kind: found for kind, found in self._found.items() if isinstance(found, Server)}

    def _start(self, kind: str) -> Server | ServerMissing:
        try:
            with held():
                return self._stack.enter_context(self._kinds[kind]())
        except ServerMissing as missing:
            return missing
