"""G5, G9: when clocks are set, in either direction, nothing is applied twice and nothing comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

import ccs
from ccs._clock import Moment, ServerClock, elapsed
from ccs._core.codec import encode
from ccs._core.commits.commit import Batch, Commit, Settings
from ccs._core.commits.operations import set_op
from ccs._core.names.keys import keys_of
from tests.model.engine import COMMIT_LIMIT, Engine
from tests.support.colours import COLOURS, connect_in
from tests.support.journal import records
from tests.support.proxy import Proxy, once
from tests.support.waiting import aeventually, scaled

MINUTE = 60_000_000
KEPT = Settings(0, 10_000, 1_000_000)


@pytest.fixture
def server(valkey: str) -> Iterator[Any]:
    with redis.Redis.from_url(valkey) as client:
        yield client


def forget_answers(server: Any, meta: str) -> None:
    """Prunes what a context knows of its clients."""
    fields = [field for field in server.hkeys(meta) if field.startswith(b"client:")]
    assert fields
    server.hdel(meta, *fields)


def earlier(moment: Moment, micros: int) -> Moment:
    """The same moment, as if the clock had been seen to show so much less."""
    sighting, now = moment
    assert sighting is not None
    return (sighting[0] - micros, sighting[1]), now


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_retry_is_refused_where_the_clock_was_set_so_far_that_its_answer_may_be_forgotten(
    colour: str, proxy: Proxy, server: Any, valkey: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a lost reply, when the clock moves eleven minutes before the retry, then the increment is applied once."""
    meta = keys_of(namespace, "/tasks/42").meta
    async with connect_in(colour, proxy.url, namespace=namespace, retry_for=scaled(10)) as store:
        task = store.task("42")
        await task.increment("n")
        # As if the server's clock had been set by so much since it was seen.
        honest = ServerClock.moment
        monkeypatch.setattr(ServerClock, "moment", lambda clock: earlier(honest(clock), 11 * MINUTE))
        proxy.fault = once(b"\r\n+", "drop", lambda: forget_answers(server, meta))
        with pytest.raises(ccs.Unavailable) as caught:
            await task.increment("n")
        assert caught.value.maybe_applied
        monkeypatch.undo()
        assert await task.get("n") == 2
        assert await task.increment("n") == 3
    assert len(records(valkey, namespace, "/tasks/42")) == 3


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_retry_whose_answer_is_still_there_gets_it_whatever_the_clock_does(
    colour: str, proxy: Proxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect_in(colour, proxy.url, namespace=namespace, retry_for=scaled(10)) as store:
        task = store.task("42")
        await task.increment("n")
        behind = int(time.time() * 1_000_000) - 11 * MINUTE
        monkeypatch.setattr(ServerClock, "moment", lambda clock: ((behind, elapsed()), elapsed()))
        proxy.fault = once(b"\r\n+", "drop")
        assert await task.increment("n") == 2
        assert await task.get("n") == 2


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_client_that_was_idle_for_an_hour_is_retried_as_ever(
    colour: str, proxy: Proxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given steady clocks, when the first write for an hour is lost on its way, then it is sent again, and applied."""
    seen = int(time.time() * 1_000_000) - 60 * MINUTE, elapsed() - 3600
    async with connect_in(colour, proxy.url, namespace=namespace, retry_for=scaled(10)) as store:
        task = store.task("42")
        await task.increment("n")
        monkeypatch.setattr(ServerClock, "see", lambda clock, micros: None)
        store_engine = getattr(store, "blocking", store)._engine
        store_engine.opening.commands.clock._seen = seen
        proxy.filter = once(b"EVALSHA", "cut")
        assert await task.increment("n") == 2


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_context_ahead_of_the_clock_brings_nothing_back_and_goes_on(
    colour: str, valkey: str, server: Any
) -> None:
    """Given a clock that was an hour ahead for a while, when it is right again, then what had expired stays so."""
    engine = Engine(valkey, COMMIT_LIMIT)
    store = connect_in(colour, valkey, namespace="model")
    try:
        ahead = int(time.time() * 1_000_000) + 60 * MINUTE
        engine.pass_time(ahead)
        engine.send(Batch([Commit("x", [set_op("due", encode(1), 60_000), set_op("n", encode(1))])], "", 0), KEPT)
        engine.pass_time(ahead + 2 * MINUTE)
        engine.send(Batch([Commit("x", [set_op("n", encode(2))])], "", 0), KEPT)
        async with store:
            context = store.context(engine.address)
            last = await context.revision()
            assert last == ahead + 2 * MINUTE
            assert await context.get("due") is None
            assert not await context.exists("due")
            assert await context.paths() == ["n"]
            assert (await context.info()).entries == 1
            memory = store.memory(workflow=engine.address.rpartition("/")[2])
            assert await memory.get("due", "nothing") == "nothing"
            entry = await context.set("m", 1, ttl=1000)
            assert entry.revision > last
            assert round((entry.expires_at - entry.updated_at).total_seconds()) == 1000
            await context.drop()
            assert (await context.set("m", 1)).revision > entry.revision
    finally:
        server.delete(*engine.keys.all, engine.clock)
        engine.close()


@pytest.mark.parametrize("colour", COLOURS)
async def test_an_entry_that_a_read_found_due_is_swept(colour: str, valkey: str, server: Any, namespace: str) -> None:
    """Given an entry that is due and that no store sweeps, when a store reads it, then its expiry becomes a commit."""
    keys = keys_of(namespace, "/tasks/42")
    async with connect_in(colour, valkey, namespace=namespace) as store:
        task = store.task("42")
        await task.set("a", 1, ttl=1000)
        raw = server.hget(keys.entries, "a")
        server.hset(keys.entries, "a", raw[:62] + b"1000000000000" + raw[75:])
        server.zadd(keys.deadlines, {"a": 1_000_000_000_000})
        assert await task.get("a") is None
        await aeventually(lambda: not server.exists(keys.entries), 3, "the sweep")
        assert [change.op for change in await task.history()] == ["set", "expire"]
