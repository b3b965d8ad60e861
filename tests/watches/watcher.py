"""A watch of either colour that runs in a thread of its own and records what it delivers."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import traceback
from typing import Any

import ccs
import ccs.aio
from ccs.types import Change
from tests.support.waiting import eventually, scaled
from tests.watches.validate import validate


class Watcher:
    """Records the changes of a context; `Unavailable` is counted and outlived, as `ccs` promises it can be."""

    def __init__(self, colour: str, target: str, namespace: str, address: str, *patterns: str, **options: Any) -> None:
        self.retry_for = options.pop("retry_for", 30.0)
        self.target, self.namespace, self.address = target, namespace, address
        self.patterns, self.options = patterns, options
        self.changes: list[Change] = []
        self.cursors: list[int] = []
        self.outages: list[ccs.Unavailable] = []
        self.error: BaseException | None = None
        self.stats: Any = None
        self.resume = threading.Event()
        self.resume.set()
        self._live = threading.Event()
        self._stop: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        run = self._block if colour == "blocking" else lambda: asyncio.run(self._run())
        self._thread = threading.Thread(target=run, daemon=True)

    def __repr__(self) -> str:
        return f"<Watcher of {self.address}: {len(self.changes)} changes, {len(self.outages)} outages, {self.error!r}>"

    def __enter__(self) -> Watcher:
        self._thread.start()
        eventually(lambda: self._live.is_set() or self.error, 20, "the watcher to be live")
        return self

    def __exit__(self, *exc: object) -> None:
        self.resume.set()
        if self._thread.is_alive() and self._stop:
            self._stop()
        self._thread.join(scaled(20))
        assert not self._thread.is_alive(), f"{self!r} does not end: {self._waits_for()}"

    def _waits_for(self) -> str:
        if self._loop is None:
            return "".join(traceback.format_stack(sys._current_frames()[self._thread.ident or 0]))
        told = io.StringIO()
        for task in asyncio.all_tasks(self._loop):
            task.print_stack(file=told)
        return told.getvalue()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, count: int, timeout: float = 30.0) -> list[Change]:
        eventually(lambda: len(self.changes) >= count or self.ended, timeout, f"{count} changes of {self!r}")
        return self.changes

    def check(self, ctx: ccs.Context) -> None:
        """Checks the changes that it got, once it has all, against the journal."""
        journal = ctx.history(since=0)
        self.wait(len(journal))
        validate(self.changes, journal)
        assert not self.error

    def wait_end(self, timeout: float = 10.0) -> BaseException | None:
        """How the watch ended by itself."""
        eventually(lambda: self.ended, timeout, f"the end of {self!r}")
        return self.error

    def _block(self) -> None:
        try:
            with ccs.connect(self.target, namespace=self.namespace, retry_for=self.retry_for) as store:
                self.stats = store.stats
                watched = store.context(self.address).watch(*self.patterns, **self.options)
                with watched as changes:
                    self._stop = watched.stop
                    self._live.set()
                    while self._record_all(changes):
                        pass
        except Exception as error:  # noqa: BLE001  # whatever ends it, the test asks for it
            self.error = error

    def _record_all(self, changes: Any) -> bool:
        try:
            for change in changes:
                self._record(change, changes.revision)
                self.resume.wait()
        except ccs.Unavailable as error:
            self.outages.append(error)
            return True
        return False

    async def _run(self) -> None:
        try:
            async with ccs.aio.connect(self.target, namespace=self.namespace, retry_for=self.retry_for) as store:
                self.stats = store.stats
                watched = store.context(self.address).watch(*self.patterns, **self.options)
                self._loop = loop = asyncio.get_running_loop()
                async with watched as changes:
                    self._stop = lambda: loop.call_soon_threadsafe(watched.stop)
                    self._live.set()
                    while await self._arecord_all(changes):
                        pass
        except Exception as error:  # noqa: BLE001  # whatever ends it, the test asks for it
            self.error = error

    async def _arecord_all(self, changes: Any) -> bool:
        try:
            async for change in changes:
                self._record(change, changes.revision)
                while not self.resume.is_set():  # noqa: ASYNC110  # another thread sets it
                    await asyncio.sleep(0.01)
        except ccs.Unavailable as error:
            self.outages.append(error)
            return True
        return False

    def _record(self, change: Change, cursor: int) -> None:
        self.cursors.append(cursor)
        self.changes.append(change)
