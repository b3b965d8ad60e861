"""A mirror never says that it has a commit which the server has lost (G6)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import bounded, eventually, scaled
from tests.watches.breakage import MESSAGES
from tests.watches.test_watch_faults import copied, rewind


@pytest.fixture
def own_proxy(own_server: PrivateServer) -> Iterator[Proxy]:
    """A proxy before this test's own server."""
    with Proxy(int(own_server.url.rpartition(":")[2])) as proxy:
        yield proxy


def lose_messages(count: int, chunk: bytes) -> str:
    return "lose" if chunk.startswith(MESSAGES) else "pass"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_commit_that_was_in_it_and_is_lost_is_history_forked(
    colour: str, own_server: PrivateServer, namespace: str, tmp_path: Path
) -> None:
    """Given a mirror that had a commit, when the server has lost it and gone on, then catching up with it is an error."""
    async with connect_in(colour, own_server.url, namespace=namespace) as store:
        task = store.task("t")
        kept = await task.set("a", "kept")
        copy = copied(own_server, tmp_path / "copy")
        view = store.blocking.task("t").mirror("a") if colour == "blocking" else task.mirror("a")
        call = asyncio.to_thread if colour == "blocking" else directly
        await call(view.__enter__ if colour == "blocking" else view.__aenter__)
        lost = await task.set("a", "lost")
        await call(view.caught_up, lost.revision, scaled(10))
        rewind(own_server, copy)
        newer = await task.set("b", "newer")
        await call(view.caught_up, newer.revision, scaled(10))
        for _ in range(2):
            with pytest.raises(ccs.HistoryForked) as caught:
                await call(view.caught_up, lost.revision, scaled(10))
            assert (caught.value.address, caught.value.since) == ("/tasks/t", lost.revision)
        await call(view.caught_up, kept.revision, scaled(10))
        await call(view.close if colour == "blocking" else view.aclose)


async def directly(call: Any, *arguments: Any) -> Any:
    return await call(*arguments)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("afterwards", ["silence", "new commits"])
def test_waiting_for_a_commit_that_is_lost_before_its_message_came_is_an_error(
    own_server: PrivateServer, own_proxy: Proxy, namespace: str, tmp_path: Path, afterwards: str
) -> None:
    """Given a commit whose message did not come, when the server loses it, then waiting for it is an error, however long it took."""
    with (
        ccs.connect(own_server.url, namespace=namespace) as writer,
        ccs.connect(own_proxy.url, namespace=namespace) as store,
    ):
        writer.task("t").set("a", "kept")
        copy = copied(own_server, tmp_path / "copy")
        with store.task("t").mirror("a") as view:
            own_proxy.fault = lose_messages
            lost = writer.task("t").set("a", "lost")
            ended: list[BaseException] = []

            def wait() -> None:
                try:
                    view.caught_up(lost.revision)
                except ccs.CCSError as error:
                    ended.append(error)

            waiting = threading.Thread(target=wait, daemon=True)
            waiting.start()
            rewind(own_server, copy)
            own_proxy.fault = lambda count, chunk: "pass"
            if afterwards == "new commits":
                writer.task("t").set("a", "newer")
            eventually(lambda: not waiting.is_alive(), 20)
            assert [type(error) for error in ended] == [ccs.HistoryForked]


async def test_a_commit_that_was_lost_before_the_mirror_began_is_history_forked(
    own_server: PrivateServer, namespace: str, tmp_path: Path
) -> None:
    """Given a commit that was lost before, when a store that does not know that waits for it, then it gets an error."""
    async with ccs.aio.connect(own_server.url, namespace=namespace) as writer:
        await writer.task("t").set("a", "kept")
        copy = copied(own_server, tmp_path / "copy")
        lost = await writer.task("t").set("a", "lost")
        await asyncio.to_thread(rewind, own_server, copy)
        await writer.task("t").set("a", "newer")
        async with ccs.aio.connect(own_server.url, namespace=namespace) as store, store.task("t").mirror() as view:
            with pytest.raises(ccs.HistoryForked):
                await bounded(view.caught_up(lost.revision))


def test_catching_up_in_an_outage_ends_in_time(valkey: str, namespace: str, proxy: Proxy) -> None:
    """Given a server that cannot be asked, when somebody waits with a timeout, then that holds."""
    with (
        ccs.connect(valkey, namespace=namespace) as writer,
        ccs.connect(proxy.url, namespace=namespace, retry_for=0.5) as store,
    ):
        old = writer.task("t").set("a", 1)
        with store.task("t").mirror() as view:
            proxy.refuse()
            with pytest.raises(TimeoutError):
                view.caught_up(old.revision, timeout=0.3)
            proxy.refuse(False)
            view.caught_up(old.revision, timeout=scaled(10))
