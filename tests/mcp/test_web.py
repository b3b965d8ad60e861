"""`ccs mcp --http`: who may come in, what older and newer clients find there, and how it ends."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client

import ccs.aio
from ccs.mcp import server, web_app
from tests.support.waiting import aeventually, scaled

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
OPEN = {"authorization": "Bearer one"}


class Web:
    """A running server over HTTP: where it is, and its tokens."""

    def __init__(self, valkey: str, namespace: str, folder: Path) -> None:
        self.file = folder / "tokens"
        arguments = ["--store", valkey, "--namespace", namespace, "--task", "t", "--write", "**"]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-m",
                "ccs.cli",
                "mcp",
                *arguments,
                "--http",
                "127.0.0.1:0",
                "--token-file",
                self.file,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr
        self.url = self.process.stderr.readline().strip()

    @property
    def token(self) -> str:
        return self.file.read_text("utf-8").strip()

    def client(self, mode: str = "auto", **settings: Any) -> AbstractAsyncContextManager[Client]:
        return client_of(self.url, self.token, mode, **settings)


@asynccontextmanager
async def client_of(url: str, token: str, mode: str, **settings: Any) -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=scaled(30)) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **settings) as client,
    ):
        yield client


@pytest.fixture
def web(valkey: str, namespace: str, tmp_path: Path) -> Iterator[Web]:
    running = Web(valkey, namespace, tmp_path)
    yield running
    running.process.kill()
    running.process.communicate()


async def facts(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert isinstance(result, types.CallToolResult)
    found: dict[str, Any] = result.structured_content
    return found


async def test_clients_of_either_protocol_work_over_http_until_a_signal_ends_it(
    web: Web, valkey: str, namespace: str
) -> None:
    assert stat.S_IMODE(web.file.stat().st_mode) == 0o600
    updated: list[str] = []

    async def heard(message: object) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            updated.append(message.params.uri)

    async with web.client("legacy", message_handler=heard) as older, web.client(message_handler=heard) as newer:
        assert (older.protocol_version, newer.protocol_version) == ("2025-11-25", "2026-07-28")
        assert (await facts(older, "claim", resource="r"))["done"] is True
        assert (await facts(newer, "claim", resource="r"))["done"] is False
        with pytest.warns(UserWarning, match="subscribe"):
            await older.subscribe_resource("ccs://entry/a")
        async with newer.listen(resource_subscriptions=["ccs://briefing"]):
            assert (await facts(newer, "write", path="a", value=1))["done"]
            await aeventually(lambda: {"ccs://entry/a", "ccs://briefing"} <= set(updated), 10, "both to be told")
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        await aeventually(lambda: _is_free(store), 5, "the claim of the session that has ended to be given back")
        async with web.client() as client, client.listen(resource_subscriptions=["ccs://briefing"]):
            assert (await facts(client, "claim", resource="s"))["done"] is True
            began = time.monotonic()
            web.process.send_signal(signal.SIGTERM)
            await aeventually(lambda: web.process.poll() == 0, 10, "the end")
            assert time.monotonic() - began < scaled(1)
        assert await store.task("t").claims() == []
    assert web.process.stdout
    assert web.process.stderr
    assert (web.process.stdout.read(), web.process.stderr.read()) == ("", "")


async def _is_free(store: ccs.aio.Store) -> bool:
    return not await store.task("t").claims()


@pytest.fixture
async def application(valkey: str, namespace: str) -> AsyncIterator[httpx2.ASGITransport]:
    """The application in this process, which has two tokens and goes by another name too."""
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        served = server(store.task("t"))
        app = web_app(served, ["one", "two"], hosts=["127.0.0.1", "mcp.example.org"])
        async with served.session_manager.run():
            yield httpx2.ASGITransport(app=app)


@pytest.fixture
async def http(application: httpx2.ASGITransport) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(transport=application, base_url="http://127.0.0.1:8765", headers=headers) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**OPEN, "host": "evil.example.org"}, 421),
        ({**OPEN, "host": "127.0.0.1.evil.example.org"}, 421),
        ({**OPEN, "host": "evil.example.org#127.0.0.1"}, 421),
        ({**OPEN, "host": ""}, 421),
        ({**OPEN, "origin": "http://evil.example.org"}, 403),
        ({**OPEN, "origin": "null"}, 403),
        ({**OPEN, "origin": "http://127.0.0.1@evil.example.org"}, 403),
        ({}, 401),
        ({"authorization": "Bearer three"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Basic one"}, 401),
    ],
)
async def test_nobody_comes_in_by_another_name_or_without_a_token(
    http: httpx2.AsyncClient, headers: dict[str, str], status: int
) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        for path in ("/mcp", "/elsewhere"):
            response = await http.request(method, path, headers=headers, json=CALL)
            assert response.status_code == status
            assert ("www-authenticate" in response.headers) == (status == 401)


@pytest.mark.parametrize(
    "headers",
    [
        OPEN,
        {"authorization": "bearer two"},
        {**OPEN, "origin": "http://127.0.0.1:3000"},
        {**OPEN, "host": "mcp.example.org", "origin": "https://mcp.example.org"},
    ],
)
async def test_who_has_a_token_and_the_right_name_comes_in(http: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    response = await http.post("/mcp", headers=headers, json=body)
    assert response.status_code == 200
    assert "protocolVersion" in response.text


async def test_by_the_newer_protocol_a_client_is_who_uses_a_token(application: httpx2.ASGITransport) -> None:
    async with _with(application, "one") as one, _with(application, "two") as two, _with(application, "one") as same:
        assert one.protocol_version == "2026-07-28"
        assert (await facts(one, "claim", resource="r"))["done"] is True
        assert (await facts(two, "claim", resource="r"))["done"] is False
        assert (await facts(same, "release", resource="r"))["done"] is True


@asynccontextmanager
async def _with(application: httpx2.ASGITransport, token: str) -> AsyncIterator[Client]:
    """A client before the same application, with a token of its own."""
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(transport=application, headers=headers) as mine,
        Client(streamable_http_client("http://127.0.0.1:8765/mcp", http_client=mine)) as client,
    ):
        yield client


def test_an_application_without_a_token_is_refused(namespace: str) -> None:
    served = server(ccs.aio.connect("memory://", namespace=namespace).task("t"))
    for tokens in ([], [""]):
        with pytest.raises(ccs.InvalidValue, match="token"):
            web_app(served, tokens)
