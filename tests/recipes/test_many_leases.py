"""Thousands of leases in one process: all of them are kept."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.support.waiting import aeventually, counts, eventually, scaled

MANY = counts(200, 2_000)


def shown(claims: list[Any]) -> int:
    return sum(claim.held for claim in claims)


async def renewed_twice(claims: list[Any]) -> None:
    """Waits until each lease has been renewed twice, as its holder shows."""
    for _ in range(2):
        before = [claim._lease.until for claim in claims]
        await aeventually(
            lambda before=before: all(claim._lease.until > until for claim, until in zip(claims, before, strict=True)),
            timeout=20,
            what="all renewals",
        )


@pytest.mark.parametrize("spread", [True, False], ids=["a context each", "one context"])
async def test_many_claims_are_all_kept(valkey: str, namespace: str, spread: bool) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        await keep_many(store, spread)


async def keep_many(store: ccs.aio.Store, spread: bool) -> None:
    ttl = scaled(2.0)
    made = [store.task(f"t{number}" if spread else "t").claim(f"r{number}", ttl=ttl) for number in range(MANY)]
    claims = await asyncio.gather(*(claim.acquire() for claim in made))
    await renewed_twice(claims)
    assert shown(claims) == MANY, "none is lost"


def test_many_claims_of_a_blocking_store_are_all_kept(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store:
        keep_some(store)


def keep_some(store: ccs.Store) -> None:
    ttl = scaled(2.0)
    claims = [store.task(f"t{number}").claim("r", ttl=ttl).acquire() for number in range(MANY // 4)]
    before = [claim._lease.until for claim in claims if claim._lease]
    eventually(
        lambda: all(claim._lease and claim._lease.until > until for claim, until in zip(claims, before, strict=True)),
        timeout=20,
    )
    assert shown(claims) == len(claims)


async def test_a_context_that_is_gone_loses_its_own_lease_and_no_other(
    aconnect: Callable[..., ccs.aio.Store], target: str
) -> None:
    store, operator = aconnect(), aconnect()
    claims = [await store.task(f"t{number}").claim("r", ttl=scaled(1.0)).acquire() for number in range(20)]
    await operator.task("t7").drop()
    await aeventually(lambda: claims[7]._lease is not None and claims[7]._lease.lost, what="the loss to be noticed")
    await renewed_twice([claim for claim in claims if claim is not claims[7]])
    assert shown(claims) == 19


async def test_scripts_that_the_server_has_forgotten_are_sent_again(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        claims = [await store.task(f"t{number}").claim("r", ttl=scaled(1.0)).acquire() for number in range(20)]
        await store._engine.opening.commands.run(("SCRIPT", "FLUSH"))
        await renewed_twice(claims)
        assert shown(claims) == 20


class Stuck:
    """Commands that the server never answers."""

    async def calls(self, calls: object, patience: object) -> list[object]:
        await asyncio.Event().wait()
        return []


async def test_leases_are_renewed_while_other_scheduled_calls_wait_for_the_server(
    aconnect: Callable[..., ccs.aio.Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given thousands of deadlines that pass at one time, so that the sweeps take long, then no lease is lost for that."""
    async with aconnect() as store:
        held = await store.task("held").claim("r", ttl=scaled(2.0)).acquire()
        await until_sweeps_are_stuck(store, monkeypatch)
        await renewed_twice([held])


async def until_sweeps_are_stuck(store: ccs.aio.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = store._engine.opening.dispatcher._schedule
    monkeypatch.setattr(schedule, "_commands", Stuck())
    schedule.plan("sweep", "/tasks/other", 0.0)
    await aeventually(lambda: not schedule.covers("sweep", "/tasks/other", 0.0), what="the sweep to begin")
