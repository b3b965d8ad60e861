"""Events: delivered in order with the changes of their context, none lost, no state left: G1, G2, G5, G6, G7, G13."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.context.probes import Open, unchanged
from tests.embedded.players import crowd
from tests.support.colours import Awaited
from tests.support.journal import check_consistent
from tests.support.proxy import Proxy, once
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, counts, eventually, scaled

VALUES = [None, "", "123", b"\x00", 2**70, [1, None], {"a": {"b": []}}, True]


async def received(events: Any, count: int) -> list[Any]:
    """The next events."""
    return [await events.receive(timeout=scaled(10)) for _ in range(count)]


def told(found: list[Any]) -> list[tuple[str, Any]]:
    return [(event.topic, event.data) for event in found]


# What an event is.


async def test_an_event_has_its_author_topic_data_and_time(task: Any) -> None:
    """G12, G11."""
    async with task.events() as events:
        before = (await task.set("a", 1)).updated_at
        revisions = [await task.publish("data/x", value) for value in VALUES]
        found = await received(events, len(VALUES))
        after = (await task.set("a", 1)).updated_at
    assert [(event.topic, event.data) for event in found] == [("data/x", value) for value in VALUES]
    assert [type(event.data) for event in found] == [type(value) for value in VALUES]
    assert [event.revision for event in found] == revisions == sorted(set(revisions))
    assert {(event.agent, event.context) for event in found} == {("test", "/tasks/t")}
    assert all(before <= event.at <= after for event in found)


async def test_an_event_leaves_nothing_behind_but_history(task: Any) -> None:
    await task.set("data/x", 1)
    state, paths = await task.snapshot("**", "@*/**"), await task.paths()
    revision = await task.publish("data/x", {"rows": 3})
    assert await task.revision() == revision == task.last_revision
    assert (dict(await task.snapshot("**", "@*/**")), await task.paths()) == (dict(state), paths)
    assert [change.value for change in await task.history(since=0)] == [1]


async def test_an_event_alone_creates_a_context(task: Any) -> None:
    revision = await task.publish("born", True)
    info = await task.info()
    assert (info.revision, info.entries) == (revision, 0)
    async with task.events(since=0) as events:
        assert told(await received(events, 1)) == [("born", True)]


@pytest.mark.parametrize("topic", ["", "/a", "a/", "a//b", "a/../b", "x" * 2_000, 5, None])
async def test_a_topic_is_checked_like_a_path(task: Any, topic: Any) -> None:
    await task.set("a", 1)
    await unchanged(task, task.publish(topic, 1), ccs.InvalidPath)
    async with task.transaction() as tx:
        with pytest.raises(ccs.InvalidPath):
            tx.publish(topic, 1)


async def test_topics_of_the_system_and_data_that_cannot_be_stored_are_refused(open_store: Open) -> None:
    task = (await open_store(max_value_bytes=1_000)).task("t")
    await task.set("a", 1)
    await unchanged(task, task.publish("@events/a", 1), ccs.ReservedPath)
    await unchanged(task, task.publish("a", object()), ccs.EncodingError)
    await unchanged(task, task.publish("a", "x" * 1_001), ccs.ValueTooLarge)
    with pytest.raises(ccs.InvalidPattern):
        task.events("[")
    with pytest.raises(ccs.InvalidValue):
        task.events(since=-1)


async def test_a_finished_context_takes_no_events_and_ends_its_subscribers(task: Any) -> None:
    async with task.events() as events:
        await task.publish("last", 1)
        await task.finish("done")
        assert told([event async for event in events]) == [("last", 1)]
        with pytest.raises(ccs.ContextFinished):
            await events.receive(timeout=1)
    with pytest.raises(ccs.ContextFinished):
        await task.publish("too late", 1)


async def test_a_drop_ends_the_subscribers(task: Any) -> None:
    await task.publish("first", 1)
    async with task.events() as events:
        await task.drop()
        with pytest.raises(ccs.ContextGone):
            await events.receive(timeout=scaled(10))


# Events and changes.


async def test_changes_and_events_of_the_same_name_never_meet(task: Any) -> None:
    async with task.watch("x", since=0) as changes, task.events("x", since=0) as events:
        for number in range(20):
            await task.publish("x", f"event {number}")
            await task.set("x", number)
        await task.finish()
        assert [change.value async for change in changes] == [*range(20)]
        assert told([event async for event in events]) == [("x", f"event {number}") for number in range(20)]


async def test_no_reader_takes_an_event_for_an_entry(shared: Any, task: Any) -> None:
    async with shared.watch("/tasks/*/x") as everywhere:
        await task.publish("x", "event")
        with pytest.raises(TimeoutError):
            await task.wait_for("x", timeout=0.1)
        await task.set("x", 1)
        assert (await everywhere.receive(timeout=scaled(10))).value == 1
    assert (await task.wait_for("x", timeout=scaled(10))).value == 1
    assert [change.value for change in await task.history("x", newest_first=True)] == [1]


async def test_events_are_in_order_with_the_commits_around_them(task: Any) -> None:
    """G2: a subscriber that gets the event and then reads sees all earlier commits."""
    async with task.events("step/*") as events, task.watch("state") as changes:
        expected = []
        for number in range(30):
            expected.append(("change", (await task.set("state", number)).revision))
            expected.append(("event", await task.publish(f"step/{number}", number)))
        found = [("event", event.revision) for event in await received(events, 30)]
        found += [("change", change.revision) for change in await received(changes, 30)]
    assert sorted(found, key=lambda each: each[1]) == expected


async def test_a_transaction_publishes_events_with_its_writes_or_not_at_all(task: Any) -> None:
    """G1: one revision for all of it; nothing of it where a guard fails."""
    async with task.events() as events, task.watch() as changes:
        async with task.transaction() as tx:
            tx.set("a", 1)
            tx.publish("a", "told")
            tx.publish("a", "told twice")
            tx.publish("b", None)
        assert told(found := await received(events, 3)) == [("a", "told"), ("a", "told twice"), ("b", None)]
        assert {event.revision for event in found} == {tx.revision} == {(await changes.receive(timeout=10)).revision}

        async def lose() -> None:
            async with task.transaction() as tx:
                assert await tx.get("a") == 1
                tx.publish("lost", 1)
                await task.set("a", 2)

        with pytest.raises(ccs.Conflict):
            await lose()
        await task.publish("next", 1)
        assert told(await received(events, 1)) == [("next", 1)]


async def test_a_transaction_of_events_alone_is_guarded_by_what_it_read(task: Any) -> None:
    """G4."""
    async with task.transaction() as tx:
        assert await tx.get("a") is None
        tx.publish("a is not there", 1)
    assert tx.revision == await task.revision() > 0


async def test_topics_are_matched_by_the_one_pattern_language(task: Any) -> None:
    async with task.events("data/*", "x{a,b}", "deep/") as events:
        for topic in ("data", "data/1", "data/1/2", "xa", "xc", "deep/1/2", "data/2"):
            await task.publish(topic, 0)
        assert [topic for topic, _ in told(await received(events, 4))] == ["data/1", "xa", "deep/1/2", "data/2"]


# Resuming.


async def test_a_resume_at_every_revision_delivers_each_event_once_and_splits_no_commit(task: Any) -> None:
    """G6: wherever a consumer stops, going on from its `revision` repeats a commit whole or not at all."""
    for number in range(4):
        await task.publish("one", number)
        await task.set("noise", number)
        async with task.transaction() as tx:
            for each in range(3):
                tx.publish(f"many/{each}", number)
            tx.set("state", number)
    async with task.events(since=0) as events:
        whole = await received(events, 16)
    for stop in range(len(whole) + 1):
        async with task.events(since=0) as events:
            first = await received(events, stop)
            cursor = events.revision
        assert cursor <= (first[-1].revision if first else 0)
        kept = [event for event in first if event.revision <= cursor]
        assert {event.revision for event in kept}.isdisjoint({event.revision for event in whole[len(kept) :]})
        async with task.events(since=cursor) as events:
            assert kept + await received(events, len(whole) - len(kept)) == whole


async def test_since_zero_delivers_all_events_or_raises_history_compacted(open_store: Open) -> None:
    """G6."""
    task = (await open_store()).task("t", keep_commits=8)
    revisions = [await task.publish("n", number) for number in range(8)]
    async with task.events(since=0) as events:
        assert [data for _, data in told(await received(events, 8))] == [*range(8)]
    for number in range(20):
        await task.publish("n", number)
    for since in 0, revisions[0]:
        with pytest.raises(ccs.HistoryCompacted):
            async with task.events(since=since):
                pass


async def test_a_slow_subscriber_misses_no_event(task: Any) -> None:
    """G6: it reads the events that do not fit its buffer from the journal."""
    async with task.events("n") as events:
        await task.publish("n", -1)
        for start in range(0, 1_500, 100):
            async with task.transaction() as tx:
                for number in range(start, start + 100):
                    tx.publish("n", number)
        assert [event.data for event in await received(events, 1_501)] == [-1, *range(1_500)]


# Callbacks.


async def test_on_event_works_before_the_store_is_entered_and_is_live_before_its_next_command(
    target: str, namespace: str
) -> None:
    """G7."""
    store = ccs.aio.connect(target, namespace=namespace)
    task, heard = store.task("t"), list[tuple[str, Any]]()

    @task.on_event("a/*", ["b", "c"])
    async def hear(event: ccs.Event) -> None:
        heard.append((event.topic, event.data))

    async with store:
        await task.publish("a/1", 1)

        @task.on_event("late")
        async def hear_too(event: ccs.Event) -> None:
            heard.append(("late", event.data))

        for number, topic in enumerate(["b", "other", "c", "late"], 2):
            await task.publish(topic, number)
        await aeventually(lambda: len(heard) == 4)
    assert sorted(heard) == [("a/1", 1), ("b", 2), ("c", 4), ("late", 5)]


def test_blocking_on_event_works_before_the_store_is_entered_and_when_it_returns(target: str, namespace: str) -> None:
    """G7."""
    store, heard = ccs.connect(target, namespace=namespace), list[tuple[str, Any]]()
    task = store.task("t")

    @task.on_event(["a/*", "b"], "c")
    def hear(event: ccs.Event) -> None:
        heard.append((event.topic, event.data))

    with store, ccs.connect(target, namespace=namespace) as other:
        other.task("t").publish("a/1", 1)
        task.on_event("late")(hear)
        for number, topic in enumerate(["b", "other", "c", "late"], 2):
            other.task("t").publish(topic, number)
        eventually(lambda: len(heard) == 4)
    assert sorted(heard) == [("a/1", 1), ("b", 2), ("c", 4), ("late", 5)]


def test_on_event_resumes_with_since_and_outlives_errors(store: ccs.Store) -> None:
    """G13: an error is reported with its event, and the next event is delivered."""
    task, heard, failed = store.task("t"), list[Any](), list[tuple[str, Any]]()
    first = task.publish("n", 0)
    for number in range(1, 10):
        task.publish("n", number)

    @task.on_event("n", since=first, on_error=lambda error, event: failed.append((str(error), event.data)))
    def hear(event: ccs.Event) -> None:
        heard.append(event.data)
        if event.data % 3 == 0:
            raise RuntimeError(f"on {event.data}")

    eventually(lambda: len(heard) == 9)
    eventually(lambda: len(failed) == 3)
    assert heard == [*range(1, 10)]
    assert failed == [(f"on {number}", number) for number in (3, 6, 9)]


def test_on_event_requires_patterns_and_a_callable(store: ccs.Store) -> None:
    task = store.task("t")
    with pytest.raises(ccs.InvalidPattern, match="decorator"):
        task.on_event(lambda event: None)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(ccs.InvalidValue):
        task.on_event("n")("no function")  # type: ignore[type-var]  # that is the test
    with pytest.raises(ccs.InvalidValue, match="coroutine"):

        @task.on_event("n")
        async def never(event: ccs.Event) -> None: ...


# The bus.


class AdHocBus:
    """A bus as programs write it for themselves: topics and callbacks in one process."""

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callable[[Any], Any]]] = {}

    def subscribe(self, topic: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
        def register(callback: Callable[[Any], Any]) -> Callable[[Any], Any]:
            self._callbacks.setdefault(topic, []).append(callback)
            return callback

        return register

    async def publish(self, topic: str, data: Any) -> None:
        for callback in self._callbacks.get(topic, []):
            await callback(data)


async def run_a_program_of_agents_on(bus: Any) -> list[Any]:
    """A program that was written for an ad-hoc bus: two agents that react to each other, to the end."""
    log: list[Any] = []

    @bus.subscribe("sources/found")
    async def read(source: dict[str, Any]) -> None:
        log.append(("read", source["name"]))
        await bus.publish("sources/read", source["name"])

    @bus.subscribe("sources/read")
    async def summarise(name: str) -> None:
        log.append(("summarised", name))

    for name in "abc":
        await bus.publish("sources/found", {"name": name})
    await aeventually(lambda: len(log) == 6)
    return sorted(log)


async def test_the_bus_takes_the_place_of_an_ad_hoc_one(astore: ccs.aio.Store) -> None:
    assert await run_a_program_of_agents_on(astore.task("t").bus) == await run_a_program_of_agents_on(AdHocBus())


def test_the_blocking_bus_hands_over_the_data_alone(connect: Callable[..., ccs.Store]) -> None:
    bus, other, heard = connect().task("t").bus, connect("other").task("t").bus, list[Any]()

    @bus.subscribe("data/*", "x")
    def hear(data: Any) -> None:
        heard.append(data)

    revision = other.publish("data/ready", {"rows": 3})
    assert other.publish("data/none") > revision
    other.publish("y", 0)
    other.publish("x", b"\x00")
    eventually(lambda: len(heard) == 3)
    assert heard == [{"rows": 3}, None, b"\x00"]


async def test_a_plain_function_may_subscribe_to_an_asyncio_bus_and_errors_come_with_the_event(
    astore: ccs.aio.Store,
) -> None:
    """G13."""
    bus, heard, failed = astore.task("t").bus, list[Any](), list[tuple[str, str]]()

    @bus.subscribe("n", on_error=lambda error, event: failed.append((str(error), event.topic)))
    def hear(data: Any) -> None:
        heard.append(data)
        if data is None:
            raise RuntimeError("none")

    for data in 1, None, 2:
        await bus.publish("n", data)
    await aeventually(lambda: len(heard) == 3)
    assert heard == [1, None, 2]
    await aeventually(lambda: failed)
    assert failed == [("none", "n")]


def test_a_coroutine_function_is_refused_by_the_blocking_bus(store: ccs.Store) -> None:
    with pytest.raises(ccs.InvalidValue, match="coroutine"):

        @store.task("t").bus.subscribe("n")
        async def never(data: Any) -> None: ...


# Faults and crowds.


def test_an_event_whose_reply_was_lost_is_delivered_once(valkey: str, namespace: str, proxy: Proxy) -> None:
    """G5."""
    with ccs.connect(valkey, namespace=namespace) as watching, ccs.connect(proxy.url, namespace=namespace) as store:
        task = store.task("t")
        with watching.task("t").events("n") as events:
            for number in range(counts(10, 100)):
                proxy.fault = once(b"+", "drop")
                revision = task.publish("n", number)
                found = events.receive(timeout=scaled(10))
                assert (found.data, found.revision) == (number, revision)
            task.publish("end", 0)
            with pytest.raises(TimeoutError):
                events.receive(timeout=0.05)
        assert store.stats().retries > 0
        check_consistent(valkey, namespace, "/tasks/t")


def test_a_subscriber_goes_on_over_restarts_of_the_server(own_server: PrivateServer, namespace: str) -> None:
    """G6: each event once and in order."""
    with ccs.connect(own_server.url, namespace=namespace) as store:
        task, heard = store.task("t"), list[Any]()
        task.on_event("n")(lambda event: heard.append(event.data))
        with task.events("n") as events:
            for number in range(3):
                for each in range(5):
                    task.publish("n", 5 * number + each)
                own_server.sync()
                own_server.kill()
                own_server.start()
            task.publish("n", 15)
            eventually(lambda: len(heard) >= 16, 20)
            assert heard == [*range(16)] == [events.receive(timeout=scaled(10)).data for _ in range(16)]


def _publish(url: str, namespace: str, who: int, count: int) -> None:
    with ccs.connect(url, namespace=namespace, agent=f"p{who}") as store:
        task = store.task("t")
        for number in range(count):
            task.publish(f"from/{who}", number)


def test_a_thousand_events_of_five_processes_are_delivered_once_and_in_order(valkey: str, namespace: str) -> None:
    """G2, G6: to several listeners the same order, in which each publisher's own is kept."""
    count, heard = 200, [list[ccs.Event](), list[ccs.Event]()]
    with ccs.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        for each in heard:
            task.on_event("from/*")(each.append)
        with crowd(5) as players:
            for who, player in enumerate(players):
                player.begin(_publish, valkey, namespace, who, count)
            for player in players:
                player.result()
        eventually(lambda: all(len(each) >= 5 * count for each in heard), 20)
        with task.events(since=0) as events:
            journal = [events.receive(timeout=scaled(10)) for _ in range(5 * count)]
    assert heard == [journal, journal]
    for who in range(5):
        assert [event.data for event in journal if event.agent == f"p{who}"] == [*range(count)]


async def test_fifty_tasks_of_one_store_publish_side_by_side(astore: ccs.aio.Store) -> None:
    """G1, G2: each event of a batch is a commit."""
    task = astore.task("t")
    async with task.events("n/*") as events:
        revisions = await bounded(asyncio.gather(*(task.publish(f"n/{number}", number) for number in range(500))))
        found = await received(events, 500)
    assert [event.revision for event in found] == sorted(revisions)
    assert sorted(event.data for event in found) == [*range(500)]
    assert len(set(revisions)) == 500


def test_one_subscriber_may_be_closed_while_others_go_on(store: ccs.Store) -> None:
    task, heard, listening = store.task("t"), list[Any](), threading.Event()
    task.on_event("n")(lambda event: heard.append(event.data))

    def listen() -> None:
        with task.events("n") as events:
            listening.set()
            events.receive(timeout=scaled(10))

    thread = threading.Thread(target=listen)
    thread.start()
    assert listening.wait(scaled(10))
    for number in range(10):
        task.publish("n", number)
    thread.join(scaled(10))
    eventually(lambda: len(heard) == 10)
    assert heard == [*range(10)]


# Subscriptions to events.


async def test_a_subscription_to_events_gets_each_in_order_until_it_is_cancelled(task: Any) -> None:
    """G13: also after a call that raised."""
    seen, errors = list[Any](), list[Any]()

    def react(event: ccs.Event) -> None:
        seen.append((event.topic, event.data))
        if event.data == 0:
            raise ZeroDivisionError

    subscription = await subscribed(task, ["data/*", "news"], react, on_error=lambda *given: errors.append(given))
    for topic, data in (("data/x", 0), ("data/x/y", 1), ("news", None), ("other", 2)):
        await task.publish(topic, data)
    await task.publish("news")
    await aeventually(lambda: len(seen) == 3)
    assert seen == [("data/x", 0), ("news", None), ("news", None)]
    ((error, event),) = errors
    assert (type(error), event.topic) == (ZeroDivisionError, "data/x")
    subscription.cancel()
    assert subscription.state == "cancelled"
    async with task.transaction() as tx:
        tx.publish("news")
    late = await subscribed(task, "news", lambda event: seen.append(event.revision), since=0)
    await aeventually(lambda: len(seen) == 6)
    assert seen[-1] == tx.revision
    late.cancel()
    for wrong, text in (
        (7, "7 is not a pattern: give one"),
        ("[", "is not closed"),
        ([], "at least one"),
        (b"n", "is not a pattern"),
    ):
        with pytest.raises(ccs.InvalidPattern, match=text):
            await subscribed(task, wrong, react)
    with pytest.raises(ccs.InvalidValue, match="one change, or event"):
        await subscribed(task, "n", 3)


async def subscribed(task: Any, *given: Any, **options: Any) -> Any:
    """A live subscription of either colour."""
    subscription = task.subscribe_events(*given, **options)
    if isinstance(task, Awaited):
        return await subscription
    await subscription.ready(timeout=scaled(5))
    return subscription
