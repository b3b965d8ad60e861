"""G6, G7, G8: a watch yields every matching change after its cursor, in order, each once, commits whole.

What is delivered is held against the journal by `validate`; the faults are in `test_watch_faults.py`.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._async.changes.watch import Watch
from ccs.types import Change
from tests.support.colours import COLOURS
from tests.support.threads import run_threads
from tests.support.waiting import aeventually, bounded, counts, eventually, scaled
from tests.watches.traffic import PATHS, commit_one, write
from tests.watches.validate import place_of, replay, state_of, validate, validate_resumed
from tests.watches.watcher import Watcher


def take(changes: Any, count: int) -> list[Change]:
    return [changes.receive(timeout=scaled(10)) for _ in range(count)]


async def atake(changes: Any, count: int) -> list[Change]:
    return [await changes.receive(timeout=scaled(10)) for _ in range(count)]


# Live


@pytest.mark.parametrize("colour", COLOURS)
def test_a_watch_delivers_everything_that_several_writers_do(colour: str, target: str, namespace: str) -> None:
    with ccs.connect(target, namespace=namespace) as store, Watcher(colour, target, namespace, "/tasks/t") as watcher:
        run_threads(lambda seed: write(store.task("t"), counts(50, 1000), seed), 3)
        watcher.check(store.task("t"))


def test_only_what_matches_is_delivered_and_the_cursor_passes_over_the_rest(store: ccs.Store) -> None:
    ctx = store.task("t")
    with ctx.watch("a/*", "b/x") as changes:
        last = write(ctx, 60)
        journal = ctx.history(since=0)
        wanted = [change for change in journal if change.path in ("a/b", "a/c", "b/x")]
        seen = take(changes, len(wanted))
        validate(seen, journal, matches=lambda path: path in ("a/b", "a/c", "b/x"))
        eventually(lambda: changes.revision == last, 5, "the cursor to pass over what does not match")
        with pytest.raises(TimeoutError):
            changes.receive(timeout=0.02)
        assert changes.revision == last


def test_the_previous_value_and_the_created_flag_are_right_through_deletion_and_recreation(store: ccs.Store) -> None:
    ctx = store.task("t")
    with ctx.watch("p") as changes:
        ctx.set("p", None)
        ctx.set("p", "second")
        ctx.delete("p")
        ctx.set("p", "again")
        seen = take(changes, 4)
    assert [(c.op, c.value, c.previous, c.created, c.version) for c in seen] == [
        ("set", None, None, True, 1),
        ("set", "second", None, False, 2),
        ("delete", None, "second", False, 2),
        ("set", "again", None, True, 1),
    ]
    assert {change.agent for change in seen} == {"test"}


def test_the_operations_of_a_commit_come_together_in_their_order_and_the_cursor_only_moves_after_the_last(
    store: ccs.Store,
) -> None:
    ctx = store.task("t")
    before = ctx.set("x", 0).revision
    with ctx.watch() as changes:
        assert changes.revision == before
        revision = ctx.set_many({"z": 1, "a": 2, "m": 3})
        after = ctx.set("x", 1).revision
        seen = []
        cursors = []
        for _ in range(4):
            seen.append(changes.receive(timeout=scaled(5)))
            cursors.append(changes.revision)
    assert [(change.path, change.revision) for change in seen] == [
        ("z", revision),
        ("a", revision),
        ("m", revision),
        ("x", after),
    ]
    assert cursors[:2] == [before, before]
    assert cursors[2] in (revision, after)
    assert cursors[3] == after
    with ctx.watch(since=cursors[1]) as changes:
        assert take(changes, 4) == seen, "a resume repeats the commit whole"


async def test_entering_a_watch_makes_it_live_for_the_commits_of_everybody(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    watching, writing = aconnect(), aconnect("other")
    for number in range(counts(150, 3000)):
        address = f"t{number % 7}"
        async with watching.task(address).watch("p") as changes:
            entry = await writing.task(address).set("p", number)
            change = await changes.receive(timeout=scaled(5))
            assert place_of(change) == place_of(entry)


def test_entering_a_blocking_watch_makes_it_live_for_the_commits_of_everybody(
    connect: Callable[..., ccs.Store],
) -> None:
    watching, writing = connect(), connect("other")
    for number in range(counts(150, 3000)):
        address = f"t{number % 7}"
        with watching.task(address).watch("p") as changes:
            entry = writing.task(address).set("p", number)
            assert place_of(changes.receive(timeout=scaled(5))) == place_of(entry)


async def test_entering_is_live_also_beside_others_that_enter_leave_and_are_cancelled(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    watching, writing = aconnect(), aconnect("other")
    dice = random.Random(1)

    async def churn() -> None:
        while True:
            try:
                async with asyncio.timeout(dice.random() * 0.004), watching.task("t").watch("p") as changes:
                    await changes.receive()
            except TimeoutError:
                pass

    churning = [asyncio.create_task(churn()) for _ in range(5)]
    try:
        for number in range(counts(50, 1000)):
            async with watching.task("t").watch("p") as changes:
                entry = await writing.task("t").set("p", number)
                assert place_of(await changes.receive(timeout=scaled(20))) == place_of(entry)
    finally:
        for task in churning:
            task.cancel()
        await asyncio.wait(churning)


async def test_a_hundred_watches_see_all_commits_in_order_each_once(aconnect: Callable[..., ccs.aio.Store]) -> None:
    stores = [aconnect(f"agent {number}") for number in range(4)]
    watches = [stores[number % 4].task("t").watch("**") for number in range(100)]
    for watch in watches:
        await watch.__aenter__()
    commits = counts(30, 300)

    async def writer(store: ccs.aio.Store, number: int) -> None:
        for turn in range(commits):
            await store.task("t").set(f"p/{number}", turn)

    await asyncio.gather(*(writer(store, number) for number, store in enumerate(stores)))
    journal = await stores[0].task("t").history(since=0)
    assert len(journal) == 4 * commits
    for watch in watches:
        validate(await atake(watch, len(journal)), journal)
    for watch in watches:
        await watch.aclose()


async def test_a_watch_can_be_entered_in_one_task_and_left_in_another(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    one, other = ctx.watch(), ctx.watch()
    await asyncio.create_task(_enter(one))
    await asyncio.create_task(_enter(other))
    await ctx.set("p", 1)
    assert (await asyncio.create_task(one.receive(timeout=scaled(5)))).value == 1
    await asyncio.create_task(one.aclose())
    assert (await other.receive(timeout=scaled(5))).value == 1
    await other.aclose()


async def _enter(watch: Any) -> None:
    await watch.__aenter__()


async def test_a_cancelled_receive_loses_nothing(aconnect: Callable[..., ccs.aio.Store]) -> None:
    ctx, other = aconnect().task("t"), aconnect().task("t")
    dice = random.Random(3)
    seen: list[Change] = []
    async with ctx.watch(buffer=3) as changes:
        writing = asyncio.create_task(_write_numbers(other, counts(100, 2000)))
        while len(seen) < counts(100, 2000):
            try:
                async with asyncio.timeout(dice.random() * 0.002):
                    seen.append(await changes.receive())
            except TimeoutError:
                await asyncio.sleep(0)
        await writing
    validate(seen, await ctx.history(since=0))


async def _write_numbers(ctx: ccs.aio.Context, count: int) -> None:
    for number in range(count):
        await ctx.set("p", number)


async def test_a_watch_on_a_context_that_does_not_exist_yet_sees_its_first_commit(astore: ccs.aio.Store) -> None:
    ctx = astore.task("later")
    async with ctx.watch() as changes:
        assert changes.revision == 0
        await ctx.set("p", 1)
        first = await changes.receive(timeout=scaled(5))
        assert (first.value, first.created) == (1, True)
        await ctx.set("p", 2)
        assert (await changes.receive(timeout=scaled(5))).previous == 1


async def test_closing_a_watch_ends_a_waiting_consumer(astore: ccs.aio.Store) -> None:
    watch = astore.task("t").watch()
    await watch.__aenter__()
    iterating = asyncio.create_task(_collect(watch))
    await aeventually(lambda: "live" in repr(watch))
    await watch.aclose()
    assert await bounded(iterating, 5) == []
    with pytest.raises(ccs.Misuse):
        await watch.receive(timeout=1)


async def _collect(watch: Any) -> list[Change]:
    return [change async for change in watch]


# Resuming


@pytest.mark.parametrize("buffer", [1, 1024])
async def test_a_watch_resumes_at_every_revision_of_a_history(astore: ccs.aio.Store, buffer: int) -> None:
    ctx = astore.task("t")
    await _write_commits(ctx, counts(30, 600))
    journal = await ctx.history(since=0)
    for since in [0, *sorted({change.revision for change in journal})]:
        async with ctx.watch(since=since, buffer=buffer) as changes:
            rest = [change for change in journal if change.revision > since]
            seen = await atake(changes, len(rest))
            validate(seen, journal, since=since)
            assert changes.revision == journal[-1].revision


async def test_watches_in_a_row_that_stop_anywhere_deliver_what_one_would(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    ctx, other = aconnect().task("t"), aconnect().task("t")
    dice, parts, since = random.Random(5), [], 0
    writing = asyncio.create_task(_write_commits(other, counts(75, 1500)))
    while not (writing.done() and since == await other.revision()):
        async with ctx.watch(since=since, buffer=4) as changes:
            seen: list[Change] = []
            most = dice.randrange(1, 9)
            with suppress(TimeoutError):
                while len(seen) < most:
                    seen.append(await changes.receive(timeout=0.2))
            parts.append((since, seen, changes.revision))
            since = changes.revision
    await writing
    validate_resumed(parts, await ctx.history(since=0))


async def _write_commits(ctx: ccs.aio.Context, count: int) -> None:
    dice = random.Random(count)
    for number in range(count):
        if number % 5 < 4:
            await ctx.set_many(dict.fromkeys(dice.sample(PATHS, dice.randrange(1, 4)), number))
        else:
            await ctx.delete_matching(f"{dice.choice('abc')}/**")


async def test_since_zero_is_everything_and_none_of_it_for_a_context_that_is_not_there(
    astore: ccs.aio.Store,
) -> None:
    ctx = astore.task("t")
    async with ctx.watch(since=0) as changes:
        await ctx.set("p", 1)
        await ctx.set("p", 2)
        assert [change.value for change in await atake(changes, 2)] == [1, 2]
    async with ctx.watch(since=0) as changes:
        assert [change.value for change in await atake(changes, 2)] == [1, 2]


async def test_a_resume_past_the_journal_is_history_compacted_and_says_where_it_begins(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t", keep_commits=10)
    revisions = [(await ctx.set("p", number)).revision for number in range(100)]
    kept = [change.revision for change in await ctx.history()]
    assert 10 <= len(kept) <= 12
    oldest = revisions[revisions.index(kept[0]) - 1]
    for since in (0, revisions[0], revisions[50], revisions[revisions.index(oldest) - 1]):
        with pytest.raises(ccs.HistoryCompacted) as caught:
            async with ctx.watch(since=since):
                raise AssertionError("it was entered")
        assert (caught.value.since, caught.value.oldest) == (since, oldest)
        with pytest.raises(ccs.HistoryCompacted):
            await ctx.history(since=since)
    for since in (oldest, *kept):
        async with ctx.watch(since=since) as changes:
            left = [revision for revision in kept if revision > since]
            assert [change.revision for change in await atake(changes, len(left))] == left


async def test_a_resume_from_between_commits_or_behind_the_last_one_is_history_forked(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    first = (await ctx.set("p", 1)).revision
    last = (await ctx.set("p", 2)).revision
    for since in (last + 1, *({first + 1} - {last})):
        with pytest.raises(ccs.HistoryForked):
            async with ctx.watch(since=since):
                raise AssertionError("it was entered")


async def test_a_resume_in_a_context_that_is_gone_or_has_come_again_is_context_gone(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    since = (await ctx.set("p", 1)).revision
    await ctx.drop()
    for _ in range(2):
        with pytest.raises(ccs.ContextGone):
            async with ctx.watch(since=since):
                raise AssertionError("it was entered")
        await ctx.set("p", 2)
    async with ctx.watch(since=0) as changes:
        assert [change.value for change in await atake(changes, 1)] == [2]


@pytest.mark.parametrize("bad", [-1, True, 1.5, "1"])
def test_a_cursor_that_is_no_revision_is_refused(store: ccs.Store, bad: Any) -> None:
    with pytest.raises(ccs.InvalidValue):
        store.task("t").watch(since=bad)


def test_initial_and_since_exclude_each_other(store: ccs.Store) -> None:
    with pytest.raises(ccs.InvalidValue):
        store.task("t").watch(since=1, initial=True)


# Initial


def has_come_to(watcher: Watcher, revision: int) -> bool:
    return max(watcher.cursors[-1:], default=0) >= revision


@pytest.mark.parametrize("colour", COLOURS)
def test_the_present_and_the_live_feed_have_no_gap_and_no_duplicate_between(
    colour: str, target: str, namespace: str
) -> None:
    stop = threading.Event()
    with ccs.connect(target, namespace=namespace) as store:
        ctx = store.task("t", keep_commits=200_000)
        write(ctx, 20)

        def keep_writing(seed: int) -> None:
            dice = random.Random(seed)
            while not stop.is_set():
                commit_one(ctx, dice, dice.random())

        writers = [threading.Thread(target=keep_writing, args=(seed,)) for seed in range(2)]
        for writer in writers:
            writer.start()
        try:
            for turn in range(counts(12, 100)):
                buffer = 4 if turn % 3 == 0 else 1024
                with Watcher(colour, target, namespace, "/tasks/t", initial=True, buffer=buffer) as watcher:
                    snapshot = ctx.snapshot()
                    eventually(
                        partial(has_come_to, watcher, snapshot.revision), 10, "the watch to come to the snapshot"
                    )
                    seen = watcher.changes[: len(watcher.cursors)]
                reached = [change for change in seen if change.revision <= snapshot.revision]
                assert replay({}, reached) == state_of(snapshot)
                places = [place_of(change) for change in seen]
                assert len(places) == len(set(places)), "something came twice"
                assert [revision for revision, _ in places] == sorted(revision for revision, _ in places)
        finally:
            stop.set()
            for writer in writers:
                writer.join()


async def test_the_present_comes_in_the_order_of_revisions_and_only_what_matches(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    await ctx.set("z", 1)
    await ctx.set_many({"c": 2, "b": 2, "other": 2})
    await ctx.set("a", 3)
    await ctx.set("z", 4)
    async with ctx.watch("?", initial=True) as changes:
        seen = await atake(changes, 4)
        assert [(change.path, change.op, change.previous) for change in seen] == [
            ("b", "set", None),
            ("c", "set", None),
            ("a", "set", None),
            ("z", "set", None),
        ]
        assert [change.created for change in seen] == [True, True, True, False]
        await ctx.set("b", 5)
        assert (await changes.receive(timeout=scaled(5))).previous == 2


async def test_initial_on_a_context_that_is_not_there_is_just_live(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    async with ctx.watch(initial=True) as changes:
        with pytest.raises(TimeoutError):
            await changes.receive(timeout=0.02)
        await ctx.set("p", 1)
        assert (await changes.receive(timeout=scaled(5))).created


# Slow consumers


@pytest.mark.parametrize("options", [{"buffer": 4}, {"buffer_bytes": 2_000}, {}], ids=["changes", "bytes", "default"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_consumer_that_stops_for_longer_than_its_buffer_misses_nothing(
    colour: str, valkey: str, namespace: str, options: dict[str, int]
) -> None:
    with (
        ccs.connect(valkey, namespace=namespace) as store,
        Watcher(colour, valkey, namespace, "/tasks/t", **options) as watcher,
    ):
        ctx = store.task("t")
        watcher.resume.clear()
        ctx.set("start", 0)
        watcher.wait(1)
        dice = random.Random(2)
        for number in range(counts(400 if options else 1_000, 5_000)):
            commit_one(ctx, dice, number)
        watcher.resume.set()
        watcher.check(ctx)


async def test_a_consumer_that_stays_away_costs_memory_only_up_to_its_bounds(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    async with ctx.watch(buffer=10) as few, ctx.watch(buffer_bytes=50_000) as small:
        for _ in range(200):
            await ctx.set("p", b"x" * 1_000)
        await aeventually(lambda: few._mailbox.behind and small._mailbox.behind)
        assert len(few._mailbox._records) <= 10
        assert sum(record.size for record in small._mailbox._records) <= 50_000
        for watch in (few, small):
            assert len(await atake(watch, 200)) == 200


async def test_a_commit_larger_than_the_buffer_still_comes_whole(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    async with ctx.watch(buffer=1, buffer_bytes=10) as changes:
        revision = await ctx.set_many({f"p/{number}": "x" * 100 for number in range(20)})
        after = await ctx.set("q", 1)
        seen = await atake(changes, 21)
        assert [change.revision for change in seen] == [revision] * 20 + [after.revision]


async def test_a_consumer_so_slow_that_the_journal_passes_it_gets_history_compacted(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t", keep_commits=10)
    async with ctx.watch(buffer=2) as changes:
        since = changes.revision
        for number in range(100):
            await ctx.set("p", number)
        with pytest.raises(ccs.HistoryCompacted) as caught:  # noqa: PT012  # after any number of changes
            while True:
                since = (await changes.receive(timeout=scaled(5))).revision
        assert caught.value.since == since
        with pytest.raises(ccs.HistoryCompacted):
            await changes.receive(timeout=scaled(5))


# The end


async def test_a_finished_context_yields_what_is_left_and_then_ends_its_watches(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    async with ctx.watch() as iterated, ctx.watch() as received, ctx.watch("never") as other:
        await ctx.set("p", 1)
        await ctx.set("p", 2)
        await ctx.finish({"the": "outcome"})
        assert [change.value for change in await bounded(_collect(iterated), 5)] == [1, 2]
        assert len(await atake(received, 2)) == 2
        for watch in (received, other):
            with pytest.raises(ccs.ContextFinished) as caught:
                await watch.receive(timeout=scaled(5))
            assert caught.value.outcome == {"the": "outcome"}
    async with ctx.watch() as late:
        assert await bounded(_collect(late), 5) == []
        with pytest.raises(ccs.ContextFinished) as caught:
            await late.receive(timeout=scaled(5))
        assert caught.value.outcome == {"the": "outcome"}
    async with ctx.watch(since=0) as all_of_it:
        assert [change.value for change in await bounded(_collect(all_of_it), 5)] == [1, 2]
    async with ctx.watch(initial=True) as present:
        assert [change.value for change in await bounded(_collect(present), 5)] == [2]


async def test_waiting_in_a_finished_context_returns_what_is_there_and_raises_for_what_cannot_come(
    astore: ccs.aio.Store,
) -> None:
    ctx = astore.task("t")
    waiting = asyncio.create_task(ctx.wait_for("never", timeout=scaled(20)))
    await ctx.set("p", 1)
    assert (await ctx.wait_for("p", 1, timeout=scaled(5))).value == 1
    await ctx.finish("over")
    with pytest.raises(ccs.ContextFinished) as caught:
        await bounded(waiting, 5)
    assert caught.value.outcome == "over"
    assert (await ctx.wait_for("p", 1, timeout=scaled(5))).value == 1
    with pytest.raises(ccs.ContextFinished):
        await ctx.wait_for("p", 2, timeout=scaled(5))


@pytest.mark.parametrize("recreate", [False, True])
async def test_a_drop_ends_watches_with_context_gone_at_once(
    aconnect: Callable[..., ccs.aio.Store], recreate: bool
) -> None:
    ctx, other = aconnect().task("t"), aconnect().task("t")
    await other.set("p", 1)
    async with (
        ctx.watch() as changes,
        ctx.watch("nothing matches") as quiet,
        ctx.watch(buffer=1) as behind,
        ctx.watch(since=0) as beginning,
    ):
        await other.set("p", 2)
        await other.set("p", 3)
        await other.drop()
        if recreate:
            await other.set("p", "of another life")
        began = time.monotonic()
        for watch in (changes, quiet, behind, beginning):
            with pytest.raises(ccs.ContextGone) as caught:  # noqa: PT012  # after any number of changes
                while True:
                    assert (await watch.receive(timeout=scaled(5))).value in (2, 3)
            assert caught.value.address == "/tasks/t"
        assert time.monotonic() - began < scaled(1)
        with pytest.raises(ccs.ContextGone):
            await changes.receive(timeout=scaled(5))


async def test_waiting_ends_with_context_gone_when_the_context_goes(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    await ctx.set("p", 1)
    waiting = asyncio.create_task(ctx.wait_for("p", 2, timeout=scaled(20)))
    await aeventually(lambda: astore.stats().deliveries == 1)
    await ctx.drop()
    with pytest.raises(ccs.ContextGone):
        await bounded(waiting, 5)


def test_reading_the_revision_from_another_thread_takes_nothing_from_the_consumer(
    store: ccs.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read just as a record is on its way from the mailbox into the queue (G6)."""
    ctx = store.task("t")
    before, looked = ctx.set("p", 0).revision, []
    with ctx.watch("p") as changes:
        expand = changes._expand

        def look_and_expand(record: Any) -> None:
            assert str(before) in repr(changes)
            looked.append(changes.revision)
            expand(record)

        monkeypatch.setattr(changes, "_expand", look_and_expand)
        ctx.set("p", 1)
        assert changes.receive(timeout=scaled(5)).value == 1
    assert looked == [before]


def has_delivered(store: ccs.Store, more_than: int) -> bool:
    return store.stats().deliveries > more_than


def test_threads_that_watch_and_write_while_their_store_is_closed_get_an_error_and_end(
    valkey: str, namespace: str
) -> None:
    failures: list[BaseException] = []
    told: list[BaseException] = []

    def work(store: ccs.Store, number: int) -> None:
        ctx = store.task(f"t{number % 3}")
        try:
            for turn in range(1_000_000):
                with ctx.watch("p") as changes:
                    ctx.set("p", turn, ttl=5)
                    changes.receive(timeout=scaled(5))
        except ccs.StoreClosed as error:
            told.append(error)
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            failures.append(error)

    for turn in range(counts(20, 200)):
        store = ccs.connect(valkey, namespace=namespace)
        store.set("/tasks/opens/it", 1)
        threads = [threading.Thread(target=work, args=(store, number), daemon=True) for number in range(8)]
        for thread in threads:
            thread.start()
        eventually(partial(has_delivered, store, turn))
        store.close()
        for thread in threads:
            thread.join(scaled(10))
        assert not [thread for thread in threads if thread.is_alive()], "somebody waits for ever"
        assert not failures
    assert len(told) == 8 * counts(20, 200)


# Waiting


async def test_waiting_takes_a_value_a_condition_or_nothing(
    aconnect: Callable[..., ccs.aio.Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Watch] = []
    wait = Watch._wait

    async def noted(watch: Watch, deadline: float | None) -> None:
        waiting.append(watch)
        await wait(watch, deadline)

    monkeypatch.setattr(Watch, "_wait", noted)
    ctx, other = aconnect().task("t"), aconnect().task("t")
    waits = [
        asyncio.create_task(ctx.wait_for("p", timeout=scaled(10))),
        asyncio.create_task(ctx.wait_for("p", 3, timeout=scaled(10))),
        asyncio.create_task(ctx.wait_for("p", lambda value: value > 3, timeout=scaled(10))),
    ]
    await aeventually(lambda: len(waiting) == 3)  # each has looked at what stands there
    for number in range(1, 6):
        await other.set("p", number)
    assert [entry.value for entry in await bounded(asyncio.gather(*waits), 10)] == [1, 3, 4]
    assert (await ctx.wait_for("p", timeout=scaled(5))).value == 5
    assert not ctx.store._engine.opening.dispatcher._feeds, "nobody watches any more"


async def test_waiting_goes_on_when_the_entry_that_is_waited_for_goes(astore: ccs.aio.Store) -> None:
    """Given a waiter for another value, when the entry is deleted meanwhile, then it waits for the next one (G6)."""
    ctx = astore.task("t")
    await ctx.set("p", 1)
    waiting = asyncio.create_task(ctx.wait_for("p", 2, timeout=scaled(20)))
    await aeventually(lambda: astore.stats().deliveries == 1)
    await ctx.delete("p")
    await aeventually(lambda: astore.stats().deliveries == 2)
    assert not waiting.done()
    await ctx.set("p", 2)
    assert (await bounded(waiting, 5)).value == 2


async def test_a_condition_that_would_have_to_be_awaited_is_refused(astore: ccs.aio.Store, store: ccs.Store) -> None:
    async def condition(value: Any) -> bool:
        return False

    await astore.task("t").set("p", 1)
    with pytest.raises(ccs.InvalidValue, match="coroutine function"):
        await astore.task("t").wait_for("p", condition, timeout=scaled(5))
    with pytest.raises(ccs.InvalidValue, match="coroutine function"):
        await asyncio.to_thread(store.task("t").transact, condition)


@pytest.mark.parametrize("path", ["a*", "a[b]", "{a,b}", "a?"])
async def test_waiting_takes_paths_literally(astore: ccs.aio.Store, path: str) -> None:
    ctx = astore.task("t")
    await ctx.set_many({"ab": 1, "a": 1, "b": 1})
    with pytest.raises(TimeoutError):
        await ctx.wait_for(path, timeout=0.02)
    await ctx.set(path, 2)
    assert (await ctx.wait_for(path, timeout=scaled(5))).value == 2


async def test_waiting_times_out_in_time(astore: ccs.aio.Store) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"waited 0\.1 seconds for 'p' in /tasks/t"):
        await astore.task("t").wait_for("p", timeout=timedelta(seconds=0.1))
    assert 0.1 <= time.monotonic() - began < scaled(1)
