"""Primaries are killed under writers: what every replica had stays, and what is lost is told to each watch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import aeventually, counts, scaled
from tests.topologies.failing_over import ALL, Servers, kill_primary_of
from tests.topologies.writers import traffic


@pytest.mark.parametrize("colour", COLOURS)
async def test_what_all_replicas_had_stays_and_what_is_lost_is_told(
    colour: str, servers: Servers, namespace: str
) -> None:
    """Given primaries that are killed while their replicas are behind, and writers of which some wait for all replicas."""
    async with connect_in(colour, servers.url, namespace=namespace) as store:
        for number in range(counts(1, 30)):
            if number:
                await asyncio.to_thread(servers.repair)
            await _kill_once(store, servers, namespace, f"k{number}-")


async def _kill_once(store: Any, servers: Servers, namespace: str, name: str) -> None:
    all_of_them = {"disk": False, "replicas": ALL[type(servers)], "timeout": scaled(0.5)}
    async with (
        traffic(store, contexts=3, writers=1, name=f"{name}safe", durable=all_of_them) as safe,
        traffic(store, contexts=3, name=f"{name}fast") as fast,
    ):
        await aeventually(lambda: all(len(found.acknowledged) == 3 for found in (safe, fast)))
        await asyncio.sleep(0.3)
        await kill_primary_of(servers, namespace, fast.tasks[0], behind=0.3)
        written = sum(map(len, fast.acknowledged.values()))
        # Until each writer has gone on.
        await aeventually(lambda: sum(map(len, fast.acknowledged.values())) > written + 20 * len(fast.tasks), 15)
        await asyncio.sleep(scaled(0.5))
    assert fast.slowest < scaled(6)
    safe_histories = await safe.histories()
    assert safe.lost(safe_histories) == {}
    assert safe.complaints(safe_histories) == []
    fast_histories = await fast.histories()
    print(  # noqa: T201
        *(sum(map(len, found.acknowledged.values())) for found in (safe, fast)),
        f"acknowledged, {safe.not_durable} not durable;",
        *(f"{address}: {len(lost)} lost;" for address, lost in fast.lost(fast_histories).items()),
        f"forked: {sorted(fast.seen.forked | safe.seen.forked)}, {sorted(fast.seen_by_all.forked | safe.seen_by_all.forked)}",
    )
    assert fast.lost(fast_histories)
    assert fast.complaints(fast_histories) == []
