"""Never silence: a watch of the store reports once what it missed, and the end of one context ends no other (G6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._core.changes.ended_contexts import Ends
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, scaled
from tests.watches.test_watch_faults import copied, rewind

HISTORY = ccs.HistoryCompacted, ccs.HistoryForked


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are not on their way for long here."""
    for colour in ("_async", "_sync"):
        monkeypatch.setattr(f"ccs.{colour}.changes.store_watch_histories._ON_ITS_WAY", scaled(0.05))


async def drain(changes: Any, quiet: float = 0.2) -> list[Any]:
    """All changes and errors that come, until nothing does."""
    got: list[Any] = []
    while True:
        try:
            got.append(await changes.receive(timeout=scaled(quiet)))
        except TimeoutError:
            return got
        except HISTORY as error:
            got.append(error)


def cursor_of(changes: Any) -> dict[str, int]:
    return dict(getattr(changes, "blocking", changes).revision)


async def all_gone(store: Any) -> bool:
    return not await store.contexts()


# Contexts that came and went


@pytest.mark.parametrize("ending", ["drop", "idle"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_contexts_that_came_and_went_while_the_buffer_was_full_are_reported_together(
    colour: str, ending: str, target: str, namespace: str
) -> None:
    """Given a slow consumer, when contexts come and go that do not fit its buffer, then one change names them all."""
    async with connect_in(colour, target, namespace=namespace) as store:
        async with store.watch("/tasks/*/k", buffer=5) as changes:
            for number in range(20):
                task = store.task(f"m{number:02}", ttl=0.1 if ending == "idle" else 60)
                await task.set("k", number)
                if ending == "drop":
                    await task.drop()
            await aeventually(partial(all_gone, store))
            got = await drain(changes)
        counted = Counter(change.op for change in got)
        (missed,) = (change for change in got if change.op == "missed")
        assert counted["gone"] <= counted["set"]
        assert counted["set"] + len(missed.value) == 20
        heard = {change.context for change in got if change.op == "set"}
        assert heard.isdisjoint(missed.value)
        assert (missed.context, missed.path, missed.previous, missed.revision) == ("", "", None, 0)
        assert missed.at.tzinfo is not None


@pytest.mark.parametrize("colour", COLOURS)
async def test_each_gap_is_reported_once_and_a_single_context_is_named(
    colour: str, valkey: str, namespace: str
) -> None:
    """Given two gaps with one unseen context each, then each is reported once, by its name."""
    async with (
        connect_in(colour, valkey, namespace=namespace) as store,
        store.watch("/tasks/*/k", buffer=1) as changes,
        store.watch("/tasks/*/k") as others,
    ):
        for name in ("one", "two"):
            await store.task("steady").set("k", name)
            await store.task(name).set("k", 0)
            await store.task(name).drop()
            # Not before all has come: what comes while the buffer is emptied finds room.
            heard = [(await others.receive(timeout=scaled(10))).op for _ in range(3)]
            assert heard == ["set", "set", "gone"]
            got = [(change.op, change.context) for change in await drain(changes)]
            assert got == [("set", "/tasks/steady"), ("missed", f"/tasks/{name}")]
        getattr(changes, "blocking", changes).resync()
        assert await drain(changes) == []


async def test_a_gap_in_which_nothing_came_and_went_is_not_reported(aconnect: Callable[..., ccs.aio.Store]) -> None:
    """Given a full buffer, when all contexts still exist, or had gone before, then all changes are delivered, and no gap."""
    store, other = aconnect(), aconnect("other")
    await other.task("before").set("k", 0)
    await other.task("before").drop()
    async with store.watch("/tasks/*/k", buffer=2) as changes:
        for number in range(20):
            await other.task(f"m{number % 4}").set("k", number)
        got = await drain(changes)
        assert sorted(change.value for change in got) == list(range(20))
        await other.task("m0").drop()
        changes.resync(routine=True)
        assert [change.op for change in await drain(changes)] == ["gone"]


async def test_short_lived_contexts_that_are_seen_are_never_reported_as_missed(
    target: str, aconnect: Callable[..., ccs.aio.Store]
) -> None:
    """Given contexts that come and go all the time, when surveys are made meanwhile, then each is delivered, and no gap."""
    store, other = aconnect(), aconnect("other")
    is_cluster = target.startswith("redis+cluster:")
    async with store.watch("/tasks/*/k") as changes:
        got = []
        for number in range(60):
            await other.task(f"m{number}").set("k", number)
            while is_cluster and not any(change.value == number for change in got):  # who reads its journal in time
                got.append(await changes.receive(timeout=scaled(10)))
            await other.task(f"m{number}").drop()
            if number % 7 == 0:
                changes.resync(routine=True)
        got += [await changes.receive(timeout=scaled(10)) for _ in range(120 - len(got))]
        assert Counter(change.op for change in got) == {"set": 60, "gone": 60}
        assert await drain(changes) == []


@pytest.mark.usefixtures("impatient")
async def test_a_gap_that_was_too_long_to_know_is_reported_without_names(
    valkey: str, namespace: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an outage longer than ended contexts are remembered, then the watch reports that it may have missed some."""
    monkeypatch.setattr("ccs._async.changes.store_watch._REMEMBERED", -1.0)
    async with (
        ccs.aio.connect(valkey, namespace=namespace) as writer,
        ccs.aio.connect(proxy.url, namespace=namespace) as store,
        store.watch("/tasks/*/k") as changes,
    ):
        proxy.refuse()
        await writer.task("t").set("k", 1)
        proxy.refuse(False)
        got = [await changes.receive(timeout=scaled(10)) for _ in range(2)]
        assert [(each.op, each.context, each.value) for each in got] == [("set", "/tasks/t", 1), ("missed", "", [])]


def test_a_context_whose_messages_are_only_late_is_no_longer_suspected() -> None:
    """Given contexts that have gone unseen, when the messages of some arrive after all, then only the others were missed."""
    ends = Ends(patience=1.0)
    ends.begin(100)
    for address, ended in (("/before", 90), ("/late", 110), ("/told", 120), ("/missed", 130), ("/forgotten", 0)):
        ends.suspect(address, ended, 5.0)
    assert ends.judged_at == 6.0
    ends.received("/late", 110)
    ends.know("/told", 120, 110)
    assert ends.judge() == ["/missed"]
    ends.settle()
    assert (ends.judge(), ends.judged_at) == (None, None)
    ends.suspect("/missed", 130, 7.0)
    assert ends.judge() is None, "it was told"
    ends.suspect("/missed", 140, 7.0)
    assert ends.judge() == ["/missed"], "another life"


def test_an_end_that_was_not_heard_is_explained_by_what_it_left_behind_or_else_something_was_missed() -> None:
    """Given contexts that follow others whose end was not heard, then nothing was missed if that is known."""
    ends = Ends(patience=1.0)
    ends.begin(100)
    # Each had delivered 150; its successor begins with 200.
    left_behind = {
        "/whole": (160, 150),
        "/with more": (160, 155),
        "/another in between": (190, 180),
        "/another since": (250, 240),
        "/nothing known": (0, 0),
    }
    for address, (ended, before_end) in left_behind.items():
        ends.know(address, 150, 150)
        ends.unheard(address, 150, 200, 5.0)
        ends.explain(address, ended, before_end)
    assert ends.judge() == list(left_behind)[1:]
    ends.settle()
    ends.explain("/with more", 160, 155)
    assert ends.judge() is None


def test_a_later_life_that_was_seen_does_not_clear_an_earlier_one() -> None:
    ends = Ends(patience=1.0)
    ends.begin(100)
    ends.suspect("/a", 150, 5.0, since=120)
    ends.suspect("/a", 250, 5.0)
    ends.received("/a", 250)
    ends.know("/a", 260, 250)
    assert ends.judge() == ["/a"]


@pytest.mark.parametrize("ending", ["drop", "idle"])
@pytest.mark.parametrize("again", [False, True], ids=["gone", "created again"])
async def test_the_last_commits_of_a_context_that_was_known_are_reported_if_they_were_not_received(
    ending: str, again: bool, valkey: str, namespace: str
) -> None:
    """Given a gap, when a context commits more in it and ends, then its end is told, and that something was missed."""
    async with ccs.aio.connect(valkey, namespace=namespace) as store, store.watch("/tasks/*/k", buffer=1) as changes:
        whole, more = (store.task(name, ttl=0.5 if ending == "idle" else 60) for name in ("whole", "more"))
        for task in (whole, more):
            await task.set("k", 0)
            assert (await changes.receive(timeout=scaled(10))).value == 0
        await more.set("k", 1)
        await more.set("k", 2)
        for task in (whole, more):
            await (task.drop() if ending == "drop" else aeventually(partial(is_gone, task)))
            if again:
                await task.set("k", 3)
        got = await drain(changes)
        ops = Counter(change.op for change in got)
        assert (ops["gone"], ops["missed"], ops["set"]) == (2, 1, 1 + 2 * again)
        (missed,) = (change.value for change in got if change.op == "missed")
        assert missed == ["/tasks/more"]


async def is_gone(task: Any) -> bool:
    return not (await task.info()).revision


# Errors of one context


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_compacted_context_is_reported_once_and_the_others_go_on(
    colour: str, valkey: str, namespace: str
) -> None:
    """Given a cursor that one journal no longer holds, then that is raised once, with its address, and all goes on."""
    async with connect_in(colour, valkey, namespace=namespace) as store:
        a, b = store.task("aa", keep_commits=5), store.task("bb")
        since = {"/tasks/aa": (await a.set("k", 0)).revision, "/tasks/bb": (await b.set("k", 0)).revision}
        for number in range(100):
            last = await a.set("k", number)
        await b.set("k", 1)
        async with store.watch("/tasks/*/k", since=since) as changes:
            got = await drain(changes)
            (error,) = (each for each in got if isinstance(each, ccs.CCSError))
            assert isinstance(error, ccs.HistoryCompacted)
            assert (error.address, error.since) == ("/tasks/aa", since["/tasks/aa"])
            assert [(each.context, each.value) for each in got if each is not error] == [("/tasks/bb", 1)]
            cursor = cursor_of(changes)
            assert cursor["/tasks/aa"] == last.revision
            await a.set("k", "on")
            assert (await changes.receive(timeout=scaled(10))).value == "on"
        async with store.watch("/tasks/*/k", since=cursor) as changes:
            assert [each.value for each in await drain(changes)] == ["on"]


@pytest.mark.parametrize("colour", COLOURS)
async def test_before_the_error_is_handed_out_the_cursor_stays_where_it_was(
    colour: str, valkey: str, namespace: str
) -> None:
    """Given an error that waits behind other changes, when the watch is left before it, then a resume tells it again."""
    async with connect_in(colour, valkey, namespace=namespace) as store:
        a = store.task("aa", keep_commits=5)
        since = {"/tasks/aa": (await a.set("k", 0)).revision}
        for number in range(100):
            await a.set("k", number)
        async with store.watch("/tasks/*/k", since=since) as changes:
            cursor = cursor_of(changes)
        assert cursor == since
        async with store.watch("/tasks/*/k", since=cursor) as changes:
            assert [type(each) for each in await drain(changes)] == [ccs.HistoryCompacted]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_forked_context_is_reported_once_and_the_others_go_on(
    colour: str, own_server: PrivateServer, namespace: str, tmp_path: Path
) -> None:
    """Given a server that lost commits of one context, then that is raised once, with its address, and all goes on."""
    async with connect_in(colour, own_server.url, namespace=namespace) as store:
        a, b = store.task("aa"), store.task("bb")
        await a.set("k", 0)
        await b.set("k", 0)
        async with store.watch("/tasks/*/k") as changes:
            copy = copied(own_server, tmp_path / "copy")
            lost = await a.set("k", "lost")
            assert (await changes.receive(timeout=scaled(10))).value == "lost"
            rewind(own_server, copy)
            await b.set("k", 1)
            got = await drain(changes, 1.0)
            (error,) = (each for each in got if isinstance(each, ccs.CCSError))
            assert isinstance(error, ccs.HistoryForked)
            assert (error.address, error.since) == ("/tasks/aa", lost.revision)
            assert [each.value for each in got if each is not error] == [1]
            await a.set("k", 2)
            assert (await changes.receive(timeout=scaled(10))).value == 2
            cursor = cursor_of(changes)
        async with store.watch("/tasks/*/k", since=cursor) as changes:
            assert await drain(changes) == []


def test_a_new_context_that_was_trimmed_before_it_was_read_is_an_error_with_its_address(
    connect: Callable[..., ccs.Store],
) -> None:
    """Given a slow consumer, when a new context writes more than its journal keeps, then the consumer gets an error."""
    store = connect()
    with store.watch("/tasks/*/k", buffer=1) as changes:
        task = store.task("t", keep_commits=5)
        store.task("other").set("k", 0)
        for number in range(100):
            task.set("k", number)
        assert changes.receive(timeout=scaled(10)).value == 0
        with pytest.raises(ccs.HistoryCompacted) as caught:
            changes.receive(timeout=scaled(10))
        assert caught.value.address == "/tasks/t"
        task.set("k", "on")
        assert changes.receive(timeout=scaled(10)).value == "on"


def test_every_error_of_history_names_its_context(connect: Callable[..., ccs.Store]) -> None:
    """Given a cursor that is gone, or never existed, then the error names the context."""
    task = connect().task("t", keep_commits=5)
    first = task.set("p", 0).revision
    for number in range(100):
        task.set("p", number)
    asked: list[Callable[[], object]] = [
        lambda: task.watch(since=first).__enter__(),
        lambda: task.history(since=first),
        lambda: task.history(since=first, newest_first=True),
        lambda: task.at(first),
        lambda: task.diff(first),
    ]
    for ask in asked:
        with pytest.raises(ccs.HistoryCompacted) as compacted:
            ask()
        assert compacted.value.address == "/tasks/t"
        assert "/tasks/t" in str(compacted.value)
    for ask in (lambda: task.watch(since=first + 1).__enter__(), lambda: task.history(since=task.revision() + 1)):
        with pytest.raises((ccs.HistoryForked, ccs.HistoryCompacted)) as forked:
            ask()
        assert forked.value.address == "/tasks/t"
    task.drop()
    for ask in (lambda: task.watch(since=first).__enter__(), lambda: task.at(first)):
        with pytest.raises(ccs.ContextGone) as gone:
            ask()
        assert gone.value.address == "/tasks/t"
