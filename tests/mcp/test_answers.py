"""What calls answer, by either protocol: text and facts that say the same, within the budget, whatever happens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mcp import Client, types

import ccs.aio
from ccs.mcp import server
from tests.mcp.fixtures import Connect
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, scaled


async def call(client: Client, name: str, **arguments: Any) -> types.CallToolResult:
    result = await client.call_tool(name, arguments)
    assert isinstance(result, types.CallToolResult)
    return result


def text_of(result: types.CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    assert result.structured_content["text"] == content.text
    return content.text


async def test_text_and_facts_say_the_same(connected: Connect, task: ccs.aio.Context) -> None:
    await task.set("sources/a", {"n": 1})
    async with connected() as client:
        result = await call(client, "read", path="sources/a")
    facts = result.structured_content
    assert (facts["path"], facts["exists"], facts["agent"], facts["value"]) == ("sources/a", True, "ann", {"n": 1})
    text = text_of(result)
    assert all(part in text for part in ("sources/a", "ann", f"r{facts['revision']}", '{"n": 1}'))


async def test_a_model_does_the_work_of_an_agent(connected: Connect, task: ccs.aio.Context) -> None:
    await task.set("sources/a", "a text")
    await task.send("analyst", {"please": "look"})
    async with connected(role="analyst", allow_delete=True) as client:
        assert (await call(client, "briefing")).structured_content["new"]
        assert (await call(client, "list")).structured_content["paths"] == ["sources/a"]
        assert (await call(client, "claim", resource="sources/a")).structured_content["done"]
        assert (await call(client, "merge", path="n", value={"a": 1})).structured_content["done"]
        assert (await call(client, "write", path="b", value=[1])).structured_content["done"]
        assert (await call(client, "delete", path="b")).structured_content["done"]
        assert (await call(client, "inbox")).structured_content["content"] == {"please": "look"}
        assert (await call(client, "inbox", action="ack")).structured_content["done"]
        assert (await call(client, "send", to="ann", content="done")).structured_content["done"]
        changes = (await call(client, "history", limit=1)).structured_content["changes"]
        assert [(each["path"], each["op"], each["agent"]) for each in changes] == [("b", "delete", "model")]
        assert (await call(client, "release", resource="sources/a")).structured_content["done"]
    assert await task.get("n") == {"a": 1}


async def test_a_lost_race_is_an_ordinary_answer(connected: Connect, task: ccs.aio.Context) -> None:
    entry = await task.set("a", 1)
    async with connected() as client:
        result = await call(client, "write", path="a", value=2, if_revision=0)
    assert not result.is_error
    assert result.structured_content["done"] is False
    assert (result.structured_content["agent"], result.structured_content["revision"]) == ("ann", entry.revision)
    assert "ann wrote a" in text_of(result)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("write", {"path": "plans/a", "value": 1}, "you may read sources/**"),
        ("read", {"path": "plans/a"}, "you may read sources/**"),
        ("read", {}, "read needs path"),
        ("read", {"path": "sources/a", "store": "redis://elsewhere"}, "does not take 'store'"),
        ("delete", {"path": "sources/a"}, "there is no tool 'delete'"),
        ("inbox", {}, "there is no tool 'inbox'"),
    ],
)
async def test_what_a_model_does_wrong_is_answered_with_what_to_do(
    connected: Connect, name: str, arguments: dict[str, Any], told: str
) -> None:
    async with connected(read=["sources/**"], write=["sources/**"]) as client:
        result = await call(client, name, **arguments)
    assert result.is_error
    assert told in text_of(result)


HOSTILE = ["x" * 50_000, '"\\\n\t' * 9_000, {"ключ": ["値" * 9_000]}, [[]] * 9_000, "😀" * 9_000, "`" * 9_000]


@pytest.mark.parametrize("most", [100, 1_000])
async def test_an_answer_never_exceeds_the_budget(connected: Connect, task: ccs.aio.Context, most: int) -> None:
    for number, value in enumerate(HOSTILE):
        await task.set(f"{number}", value)
    async with connected(max_tokens=most) as client:
        reads = [("read", {"path": f"{number}"}) for number in range(len(HOSTILE))]
        for name, arguments in (*reads, ("briefing", {}), ("briefing", {}), ("history", {}), ("list", {})):
            result = await call(client, name, **arguments)
            wire = json.dumps(result.structured_content, ensure_ascii=False).encode()
            assert len(wire) / 3 <= most, (name, arguments, len(wire))
            assert text_of(result)


async def test_an_answer_that_was_cut_goes_on(connected: Connect, task: ccs.aio.Context) -> None:
    await task.set("a", "".join(map(chr, range(0x4E00, 0x4E00 + 3_000))))
    seen = ""
    async with connected(max_tokens=400) as client:
        while chr(0x4E00 + 2_999) not in seen:
            text = text_of(await call(client, "read", path="a"))
            seen += text.partition("```\n")[2].partition("\n```")[0]
    assert seen == await task.get("a")


async def test_a_wait_returns_the_first_change_and_reports_progress(connected: Connect, task: ccs.aio.Context) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total, message))

    async with connected() as client:
        waiting = asyncio.create_task(client.call_tool("wait", {"timeout": 20}, progress_callback=progress))
        await aeventually(lambda: told, 10, "progress")
        await _write_until(task, waiting)
        result = await bounded(waiting)
    assert isinstance(result, types.CallToolResult)
    assert (result.structured_content["changed"], result.structured_content["path"]) == (True, "a")
    assert told[0][1:] == (20, "waiting for a change")


async def _write_until(task: ccs.aio.Context, waiting: asyncio.Task[Any]) -> None:
    """Writes again and again: nobody but the tool knows when its watch is live."""
    for number in range(1_000):
        await task.set("a", number)
        if waiting.done():
            break
        await asyncio.sleep(0.01)


async def test_calls_beside_a_wait_are_answered_meanwhile(connected: Connect) -> None:
    async with connected() as client:
        waiting = asyncio.create_task(client.call_tool("wait", {"patterns": ["never"], "timeout": 25}))
        results = await asyncio.gather(*(client.call_tool("write", {"path": f"a/{n}", "value": n}) for n in range(20)))
        assert all(isinstance(each, types.CallToolResult) and not each.is_error for each in results)
        assert not waiting.done()
        waiting.cancel()


async def test_a_call_that_the_client_gives_up_ends_on_the_server(
    connected: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    original = ccs.aio.Toolset.call

    async def observed(self: ccs.aio.Toolset, name: str, arguments: Any = None) -> Any:
        seen.append(f"{name} began")
        try:
            return await original(self, name, arguments)
        except asyncio.CancelledError:
            seen.append(f"{name} ended")
            raise

    monkeypatch.setattr(ccs.aio.Toolset, "call", observed)
    async with connected() as client:
        waiting = asyncio.create_task(client.call_tool("wait", {"timeout": 25}))
        await aeventually(lambda: "wait began" in seen, 5, "the call")
        waiting.cancel()
        await aeventually(lambda: "wait ended" in seen, 5, "its end")
        assert not (await call(client, "write", path="a", value=1)).is_error


async def test_two_claims_at_once_are_one(connected: Connect, task: ccs.aio.Context) -> None:
    async with connected() as client:
        results = await asyncio.gather(*(call(client, "claim", resource="r") for _ in range(5)))
        assert len({each.structured_content["token"] for each in results}) == 1
        assert len(await task.claims()) == 1


async def test_a_client_that_leaves_gives_back_what_it_holds(connected: Connect, task: ccs.aio.Context) -> None:
    await task.send("analyst", "look")
    async with connected(role="analyst") as client:
        assert (await call(client, "claim", resource="r")).structured_content["done"]
        assert (await call(client, "inbox")).structured_content["content"] == "look"
    assert await task.claims() == []
    message = await task.inbox("analyst").receive(timeout=scaled(5))
    assert message.content == "look"


async def test_an_outage_is_answered_and_over_when_it_is_over(own_server: PrivateServer, era: str) -> None:
    store = ccs.aio.connect(own_server.url, agent="model", retry_for=0.3)
    own_server.stop()
    try:
        async with Client(server(store.task("t"), write=["**"]), mode=era) as client:
            result = await call(client, "write", path="a", value=1)
            assert result.is_error
            assert result.structured_content["unavailable"] is True
            assert "tell the user" in text_of(result)
            assert "127.0.0.1" in text_of(result)
            own_server.start()
            await aeventually(lambda: _is_written(client), 20, "the server that is back")
    finally:
        await store.aclose()


async def _is_written(client: Client) -> bool:
    return not (await call(client, "write", path="a", value=1)).is_error


async def test_a_write_that_may_have_been_applied_is_not_called_undone(
    connected: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        raise ccs.Unavailable("redis://somewhere", maybe_applied=True, reason="no answer")

    monkeypatch.setattr(ccs.aio.Toolset, "call", lost)
    async with connected() as client:
        result = await call(client, "write", path="a", value=1)
    assert result.is_error
    assert result.structured_content["maybe_applied"] is True
    assert "not known whether" in text_of(result)
    assert "read before you repeat it" in text_of(result)


async def test_what_nobody_expected_is_an_answer_too(
    connected: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    with monkeypatch.context() as patched:
        patched.setattr(ccs.aio.Toolset, "call", broken)
        async with connected(max_tokens=300) as client:
            result = await call(client, "list")
            assert result.is_error
            assert "ZeroDivisionError: by zero" in text_of(result)
            patched.undo()
            assert not (await call(client, "list")).is_error
    assert "Traceback" in caplog.text
