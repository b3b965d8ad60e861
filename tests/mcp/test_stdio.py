"""`ccs mcp` as a process of its own, as clients start it: what goes over its pipes, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pytest

import ccs
from ccs.cli import main
from ccs.mcp.stdio import Lines, Writer
from tests.support.servers import free_port
from tests.support.waiting import bounded, scaled

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


class Server:
    """A running server, spoken to by an older client, line by line."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "ccs.cli", "mcp", "--task", "t", "--write", "**", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._number = 0

    def pipe(self, name: str) -> IO[str]:
        pipe: IO[str] = getattr(self.process, name)
        return pipe

    def end(self, how: str) -> int:
        """Closes its input, or sends it a signal. Returns its exit code."""
        if how == "closed":
            self.pipe("stdin").close()
        else:
            self.process.send_signal(signal.Signals[how])
        return self.process.wait(scaled(10))

    def send(self, method: str, **params: Any) -> int:
        self._number += 1
        self.write(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}))
        return self._number

    def write(self, line: str) -> None:
        self.pipe("stdin").write(f"{line}\n")
        self.pipe("stdin").flush()

    def read(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.pipe("stdout").readline())
        return line

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = self.send(method, **params)
        while (line := self.read()).get("id") != number:
            pass
        return line

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.call("tools/call", name=name, arguments=arguments)["result"]
        return result

    def greet(self) -> None:
        assert self.call("initialize", **HELLO)["result"]["protocolVersion"] == "2025-06-18"
        self.write('{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for name in ("stdin", "stdout", "stderr"):
            self.pipe(name).close()


Serve = Callable[[], Server]


@pytest.fixture
def serve(valkey: str, namespace: str) -> Iterator[Serve]:
    """Starts servers on one store, and greets them."""
    with ExitStack() as stack:

        def start() -> Server:
            server = Server("--store", valkey, "--namespace", namespace)
            stack.callback(server.close)
            server.greet()
            return server

        yield start


@pytest.fixture
def task(valkey: str, namespace: str) -> Iterator[ccs.Context]:
    with ccs.connect(valkey, namespace=namespace) as store:
        yield store.task("t")


@pytest.mark.parametrize("end", ["closed", "SIGINT"])
def test_it_ends_within_a_second_while_a_tool_waits_and_gives_back_its_claims(
    serve: Serve, task: ccs.Context, end: str
) -> None:
    # On a busy machine any process may take a second to be gone; not three times in a row.
    assert any(_ends(serve(), task, end) < scaled(1) for _ in range(3))


def test_only_the_protocol_goes_to_the_standard_output_whatever_comes_in(serve: Serve, task: ccs.Context) -> None:
    server = serve()
    for line in (
        "",
        "no json",
        "[]",
        '{"jsonrpc":"2.0"}',
        '{"jsonrpc":"2.0","id":"x","method":"no/such"}',
        "é" * 70_000,
    ):
        server.write(line)
    big = {f"key {number}": "é" * 100 for number in range(4_000)}
    assert server.tool("write", path="big", value=big)["structuredContent"]["done"]
    contents = server.call("resources/read", uri="ccs://entry/big")["result"]["contents"]
    assert json.loads(contents[0]["text"]) == big
    assert any(_ends(each, task, "SIGTERM") < scaled(1) for each in chain([server], (serve() for _ in range(2))))


def _ends(server: Server, task: ccs.Context, end: str) -> float:
    """Ends a server while a tool waits and another one has claimed something. Returns how long it took, in seconds."""
    assert server.tool("claim", resource="r", ttl=600)["structuredContent"]["done"]
    server.send("tools/call", name="wait", arguments={"timeout": 25})
    assert len(task.claims()) == 1
    began = time.monotonic()
    assert server.end(end) == (130 if end == "SIGINT" else 0)
    seconds = time.monotonic() - began
    assert task.claims() == []
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in server.pipe("stdout"))
    assert list(server.pipe("stderr")) == []
    return seconds


def test_a_store_that_is_unavailable_is_told_and_does_not_end_the_server() -> None:
    server = Server("--store", f"redis://127.0.0.1:{free_port()}", "--retry-for", "0.2")
    try:
        server.greet()
        for _ in range(2):
            result = server.tool("list")
            assert result["isError"]
            assert "cannot be reached" in result["content"][0]["text"]
            assert result["structuredContent"]["unavailable"]
        assert server.end("SIGTERM") == 0
    finally:
        server.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--http", "0.0.0.0:0", "--token-file", "tokens"], "would serve other machines"),
        (["--http", "8080", "--token-file", "tokens"], "give HOST:PORT"),
        (["--http", "127.0.0.1:0"], "go together"),
        (["--token-file", "tokens"], "go together"),
        (["--read", "a["], "a["),
        (["--max-tokens", "5"], "max_tokens"),
    ],
)
def test_what_cannot_be_served_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["mcp", "--store", "memory://", "--task", "t", *arguments]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.out == ""


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name == "ccs.mcp" or name.startswith(("ccs.mcp.", "mcp"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert main(["mcp", "--task", "t"]) == 1
    assert "pip install 'collaborative-context-store[mcp]'" in capsys.readouterr().err


def test_help_needs_no_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ccs.mcp", None)
    with pytest.raises(SystemExit):
        main(["mcp", "--help"])
    assert "--token-file" in capsys.readouterr().out


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The descriptors of a pipe: to read from, and to write to."""
    source, sink = os.pipe()
    with open(source, "rb"), open(sink, "wb"):
        yield source, sink


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The same of a file."""
    with open(tmp_path / "file", "wb") as sink, open(tmp_path / "file", "rb") as source:
        yield source.fileno(), sink.fileno()


def test_who_waits_for_the_other_side_can_be_interrupted(pipe: tuple[int, int]) -> None:
    async def run() -> None:
        source, sink = pipe
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(Lines(source)), 0.01)
        with pytest.raises(TimeoutError):  # nobody reads, and a pipe takes 64 KiB
            await asyncio.wait_for(Writer(sink).write("é" * 200_000), 0.5)

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_lines_come_whole_in_whatever_pieces(request: pytest.FixtureRequest, kind: str) -> None:
    async def run() -> None:
        source, sink = request.getfixturevalue(kind)
        lines = ["a", "", "é" * 100_000, '{"b": 1}']
        await asyncio.gather(bounded(_write(sink, lines)), bounded(_read(source, list(lines))))

    asyncio.run(run())


async def _write(sink: int, lines: list[str]) -> None:
    for line in lines:
        await Writer(sink).write(f"{line}\n")


async def _read(source: int, wanted: list[str]) -> None:
    lines = Lines(source)
    while wanted:
        try:
            assert await anext(lines) == wanted[0]
            del wanted[0]
        except StopAsyncIteration:  # of a file, whose rest is not yet written
            await asyncio.sleep(0.001)
