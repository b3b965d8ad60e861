"""A pytest plugin for code that uses CCS: a private real server, an empty store for each test, and a recorder.

`ccs_store` (blocking) and `ccs_aio_store` (asyncio; for tests run by anyio's plugin, or pytest-asyncio in auto mode)
are entered stores on a private embedded server, each in a namespace of its own. `record(ctx, "**")` collects changes;
the fixture `ccs_record` returns that function.

    def test_the_status_is_announced(ccs_store):
        task = ccs_store.task("42")
        changes = record(task, "status")
        task.set("status", "open")
        assert [change.value for change in changes.wait(1)] == ["open"]
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

try:
    import pytest
except ImportError:
    needed = "ccs.testing needs pytest: pip install 'collaborative-context-store[testing]'"
    raise ImportError(needed, name="pytest") from None

import ccs
from ccs.types import Change

if TYPE_CHECKING:
    import ccs.aio

__all__ = ["AsyncRecorder", "Recorder", "ccs_aio_store", "ccs_record", "ccs_server", "ccs_store", "record"]


class _Recorded(Sequence[Change]):
    """The changes recorded so far, in order."""

    def __init__(self, ctx: Any, patterns: tuple[str, ...], options: dict[str, Any]) -> None:
        self.changes: list[Change] = []
        self._where = f"{', '.join(patterns or ('**',))} in {ctx.address}"
        self._subscription = ctx.subscribe(patterns or "**", self._add, **options)

    def __repr__(self) -> str:
        return f"<{len(self.changes)} changes of {self._where}: {[(c.op, c.path) for c in self.changes[-5:]]}>"

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> list[Change]: ...
    def __getitem__(self, index: int | slice) -> Change | list[Change]:
        return self.changes[index]

    def __len__(self) -> int:
        return len(self.changes)

    def stop(self) -> None:
        """Stops recording."""
        self._subscription.cancel()

    def _add(self, change: Change) -> Any:
        raise NotImplementedError

    def _late(self, count: int, timeout: float) -> TimeoutError:
        return TimeoutError(f"waited {timeout:g} seconds for {count} changes: {self!r}")


class Recorder(_Recorded):
    """Records the changes of a blocking context. It is a sequence of them."""

    def __init__(self, ctx: Any, patterns: tuple[str, ...], options: dict[str, Any]) -> None:
        self._news = threading.Condition()
        super().__init__(ctx, patterns, options)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def wait(self, count: int, timeout: float = 5.0) -> list[Change]:
        """Waits for `count` changes. Returns the first `count`. Raises `TimeoutError` after `timeout` seconds."""
        with self._news:
            if not self._news.wait_for(lambda: len(self.changes) >= count, timeout):
                raise self._late(count, timeout)
            return self.changes[:count]

    def _add(self, change: Change) -> None:
        with self._news:
            self.changes.append(change)
            self._news.notify_all()


class AsyncRecorder(_Recorded):
    """Records the changes of an asyncio context. It is a sequence of them."""

    def __init__(self, ctx: Any, patterns: tuple[str, ...], options: dict[str, Any]) -> None:
        self._news = asyncio.Event()
        super().__init__(ctx, patterns, options)

    async def __aenter__(self) -> AsyncRecorder:
        await self._subscription.ready()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.stop()

    async def wait(self, count: int, timeout: float = 5.0) -> list[Change]:
        """Waits for `count` changes. Returns the first `count`. Raises `TimeoutError` after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while len(self.changes) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise self._late(count, timeout) from None
        return self.changes[:count]

    async def _add(self, change: Change) -> None:
        self.changes.append(change)
        self._news.set()


@overload
def record(ctx: ccs.Context, *patterns: str, **options: Any) -> Recorder: ...
@overload
def record(ctx: ccs.aio.Context, *patterns: str, **options: Any) -> AsyncRecorder: ...
def record(ctx: ccs.Context | ccs.aio.Context, *patterns: str, **options: Any) -> Recorder | AsyncRecorder:
    """Records the matching changes of a context from now on. Returns a recorder: `wait(n)` for n changes, then `stop()`.

    Options are those of `subscribe`: `since=`, `initial=`.
    """
    kind = Recorder if isinstance(ctx, ccs.Context) else AsyncRecorder
    return kind(ctx, patterns, options)


@pytest.fixture
def ccs_record() -> Callable[..., Recorder | AsyncRecorder]:
    """Gives the function `record`."""
    return record


@pytest.fixture(scope="session")
def ccs_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder of an embedded server that only these tests use. The server stops a little after they end."""
    return tmp_path_factory.mktemp("ccs")


@pytest.fixture
def ccs_store(ccs_server: Path) -> Iterator[ccs.Store]:
    """Gives an entered blocking store on a private real server, empty."""
    with ccs.connect(ccs_server, agent="test", namespace=f"test-{secrets.token_hex(6)}") as store:
        yield store


@pytest.fixture
async def ccs_aio_store(ccs_server: Path) -> AsyncIterator[ccs.aio.Store]:
    """Gives an entered asyncio store on a private real server, empty."""
    from ccs import aio  # noqa: PLC0415 - few test runs ask for it, and all load this plugin

    async with aio.connect(ccs_server, agent="test", namespace=f"test-{secrets.token_hex(6)}") as store:
        yield store
