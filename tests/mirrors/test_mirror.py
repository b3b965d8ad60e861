"""Mirrors: a live copy that never goes backwards and never shows half of a commit (G1, G2, G3, G6, G13)."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.support.leftovers import tasks, threads
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, counts, eventually, scaled
from tests.watches.breakage import anything, losing
from tests.watches.test_watch_faults import copied, rewind
from tests.watches.traffic import write

PATTERNS = ("a/**", "c")


@pytest.fixture
def task(connect: Callable[..., ccs.Store]) -> ccs.Context:
    return connect().task("t")


def test_it_holds_what_is_there_and_what_comes(task: ccs.Context) -> None:
    """Given entries before and after, when they are written, changed and removed, then the mirror shows just that."""
    task.set_many({"a/1": 1, "b": 2})
    with task.mirror("a/*") as view:
        assert dict(view) == {"a/1": 1}
        assert view.revision == view.snapshot().revision == task.last_revision
        task.set("a/2", None)
        task.set("b", 3)
        task.delete("a/1")
        view.caught_up(task.last_revision, timeout=scaled(5))
        assert (dict(view), len(view), "a/1" in view, view.get("a/1", "gone")) == ({"a/2": None}, 1, False, "gone")
        with pytest.raises(KeyError):
            view["a/1"]
        assert view.entry("a/2") == task.entry("a/2")
        assert view.snapshot() == task.snapshot("a/*")
        assert "a/*" in repr(view)
        assert "1 entries" in repr(view)
    assert dict(view) == {"a/2": None}
    assert "left" in repr(view)


def test_catching_up_waits_for_commits_of_anybody_that_match_nothing(connect: Callable[..., ccs.Store]) -> None:
    """Given others' commits outside of its patterns, when one waits for them, then the mirror has got that far."""
    mine, other = connect().task("t"), connect().task("t")
    with mine.mirror("nothing/here") as view:
        for i in range(20):
            entry = other.set("elsewhere", i)
            view.caught_up(entry.revision, timeout=scaled(5))
            assert view.revision >= entry.revision
        with pytest.raises(TimeoutError):
            view.caught_up(entry.revision + 10**9, timeout=0.05)
    with pytest.raises(ccs.Misuse):
        view.caught_up(entry.revision + 10**9, timeout=5)


def test_half_of_a_commit_is_never_seen(connect: Callable[..., ccs.Store]) -> None:
    """Given commits that move two paths together, when a snapshot is taken at any time, then they agree (G1)."""
    writer, reader = connect().task("t"), connect().task("t")
    writer.set_many({"a": 0, "b": 0})
    over, torn, seen = threading.Event(), list[Any](), list[int]()

    with reader.mirror("a", "b") as view:

        def look() -> None:
            while not over.is_set():
                snapshot = view.snapshot()
                seen.append(snapshot.revision)
                if snapshot["a"].value != snapshot["b"].value:
                    torn.append(snapshot)

        looking = threading.Thread(target=look)
        looking.start()
        for i in range(counts(100, 5_000)):
            writer.set_many({"a": i, "b": i})
        view.caught_up(writer.last_revision, timeout=scaled(10))
        over.set()
        looking.join()
    assert not torn
    assert seen == sorted(seen), "it went backwards"


def test_it_is_bounded_and_says_so(task: ccs.Context) -> None:
    """Given more entries than it may hold, at the start or later, then it fails, and does not show a part of them."""
    task.set_many({f"a/{i}": i for i in range(5)})
    with pytest.raises(ccs.MirrorFull) as caught, task.mirror("a/*", max_entries=4):
        raise AssertionError("it was entered")
    assert (caught.value.address, caught.value.limit) == ("/tasks/t", 4)
    with task.mirror("a/*", max_entries=5) as view:
        task.set("a/5", 5)
        eventually(lambda: "failed" in repr(view))
        for read in (lambda: view["a/1"], lambda: len(view), lambda: list(view), lambda: view.entry("a/1")):
            with pytest.raises(ccs.MirrorFull):
                read()
        with pytest.raises(ccs.MirrorFull):
            view.caught_up(task.last_revision + 1, timeout=scaled(5))
    for wrong in (0, True, "1"):
        with pytest.raises(ccs.InvalidValue):
            task.mirror(max_entries=wrong)  # type: ignore[arg-type]


def test_what_expires_goes(task: ccs.Context) -> None:
    task.set("a", 1, ttl=0.1)
    with task.mirror("a") as view:
        eventually(lambda: "a" not in view)


def test_after_the_end_of_a_context_it_follows_the_next_one(connect: Callable[..., ccs.Store]) -> None:
    """Given a drop, then the old entries are gone, and those of the next context are shown (G10)."""
    task, told = connect().task("t"), list[ccs.Change]()
    other = connect().task("t")
    other.set_many({"a": 1, "b": 2})
    with task.mirror(on_change=told.append) as view:
        other.drop()
        eventually(lambda: not len(view))
        entry = other.set("c", 3)
        view.caught_up(entry.revision, timeout=scaled(10))
        assert dict(view) == {"c": 3}
        eventually(lambda: len(told) == 3)
    assert {(c.path, c.op, c.value, c.previous) for c in told} == {
        ("a", "delete", None, 1),
        ("b", "delete", None, 2),
        ("c", "set", 3, None),
    }


def test_a_finished_context_can_still_be_read(task: ccs.Context) -> None:
    task.set("a", 1)
    with task.mirror() as view:
        task.finish("done")
        eventually(lambda: "finished" in repr(view))
        assert dict(view) == {"a": 1}
        with pytest.raises(ccs.ContextFinished):
            view.caught_up(view.revision + 10**9, timeout=scaled(5))


def test_callbacks_are_called_in_order_and_cannot_hurt(task: ccs.Context, caplog: pytest.LogCaptureFixture) -> None:
    told = list[Any]()

    def on_change(change: ccs.Change) -> None:
        told.append(change)
        raise ValueError("of the callback")

    task.set("before", 1)
    with task.mirror(on_change=on_change) as view:
        for i in range(10):
            task.set("a", i)
        eventually(lambda: len(told) == 10)
        assert view["a"] == 9
    assert told == task.history("a")
    assert task.store.stats().callback_errors == 10
    assert "of the callback" in caplog.text


def test_leaving_leaves_nothing_behind(task: ccs.Context) -> None:
    before = threads()
    views = [task.mirror("a") for _ in range(3)]
    for view in views:
        view.__enter__()
    for view in views:
        view.close()
        view.close()
    assert threads() - before == {}
    task.set("a", 1)
    assert not any("a" in view for view in views)


async def test_leaving_leaves_no_task_behind(astore: ccs.aio.Store) -> None:
    task = astore.task("t")
    async with task.mirror("a"):
        pass
    before = tasks()  # the store's own, from now on
    async with task.mirror("a") as view, task.mirror("b"):
        entry = await task.set("a", 1)
        await view.caught_up(entry.revision, timeout=5)
        assert view["a"] == 1
    await aeventually(lambda: not tasks() - before)


@pytest.mark.parametrize("breaking", [anything, losing])
@pytest.mark.usefixtures("impatient")
def test_a_mirror_that_has_caught_up_is_the_snapshot(
    proxy: Proxy, valkey: str, namespace: str, breaking: Callable[[random.Random], Any]
) -> None:
    """Given random commits, a journal that is soon compacted, drops and faults, then caught up means equal (G6)."""
    dice = random.Random(counts(5, random.randrange(10**9)))
    with (
        ccs.connect(valkey, namespace=namespace) as store,
        ccs.connect(proxy.url, namespace=namespace) as away,
    ):
        task = store.task("t", keep_commits=5)
        write(task, 20, seed=dice.randrange(10**6))
        with away.task("t").mirror(*PATTERNS) as view:
            proxy.fault = breaking(dice)
            for turn in range(counts(6, 60)):
                if dice.random() < 0.15:
                    task.drop()
                write(task, dice.randrange(1, 40), seed=dice.randrange(10**6))
                highest = view.revision
                view.caught_up(task.last_revision, timeout=scaled(30))
                assert view.revision >= highest, f"it went backwards in turn {turn}"
                assert view.snapshot() == task.snapshot(*PATTERNS)


@pytest.mark.usefixtures("impatient")
async def test_in_asyncio_too(proxy: Proxy, valkey: str, namespace: str) -> None:
    dice = random.Random(3)
    async with (
        ccs.aio.connect(valkey, namespace=namespace) as store,
        ccs.aio.connect(proxy.url, namespace=namespace) as away,
    ):
        task = store.task("t", keep_commits=5)
        await task.set("a/1", 0)
        async with away.task("t").mirror(*PATTERNS) as view:
            proxy.fault = anything(dice)
            for turn in range(counts(6, 60)):
                if turn % 3 == 2:
                    await task.drop()
                for i in range(dice.randrange(1, 30)):
                    await task.set(f"a/{i % 4}", i)
                await view.caught_up(task.last_revision, timeout=scaled(30))
                assert view.snapshot() == await task.snapshot(*PATTERNS)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_was_killed_comes_back_into_the_mirror(own_server: PrivateServer, namespace: str) -> None:
    with ccs.connect(own_server.url, namespace=namespace) as store:
        task = store.task("t")
        with task.mirror() as view:
            for turn in range(3):
                task.set("a", turn)
                own_server.kill()
                own_server.start()
                entry = task.set("b", turn)
                view.caught_up(entry.revision, timeout=scaled(20))
                assert view.snapshot() == task.snapshot()


@pytest.mark.usefixtures("impatient")
def test_after_lost_commits_it_shows_what_is_left(
    own_server: PrivateServer, namespace: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a server that lost acknowledged commits, then the mirror shows what is left, and the log says so (G6)."""
    with ccs.connect(own_server.url, namespace=namespace) as store:
        task = store.task("t")
        write(task, 10)
        kept, copy = task.snapshot(), copied(own_server, tmp_path / "copy")
        with task.mirror() as view:
            write(task, 10, seed=1)
            view.caught_up(task.last_revision, timeout=scaled(10))
            rewind(own_server, copy)
            eventually(lambda: view.reloads == 1, 20)
            assert view.snapshot() == kept == task.snapshot()
    assert "HistoryForked" in caplog.text


async def test_entering_that_fails_leaves_nothing_behind(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        await task.set_many({"a": 1, "b": 2})
        async with task.mirror():
            pass
        before = tasks()  # the store's own, from now on
        with pytest.raises(ccs.MirrorFull):
            await bounded(task.mirror(max_entries=1).__aenter__())
        await aeventually(lambda: not tasks() - before)


# The end of a context


def test_a_mirror_has_the_drop_in_it_and_never_goes_back(task: ccs.Context) -> None:
    with task.mirror() as view:
        entry = task.set("a", 1)
        view.caught_up(entry.revision, timeout=scaled(10))
        task.drop()
        view.caught_up(task.last_revision, timeout=scaled(10))
        assert task.last_revision > entry.revision
        assert dict(view.snapshot()) == {}
        view.caught_up(entry.revision, timeout=scaled(10))
        again = task.set("a", 2)
        view.caught_up(again.revision, timeout=scaled(10))
        assert view.snapshot() == task.snapshot()


def test_a_mirror_has_the_end_of_its_context_in_it(task: ccs.Context) -> None:
    with task.mirror() as view:
        task.set("a", 1)
        task.finish({"ok": True})
        view.caught_up(task.last_revision, timeout=scaled(10))
        assert view.snapshot() == task.snapshot()
        with pytest.raises(ccs.ContextFinished) as caught:
            view.caught_up(task.last_revision + 1, timeout=scaled(10))
        assert caught.value.outcome == {"ok": True}


def test_waiting_for_a_mirror_that_becomes_too_full_is_an_error(task: ccs.Context) -> None:
    with task.mirror(max_entries=2) as view:
        task.set_many({f"k{index}": index for index in range(3)})
        with pytest.raises(ccs.MirrorFull):
            view.caught_up(task.last_revision, timeout=scaled(10))
        with pytest.raises(ccs.MirrorFull):
            view.snapshot()


def test_a_mirror_that_is_not_entered_says_so(store: ccs.Store) -> None:
    view = store.task("t").mirror()
    for read in (lambda: view["a"], lambda: view.get("a"), lambda: len(view), lambda: dict(view), view.snapshot):
        with pytest.raises(ccs.Misuse, match="not entered"):
            read()
    with view, pytest.raises(ccs.Misuse, match="entered once"):
        view.__enter__()


# Waiting for the next change.


def test_a_change_after_the_last_look_is_told_at_once_and_others_are_waited_for(
    connect: Callable[..., ccs.Store],
) -> None:
    mine, other = connect().task("t"), connect("other").task("t")
    other.set("a/1", 1)
    with mine.mirror(*PATTERNS) as view:
        with pytest.raises(TimeoutError, match="nothing has changed"):
            view.changed(timeout=0.01)
        entry = other.set("a/1", 2)
        view.caught_up(entry.revision, timeout=scaled(5))
        assert view.changed(timeout=scaled(5)) == entry.revision
        other.set("elsewhere", 1)
        view.caught_up(other.last_revision, timeout=scaled(5))
        with pytest.raises(TimeoutError):
            view.changed(timeout=0.01)
        waiting = threading.Timer(0.05, other.delete, ["a/1"])
        waiting.start()
        assert view.changed(timeout=scaled(5)) == view.revision
        assert dict(view) == {}
        waiting.join()
        other.finish()
        with pytest.raises(ccs.ContextFinished):
            view.changed(timeout=scaled(5))
    with pytest.raises(ccs.Misuse, match="not entered"):
        mine.mirror("a/*").changed()


def test_a_reader_that_waits_in_a_loop_misses_nothing(connect: Callable[..., ccs.Store]) -> None:
    """Given a reader that looks and then waits, when another agent counts up meanwhile, then it sees the last number."""
    mine, other, last = connect().task("t"), connect("other").task("t"), counts(30, 3000)
    seen = []
    with mine.mirror("n") as view:
        writing = threading.Thread(target=lambda: [other.set("n", number + 1) for number in range(last)])
        writing.start()
        while view.get("n", 0) < last:
            view.changed(timeout=scaled(20))
            seen.append(view["n"])
        writing.join()
    assert seen == sorted(seen)
    assert seen[-1] == last


async def test_all_who_wait_are_woken_and_leaving_ends_their_wait(astore: ccs.aio.Store) -> None:
    task = astore.task("t")
    async with task.mirror("a") as view:
        waits = [asyncio.ensure_future(view.changed()) for _ in range(5)]
        cancelled = asyncio.ensure_future(view.changed())
        await asyncio.sleep(0)
        cancelled.cancel()
        entry = await task.set("a", 1)
        assert await bounded(asyncio.gather(*waits)) == [entry.revision] * 5
        left = asyncio.ensure_future(view.changed())
        await asyncio.sleep(0)
    with pytest.raises(ccs.Misuse, match="was left"):
        await bounded(left)
    assert cancelled.cancelled()
    assert not view._expecting


def test_a_reload_is_a_change_if_anything_differs(task: ccs.Context) -> None:
    """Given a context that is dropped, when it comes into being again, then whoever waits is told of both."""
    task.set("a/1", 1)
    with task.mirror("a/*") as view:
        task.drop()
        while dict(view):
            view.changed(timeout=scaled(10))
        task.set("a/2", 2)
        while not dict(view):
            view.changed(timeout=scaled(10))
        assert dict(view) == {"a/2": 2}
