"""Resources: what is read, by whom, and who is told when they change, by either protocol."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from mcp import Client, MCPDeprecationWarning, MCPError, types
from mcp.client import IncomingMessage

import ccs.aio
from ccs.mcp import server
from ccs.mcp.addresses import entry_uri, path_in
from tests.mcp.fixtures import Connect
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually


class Told(list[str]):
    """The addresses of resources whose changes a client was told of."""

    async def __call__(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            self.append(message.params.uri)


@contextlib.asynccontextmanager
async def listening(client: Client, *uris: str) -> AsyncIterator[None]:
    """Has a client be told of resources, in the way of its protocol."""
    if client.protocol_version < "2026":
        for uri in uris:
            with pytest.warns(MCPDeprecationWarning):
                await client.subscribe_resource(uri)
        yield
        return
    async with client.listen(resource_subscriptions=uris):
        yield


async def read(client: Client, uri: str) -> types.TextResourceContents | types.BlobResourceContents:
    result = await client.read_resource(uri)
    assert isinstance(result, types.ReadResourceResult)
    (contents,) = result.contents
    return contents


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("a text", "text/plain", "a text"),
        ({"n": [1, None]}, "application/json", '{"n": [1, null]}'),
        (datetime(2026, 7, 28, tzinfo=UTC), "application/json", '"2026-07-28 00:00:00+00:00"'),
    ],
)
async def test_an_entry_is_read_by_its_address(
    connected: Connect, task: ccs.aio.Context, value: Any, kind: str, text: str
) -> None:
    entry = await task.set("sources/a b%/ü", value)
    async with connected() as client:
        for uri in (entry_uri(entry.path), "ccs://entry/sources%2Fa%20b%25%2F%C3%BC"):
            contents = await read(client, uri)
            assert isinstance(contents, types.TextResourceContents)
            assert (contents.mime_type, contents.text) == (kind, text)
            assert (contents.meta or {})["revision"] == entry.revision


async def test_bytes_are_a_blob(connected: Connect, task: ccs.aio.Context) -> None:
    await task.set("a", b"\x00\xff")
    async with connected() as client:
        contents = await read(client, "ccs://entry/a")
    assert isinstance(contents, types.BlobResourceContents)
    assert base64.b64decode(contents.blob) == b"\x00\xff"


async def test_the_briefing_tells_the_present_state_again_and_again(connected: Connect, task: ccs.aio.Context) -> None:
    await task.set("sources/a", "a text")
    async with connected(read=["sources/**"]) as client:
        await client.call_tool("briefing", {})
        for _ in range(2):
            contents = await read(client, "ccs://briefing")
            assert isinstance(contents, types.TextResourceContents)
            assert "a text" in contents.text


@pytest.mark.parametrize(
    "uri", ["ccs://entry/none", "ccs://entry/", "ccs://entry//a", "ccs://elsewhere", "file:///etc/passwd"]
)
async def test_what_is_not_there_is_not_found(connected: Connect, uri: str) -> None:
    async with connected() as client:
        with pytest.raises(MCPError, match="Resource not found"):
            await client.read_resource(uri)


async def test_what_may_not_be_read_is_as_if_it_were_not_there(connected: Connect, task: ccs.aio.Context) -> None:
    await task.set("plans/secret", "hidden")
    await task.set("sources/a", "shown")
    async with connected(read=["sources/**"]) as client:
        with pytest.raises(MCPError, match="Resource not found"):
            await client.read_resource("ccs://entry/plans/secret")
        contents = await read(client, "ccs://briefing")
        assert isinstance(contents, types.TextResourceContents)
        assert "shown" in contents.text
        assert "secret" not in contents.text
        completed = await client.complete(
            types.ResourceTemplateReference(uri="ccs://entry/{path}"), {"name": "path", "value": ""}
        )
        assert completed.completion.values == ["sources/a"]


async def test_who_listens_is_told_of_each_change(connected: Connect, task: ccs.aio.Context) -> None:
    told = Told()
    async with (
        connected(client={"message_handler": told}) as client,
        listening(client, "ccs://entry/sources%2Fa", "ccs://briefing"),
    ):
        await task.set("sources/a", 1)
        await aeventually(lambda: {"ccs://entry/sources%2Fa", "ccs://briefing"} <= set(told), 10, "both")
        told.clear()
        await task.set("elsewhere", 1)
        await aeventually(lambda: told == ["ccs://briefing"], 10, "the briefing alone")


async def test_a_message_and_a_claim_change_the_briefing(connected: Connect, task: ccs.aio.Context) -> None:
    told = Told()
    async with (
        connected(role="analyst", client={"message_handler": told}) as client,
        listening(client, "ccs://briefing"),
    ):
        await task.send("analyst", "look")
        await aeventually(lambda: told, 10, "the message")
        told.clear()
        async with task.claim("r"):
            await aeventually(lambda: told, 10, "the claim")


async def test_changes_of_what_may_not_be_read_are_not_told(connected: Connect, task: ccs.aio.Context) -> None:
    told = Told()
    async with (
        connected(read=["sources/**"], client={"message_handler": told}) as client,
        listening(client, "ccs://entry/plans/secret", "ccs://briefing"),
    ):
        await task.set("plans/secret", 1)
        await task.set("sources/a", 1)
        await aeventually(lambda: told, 10, "what may be read")
        assert told == ["ccs://briefing"]


async def test_many_listeners_share_one_watch(task: ccs.aio.Context, monkeypatch: pytest.MonkeyPatch, era: str) -> None:
    made: list[object] = []
    original = ccs.aio.Watch.__init__

    def counted(self: ccs.aio.Watch, *arguments: Any, **settings: Any) -> None:
        made.append(self)
        original(self, *arguments, **settings)

    monkeypatch.setattr(ccs.aio.Watch, "__init__", counted)
    told = Told()
    uris = [f"ccs://entry/{number}" for number in range(50)]
    async with Client(server(task), mode=era, message_handler=told) as client, contextlib.AsyncExitStack() as stack:
        for uri in uris:
            await stack.enter_async_context(listening(client, uri))
        await task.set_many({str(number): 1 for number in range(50)})
        await aeventually(lambda: sorted(told) == sorted(uris), 10, "all of them")
    assert len(made) == 1


async def test_who_listens_no_more_is_told_no_more(connected: Connect, task: ccs.aio.Context, era: str) -> None:
    told = Told()
    async with connected(client={"message_handler": told}) as client, listening(client, "ccs://briefing"):
        async with listening(client, "ccs://entry/a"):
            await task.set("a", 1)
            await aeventually(lambda: "ccs://entry/a" in told, 10, "the first")
            if era == "legacy":
                with pytest.warns(MCPDeprecationWarning):
                    await client.unsubscribe_resource("ccs://entry/a")
        await aeventually(lambda: "ccs://briefing" in told, 10, "the briefing too")
        told.clear()
        await task.set("a", 2)
        await aeventually(lambda: told, 10, "the second")
        assert told == ["ccs://briefing"]


async def test_after_an_outage_everything_counts_as_changed(own_server: PrivateServer, era: str) -> None:
    told = Told()
    async with ccs.aio.connect(own_server.url, agent="model", retry_for=0.3) as store:
        task = store.task("t")
        await task.set("a", 1)
        async with (
            Client(server(task), mode=era, message_handler=told) as client,
            listening(client, "ccs://entry/a"),
        ):
            own_server.sync()
            own_server.kill()
            own_server.start()
            await store.context(task.address, agent="ann").set("a", 2)
            await aeventually(lambda: told, 20, "the change, or the outage")


async def test_a_context_that_begins_anew_is_told(connected: Connect, task: ccs.aio.Context) -> None:
    told = Told()
    await task.set("a", 1)
    async with (
        connected(client={"message_handler": told}) as client,
        listening(client, "ccs://entry/a"),
    ):
        await task.drop()
        await aeventually(lambda: told, 10, "the end")
        told.clear()
        await aeventually(lambda: _told_of_one_more(task, told), 20, "what came after it")


async def _told_of_one_more(task: ccs.aio.Context, told: Told) -> bool:
    await task.increment("a")
    return bool(told)


def test_an_address_holds_any_path() -> None:
    for path in ("a", "sources/a", "a b", "ü/%2F", "[x]{y}*?", "a%20b", "@claims/a"):
        assert path_in(entry_uri(path)) == path
