"""Servers and stores for all tests: the embedded Valkey always, Redis 7.0 where there is one, and fakeredis."""

from __future__ import annotations

import contextlib
import inspect
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

import ccs
import ccs._async.opening
import ccs._sync.opening
import ccs.aio
from tests.support.interrupts import alarms
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer, binary_of
from tests.support.waiting import counts, scaled

KINDS = ("valkey", "redis", "memory")
SHORT = {("asyncio", "valkey"), ("blocking", "redis"), ("blocking", "memory")}
"""Of the colours and kinds that a test is multiplied by, in short rounds. In long ones, each with each."""


def pytest_configure() -> None:
    """A job in the background of a shell is told to ignore Ctrl-C, and hands that down; the tests press it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(obj: object) -> None:
    """Each coroutine function among the tests is run by anyio, whose older versions have no setting for that."""
    property_of = getattr(obj, "hypothesis", None)
    if inspect.iscoroutinefunction(property_of.inner_test if property_of else obj):
        pytest.mark.anyio(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test that asks for `target` on each kind of server; in short rounds on Valkey and one other kind.

    The test's name decides on which. Where other versions of what we depend on are tried, it is on all kinds.
    """
    own = any("target" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if own or "target" not in metafunc.fixturenames:
        return
    left_out = ("redis", "memory")[crc32(metafunc.definition.nodeid.encode()) % 2]
    everywhere = counts(False, True) or "CCS_TEST_VERSIONS" in os.environ
    kinds = [kind for kind in KINDS if everywhere or kind != left_out]
    metafunc.parametrize("target", kinds, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out, in short rounds, what only combines a colour and a kind of server anew."""
    left_out = [item for item in items if not counts(_is_short(item), True)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if counts(_is_short(item), True)]


def _is_short(item: pytest.Item) -> bool:
    """Whether it belongs to the short rounds: each colour on the servers that are meant for it."""
    given = getattr(getattr(item, "callspec", None), "params", {})
    if "target" not in given or "open_store" not in given:
        return True
    return (given["open_store"], given["target"]) in SHORT


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """The URL of a shared server of a kind, started when it is first asked for."""
    servers: dict[str, PrivateServer] = {}

    def url(kind: str) -> str:
        if kind == "memory":
            return f"memory://{secrets.token_hex(4)}"
        if kind not in servers:
            servers[kind] = PrivateServer(binary_of(kind), tmp_path_factory.mktemp(kind)).start()
        return servers[kind].url

    yield url
    for server in servers.values():
        server.stop()


@pytest.fixture
def target(request: pytest.FixtureRequest, server_urls: Callable[[str], str]) -> str:
    """Each kind of server in turn. Isolated by `namespace`."""
    return server_urls(request.param)


@pytest.fixture
def valkey(server_urls: Callable[[str], str]) -> str:
    """The real server that is always there."""
    return server_urls("valkey")


@pytest.fixture
def namespace() -> str:
    """A namespace of this test's own, so that tests share servers without seeing each other."""
    return f"t{secrets.token_hex(6)}"


@pytest.fixture
def connect(target: str, namespace: str) -> Iterator[Callable[..., ccs.Store]]:
    """Entered blocking stores on the server at hand, in this test's namespace."""
    with contextlib.ExitStack() as stack:
        yield lambda agent="test", **options: stack.enter_context(
            ccs.connect(target, agent=agent, namespace=namespace, **options)
        )


@pytest.fixture
async def aconnect(target: str, namespace: str) -> AsyncIterator[Callable[..., ccs.aio.Store]]:
    """Asyncio stores on the server at hand, in this test's namespace; they open with their first command."""
    async with contextlib.AsyncExitStack() as stack:

        def make(agent: str = "test", **options: object) -> ccs.aio.Store:
            store = ccs.aio.connect(target, agent=agent, namespace=namespace, **options)  # type: ignore[arg-type]
            stack.push_async_callback(store.aclose)
            return store

        yield make


@pytest.fixture
def store(connect: Callable[..., ccs.Store]) -> ccs.Store:
    return connect()


@pytest.fixture
async def astore(aconnect: Callable[..., ccs.aio.Store]) -> ccs.aio.Store:
    store = aconnect()
    await store.__aenter__()
    return store


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PrivateServer]:
    """A server of this test's own, to be killed, paused and filled."""
    server = PrivateServer(binary_of("valkey"), tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., PrivateServer]]:
    """Starts servers with options of the test's own."""
    started: list[PrivateServer] = []

    def make(*options: str, kind: str = "valkey") -> PrivateServer:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(PrivateServer(binary_of(kind), folder, *options).start())
        return started[-1]

    yield make
    for server in started:
        server.stop()


@pytest.fixture
def answer_within(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes stores that are connected from now on give up a silent connection sooner than after five seconds."""

    def within(seconds: float) -> None:
        for opening in (ccs._async.opening, ccs._sync.opening):
            monkeypatch.setattr(opening, "_ANSWER", scaled(seconds))

    return within


@pytest.fixture
def proxy(valkey: str) -> Iterator[Proxy]:
    """A proxy before the shared server, which breaks connections."""
    with Proxy(int(valkey.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def no_blocking_calls_on_the_loop(request: pytest.FixtureRequest) -> Iterator[BlockBuster | None]:
    """A blocking call on the event loop fails the test, in asyncio tests of the library."""
    if "anyio_backend" not in request.fixturenames or "memory" in request.node.name:
        yield None
        return
    with blockbuster_ctx("ccs") as blocker:
        yield blocker


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Interrupts the main thread so many seconds from now, wherever it is by then."""
    with alarms() as alarm:
        yield alarm
