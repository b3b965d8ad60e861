"""The stream of a page, without a server: whatever it waits for, it goes on telling how things stand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import ccs.aio
from tests.support.waiting import bounded

pytest.importorskip("uvicorn")
from ccs.ui import page_stream
from ccs.ui.glance import Glance
from ccs.ui.page_stream import PageStream

Connect = Callable[..., ccs.aio.Store]


async def never(*_: object, **__: object) -> None:
    await asyncio.Future()


async def told(stream: PageStream) -> AsyncIterator[tuple[str, Any]]:
    """Yields the name and the data of each event."""
    async for message in stream.messages():
        lines = dict(line.split(": ", 1) for line in message.decode().splitlines() if ": " in line)
        if "event" in lines:
            yield lines["event"], json.loads(lines["data"])


async def until(events: AsyncIterator[tuple[str, Any]], name: str, fits: Callable[[Any], bool] = bool) -> Any:
    async for found, data in events:
        if found == name and fits(data):
            return data
    raise AssertionError(f"the stream ended before {name}")


@pytest.mark.parametrize("what", ["history", "overview", "scan"])
async def test_a_page_is_told_of_changes_and_of_silence_while_something_is_still_being_read(
    aconnect: Connect, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store = aconnect()
    task = store.task("t")
    await task.set("a", 1)

    async def no_page(*_: object, **__: object) -> AsyncIterator[ccs.Entry[Any]]:
        yield await never()  # type: ignore[misc]

    monkeypatch.setattr(ccs.aio.Context, what, no_page if what == "scan" else never)
    monkeypatch.setattr(page_stream, "_ANSWER", 0.2)
    monkeypatch.setattr(page_stream, "_CHECK", 0.1)
    stream = PageStream(store, Glance(store), task.address, None)
    events = told(stream)
    await bounded(until(events, "state", lambda state: state.get("revision")), 10)
    receipt = await task.set("a", 2)
    live = await bounded(until(events, "live"), 10)
    assert [row[0] for row in live["rows"]] == ["a"]
    await bounded(until(events, "state", lambda state: state["revision"] >= receipt.revision), 10)
    with monkeypatch.context() as silent:
        silent.setattr(ccs.aio.Context, "info", never)
        await bounded(until(events, "state", lambda state: state["behind"]), 10)
    await bounded(until(events, "state", lambda state: not state["behind"]), 10)
    stream.stop()
    await bounded(events.aclose(), 10)  # type: ignore[attr-defined]


async def test_a_page_that_is_opened_on_a_silent_store_is_told_so(
    aconnect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = aconnect()
    task = store.task("t")
    await task.set("a", 1)
    monkeypatch.setattr(page_stream, "_ANSWER", 0.2)
    monkeypatch.setattr(page_stream, "_CHECK", 0.1)
    stream = PageStream(store, Glance(store), task.address, None)
    events = told(stream)
    with monkeypatch.context() as silent:
        silent.setattr(ccs.aio.Context, "info", never)
        await bounded(until(events, "state", lambda state: state["behind"]), 10)
    assert await bounded(until(events, "rows"), 10)
    stream.stop()
    await bounded(events.aclose(), 10)  # type: ignore[attr-defined]


async def test_a_failure_beside_the_picture_is_not_passed_over(
    aconnect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    store = aconnect()
    task = store.task("t")
    await task.set("a", 1)
    monkeypatch.setattr(ccs.aio.Context, "overview", broken)
    stream = PageStream(store, Glance(store), task.address, None)
    with pytest.raises(RuntimeError, match="a fault"):
        await bounded(until(told(stream), "nothing"), 10)
