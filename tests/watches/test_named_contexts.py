"""Store watches and listings that name their contexts: no wildcard stands for others, so nothing else is asked for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._core.names.pattern import compile_addresses
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import bounded, counts, scaled
from tests.watches.breakage import anything
from tests.watches.validate import validate

NAMED = ["/tasks/a/**", "/tasks/{b,c}/p"]


@pytest.fixture(params=["valkey", "redis", "cluster", "sentinel"])
def url(request: pytest.FixtureRequest, server_urls: Callable[[str], str]) -> str:
    return server_urls(request.param)


async def told(changes: Any, count: int) -> list[tuple[str, str, Any]]:
    seen = [await changes.receive(timeout=scaled(10)) for _ in range(count)]
    return [(change.context, change.op, change.value) for change in seen]


@pytest.mark.parametrize(
    ("patterns", "named"),
    [
        (("/tasks/1",), ("/tasks/1",)),
        (("/tasks/1/a/*", "/tasks/1/b"), ("/tasks/1",)),
        (("/{tasks,actors}/{1,2}/**",), ("/actors/1", "/actors/2", "/tasks/1", "/tasks/2")),
        (("/global/**",), ("/global",)),
        (("/tasks/a[*]b/x",), ("/tasks/a*b",)),
        (("/tasks/%2e/x",), ("/tasks/.",)),
        (("/tasks/1/a", "/tasks/*/b"), None),
        (("/tasks/1?/a",), None),
        (("/tasks/**",), None),
        (("/**/a",), None),
        (("/others/1/a",), None),
        (("/*/global/a",), None),
        (("/**/global",), None),
        ((), None),
    ],
)
def test_patterns_name_their_contexts_if_no_wildcard_stands_for_others(
    patterns: tuple[str, ...], named: tuple[str, ...] | None
) -> None:
    found = compile_addresses(patterns).named
    assert found == named or (named == ("/tasks/.",) and found == ("/tasks/%2E",))


@pytest.mark.parametrize("colour", COLOURS)
async def test_it_gets_each_change_of_its_contexts_once_beside_a_watch_of_all(
    colour: str, target: str, namespace: str
) -> None:
    """Given watches that name contexts and one of all, then each gets what concerns it, once, ends and new lives too."""
    async with (
        ccs.aio.connect(target, namespace=namespace, agent="writer") as writer,
        connect_in(colour, target, namespace=namespace) as store,
    ):
        await writer.task("b").set("p", 0)
        async with store.watch(*NAMED) as changes, store.watch("/**") as everything, store.task("a").watch() as one:
            for number in (1, 2):
                for name in ("a", "b", "c", "d"):
                    await writer.task(name).set("p", number)
            await writer.task("a").drop()
            await writer.task("a").set("p", 3)
            seen = await told(changes, 8)
            assert sorted(value for context, _, value in seen if context == "/tasks/b") == [1, 2]
            assert [(op, value) for context, op, value in seen if context == "/tasks/a"] == [
                ("set", 1),
                ("set", 2),
                ("gone", None),
                ("set", 3),
            ]
            assert "/tasks/d" not in {context for context, _, _ in seen}
            assert len(await told(everything, 10)) == 10
            assert await told(one, 2) == [("/tasks/a", "set", 1), ("/tasks/a", "set", 2)]
            await writer.task("a").set("p", 4)
            assert await told(changes, 1) == [("/tasks/a", "set", 4)]
            with pytest.raises(TimeoutError):
                await changes.receive(timeout=0.05)


@pytest.mark.parametrize("colour", COLOURS)
async def test_it_costs_no_look_at_other_contexts(own_server: PrivateServer, colour: str) -> None:
    """Given many contexts, when one is watched by its name, then the server walks over no keys and sends no other commit."""
    async with (
        ccs.aio.connect(own_server.url) as writer,
        connect_in(colour, own_server.url) as store,
    ):
        await asyncio.gather(*(writer.task(f"t{number}").set("p", 0) for number in range(50)))
        async with store.watch("/tasks/t7/**") as changes:
            await asyncio.gather(*(writer.task(f"t{number}").set("p", 1) for number in range(50)))
            assert await told(changes, 1) == [("/tasks/t7", "set", 1)]
            assert [info.entries for info in await store.contexts("/tasks/{t7,none}")] == [1]
        with own_server.client() as client:
            used = client.info("commandstats")
    assert not {"cmdstat_scan", "cmdstat_psubscribe"} & used.keys()


async def test_what_came_and_went_during_an_outage_is_told(valkey: str, namespace: str, proxy: Proxy) -> None:
    async with (
        ccs.aio.connect(valkey, namespace=namespace) as writer,
        ccs.aio.connect(proxy.url, namespace=namespace) as store,
    ):
        await writer.task("a").set("p", 0)
        async with store.watch(*NAMED) as changes:
            await writer.task("a").set("p", 1)
            assert await told(changes, 1) == [("/tasks/a", "set", 1)]
            proxy.refuse()
            await writer.task("a").set("p", 2)
            for name in ("b", "d"):
                await writer.task(name).set("p", 0)
                await writer.task(name).drop()
            await writer.task("c").set("p", 5)
            proxy.refuse(False)
            seen = await told(changes, 3)
            assert seen[2] == ("/tasks/b", "missed", ["/tasks/b"])
            assert sorted(seen[:2]) == [("/tasks/a", "set", 2), ("/tasks/c", "set", 5)]


async def test_over_a_broken_connection_nothing_is_missed(valkey: str, namespace: str, proxy: Proxy) -> None:
    seen: list[ccs.Change] = []

    async def receive(changes: Any, wanted: int) -> None:
        while len(seen) < wanted:
            seen.append(await changes.receive(timeout=scaled(15)))

    async with (
        ccs.aio.connect(valkey, namespace=namespace) as writer,
        ccs.aio.connect(proxy.url, namespace=namespace, retry_for=scaled(15)) as store,
        store.watch(*NAMED, buffer=8) as changes,
    ):
        proxy.fault = anything(random.Random(2))
        contexts = [writer.task(name) for name in ("a", "b", "c")]
        for turn in range(counts(30, 400)):
            await asyncio.gather(*(ctx.set("p", turn) for ctx in contexts))
        journals = {ctx.address: await ctx.history(since=0) for ctx in contexts}
        watching = asyncio.create_task(receive(changes, sum(map(len, journals.values()))))
        await asyncio.sleep(0)
        proxy.fault = lambda count, chunk: "pass"
        await bounded(watching, 30)
        for address, journal in journals.items():
            validate([change for change in seen if change.context == address], journal)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_limited_user_watches_and_lists_the_contexts_that_it_may_read(
    colour: str, url: str, namespace: str
) -> None:
    """Given a user of one context, then it watches and lists that one by its name; any other one is `Forbidden`."""
    async with ccs.aio.connect(url, namespace=namespace, agent="admin") as admin:
        grant = await admin.grant(f"n{namespace}", read=["/tasks/mine"])
        try:
            async with connect_in(colour, grant.url, namespace=namespace, retry_for=scaled(20)) as store:
                async with store.watch("/tasks/mine/**") as changes:
                    for value in (1, 2):
                        await admin.task("mine").set("p", value)
                        assert await told(changes, 1) == [("/tasks/mine", "set", value)]
                    assert [info.address for info in await store.contexts("/tasks/mine")] == ["/tasks/mine"]
                    await admin.task("mine").drop()
                    assert await told(changes, 1) == [("/tasks/mine", "gone", None)]
                    await admin.task("mine").set("p", 3)
                    assert await told(changes, 1) == [("/tasks/mine", "set", 3)]
                for patterns in (["/tasks/theirs/**"], ["/tasks/mine/**", "/tasks/theirs/**"]):
                    with pytest.raises(ccs.Forbidden):
                        await store.watch(*patterns).__aenter__()
                with pytest.raises(ccs.Forbidden):
                    await store.contexts("/tasks/theirs")
        finally:
            await admin.revoke(grant.user)
