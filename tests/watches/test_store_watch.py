"""`store.watch`: all contexts, new ones too, in order within each; nothing is missed, and ends are delivered (G6, G7, G10)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs.types import Change
from tests.support.proxy import Proxy
from tests.support.waiting import aeventually, bounded, counts, scaled
from tests.watches.breakage import Fault, anything, losing
from tests.watches.validate import validate

HOSTILE = [
    "{",
    "}",
    "{x}",
    "%7B",
    "%",
    "a/b",
    "/",
    "*",
    "?[a]",
    "ü€😀",
    "new\nline",
    "\x00",
    " ",
    "..",
    ".",
    "a:meta",
    '"',
]


async def take(changes: Any, count: int) -> list[Change]:
    return [await changes.receive(timeout=scaled(10)) for _ in range(count)]


async def nothing_more(changes: Any) -> None:
    with pytest.raises(TimeoutError):
        await changes.receive(timeout=0.03)


def told(changes: list[Change]) -> list[tuple[str, str, str, Any]]:
    return [(change.context, change.path, change.op, change.value) for change in changes]


@asynccontextmanager
async def open_store(target: str, namespace: str, **options: Any) -> AsyncIterator[ccs.aio.Store]:
    async with ccs.aio.connect(target, namespace=namespace, **options) as store:
        yield store


# Live


async def test_changes_of_all_contexts_come_new_ones_from_their_beginning(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    watching, writing = aconnect(), aconnect("other")
    await writing.task("old").set("status", "before")
    async with watching.watch("/tasks/*/status", "/global/**") as changes:
        await writing.task("old").set("status", "after")
        await writing.task("new").set_many({"status": 1, "other": 2})
        await writing.session("s").set("status", "no task")
        await writing.global_context().set("a/b", 3)
        await writing.task("new").delete("status")
        # In order within each context.
        seen = sorted(await take(changes, 4), key=lambda change: change.context)
        assert told(seen) == [
            ("/global", "a/b", "set", 3),
            ("/tasks/new", "status", "set", 1),
            ("/tasks/new", "status", "delete", None),
            ("/tasks/old", "status", "set", "after"),
        ]
        assert seen[-1].previous == "before"
        assert [change.created for change in seen] == [True, True, False, False]
        await nothing_more(changes)


@pytest.mark.parametrize("options", [{}, {"buffer": 3}, {"buffer_bytes": 500}], ids=["default", "few", "small"])
async def test_each_context_is_in_order_and_whole_whatever_the_buffer(
    aconnect: Callable[..., ccs.aio.Store], options: dict[str, Any]
) -> None:
    watching, writing = aconnect(), aconnect("other")
    commits, contexts = counts(20, 300), 8
    async with watching.watch(**options) as changes:
        await asyncio.gather(*(_write(writing.task(f"t{number}"), commits, number) for number in range(contexts)))
        journals = {}
        for number in range(contexts):
            ctx = writing.task(f"t{number}")
            journals[ctx.address] = await ctx.history(since=0)
        seen = await take(changes, sum(map(len, journals.values())))
        for address, journal in journals.items():
            validate([change for change in seen if change.context == address], journal)
        await nothing_more(changes)
        assert changes.revision == {address: journal[-1].revision for address, journal in journals.items()}


async def _write(ctx: ccs.aio.Context, commits: int, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(commits):
        if dice.random() < 0.2:
            await ctx.set_many({f"m{index}": number for index in range(3)})
        elif dice.random() < 0.3 and await ctx.exists("p"):
            await ctx.delete("p")
        else:
            await ctx.set("p", [number, "x" * 50])


async def test_entering_makes_it_live_for_contexts_that_are_made_at_once(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    watching, writing = aconnect(), aconnect("other")
    for number in range(counts(25, 500)):
        async with watching.watch(f"/tasks/{number}/**") as changes:
            entry = await writing.task(str(number)).set("p", number)
            change = await changes.receive(timeout=scaled(5))
            assert (change.context, change.revision) == (f"/tasks/{number}", entry.revision)


async def test_hostile_ids_come_through_as_themselves(aconnect: Callable[..., ccs.aio.Store]) -> None:
    watching, writing = aconnect(), aconnect("other")
    wanted = [writing.task(name).address for name in HOSTILE]
    assert len(set(wanted)) == len(HOSTILE)
    async with watching.watch("/tasks/**") as changes:
        for name in HOSTILE:
            await writing.task(name).set("a/{b}*", name)
        seen = await take(changes, len(HOSTILE))
        expected = [(address, "a/{b}*", "set", name) for address, name in zip(wanted, HOSTILE, strict=True)]
        assert sorted(told(seen)) == sorted(expected)
        cursor = changes.revision
        assert sorted(cursor) == sorted(wanted)
    for name in HOSTILE:
        await writing.task(name).set("a/{b}*", None)
    async with watching.watch("/tasks/**", since=cursor) as changes:
        assert {change.context for change in await take(changes, len(HOSTILE))} == set(wanted)
    for name, address in zip(HOSTILE, wanted, strict=True):
        literal = ccs.escape(address)
        async with watching.watch(f"{literal}/**") as changes:
            await writing.task(name).set("one", 1)
            await writing.task("another").set("one", 1)
            assert (await changes.receive(timeout=scaled(5))).context == address
            await nothing_more(changes)


def test_the_blocking_store_watches_all_contexts_too(connect: Callable[..., ccs.Store]) -> None:
    watching, writing = connect(), connect("other")
    with watching.watch("/tasks/*/p", buffer=5) as changes:
        for turn in range(50):
            writing.task(f"t{turn % 3}").set("p", turn)
        seen = [changes.receive(timeout=scaled(10)) for _ in range(50)]
        for number in range(3):
            mine = [change.value for change in seen if change.context == f"/tasks/t{number}"]
            assert mine == list(range(number, 50, 3))
        writing.task("t0").drop()
        assert changes.receive(timeout=scaled(5)).op == "gone"
        with pytest.raises(TimeoutError):
            changes.receive(timeout=0.02)


async def test_closing_it_ends_a_waiting_consumer(astore: ccs.aio.Store) -> None:
    watch = astore.watch()
    await watch.__aenter__()
    waiting = asyncio.create_task(watch.receive())
    await asyncio.sleep(0)
    await watch.aclose()
    with pytest.raises(ccs.Misuse):
        await bounded(waiting, 5)


# Resuming


async def test_its_cursor_resumes_where_it_was_left_and_finds_what_is_new(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    store, other = aconnect(), aconnect("other")
    await other.task("before").set("p", 0)
    async with store.watch("/tasks/*/p") as changes:
        assert changes.revision == {"/tasks/before": await other.task("before").revision()}
        await other.task("one").set_many({"p": 1, "q": 1})
        await other.task("two").set("p", 2)
        await take(changes, 2)
        cursor = changes.revision
    await other.task("one").set("p", 3)
    await other.task("before").set("p", 4)
    await other.task("new").set("p", 5)
    await other.task("new").set("p", 6)
    async with store.watch("/tasks/*/p", since=cursor) as changes:
        assert sorted(told(await take(changes, 4))) == [
            ("/tasks/before", "p", "set", 4),
            ("/tasks/new", "p", "set", 5),
            ("/tasks/new", "p", "set", 6),
            ("/tasks/one", "p", "set", 3),
        ]
        await nothing_more(changes)
        assert set(changes.revision) == {"/tasks/one", "/tasks/two", "/tasks/before", "/tasks/new"}


async def test_inside_a_commit_the_cursor_stays_before_it(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    before = (await ctx.set("x", 0)).revision
    async with astore.watch() as changes:
        revision = await ctx.set_many({"a": 1, "b": 2})
        first = await changes.receive(timeout=scaled(5))
        assert changes.revision == {"/tasks/t": before}
        cursor = changes.revision
        await changes.receive(timeout=scaled(5))
        assert changes.revision == {"/tasks/t": revision}
    async with astore.watch(since=cursor) as changes:
        assert (await take(changes, 2))[0] == first


async def test_a_context_of_the_cursor_that_has_gone_meanwhile_is_reported_once(astore: ccs.aio.Store) -> None:
    for name in ("gone", "again", "stays"):
        await astore.task(name).set("p", name)
    async with astore.watch(since={}) as changes:
        await take(changes, 3)
        cursor = changes.revision
    await astore.task("gone").drop()
    await astore.task("again").drop()
    await astore.task("again").set("p", "another life")
    async with astore.watch(since=cursor) as changes:
        seen = await take(changes, 3)
        assert {(change.context, change.op) for change in seen} == {
            ("/tasks/gone", "gone"),
            ("/tasks/again", "gone"),
            ("/tasks/again", "set"),
        }
        again = [change.op for change in seen if change.context == "/tasks/again"]
        assert again == ["gone", "set"]
        await nothing_more(changes)
        assert set(changes.revision) == {"/tasks/again", "/tasks/stays"}


async def test_contexts_of_a_cursor_that_the_patterns_do_not_name_are_left_alone(astore: ccs.aio.Store) -> None:
    async with astore.watch() as changes:
        await astore.task("t").set("p", 1)
        await astore.session("s").set("p", 1)
        await take(changes, 2)
        cursor = changes.revision
    await astore.session("s").drop()
    await astore.task("t").set("p", 2)
    async with astore.watch("/tasks/**", since=cursor) as changes:
        assert told(await take(changes, 1)) == [("/tasks/t", "p", "set", 2)]
        await nothing_more(changes)


@pytest.mark.parametrize("bad", [0, "x", [1]])
async def test_a_cursor_that_is_no_mapping_is_refused(astore: ccs.aio.Store, bad: Any) -> None:
    with pytest.raises(ccs.InvalidValue):
        astore.watch(since=bad)


@pytest.mark.parametrize("bad", [-1, "1", True, None, 1.5])
async def test_a_cursor_with_something_that_is_no_revision_is_refused(astore: ccs.aio.Store, bad: Any) -> None:
    with pytest.raises(ccs.InvalidValue):
        astore.watch(since={"/tasks/t": bad})


async def test_a_cursor_past_a_journal_or_from_the_future_is_an_error(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t", keep_commits=5)
    first = (await ctx.set("p", 0)).revision
    for number in range(50):
        await ctx.set("p", number)
    for since, error in ((first, ccs.HistoryCompacted), (await ctx.revision() + 1, ccs.HistoryForked)):
        async with astore.watch(since={"/tasks/t": since}) as changes:
            with pytest.raises(error) as caught:
                await changes.receive(timeout=scaled(5))
            assert caught.value.address == "/tasks/t"  # type: ignore[attr-defined]  # those of history have one
            await nothing_more(changes)


# Ends


@pytest.mark.parametrize("how", ["drop", "idle", "finished"])
async def test_the_end_of_a_context_is_delivered_within_a_second_and_the_watch_goes_on(
    aconnect: Callable[..., ccs.aio.Store], how: str
) -> None:
    store, other = aconnect(), aconnect("other")
    async with store.watch("/tasks/*/p") as changes:
        ctx = other.task("t", ttl=0.4 if how == "idle" else 60)
        await ctx.set("unmatched", 1)
        await ctx.set("p", 1)
        last = await ctx.revision()
        # Before its end: in a Cluster, the journal of a new context has to be read.
        assert (await changes.receive(timeout=scaled(5))).value == 1
        if how == "drop":
            await ctx.drop()
        elif how == "finished":
            await ctx.finish(keep=0.4)
        began = time.monotonic()
        gone = await changes.receive(timeout=scaled(5))
        assert time.monotonic() - began < scaled(1.4)
        assert (gone.context, gone.path, gone.op, gone.value) == ("/tasks/t", "", "gone", None)
        assert gone.revision >= last
        assert changes.revision == {}
        await other.task("t").set("p", "again")
        assert (await changes.receive(timeout=scaled(5))).created
        await nothing_more(changes)


async def test_a_context_that_ends_while_nothing_is_received_is_reported_before_its_next_life(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    store, other = aconnect(), aconnect("other")
    async with store.watch("/tasks/**", buffer=2) as changes:
        ctx = other.task("t")
        await ctx.set("p", "first life")
        await take(changes, 1)
        for life in range(5):
            await ctx.drop()
            for number in range(10):
                await ctx.set("p", (life, number))
        seen = await take(changes, 11)
        while seen[-11].op != "gone" or seen[-1].value != [4, 9]:
            seen += await take(changes, 1)
        assert all(before.op != "gone" or after.op == "set" for before, after in pairwise(seen))
        assert [change.value for change in seen[-10:]] == [[4, number] for number in range(10)]


# Faults


@pytest.mark.usefixtures("impatient")
async def test_a_reconnect_finds_contexts_that_are_new_and_says_once_that_others_came_and_went(
    valkey: str, namespace: str, proxy: Proxy
) -> None:
    async with open_store(valkey, namespace) as writer, open_store(proxy.url, namespace) as store:
        await writer.task("old").set("p", 0)
        await writer.task("ended").set("p", 0)
        async with store.watch("/tasks/*/p") as changes:
            await writer.task("old").set("p", 1)
            await take(changes, 1)
            proxy.refuse()
            for number in range(5):
                await writer.task("old").set("p", 2 + number)
                await writer.task("new").set("p", number)
                await writer.task("passing").set("p", number)
            await writer.task("passing").drop()
            await writer.task("ended").drop()
            await writer.task("passing too").set("p", 0)
            await writer.task("passing too").drop()
            proxy.refuse(False)
            *known, missed = await take(changes, 12)
            seen = told(known)
            assert (missed.op, missed.context, sorted(missed.value)) == (
                "missed",
                "",
                ["/tasks/passing", "/tasks/passing too"],
            )
            assert [each[3] for each in seen if each[0] == "/tasks/old"] == [2, 3, 4, 5, 6]
            assert [each[3] for each in seen if each[0] == "/tasks/new"] == [0, 1, 2, 3, 4]
            assert [each for each in seen if each[0] == "/tasks/ended"] == [("/tasks/ended", "", "gone", None)]
            await writer.task("new").set("p", "live again")
            assert told(await take(changes, 1)) == [("/tasks/new", "p", "set", "live again")]
            await nothing_more(changes)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("faults", [losing, anything], ids=lambda faults: faults.__name__)
async def test_over_a_broken_connection_nothing_is_missed(
    valkey: str, namespace: str, proxy: Proxy, faults: Callable[[random.Random], Fault]
) -> None:
    seen: list[Change] = []

    async def watch(changes: Any, wanted: int) -> None:
        while len(seen) < wanted:
            seen.append(await changes.receive(timeout=scaled(15)))

    async with (
        open_store(valkey, namespace) as writer,
        open_store(proxy.url, namespace) as store,
        store.watch(buffer=8) as changes,
    ):
        proxy.fault = faults(random.Random(1))
        contexts = [writer.task(f"t{number}") for number in range(4)]
        for turn in range(counts(30, 400)):
            await asyncio.gather(*(ctx.set("p", turn) for ctx in contexts))
        await asyncio.gather(*(_write(ctx, 20, 7) for ctx in contexts))
        journals = {ctx.address: await ctx.history(since=0) for ctx in contexts}
        watching = asyncio.create_task(watch(changes, sum(map(len, journals.values()))))
        await asyncio.sleep(0)
        proxy.fault = lambda count, chunk: "pass"
        await bounded(watching, 30)
        for address, journal in journals.items():
            validate([change for change in seen if change.context == address], journal)
        await nothing_more(changes)


@pytest.mark.usefixtures("impatient")
async def test_an_outage_that_interrupts_its_survey_loses_nothing(valkey: str, namespace: str, proxy: Proxy) -> None:
    async with (
        open_store(valkey, namespace) as writer,
        open_store(proxy.url, namespace, retry_for=0.3) as store,
        store.watch() as changes,
    ):
        proxy.refuse()
        await writer.task("t").set("p", 1)
        for _ in range(3):
            with pytest.raises((ccs.Unavailable, TimeoutError)):
                await changes.receive(timeout=0.5)
            changes.resync()
        proxy.refuse(False)
        assert told(await take(changes, 1)) == [("/tasks/t", "p", "set", 1)]


async def test_a_cancelled_receive_loses_nothing(aconnect: Callable[..., ccs.aio.Store]) -> None:
    store, other = aconnect(), aconnect("other")
    dice, wanted = random.Random(4), counts(48, 1500)
    seen: list[Change] = []
    async with store.watch(buffer=3) as changes:
        writing = asyncio.gather(*(_numbers(other.task(f"t{number}"), wanted // 3) for number in range(3)))
        deadline = time.monotonic() + scaled(60)
        while len(seen) < wanted and time.monotonic() < deadline:
            try:
                async with asyncio.timeout(dice.random() * 0.004):
                    seen.append(await changes.receive())
            except TimeoutError:
                await asyncio.sleep(0)
        await writing
    for number in range(3):
        ctx = other.task(f"t{number}")
        validate([change for change in seen if change.context == ctx.address], await ctx.history(since=0))


async def _numbers(ctx: ccs.aio.Context, count: int) -> None:
    for number in range(count):
        await ctx.set("p", number)


async def test_a_survey_that_is_cancelled_is_made_again(
    valkey: str, namespace: str, proxy: Proxy, answer_within: Callable[[float], None]
) -> None:
    answer_within(0.5)
    async with (
        open_store(valkey, namespace) as writer,
        open_store(proxy.url, namespace) as store,
        store.watch() as changes,
    ):
        proxy.fault = lambda count, chunk: "lose" if b"pmessage" in chunk else "pass"
        proxy.filter = lambda count, chunk: "eat" if b"SCAN" in chunk else "pass"
        await writer.task("t").set("p", 1)
        changes.resync()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await changes.receive()
        proxy.fault = proxy.filter = lambda count, chunk: "pass"
        assert told(await take(changes, 1)) == [("/tasks/t", "p", "set", 1)]


async def test_the_end_of_an_earlier_life_that_arrives_late_does_not_end_the_next_one(
    valkey: str, namespace: str
) -> None:
    async with open_store(valkey, namespace) as store, store.watch() as changes:
        ctx, heard = store.task("t"), []
        offer = changes.offer
        changes.offer = lambda address, record: heard.append((address, record))  # type: ignore[method-assign]
        await ctx.set("p", 1)
        await ctx.drop()
        await ctx.set("p", 2)
        await aeventually(lambda: len(heard) == 3)
        changes.resync()
        assert [change.value for change in await take(changes, 1)] == [2]
        for address, record in heard:
            offer(address, record)
        await nothing_more(changes)
        assert changes.revision == {"/tasks/t": await ctx.revision()}
