"""G9: expiry is a commit. G10: contexts clean up after themselves, at one moment, and their watches learn of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

import ccs
import ccs.aio
from ccs._core.commits.entry import parse_entry
from ccs._core.names.keys import keys_of
from tests.support.journal import raw_records
from tests.support.waiting import aeventually, bounded, eventually, scaled

SOON = 0.06


def mute(store: ccs.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a store sweep nothing by itself."""
    monkeypatch.setattr(store._engine.opening.dispatcher, "expect", lambda address, seconds: None)


class Unswept:
    """A context in which what is due stays stored until a commit names it: nobody sweeps."""

    def __init__(self, ctx: ccs.Context, client: redis.Redis) -> None:
        self.ctx, self._client, self._entries = ctx, client, ctx.handle.keys.entries

    def holds(self, path: str) -> bool:
        """Whether the entry is still stored."""
        return bool(self._client.hexists(self._entries, path))

    def wait_until_due(self, *paths: str) -> None:
        """Waits until the deadlines of entries that are stored have passed, by the server's clock."""
        eventually(lambda: all(map(self._is_due, paths)))

    def _is_due(self, path: str) -> bool:
        raw: Any = self._client.hget(self._entries, path)
        seconds, micros = self._client.time()
        return parse_entry(raw).due(seconds * 1000 + micros // 1000)


@pytest.fixture
def unswept(valkey: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unswept]:
    with ccs.connect(valkey, namespace=namespace) as store, redis.Redis.from_url(valkey) as client:
        mute(store, monkeypatch)
        yield Unswept(store.task("t"), client)


# Reads


def test_no_read_shows_an_entry_past_its_deadline_also_before_any_sweep(unswept: Unswept) -> None:
    ctx = unswept.ctx
    ctx.set("stays", 1)
    ctx.set("a/goes", 2, ttl=SOON)
    unswept.wait_until_due("a/goes")
    assert ctx.get("a/goes") is None
    assert ctx.get("a/goes", default="missing") == "missing"
    assert ctx.entry("a/goes") is None
    assert not ctx.exists("a/goes")
    assert ctx.paths() == ctx.paths("**") == ["stays"]
    assert ctx.paths("a/*") == ctx.paths("a/goes") == []
    assert list(ctx.snapshot()) == ["stays"]
    assert [entry.path for entry in ctx.scan()] == ["stays"]
    assert ctx.get_many(["stays", "a/goes"]) == {"stays": 1}
    assert ctx.tree() == {"stays": 1}
    assert ctx.info().entries == 1
    assert unswept.holds("a/goes"), "a read has swept"


def test_a_due_entry_counts_as_missing_for_guards_and_is_expired_by_the_commit_that_names_it(
    unswept: Unswept,
) -> None:
    ctx = unswept.ctx
    old = ctx.set("p", "old", ttl=SOON)
    unswept.wait_until_due("p")
    new = ctx.create("p", "new")
    assert (new.version, new.expires_at) == (1, None)
    first, expire, second = ctx.history("p", since=0)
    assert (first.op, first.created, expire.op, second.op) == ("set", True, "expire", "set")
    assert (expire.previous, expire.value, expire.version, expire.created) == ("old", None, 1, False)
    assert (second.created, second.previous) == (True, None)
    assert old.revision < expire.revision < second.revision


def test_increment_append_and_update_of_a_due_entry_start_afresh(unswept: Unswept) -> None:
    ctx = unswept.ctx
    for path, value in (("i", 41), ("a", [1]), ("u", "x"), ("d", 1), ("r", 1)):
        ctx.set(path, value, ttl=SOON)
    unswept.wait_until_due(*"iaudr")
    assert ctx.increment("i") == 1
    assert ctx.append("a", 2).value == [2]
    assert ctx.update("u", lambda value: value, default="new").value == "new"
    assert ctx.delete("d") is False
    assert ctx.renew("r", 60) is False
    assert sorted(change.path for change in ctx.history() if change.op == "expire") == ["a", "d", "i", "r", "u"]


# Watchers


def test_an_entry_expires_as_one_commit_within_a_second_of_its_deadline(store: ccs.Store) -> None:
    ctx = store.task("t")
    with ctx.watch() as changes:
        entry = ctx.set("p", "value", ttl=0.2)
        assert entry.expires_at
        written, expired = changes.receive(timeout=scaled(5)), changes.receive(timeout=scaled(5))
        assert (written.op, expired.op, expired.path) == ("set", "expire", "p")
        assert (expired.previous, expired.value, expired.created) == ("value", None, False)
        assert expired.revision > written.revision
        assert entry.expires_at <= expired.at < entry.expires_at + timedelta(seconds=1)
        assert ctx.revision() == expired.revision
        assert ctx.history()[-1] == expired


async def test_several_stores_watching_see_each_expiry_exactly_once(aconnect: Callable[..., ccs.aio.Store]) -> None:
    stores = [aconnect(f"agent {number}") for number in range(4)]
    watches = [store.task("t").watch() for store in stores]
    for watch in watches:
        await watch.__aenter__()
    ctx = stores[0].task("t")
    await ctx.set_many({f"p/{number}": number for number in range(120)}, ttl=0.3)
    await ctx.set("end/0", 0, ttl=0.6)
    for watch in watches:
        seen = [await watch.receive(timeout=scaled(10)) for _ in range(242)]
        ended = [change for change in seen if change.op == "expire"]
        assert len(ended) == len({change.path for change in ended}) == 121
        revisions = [change.revision for change in ended]
        assert revisions == sorted(set(revisions)), "each expiry is a commit of its own"
        with pytest.raises(TimeoutError):
            await watch.receive(timeout=0.05)
    for watch in watches:
        await watch.aclose()


async def test_a_watch_entered_after_the_writer_died_still_sees_the_expiry_in_time(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as writer:
        entry = await writer.task("t").set("p", 1, ttl=0.5)
    async with ccs.aio.connect(valkey, namespace=namespace) as other, other.task("t").watch() as changes:
        change = await changes.receive(timeout=scaled(5))
        assert change.op == "expire"
        assert entry.expires_at
        assert change.at - entry.expires_at < timedelta(seconds=1)


async def test_a_watch_of_the_whole_store_sees_the_expiry_of_what_a_dead_writer_left(
    valkey: str, namespace: str
) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as writer:
        entry = await writer.task("t").set("p", 1, ttl=0.5)
    async with ccs.aio.connect(valkey, namespace=namespace) as other, other.watch("/tasks/*/p") as changes:
        change = await changes.receive(timeout=scaled(5))
        assert (change.op, change.context) == ("expire", "/tasks/t")
        assert entry.expires_at
        assert change.at - entry.expires_at < timedelta(seconds=1)


def test_the_expiry_in_a_context_that_nobody_watches_is_journaled_while_its_writer_lives(
    valkey: str, namespace: str
) -> None:
    with ccs.connect(valkey, namespace=namespace) as store, redis.Redis.from_url(valkey) as client:
        ctx = store.task("t")
        with ctx.transaction() as tx:
            tx.set("t", 1, ttl=0.1)
        ctx.update("u", lambda value: 1, ttl=0.1)
        ctx.set_many({"m": 1}, ttl=0.1)
        journal = keys_of(namespace, ctx.address).journal
        eventually(lambda: len(raw_records(client, journal)) == 6, 3, "three expiries, though nobody reads or watches")
        assert [change.op for change in ctx.history()] == ["set"] * 3 + ["expire"] * 3


def test_a_deadline_that_another_store_brought_forward_is_kept_also_under_traffic(
    valkey: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccs._async.background.commit_dispatcher.SILENCE", 0.2)
    with ccs.connect(valkey, namespace=namespace) as one, ccs.connect(valkey, namespace=namespace) as other:
        mute(other, monkeypatch)
        ctx = one.task("t")
        with ctx.watch("p") as changes:
            ctx.set("p", 1, ttl=60)
            assert changes.receive(timeout=scaled(5)).op == "set"
            assert other.task("t").renew("p", 0.1)
            deadline = time.monotonic() + scaled(5)
            found: list[str] = []
            while not found and time.monotonic() < deadline:
                other.task("t").increment("traffic")
                try:
                    found.append(changes.receive(timeout=0.01).op)
                except TimeoutError:
                    pass
            assert found == ["expire"]


# Renewing and rewriting


def test_renewing_moves_the_deadline_and_is_neither_a_revision_nor_an_event(store: ccs.Store) -> None:
    ctx = store.task("t")
    with ctx.watch() as changes:
        first = ctx.set("p", 1, ttl=0.4)
        assert ctx.renew("p", 60) is True
        entry = ctx.entry("p")
        assert entry
        assert (entry.revision, entry.version, entry.updated_at) == (first.revision, 1, first.updated_at)
        assert entry.expires_at
        assert first.expires_at
        assert entry.expires_at - first.expires_at > timedelta(seconds=30)
        assert ctx.revision() == first.revision
        assert changes.receive(timeout=scaled(5)).op == "set"
        with pytest.raises(TimeoutError):
            changes.receive(timeout=0.7)
        assert ctx.get("p") == 1


def test_renewing_with_none_keeps_an_entry_and_renewing_what_is_missing_does_nothing(store: ccs.Store) -> None:
    ctx = store.task("t")
    ctx.set("p", 1, ttl=0.2)
    assert ctx.renew("p", None) is True
    assert ctx.renew("missing", 5) is False
    entry = ctx.entry("p")
    assert entry
    assert entry.expires_at is None
    ctx.set("gauge", 1, ttl=0.3)
    eventually(lambda: not ctx.exists("gauge"), 5)
    assert ctx.exists("p")


def test_a_set_without_ttl_clears_the_deadline_and_an_update_keeps_it(store: ccs.Store) -> None:
    ctx = store.task("t")
    ctx.set("cleared", 1, ttl=0.3)
    kept = ctx.set("kept", 1, ttl=0.3)
    assert ctx.set("cleared", 2).expires_at is None
    assert ctx.increment("kept") == 2
    assert ctx.update("kept", lambda value: value + 1).expires_at == kept.expires_at
    with ctx.watch("kept", "cleared") as changes:
        change = changes.receive(timeout=scaled(5))
        assert (change.path, change.op, change.previous) == ("kept", "expire", 3)
    assert ctx.get("cleared") == 2


# Contexts


def test_an_idle_context_goes_whole_and_at_one_moment_with_no_client_alive(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store:
        ctx = store.task("t", ttl=1)
        ctx.set_many({"a": 1, "b/c": 2})
        ctx.set("d", 3, ttl=0.5)
    keys = keys_of(namespace, "/tasks/t")
    with redis.Redis.from_url(valkey) as client:
        data = keys.entries, keys.paths, keys.deadlines, keys.journal
        deadlines = {client.pexpiretime(key) for key in data}
        assert len(deadlines) == 1, "one moment for all"
        assert all(deadline > 0 for deadline in deadlines)

        def standing() -> int:
            pipe = client.pipeline(transaction=True)
            pipe.exists(*data)
            return int(pipe.execute()[0])

        seen = set()
        eventually(lambda: seen.update({standing()}) or 0 in seen, 5, "the keys to go")  # type: ignore[func-returns-value]
        assert seen <= {4, 0}, "a part of the context was seen"
        tombstone = client.hgetall(keys.meta)
        assert client.pttl(keys.meta) <= 601_000
        assert all(field == b"state" or field.startswith(b"client:") or field == b"created" for field in tombstone)
    with ccs.connect(valkey, namespace=namespace) as store:
        ctx = store.task("t")
        assert (ctx.revision(), ctx.paths(), ctx.get("a"), ctx.history()) == (0, [], None, [])
        assert store.contexts() == []
        assert ctx.info().created_at is None


async def test_a_watch_learns_within_a_second_that_its_context_has_expired(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t", ttl=0.5)
    async with ctx.watch() as changes:
        await ctx.set("a", 1)
        assert (await changes.receive(timeout=scaled(5))).op == "set"
        began = time.monotonic()
        with pytest.raises(ccs.ContextGone) as caught:
            await changes.receive(timeout=scaled(10))
        assert caught.value.address == "/tasks/t"
        assert time.monotonic() - began < scaled(0.5 + 1.0)


async def test_a_watch_learns_of_the_expiry_also_when_the_context_was_created_again(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    ctx, other = aconnect().task("t", ttl=0.3), aconnect().task("t")
    async with ctx.watch() as changes:
        await ctx.set("a", 1)
        await changes.receive(timeout=scaled(5))
        await aeventually(lambda: _gone(other))
        await other.set("b", 2)
        with pytest.raises(ccs.ContextGone):
            await changes.receive(timeout=scaled(1.5))


async def _gone(ctx: Any) -> bool:
    return bool(await ctx.revision() == 0)


async def test_commits_and_renewals_renew_the_idle_time(aconnect: Callable[..., ccs.aio.Store]) -> None:
    ctx, other = aconnect().task("t", ttl=0.5), aconnect().task("t")
    await ctx.set("kept", 1)
    async with other.watch() as changes:
        end = time.monotonic() + 0.8
        while time.monotonic() < end:
            assert await ctx.renew("kept", None), "renewals keep the context alive"
            assert await other.exists("kept")
        revision = await ctx.revision()
        end = time.monotonic() + 0.8
        while time.monotonic() < end:
            await other.set("x", 1)
        assert (await changes.receive(timeout=scaled(5))).revision > revision
        with pytest.raises(ccs.ContextGone):
            await bounded(_drain(changes), 5)


async def _drain(changes: Any) -> None:
    while True:
        await changes.receive(timeout=scaled(5))


def test_contexts_without_a_ttl_are_kept_and_settings_not_given_change_nothing(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store, redis.Redis.from_url(valkey) as client:

        def left(address: str) -> int:
            return int(client.pttl(keys_of(namespace, address).entries))

        store.task("kept", ttl=None).set("a", 1)
        store.task("day").set("a", 1)
        store.session("month").set("a", 1)
        store.actor("ever").set("a", 1)
        store.global_context().set("a", 1)
        assert left("/tasks/kept") == left("/actors/ever") == left("/global") == -1
        assert 86_000_000 < left("/tasks/day") < 88_000_000
        assert 30 * 86_000_000 < left("/sessions/month") < 31 * 87_000_000
        store.task("day", ttl=None)
        store.task("day").set("b", 1)
        assert left("/tasks/day") > 0, "getting a context changes nothing"
        store.task("day", ttl=None).set("b", 2)
        assert left("/tasks/day") == -1
        store.task("day").set("b", 3)
        assert left("/tasks/day") == -1, "settings not given stay"
        store.task("day", ttl=timedelta(seconds=5)).set("b", 3)
        assert 0 < left("/tasks/day") <= 5_100
        assert store.task("day").info().ttl == timedelta(seconds=5)


def test_a_dropped_context_leaves_nothing_that_can_be_read(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store, redis.Redis.from_url(valkey) as client:
        ctx = store.task("t")
        last = ctx.set("secret", "hunter2").revision
        ctx.drop()
        keys = keys_of(namespace, "/tasks/t")
        assert client.exists(keys.entries, keys.paths, keys.deadlines, keys.journal) == 0
        assert b"hunter2" not in b"".join(b"".join(pair) for pair in client.hgetall(keys.meta).items())
        assert 0 < client.pttl(keys.meta) <= 600_000
        assert ctx.set("again", 1).revision > last, "revisions never come back"
