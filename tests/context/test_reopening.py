"""A store that is entered again: it gets a new identity, its callbacks go on, and what it held is given back."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs.types import Change
from tests.recipes.inboxes import close
from tests.support.colours import COLOURS, connect_in
from tests.support.leftovers import threads
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, eventually, scaled

TTL = 300.0


@pytest.fixture(params=COLOURS)
def make(request: pytest.FixtureRequest, target: str, namespace: str) -> Callable[[], Any]:
    """Makes stores of either colour on one server."""
    return lambda: connect_in(request.param, target, agent="test", namespace=namespace)


@pytest.fixture
async def store(make: Callable[[], Any]) -> AsyncIterator[Any]:
    """One that was entered and left."""
    store = make()
    async with store:
        await store.task("t").set("before", 1)
    yield store
    await close(store)


@pytest.fixture
async def task(store: Any) -> Any:
    return store.task("t")


# What goes on.


async def test_it_is_closed_until_it_is_entered_again(store: Any, task: Any) -> None:
    with pytest.raises(ccs.StoreClosed, match="enter it again, or connect anew"):
        await task.get("before")
    async with store:
        assert await task.get("before") == 1
        await task.set("after", 2)
        assert task.last_revision == await task.revision()
    with pytest.raises(ccs.StoreClosed, match="is closed"):
        await task.set("never", 3)


async def test_it_can_be_opened_many_times(store: Any, task: Any) -> None:
    for _ in range(5):
        async with store:
            await task.increment("count")
    async with store:
        assert await task.get("count") == 5
        assert [change.value for change in await task.history("count")] == [1, 2, 3, 4, 5]
    assert not await asyncio.to_thread(threads)


async def test_its_commits_carry_another_identity(target: str, namespace: str) -> None:
    """Else the server would take the first commit of the new opening for one of the old."""
    async with ccs.aio.connect(target, namespace=namespace) as store:
        old = store._engine.opening.identity()  # told nowhere else
    async with store:
        assert store._engine.opening.identity() != old


async def test_callbacks_start_again_with_what_comes_then(make: Callable[[], Any], store: Any, task: Any) -> None:
    told: list[tuple[str, Any]] = []
    async with store:
        await done(task.subscribe("**", note(told)))
        await task.set("a", 1)
        await aeventually(lambda: told == [("a", 1)])
    async with make() as other:
        await other.task("t").set("meanwhile", 2)
    async with store:
        await task.set("b", 3)
        await aeventually(lambda: told == [("a", 1), ("b", 3)])


async def test_callbacks_from_the_beginning_start_there_again(store: Any, task: Any) -> None:
    told: list[tuple[str, Any]] = []
    async with store:
        await done(task.subscribe("**", note(told), since=0))
        await aeventually(lambda: told == [("before", 1)])
    async with store:
        await aeventually(lambda: told == [("before", 1)] * 2)


async def test_a_callback_that_was_cancelled_does_not_start_again(store: Any, task: Any) -> None:
    told: list[tuple[str, Any]] = []
    async with store:
        first = await done(task.subscribe("a", note(told)))
        second = await done(task.subscribe("a", note(told)))
        first.cancel()
    assert second.state == "paused"
    second.cancel()
    async with store:
        await done(task.subscribe("b", note(told)))
        await task.set("a", 1)
        await task.set("b", 2)
        await aeventually(lambda: told == [("b", 2)])


def test_a_callback_that_still_runs_at_the_close_does_not_disturb_the_next_opening(valkey: str, namespace: str) -> None:
    """Given a callback that blocks for longer than a close waits, when its store is entered again, both go on."""
    release, told = threading.Event(), list[Any]()

    def slow(change: Change) -> None:
        told.append(change.value)
        if change.value == 1:
            release.wait(30)

    store = ccs.connect(valkey, namespace=namespace)
    task = store.task("t")
    with store:
        subscription = task.subscribe("a", slow)
        task.set("a", 1)
        eventually(lambda: told == [1])
        store.close(drain=0)
    with store:
        assert subscription.state == "live"
        release.set()
        task.set("a", 2)
        eventually(lambda: told == [1, 2])
        task.set("a", 3)
        eventually(lambda: told == [1, 2, 3])
        assert subscription.state == "live"


# What is over.


async def test_watches_stay_dead(store: Any, task: Any) -> None:
    async with store:
        unused, whole_unused = task.watch("**"), store.watch("/**")
        watch, whole = task.watch("**"), store.watch("/**")
        await watch.__aenter__()
        await whole.__aenter__()
        await task.set("unread", 1)
    async with store:
        await task.set("a", 1)
        for old in (watch, whole):
            with pytest.raises(ccs.StoreClosed, match="was closed since this was made, and opened anew"):
                await old.receive(timeout=5)
            await close(old)
        for old in (unused, whole_unused):
            with pytest.raises(ccs.StoreClosed, match="opened anew"):
                await old.__aenter__()
        async with task.watch("**", since=0) as fresh:
            assert [(await fresh.receive(timeout=5)).path for _ in range(3)] == ["before", "unread", "a"]


async def test_claims_stay_dead(store: Any, task: Any) -> None:
    async with store:
        claim = await task.claim("a", ttl=TTL).acquire()
        fenced = claim.context
    assert claim.state == "released"
    async with store:
        assert (claim.state, claim.held) == ("released", False)
        with pytest.raises(ccs.ClaimLost):
            await fenced.set("guarded", 1)
        async with task.claim("a", ttl=TTL) as another:
            with pytest.raises(ccs.ClaimLost):
                await claim.release()
            assert another.held
            await another.context.set("guarded", 2)
        await claim.acquire()
        assert claim.held
        await claim.release()


async def test_a_claim_that_the_close_could_not_give_back_stays_dead_too(store: Any, task: Any) -> None:
    async with store:
        claim = await task.claim("a", ttl=60).acquire()
        fenced = claim.context
        task.handle.holdings.remove(task.address, "@claims/a", claim.token)  # as if the server had been silent
    async with store:
        assert [info.token for info in await task.claims()] == [claim.token]
        with pytest.raises(ccs.ClaimLost, match="opened anew"):
            await fenced.set("guarded", 1)
        with pytest.raises(ccs.ClaimLost, match="opened anew"):
            await claim.release()
        assert not await task.exists("guarded")
        assert (claim.state, len(await task.claims())) == ("released", 1)
        await task.break_claim("a")
        await claim.acquire()
        await claim.context.set("guarded", 2)
        await claim.release()


async def test_messages_and_jobs_of_before_cannot_be_settled(store: Any, task: Any) -> None:
    async with store:
        await task.send("r", "work")
        await task.set("queue/a", 1)
        message = await task.inbox("r", lease=60).receive(timeout=5)
        job = await task.jobs("queue/*").take(timeout=5)
    async with store:
        for settle in (message.ack, message.release, lambda: message.extend(5)):
            with pytest.raises(ccs.ClaimLost, match="opened anew"):
                await settle()
        for settle in (job.done, lambda: job.failed("no")):
            with pytest.raises(ccs.ClaimLost, match="another worker"):
                await settle()
        assert await task.exists("queue/a")
        again = await task.inbox("r", lease=60).receive(timeout=5)
        assert (again.id, again.attempts) == (message.id, 2)
        await again.ack()


async def test_a_presence_stays_away(store: Any, task: Any) -> None:
    async with store:
        presence = task.join(ttl=TTL)
        await presence.enter()
        assert presence.joined
    assert not presence.joined
    async with store:
        assert await task.members() == []
        assert not presence.joined
        async with task.join(ttl=TTL):
            await presence.leave()
            assert len(await task.members()) == 1


async def test_an_inbox_of_before_says_so_and_its_messages_go_to_the_next(store: Any, task: Any) -> None:
    async with store:
        inbox = task.inbox("r", lease=TTL)
        await task.send("r", "work")
        message = await inbox.receive(timeout=5)
    async with store:
        with pytest.raises(ccs.StoreClosed, match="opened anew"):
            await inbox.receive(timeout=5)
        again = await task.inbox("r", lease=TTL).receive(timeout=5)
        assert again.content == "work"
        with pytest.raises(ccs.CCSError):
            await message.ack()
        await again.ack()


async def test_a_mirror_of_before_keeps_what_it_had(store: Any, task: Any) -> None:
    async with store:
        mirror = await done(task.mirror("**"))
        await (asyncio.to_thread(mirror.__enter__) if hasattr(mirror, "__enter__") else mirror.__aenter__())
    async with store:
        entry = await task.set("a", 1)
        assert dict(mirror) == {"before": 1}
        with pytest.raises(ccs.StoreClosed):
            await reached(mirror, entry.revision)


# Where, and by whom.


def test_it_is_opened_again_on_another_event_loop(target: str, namespace: str) -> None:
    told: list[Any] = []
    store = ccs.aio.connect(target, namespace=namespace)
    task = store.task("t")

    @task.on_change("**")
    async def note(change: Change) -> None:
        told.append(change.value)

    async def run(value: int) -> None:
        async with store:
            await asyncio.gather(*(task.set(f"a/{index}", value) for index in range(20)))
            async with task.claim("b", wait=1):
                await aeventually(lambda: told.count(value) == 20)

    for value in range(3):
        asyncio.run(run(value))


def test_a_store_of_a_module_works_in_one_run_after_another(target: str, namespace: str) -> None:
    """Given a program that keeps its store, inboxes and claims in its module, when it runs twice, then each run is whole."""
    store = ccs.aio.connect(target, agent="module", namespace=namespace)
    seen: list[Any] = []

    @store.task("t").on_event("n")
    def note(event: ccs.Event) -> None:
        seen.append(event.data)

    async def main(run: int) -> float:
        async with store:
            task = store.task("t")
            await task.publish("n", run)
            await task.send("r", run)
            async with task.inbox("r", renew=True) as inbox, await inbox.receive(timeout=scaled(10)) as message:
                assert message.content == run
            assert await task.once(f"key/{run}", lambda: run) == run
            await aeventually(lambda: seen == list(range(run + 1)))
            return await store.ping()

    for run in range(3):
        assert 0 < asyncio.run(main(run)) < scaled(10)
        with pytest.raises(ccs.StoreClosed):
            asyncio.run(store.ping())


def test_in_a_forked_child_it_stays_closed(valkey: str, namespace: str) -> None:
    store = ccs.connect(valkey, namespace=namespace)

    def child(results: Any) -> None:
        outcomes = []
        for attempt in (store.__enter__, store.close, store.__enter__):
            try:
                attempt()
                outcomes.append("")
            except ccs.StoreClosed as error:
                outcomes.append(str(error))
        results.put(outcomes)

    with store:
        store.task("t").set("a", 1)
        context = multiprocessing.get_context("fork")
        results = context.SimpleQueue()
        process = context.Process(target=child, args=(results,))
        process.start()
        outcomes = results.get()
        process.join()
        assert "another process" in outcomes[0]
        assert "another process" in outcomes[2]
        assert store.task("t").get("a") == 1
    with store:
        assert store.task("t").get("a") == 1


@pytest.mark.parametrize("colour", COLOURS)
async def test_it_can_be_entered_again_after_it_could_not_be_opened(
    colour: str, own_server: PrivateServer, namespace: str
) -> None:
    store = connect_in(colour, own_server.url, namespace=namespace, retry_for=0.5)
    told: list[tuple[str, Any]] = []
    await done(store.task("t").subscribe("**", note(told)))
    own_server.stop()
    with pytest.raises(ccs.Unavailable):
        await store.__aenter__()
    own_server.start()
    async with store:
        await store.task("t").set("a", 1)
        await aeventually(lambda: told == [("a", 1)])


@pytest.mark.parametrize("colour", COLOURS)
async def test_patience_holds_after_it_was_opened_again(colour: str, own_server: PrivateServer, namespace: str) -> None:
    """Given a second opening, when the server stops answering, then all writers get an error in time."""
    store = connect_in(colour, own_server.url, namespace=namespace, retry_for=1.0)
    task = store.task("t")
    async with store:
        await asyncio.gather(*(task.set(f"a/{index}", 1) for index in range(20)))
    async with store:
        await task.set("b", 1)
        own_server.pause()
        began = time.monotonic()
        told = await asyncio.gather(*(task.set(f"a/{index}", 2) for index in range(20)), return_exceptions=True)
        own_server.resume()
        assert {type(each) for each in told} == {ccs.Unavailable}
        assert time.monotonic() - began < scaled(3)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_folder_is_opened_again(colour: str, tmp_path: Any) -> None:
    store = connect_in(colour, str(tmp_path / "brain"))
    for number in range(3):
        async with store:
            assert await store.task("t").increment("count") == number + 1


async def test_a_private_server_in_memory_begins_empty() -> None:
    store = ccs.aio.connect("memory://")
    for _ in range(2):
        async with store:
            assert await store.task("t").increment("count") == 1


def test_entering_waits_for_a_thread_that_still_closes_it(valkey: str, namespace: str) -> None:
    """Given threads that enter and leave one store all the time, then it is open or closed, and nothing between."""
    store = ccs.connect(valkey, namespace=namespace)
    task = store.task("t")
    applied, refused = list[int](), list[BaseException]()

    def use(me: int) -> None:
        for _ in range(30):
            try:
                with store:
                    task.increment("count")
                applied.append(me)
            except ccs.StoreClosed as error:  # another thread has left it meanwhile
                refused.append(error)

    users = [threading.Thread(target=use, args=(me,)) for me in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join(60)
    assert not any(user.is_alive() for user in users)
    with store:
        count = task.get("count")
    assert len(applied) <= count <= len(applied) + len(refused)
    assert not threads()


def note(told: list[tuple[str, Any]]) -> Callable[[Change], None]:
    return lambda change: told.append((change.path, change.value))


async def done(result: Any) -> Any:
    """What a call returns that is awaited in one colour only."""
    return await result if inspect.isawaitable(result) else result


async def reached(mirror: Any, revision: int) -> None:
    if inspect.iscoroutinefunction(mirror.caught_up):
        await mirror.caught_up(revision, timeout=5)
    else:
        await asyncio.to_thread(mirror.caught_up, revision, timeout=5)
