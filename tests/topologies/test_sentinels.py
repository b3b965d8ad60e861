"""With Sentinels, the primary is followed wherever it is."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

import ccs
from tests.support.colours import COLOURS, connect_in
from tests.support.topologies import Replicated, Sentinels
from tests.support.waiting import aeventually, scaled
from tests.topologies.writers import traffic

pytestmark = pytest.mark.parametrize("colour", COLOURS)


async def in_thread(call: Any, *args: Any) -> Any:
    return await asyncio.to_thread(partial(call, *args))


async def test_a_failover_that_is_asked_for_is_followed(colour: str, sentinels: Sentinels, namespace: str) -> None:
    async with connect_in(colour, sentinels.url, namespace=namespace) as store:
        async with traffic(store, contexts=3) as found:
            await asyncio.sleep(0.2)
            await in_thread(sentinels.failover)
        assert found.complaints(await found.histories()) == []


async def test_a_primary_that_hangs_is_left(colour: str, sentinels: Sentinels, namespace: str) -> None:
    async with connect_in(colour, sentinels.url, namespace=namespace) as store:
        async with traffic(store, contexts=3) as found:
            await asyncio.sleep(0.3)
            victim = sentinels.primary()
            await in_thread(sentinels.pause, victim)
            await aeventually(lambda: sentinels.primary() is not victim, 15, "the Sentinels to replace it")
            await asyncio.sleep(scaled(2))
        assert found.slowest < scaled(6)
        assert found.complaints(await found.histories()) == []


async def test_a_sentinel_that_is_down_or_hangs_holds_nobody_up(
    colour: str, sentinels: Sentinels, namespace: str
) -> None:
    sentinels.pause(sentinels.sentinels[0])
    async with connect_in(colour, sentinels.url, namespace=namespace, retry_for=3) as store:
        assert (await store.task("t").set("a", 1)).version == 1


async def test_a_sentinel_that_has_missed_a_failover_is_outvoted(
    colour: str, sentinels: Sentinels, namespace: str
) -> None:
    stale = sentinels.sentinels[0]
    stale.pause()
    victim = sentinels.nodes[0] if sentinels.nodes[0].primary else next(n for n in sentinels.nodes if n.primary)
    victim.pause()
    witness = sentinels.sentinels[1]
    await aeventually(lambda: int(witness.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1]) != victim.port, 15)
    victim.resume()
    stale.resume()
    async with connect_in(colour, sentinels.url, namespace=namespace) as store:
        await store.task("t").set("a", 1)
        present = int(witness.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1])
        holder = next(node for node in sentinels.nodes if node.port == present)
        assert holder.ask("KEYS", f"*{namespace}*")


async def test_a_name_that_no_sentinel_knows_is_told_at_once(colour: str, sentinels: Sentinels) -> None:
    url = sentinels.url.rpartition("/")[0] + "/nobody"
    with pytest.raises(ccs.Unavailable, match="know no primary of the name 'nobody'"):
        async with connect_in(colour, url):
            pass


async def test_without_any_sentinel_it_is_unavailable(colour: str, sentinels: Sentinels) -> None:
    for sentinel in sentinels.sentinels:
        sentinel.kill()
    with pytest.raises(ccs.Unavailable, match="no Sentinel answers"):
        async with connect_in(colour, sentinels.url, retry_for=0.5):
            pass


async def test_a_sentinel_as_a_server_is_told_as_what_it_is(colour: str, sentinels: Sentinels) -> None:
    with pytest.raises(ccs.UnsafeServer, match=r"is a Sentinel.*redis\+sentinel://"):
        async with connect_in(colour, sentinels.sentinels[0].url):
            pass


async def test_a_replica_is_refused_and_its_primary_named(colour: str, replicated: Replicated) -> None:
    primary, replica = replicated.nodes
    with pytest.raises(ccs.UnsafeServer, match=f"is a replica of 127.0.0.1:{primary.port}"):
        async with connect_in(colour, replica.url):
            pass


async def test_a_server_that_is_demoted_is_waited_for(colour: str, replicated: Replicated, namespace: str) -> None:
    """A name may lead to another server soon: so a primary that becomes a replica is asked again until patience ends."""
    primary, replica = replicated.nodes
    async with connect_in(colour, primary.url, namespace=namespace, retry_for=1.5) as store:
        await store.task("t").set("a", 1)
        replica.ask("REPLICAOF", "NO", "ONE")
        primary.ask("REPLICAOF", "127.0.0.1", replica.port)
        with pytest.raises(ccs.Unavailable, match=r"replica|READONLY"):
            await store.task("t").set("a", 2)
        primary.ask("REPLICAOF", "NO", "ONE")
        assert await store.task("t").set("a", 3)
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
