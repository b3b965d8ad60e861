"""Servers and stores for all tests: the embedded Valkey always, Redis 7.0 where there is one, and fakeredis.

A Cluster and Sentinels stand beside them; `tests/support/targets.py` says which test runs on what.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import inspect
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster
from pydantic import TypeAdapter

import ccs
import ccs._async.opening
import ccs._sync.opening
import ccs.aio
from tests.support.interrupts import alarms
from tests.support.proxy import Proxy
from tests.support.rounds import VERSIONS, Case, left_out
from tests.support.servers import PrivateServer, binary_of
from tests.support.targets import ASKED, kinds_of
from tests.support.topologies import Cluster, Replicated, Sentinels, SharedTopologies
from tests.support.waiting import counts, scaled


def pytest_configure() -> None:
    """Ctrl-C works, which a job in the background of a shell is told to ignore; versions of packages are read once.

    redis-py reads its own for each connection, which takes longer than to connect.
    """
    metadata.version = functools.cache(metadata.version)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """The thousands of tests stay to the end: no collection of garbage looks through them, neither now nor later."""
    gc.disable()
    try:
        _compile_a_share(session.config)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _compile_a_share(config: pytest.Config) -> None:
    """Of several workers each begins with other files: in a fresh clone, each would compile all of them at the same time."""
    worker: dict[str, Any] = getattr(config, "workerinput", {"workerid": "gw0", "workercount": 1})
    first, step = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    places = [config.rootpath / arg.partition("::")[0] for arg in config.args]
    files = [file for place in places for file in sorted(place.rglob("test_*.py"))]
    for file in files[first::step] if step > 1 else []:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # to be told where it is collected
            importlib.import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(obj: object) -> None:
    """Each coroutine function among the tests is run by anyio, whose older versions have no setting for that."""
    property_of = getattr(obj, "hypothesis", None)
    if inspect.iscoroutinefunction(property_of.inner_test if property_of else obj):
        pytest.mark.anyio(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test that asks for `target` on the kinds that are meant for it."""
    own = any("target" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if own or "target" not in metafunc.fixturenames:
        return
    kinds = kinds_of(metafunc.definition.nodeid, everywhere=counts(VERSIONS, True))
    metafunc.parametrize("target", kinds, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is not on the kinds that are asked for; in short rounds, what only combines anew."""
    asked = [item for item in items if not ASKED or _case(item).values.get("target") in ASKED]
    dropped = counts(left_out([_case(item) for item in asked]), set())
    kept = [item for item in asked if item.nodeid not in dropped]
    stays = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in stays])
    items[:] = kept


def _case(item: pytest.Item) -> Case:
    given = getattr(item, "callspec", None)
    return Case(item.nodeid, given.params if given else {})


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shared_topologies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedTopologies]:
    """One Cluster and so on for all tests of a process, each started when it is first asked for."""
    with SharedTopologies(tmp_path_factory.mktemp("topologies")) as shared:
        yield shared


@pytest.fixture(scope="session")
def server_urls(
    tmp_path_factory: pytest.TempPathFactory, shared_topologies: SharedTopologies
) -> Iterator[Callable[[str], str]]:
    """The URL of a shared target of a kind, started when it is first asked for."""
    servers: dict[str, PrivateServer] = {}

    def url(kind: str) -> str:
        if kind == "memory":
            return f"memory://{secrets.token_hex(4)}"
        if kind == "cluster":
            return shared_topologies.get(Cluster).seeds_url
        if kind == "sentinel":
            return shared_topologies.get(Sentinels).url
        if kind not in servers:
            servers[kind] = PrivateServer(binary_of(kind), tmp_path_factory.mktemp(kind)).start()
        return servers[kind].url

    yield url
    for server in servers.values():
        server.stop()


@pytest.fixture
def cluster(shared_topologies: SharedTopologies) -> Iterator[Cluster]:
    """A Cluster of three primaries with a replica each: empty, to be broken at will."""
    with shared_topologies.lent(Cluster) as cluster:
        yield cluster


@pytest.fixture
def sentinels(shared_topologies: SharedTopologies) -> Iterator[Sentinels]:
    """A server with two replicas and three Sentinels: empty, to be broken at will."""
    with shared_topologies.lent(Sentinels) as sentinels:
        yield sentinels


@pytest.fixture
def replicated(shared_topologies: SharedTopologies) -> Iterator[Replicated]:
    """A server with a replica: empty, to be broken at will."""
    with shared_topologies.lent(Replicated) as replicated:
        yield replicated


@pytest.fixture
def target(request: pytest.FixtureRequest, server_urls: Callable[[str], str]) -> str:
    """Each kind of target in turn. Isolated by `namespace`."""
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


@pytest.fixture(scope="session")
def blocker() -> BlockBuster:
    """Made once: to look up all that blocks takes longer than many a test."""
    TypeAdapter(int)  # the first one of a process looks for plugins of pydantic
    return BlockBuster("ccs")


@pytest.fixture(autouse=True)
def no_blocking_calls_on_the_loop(request: pytest.FixtureRequest, blocker: BlockBuster) -> Iterator[None]:
    """A blocking call on the event loop fails the test, in asyncio tests of the library."""
    if "anyio_backend" not in request.fixturenames or "memory" in request.node.name:
        yield
        return
    blocker.activate()
    yield
    blocker.deactivate()


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Interrupts the main thread so many seconds from now, wherever it is by then."""
    with alarms() as alarm:
        yield alarm
