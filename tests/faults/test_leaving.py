"""G14 and the promises of leaving: nothing stays behind, and an object in the wrong process, thread or loop says so."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ccs
import ccs.aio
from tests.support.leftovers import tasks, threads
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, eventually, scaled


@pytest.fixture
def clients(own_server: PrivateServer) -> Iterator[Callable[[], int]]:
    """How many connections the server of this test has, ours not counted."""
    with own_server.client() as client:
        yield lambda: len(client.client_list()) - 1


def test_leaving_a_blocking_store_leaves_nothing_behind(
    own_server: PrivateServer, clients: Callable[[], int], namespace: str
) -> None:
    """Given writers, watches and callbacks in threads, when the store is left, then no connection or thread is left."""
    with ccs.connect(own_server.url, namespace=namespace) as store:
        task = store.task("42")
        seen: list[ccs.Change] = []
        task.subscribe("**", seen.append)
        with task.watch("**") as changes:
            writers = [threading.Thread(target=task.set, args=(f"a/{index}", 1)) for index in range(20)]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
            assert changes.receive(timeout=5)
        task.set("short", 1, ttl=100)
        assert clients() >= 2
        assert threads()
    assert not threads()
    eventually(lambda: clients() == 0)
    gc.collect()


def test_a_thread_that_waits_for_a_server_that_hangs_sees_the_end_of_its_store_at_once(
    own_server: PrivateServer, namespace: str
) -> None:
    store = ccs.connect(own_server.url, namespace=namespace)
    task = store.task("42")
    task.set("a", 1)
    ended: list[float] = []

    def read() -> None:
        with pytest.raises(ccs.StoreClosed):
            task.get("a")
        ended.append(time.monotonic())

    readers = [threading.Thread(target=read) for _ in range(5)]
    own_server.pause()
    try:
        for reader in readers:
            reader.start()
        eventually(lambda: store._engine.opening.commands.topology.waits() > 0)
        began = time.monotonic()
        store.close()
        for reader in readers:
            reader.join(scaled(10))
    finally:
        own_server.resume()
    assert len(ended) == 5
    assert max(ended) - began < scaled(1.5)


async def test_leaving_an_asyncio_store_leaves_nothing_behind(
    own_server: PrivateServer, clients: Callable[[], int], namespace: str
) -> None:
    """Given writers, watches and callbacks, when the store is left, then no connection, task or thread is left."""
    async with ccs.aio.connect(own_server.url, namespace=namespace) as store:
        task = store.task("42")

        async def see(change: ccs.Change) -> None: ...

        task.subscribe("**", see)
        async with task.watch("**") as changes, store.watch() as everywhere:
            await asyncio.gather(*(task.set(f"a/{index}", 1) for index in range(20)))
            assert await changes.receive(timeout=5)
            assert await everywhere.receive(timeout=5)
        await task.set("short", 1, ttl=100)
        assert clients() >= 2
        assert tasks()
    assert not tasks()
    await aeventually(lambda: clients() == 0)
    gc.collect()


async def test_what_was_still_on_its_way_ends_when_an_asyncio_store_is_closed(
    own_server: PrivateServer, clients: Callable[[], int], namespace: str
) -> None:
    """Given calls on their way, when the store is closed, then each ends, with its result or `StoreClosed`, at once."""
    store = ccs.aio.connect(own_server.url, namespace=namespace)
    task = store.task("42")
    await task.set("a", 1)
    own_server.pause()
    calls = [asyncio.ensure_future(call) for call in (task.get("a"), task.set("a", 2), task.snapshot(), task.history())]
    await asyncio.sleep(0)
    await bounded(store.aclose(), 2)
    results = await bounded(asyncio.gather(*calls, return_exceptions=True), 2)
    assert [type(result) for result in results] == [ccs.StoreClosed] * 4
    assert not tasks()
    own_server.resume()
    await aeventually(lambda: clients() == 0)


async def test_closing_while_the_store_reconnects_ends_it_all(
    own_server: PrivateServer, clients: Callable[[], int], namespace: str
) -> None:
    """Given a store that lost its server and tries again, when it is closed, then its callers end and nothing stays."""
    store = ccs.aio.connect(own_server.url, namespace=namespace)
    task = store.task("42")
    await task.set("a", 1)
    await asyncio.to_thread(own_server.kill)
    calls = [asyncio.ensure_future(call) for call in (task.get("a"), task.set("a", 2))]
    await aeventually(lambda: store.stats().retries > 2)
    await bounded(store.aclose(), 2)
    results = await bounded(asyncio.gather(*calls, return_exceptions=True), 3)
    assert [type(result) for result in results] == [ccs.StoreClosed] * 2
    assert not tasks()
    await asyncio.to_thread(own_server.start)


def test_threads_that_wait_for_a_server_end_when_the_store_is_closed(own_server: PrivateServer, namespace: str) -> None:
    """Given threads whose server is gone, when another closes the store, then they end long before `retry_for`."""
    store = ccs.connect(own_server.url, namespace=namespace, retry_for=60)
    task = store.task("42")
    task.set("a", 1)
    own_server.kill()
    errors: list[Exception] = []

    def work(call: Callable[[], object]) -> None:
        try:
            call()
        except ccs.CCSError as error:
            errors.append(error)

    calls: list[Callable[[], object]] = [lambda: task.get("a"), lambda: task.set("a", 2)]
    waiting = [threading.Thread(target=work, args=(call,), daemon=True) for call in calls]
    for thread in waiting:
        thread.start()
    eventually(lambda: store.stats().retries > 2)
    store.close()
    for thread in waiting:
        thread.join(scaled(5))
    assert [type(error) for error in errors] == [ccs.StoreClosed] * 2


def test_a_blocking_store_that_was_used_but_never_entered_leaves_nothing_behind(
    own_server: PrivateServer, clients: Callable[[], int], namespace: str
) -> None:
    """Given a store that is used without entering it, when it is closed, then nothing stays."""
    store = ccs.connect(own_server.url, namespace=namespace)
    store.task("42").set("a", 1)
    store.close()
    store.close()
    assert not threads()
    eventually(lambda: clients() == 0)


async def test_an_asyncio_store_that_was_used_but_never_entered_leaves_nothing_behind(
    own_server: PrivateServer, clients: Callable[[], int], namespace: str
) -> None:
    """Given a store that is used without entering it, when it is closed, then nothing stays."""
    store = ccs.aio.connect(own_server.url, namespace=namespace)
    await store.task("42").set("a", 1)
    await store.aclose()
    await store.aclose()
    assert not tasks()
    await aeventually(lambda: clients() == 0)


def test_a_store_that_was_never_used_needs_no_closing(namespace: str) -> None:
    """Given a store that did nothing, when it is dropped, then there is nothing to warn about."""
    store = ccs.connect("redis://127.0.0.1:1", namespace=namespace)
    store.task("42")
    del store
    gc.collect()
    assert not threads()


@pytest.mark.parametrize("when", ["at once", "when subscriptions start"])
async def test_entering_that_fails_leaves_nothing_behind(
    own_server: PrivateServer, clients: Callable[[], int], namespace: str, when: str
) -> None:
    """Given a server that is refused, or a cancelled entering, when entering fails, then nothing stays, in both colours."""
    if when == "at once":
        with own_server.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        for _ in range(3):
            with pytest.raises(ccs.UnsafeServer):
                await ccs.aio.connect(own_server.url, namespace=namespace).__aenter__()
            with pytest.raises(ccs.UnsafeServer):
                await asyncio.to_thread(ccs.connect(own_server.url, namespace=namespace).__enter__)
    else:
        with Proxy(own_server.port) as proxy:
            eaten: list[bytes] = []
            proxy.filter = lambda count, chunk: eaten.append(chunk) or "eat" if b"SUBSCRIBE" in chunk else "pass"
            store = ccs.aio.connect(proxy.url, namespace=namespace)

            @store.task("42").on_change("**")
            async def see(change: ccs.Change) -> None: ...

            entering = asyncio.ensure_future(store.__aenter__())
            await aeventually(lambda: eaten)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await bounded(entering)
    assert not tasks()
    assert not threads()
    await aeventually(lambda: clients() == 0)


@pytest.mark.parametrize("stage", ["new", "used"])
def test_a_closed_store_says_so_whatever_is_asked(valkey: str, namespace: str, stage: str) -> None:
    """Given a closed blocking store, when anything is asked of it, then it is `StoreClosed`, at once."""
    store = ccs.connect(valkey, namespace=namespace)
    task = store.task("42")
    if stage == "used":
        task.set("a", 1)
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: task.get("a"),
        lambda: task.set("a", 1),
        lambda: task.increment("n"),
        lambda: task.append("l", 1),
        lambda: task.snapshot(),
        lambda: task.history(),
        lambda: task.info(),
        lambda: task.drop(),
        lambda: store.contexts(),
        lambda: store.get("/tasks/42/a"),
        lambda: list(task.scan()),
        lambda: task.watch("**").__enter__(),
        lambda: store.watch().__enter__(),
        lambda: task.subscribe("**", print),
        lambda: task.wait_for("a", timeout=1),
    ]
    for call in calls:
        with pytest.raises(ccs.StoreClosed):
            call()
    assert not threads()


async def test_an_asyncio_watch_whose_store_is_closed_ends(valkey: str, namespace: str) -> None:
    """Given a waiting consumer, when the store is closed, then the wait ends with `StoreClosed`."""
    store = ccs.aio.connect(valkey, namespace=namespace)
    watch, everywhere = store.task("42").watch("**"), store.watch()
    await watch.__aenter__()
    await everywhere.__aenter__()
    waits = [
        asyncio.ensure_future(each) for each in (watch.receive(), everywhere.receive(), store.task("42").wait_for("x"))
    ]
    await asyncio.sleep(0)
    await store.aclose()
    for result in await bounded(asyncio.gather(*waits, return_exceptions=True), 3):
        assert isinstance(result, ccs.StoreClosed)
    with pytest.raises(ccs.StoreClosed):
        await bounded(watch.receive(), 3)
    await watch.aclose()
    await everywhere.aclose()
    assert not tasks()


def test_a_blocking_watch_whose_store_is_closed_ends(valkey: str, namespace: str) -> None:
    """Given a thread that waits for changes, when the store is closed, then the wait ends with `StoreClosed`."""
    store = ccs.connect(valkey, namespace=namespace)
    watch = store.task("42").watch("**")
    watch.__enter__()
    errors: list[Exception] = []

    def work() -> None:
        try:
            watch.receive()
        except ccs.CCSError as error:
            errors.append(error)

    waiting = threading.Thread(target=work, daemon=True)
    waiting.start()
    store.close()
    waiting.join(scaled(3))
    assert [type(error) for error in errors] == [ccs.StoreClosed]
    watch.close()


def test_an_asyncio_store_says_so_when_it_is_used_from_another_loop(valkey: str, namespace: str) -> None:
    """Given a store that was opened in one event loop, when another uses it, then it is `StoreClosed`."""
    with asyncio.Runner() as first, asyncio.Runner() as second:
        store = ccs.aio.connect(valkey, namespace=namespace)
        first.run(store.task("42").set("a", 1))
        for call in (
            lambda: store.task("42").get("a"),
            lambda: store.task("42").set("a", 2),
            lambda: store.contexts(),
            lambda: store.task("42").watch("**").__aenter__(),
            lambda: store.__aenter__(),
            lambda: store.aclose(),
        ):
            with pytest.raises(ccs.StoreClosed, match="event loop"):
                second.run(call())
        assert first.run(store.task("42").get("a")) == 1
        first.run(store.aclose())


def in_a_child(work: Callable[[], None]) -> None:
    """Runs `work` in a forked child; fails with what it says."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            work()
            message = "ok"
        except BaseException as error:  # noqa: BLE001  # told to the parent
            message = repr(error)
        os.write(writer, message.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    assert told == "ok"


def test_a_blocking_store_says_so_when_it_is_used_after_a_fork(valkey: str, namespace: str) -> None:
    """Given a store that was opened before a fork, when the child uses it, then it is `StoreClosed`; the parent's works."""
    with ccs.connect(valkey, namespace=namespace) as store:
        task = store.task("42")
        task.set("a", 1)
        watch = task.watch("**")
        watch.__enter__()

        def work() -> None:
            calls: list[Callable[[], object]] = [
                lambda: task.get("a"),
                lambda: task.set("a", 2),
                lambda: task.info(),
                lambda: store.contexts(),
                lambda: task.watch("**").__enter__(),
                lambda: task.subscribe("**", print),
                lambda: watch.receive(timeout=5),
                lambda: store.__enter__(),
            ]
            for call in calls:
                with pytest.raises(ccs.StoreClosed):
                    call()
            store.close()

        in_a_child(work)
        assert task.get("a") == 1
        task.set("a", 3)
        assert watch.receive(timeout=5).value == 3
        watch.close()


def test_an_asyncio_store_says_so_when_it_is_used_after_a_fork(valkey: str, namespace: str) -> None:
    """Given an asyncio store that was opened before a fork, when the child uses it, then it is `StoreClosed`."""
    with asyncio.Runner() as runner:
        store = ccs.aio.connect(valkey, namespace=namespace)
        runner.run(store.task("42").set("a", 1))

        def work() -> None:
            for call in (lambda: store.task("42").get("a"), store.aclose):
                with pytest.raises(ccs.StoreClosed):
                    asyncio.run(call())

        in_a_child(work)
        assert runner.run(store.task("42").get("a")) == 1
        runner.run(store.aclose())


def test_a_store_that_was_not_opened_before_a_fork_works_in_the_child(valkey: str, namespace: str) -> None:
    """Given a store that nobody has used, when a forked child uses it, then it is the child's."""
    store = ccs.connect(valkey, namespace=namespace)

    def work() -> None:
        with store:
            store.task("42").set("a", 1)

    in_a_child(work)
    with ccs.connect(valkey, namespace=namespace) as other:
        assert other.task("42").get("a") == 1


def test_leaving_the_embedded_store_lets_its_server_go(tmp_path: Path) -> None:
    """Given a store on a folder, when it is left, then no descriptor of its locks and no thread stays (G16)."""
    before = open_files(tmp_path)
    with ccs.connect(tmp_path) as store:
        store.task("42").set("a", 1)
        assert open_files(tmp_path)
        pid = int((tmp_path / ".ccs" / "server.pid").read_text())
    assert not threads()
    assert open_files(tmp_path) == before
    os.kill(pid, 9)


def open_files(folder: Path) -> list[str]:
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            name = os.readlink(fd)
        except OSError:
            continue
        if name.startswith(str(folder)):
            found.append(name)
    return found
