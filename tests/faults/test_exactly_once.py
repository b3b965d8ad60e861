"""G1, G2, G5: a commit is applied completely or not at all, once, in order, whatever happens to its reply."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

import ccs
import ccs.aio
from ccs._core.commits.commit import Batch, Commit, Settings, commit_arguments
from ccs._core.commits.operations import Operation, drop_op, increment_op, set_op
from ccs._core.names.keys import keys_of
from ccs._protocol.scripts import COMMIT
from tests.faults.chaos import Ledger, awrite, check_round, faults, seed, write
from tests.support.colours import COLOURS, connect_in
from tests.support.journal import check_continuous, identities, records
from tests.support.proxy import Proxy, once
from tests.support.servers import PrivateServer, binary_of
from tests.support.threads import run_threads
from tests.support.waiting import aeventually, bounded, counts, eventually, scaled

TASK = "/tasks/42"
FAULTS = [("drop",), ("cut",), ("drop", "cut", "hang")]


async def run_writers(stores: Sequence[ccs.aio.Store], count: int, rounds: int, chosen: int) -> Ledger:
    ledger = Ledger()
    writing = [
        awrite(stores[writer % len(stores)].task("42"), ledger, random.Random(chosen + writer), writer, rounds)
        for writer in range(count)
    ]
    await bounded(asyncio.gather(*writing), 60)
    return ledger


def run_writing_threads(stores: Sequence[ccs.Store], count: int, rounds: int, chosen: int) -> list[Ledger]:
    """Returns the ledgers of the writers: threads do not share one."""
    ledgers = [Ledger() for _ in range(count)]

    def work(writer: int) -> None:
        task = stores[writer % len(stores)].task("42")
        write(task, ledgers[writer], random.Random(chosen + writer), writer, rounds)

    run_threads(work, count)
    return ledgers


@pytest.mark.parametrize("kinds", FAULTS, ids="+".join)
async def test_under_faults_each_acknowledged_commit_of_fifty_tasks_is_in_the_journal_once(
    proxy: Proxy, namespace: str, kinds: tuple[str, ...], answer_within: Callable[[float], None]
) -> None:
    """Given fifty tasks on two stores, when replies are lost at random, then all is there once and in order."""
    answer_within(0.4)
    for _ in range(counts(1, 20)):
        chosen, namespace = seed(), namespace + "x"
        async with (
            ccs.aio.connect(proxy.url, agent="a", namespace=namespace) as one,
            ccs.aio.connect(proxy.url, agent="b", namespace=namespace) as two,
        ):
            proxy.fault = faults(random.Random(chosen), 0.04, kinds)
            ledger = await run_writers([one, two], 50, 10, chosen)
            proxy.fault = faults(random.Random(chosen), 0.0, kinds)
        check_round(ledger, proxy.url, namespace, TASK)


@pytest.mark.parametrize("kinds", FAULTS, ids="+".join)
def test_under_faults_each_acknowledged_commit_of_fifty_threads_is_in_the_journal_once(
    proxy: Proxy, namespace: str, kinds: tuple[str, ...], answer_within: Callable[[float], None]
) -> None:
    """Given fifty threads on two stores, when replies are lost at random, then all is there once and in order."""
    answer_within(0.4)
    for _ in range(counts(1, 20)):
        chosen, namespace = seed(), namespace + "x"
        with (
            ccs.connect(proxy.url, agent="a", namespace=namespace) as one,
            ccs.connect(proxy.url, agent="b", namespace=namespace) as two,
        ):
            proxy.fault = faults(random.Random(chosen), 0.04, kinds)
            ledgers = run_writing_threads([one, two], 50, 10, chosen)
            proxy.fault = faults(random.Random(chosen), 0.0, kinds)
        check_round(Ledger.of_all(ledgers), proxy.url, namespace, TASK)


async def test_while_connections_are_refused_for_a_while_everybody_waits_and_nothing_is_lost(
    proxy: Proxy, namespace: str
) -> None:
    """Given writers at work, when the server cannot be reached for a while, then they notice nothing but the delay."""
    chosen = seed()
    async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
        running = asyncio.ensure_future(run_writers([store], 50, 10, chosen))
        for _ in range(3):
            replies = proxy.replies
            await aeventually(lambda replies=replies: proxy.replies > replies + 5 or running.done())
            proxy.refuse()
            await aeventually(lambda: store.stats().retries > 0)
            proxy.refuse(False)
        ledger = await running
    check_round(ledger, proxy.url, namespace, TASK)


# --- Batches that arrive late -----------------------------------------------------------------------------------------


class Sender:
    """Calls the commit script directly, as a client whose batches arrive when we say."""

    def __init__(self, url: str, namespace: str, client: str = "late") -> None:
        self.redis = redis.Redis.from_url(url)
        self.keys, self.client = keys_of(namespace, TASK), client

    def send(self, number: int, *operations: Operation, ttl: int = 0) -> bytes:
        batch = Batch([Commit("agent", [operation]) for operation in operations], self.client, number)
        arguments = commit_arguments(batch, self.keys, Settings(ttl, 1000, 10**6))
        return bytes(self.redis.eval(COMMIT.text, 5, *self.keys.all, *arguments))

    def everything(self) -> list[Any]:
        """All that the context holds, tombstone included."""
        return [self.redis.dump(key) for key in self.keys.all]

    def close(self) -> None:
        self.redis.close()


@pytest.fixture
def sender(valkey: str, namespace: str) -> Any:
    sender = Sender(valkey, namespace)
    yield sender
    sender.close()


def test_a_batch_that_comes_again_gets_the_first_answer_and_changes_nothing(sender: Sender) -> None:
    """Given an applied batch, when the same number arrives again, then it is answered from memory (G5)."""
    first = sender.send(1, increment_op("n", 1), set_op("a", b"\x01"))
    before = sender.everything()
    assert sender.send(1, increment_op("n", 1), set_op("a", b"\x01")) == first
    assert sender.everything() == before


def test_a_batch_that_arrives_after_its_successor_changes_nothing(sender: Sender) -> None:
    """Given that batch 2 was applied, when batch 1 arrives, then it is refused (G5)."""
    sender.send(2, set_op("a", b"\x02"))
    before = sender.everything()
    assert sender.send(1, set_op("a", b"\x01")) == b"stale"
    assert sender.everything() == before


@pytest.mark.parametrize("successor", [False, True], ids=["dropped", "created again"])
def test_a_batch_that_comes_again_after_a_drop_changes_nothing(
    sender: Sender, valkey: str, namespace: str, successor: bool
) -> None:
    """Given an applied set and then a drop by another, when the set comes again, then it resurrects nothing (G5)."""
    first = sender.send(1, set_op("a", b"\x01"))
    other = Sender(valkey, namespace, "other")
    other.send(1, drop_op())
    if successor:
        other.send(2, set_op("b", b"\x02"))
    before = sender.everything()
    assert sender.send(1, set_op("a", b"\x01")) == first
    assert sender.everything() == before
    other.close()


def test_a_drop_that_comes_again_does_not_kill_the_successor(sender: Sender, valkey: str, namespace: str) -> None:
    """Given a drop and a new context by another, when the drop comes again, then the new context lives (G5)."""
    sender.send(1, set_op("a", b"\x01"))
    first = sender.send(2, drop_op())
    other = Sender(valkey, namespace, "other")
    other.send(1, set_op("b", b"\x02"))
    before = sender.everything()
    assert sender.send(2, drop_op()) == first
    sender.send(1, set_op("a", b"\x01"))
    assert sender.everything() == before
    other.close()


def test_a_batch_that_comes_again_after_the_context_expired_changes_nothing(sender: Sender) -> None:
    """Given a context that has expired, when the batch that made it comes again, then nothing comes back (G5, G10)."""
    first = sender.send(1, set_op("a", b"\x01"), ttl=30)
    eventually(lambda: not sender.redis.exists(*sender.keys.all[:4]))
    before = sender.everything()
    assert sender.send(1, set_op("a", b"\x01"), ttl=30) == first
    assert sender.everything() == before
    assert before[4] is not None, "the tombstone outlives the context"


async def test_a_request_that_the_network_held_back_changes_nothing_when_it_comes(
    proxy: Proxy, namespace: str, answer_within: Callable[[float], None]
) -> None:
    """Given a batch held back, sent again and followed by another, when it arrives at last, then nothing changes."""
    answer_within(0.2)
    async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
        task = store.task("42")
        await task.set("warm", 1)
        proxy.filter = once(b"held", "hold")
        await task.set("held", 1)
        await task.set("held", 2)
        before, replies = records(proxy.url, namespace, TASK), proxy.replies
        proxy.release()
        await aeventually(lambda: proxy.replies > replies, what="the late batch to be answered")
        assert await task.get("held") == 2
        assert records(proxy.url, namespace, TASK) == before
        assert len(before) == 3


def test_blocking_too_a_request_that_was_held_back_changes_nothing_when_it_comes(
    proxy: Proxy, namespace: str, answer_within: Callable[[float], None]
) -> None:
    """Given a batch held back, sent again, and a drop, when it arrives at last, then the context stays gone."""
    answer_within(0.2)
    with ccs.connect(proxy.url, namespace=namespace) as store:
        task = store.task("42")
        task.set("warm", 1)
        proxy.filter = once(b"held", "hold")
        task.set("held", 1)
        task.drop()
        replies = proxy.replies
        proxy.release()
        eventually(lambda: proxy.replies > replies, what="the late batch to be answered")
        assert task.revision() == 0
        assert task.get("held") is None


def test_a_drop_whose_reply_was_lost_does_not_kill_what_another_made_meanwhile(
    proxy: Proxy, valkey: str, namespace: str
) -> None:
    """Given a drop that lost its reply, when another client creates the context again, then the retry leaves it alone (G5)."""
    with ccs.connect(proxy.url, namespace=namespace) as store, ccs.connect(valkey, namespace=namespace) as other:
        task = store.task("42")
        task.set("old", 1)
        proxy.fault = once(b"", "drop", lambda: other.task("42").set("new", 2))
        task.drop()
        assert task.snapshot().keys() == {"new"}


async def test_a_cancelled_commit_does_not_cost_its_neighbours_their_answers(
    proxy: Proxy, namespace: str, answer_within: Callable[[float], None]
) -> None:
    """Given a commit on its way and one cancelled unsent, when replies are lost, then the others get theirs (G5, G14)."""
    answer_within(0.3)
    async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
        task = store.task("42")
        await task.set("warm", 1)
        proxy.fault = once(b"", "hang")
        requests = proxy.requests
        first = asyncio.create_task(task.increment("n"))
        await aeventually(lambda: proxy.requests > requests)
        cancelled = asyncio.create_task(task.increment("n"))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        second = asyncio.create_task(task.increment("n"))
        assert await bounded(asyncio.gather(first, second)) == [1, 2]
        assert await task.get("n") == 2


async def test_a_commit_that_must_be_sent_again_and_again_finds_its_answer_though_others_overtake_it(
    proxy: Proxy, namespace: str
) -> None:
    """Given an applied commit without its reply, when others commit between its attempts, then it gets its answer (G5)."""
    async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
        task = store.task("42")
        await task.set("warm", 1)
        attempts: list[int] = []

        def decide(count: int, chunk: bytes) -> str:
            if b"first" not in chunk:
                return "pass"
            attempts.append(count)
            return "cut" if 1 < len(attempts) < 6 else "pass"

        proxy.filter, proxy.fault = decide, once(b"", "drop")
        first = asyncio.create_task(task.set("first", 1))
        await aeventually(lambda: len(attempts) > 3)
        others = [asyncio.create_task(task.set(f"other/{index}", 1)) for index in range(5)]
        entries = await bounded(asyncio.gather(first, *others))
        assert len(attempts) > 5
    found = records(proxy.url, namespace, TASK)
    check_continuous(found)
    assert [record.revision for record in found[1:]] == sorted({entry.revision for entry in entries})
    assert len(found) == 7


# --- Giving up --------------------------------------------------------------------------------------------------------


def took(since: float, patience: float) -> None:
    elapsed = time.monotonic() - since
    assert patience * 0.9 <= elapsed <= scaled(patience * 1.5 + 1), f"took {elapsed:.2f} s"


def secret(url: str) -> str:
    """The URL with a password, which the default user of a server without one accepts and no message may tell."""
    return url.replace("redis://", "redis://:topsecret@")


async def test_a_write_that_was_never_sent_says_that_nothing_was_applied(proxy: Proxy, namespace: str) -> None:
    """Given a store that is cut off, when it gives up a write that it never sent, then `maybe_applied` is False."""
    async with ccs.aio.connect(proxy.url, namespace=namespace, retry_for=0.6) as store:
        task = store.task("42")
        await task.set("a", 1)
        proxy.refuse()
        await aeventually(lambda: "down" in repr(store._engine.opening.commands))
        began = time.monotonic()
        with pytest.raises(ccs.Unavailable) as caught:
            await task.set("a", 2)
        took(began, 0.6)
        assert not caught.value.maybe_applied
        proxy.refuse(False)
        assert await task.get("a") == 1


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("applied", [True, False], ids=["applied, reply lost", "lost on the way"])
async def test_a_write_that_was_sent_says_that_it_may_have_been_applied(
    proxy: Proxy, namespace: str, colour: str, applied: bool
) -> None:
    """Given a sent write whose reply never comes, when the store gives up, then `maybe_applied` is True."""
    async with connect_in(colour, proxy.url, namespace=namespace, retry_for=0.6) as store:
        task = store.task("42")
        await task.set("a", 1)
        if applied:
            proxy.fault = once(b"", "drop", proxy.refuse)
        else:
            proxy.filter = once(b"EVALSHA", "cut", proxy.refuse)
        began = time.monotonic()
        with pytest.raises(ccs.Unavailable) as caught:
            await task.set("a", 2)
        took(began, 0.6)
        assert caught.value.maybe_applied
        proxy.refuse(False)
        assert await task.get("a") == (2 if applied else 1)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_server_that_falls_silent_is_given_up_after_retry_for(
    proxy: Proxy, namespace: str, colour: str
) -> None:
    """Given a server that says nothing any more, when a write waits, then it is `Unavailable` about `retry_for` later."""
    async with connect_in(colour, proxy.url, namespace=namespace, retry_for=0.6) as store:
        task = store.task("42")
        await task.set("a", 1)
        proxy.fault = lambda count, chunk: "hang"
        began = time.monotonic()
        with pytest.raises(ccs.Unavailable) as caught:
            await bounded(task.set("a", 2))
        took(began, 0.6)
        assert caught.value.maybe_applied
        with pytest.raises(ccs.Unavailable) as caught:
            await bounded(task.get("a"))
        assert not caught.value.maybe_applied, "a read applies nothing"


async def test_after_a_flushed_script_cache_a_write_still_knows_that_it_was_sent(proxy: Proxy, namespace: str) -> None:
    """Given a lost reply and then NOSCRIPT, when the store gives up, then `maybe_applied` is True: it was applied."""
    async with ccs.aio.connect(proxy.url, namespace=namespace, retry_for=0.6) as store:
        task = store.task("42")
        await task.set("a", 1)

        def flush() -> None:
            with redis.Redis.from_url(proxy.url.replace(str(proxy.port), str(proxy.target[1]))) as client:
                client.script_flush()

        proxy.fault = once(b"", "drop", flush)
        # The whole script travels only after NOSCRIPT: it never arrives.
        proxy.filter = lambda count, chunk: "cut" if b"\r\nEVAL\r\n" in chunk or b"redis.call" in chunk else "pass"
        with pytest.raises(ccs.Unavailable) as caught:
            await task.set("a", 2)
        assert caught.value.maybe_applied
        assert len(records(proxy.url, namespace, TASK)) == 2


async def test_commits_that_were_gathered_but_never_sent_say_so(proxy: Proxy, namespace: str) -> None:
    """Given writes that are sent and others gathered behind, when all give up, then `maybe_applied` tells the truth."""
    async with ccs.aio.connect(proxy.url, namespace=namespace, retry_for=0.8) as store:
        task = store.task("42")
        await task.set("first", 0)
        proxy.fault = once(b"", "hang", lambda: proxy.refuse(cut=False))
        began = time.monotonic()
        first = asyncio.ensure_future(task.set("first", 1))
        await aeventually(lambda: store._engine.opening.commands.topology.only._pipeline._waiting)
        gathered = {f"gathered/{index}": asyncio.ensure_future(task.set(f"gathered/{index}", 1)) for index in range(20)}
        await asyncio.wait([first, *gathered.values()])
        took(began, 0.8)
        proxy.refuse(False)
        assert unavailable(first.exception()).maybe_applied
        assert await task.get("first") == 1
        doubtful = {path for path, call in gathered.items() if unavailable(call.exception()).maybe_applied}
        assert set(await task.paths("gathered/*")) <= doubtful, "what was applied was told to be not"
        assert not doubtful - set(await task.paths("gathered/*")), "what was never sent was told to be in doubt"


def test_blocking_too_commits_that_were_gathered_but_never_sent_say_so(proxy: Proxy, namespace: str) -> None:
    """Given a sent batch and others gathered behind it, when all give up, then only the first may be applied."""
    with ccs.connect(proxy.url, namespace=namespace, retry_for=0.8) as store:
        task = store.task("42")
        task.set("first", 0)
        sent = threading.Event()
        proxy.fault = once(b"", "hang", lambda: (proxy.refuse(cut=False), sent.set()))
        errors: dict[int, BaseException] = {}

        def work(index: int) -> None:
            try:
                if index:
                    assert sent.wait(scaled(5))
                task.set(f"gathered/{index}" if index else "first", 1)
            except ccs.Unavailable as error:
                errors[index] = error

        began = time.monotonic()
        run_threads(work, 20)
        took(began, 0.8)
        proxy.refuse(False)
        assert {index for index, error in errors.items() if unavailable(error).maybe_applied} == {0}
        assert len(errors) == 20
        assert task.paths() == ["first"]


def unavailable(error: BaseException | None) -> ccs.Unavailable:
    assert isinstance(error, ccs.Unavailable)
    return error


async def test_fifty_tasks_that_share_a_silent_server_all_give_up_after_retry_for(
    proxy: Proxy, namespace: str, answer_within: Callable[[float], None]
) -> None:
    """Given fifty readers and writers, when the server is silent, then nobody waits for the others' patience too."""
    answer_within(0.3)
    async with ccs.aio.connect(proxy.url, namespace=namespace, retry_for=1.0) as store:
        task = store.task("42")
        await task.set("a", 1)
        proxy.filter = lambda count, chunk: "eat"
        began = time.monotonic()
        calls = [task.get("a") if index % 2 else store.task(str(index)).set("a", 1) for index in range(50)]
        results = await bounded(asyncio.gather(*calls, return_exceptions=True))
        took(began, 1.0)
        assert all(isinstance(result, ccs.Unavailable) for result in results)


@pytest.mark.parametrize("how", ["refused", "silent"])
async def test_fifty_tasks_that_open_a_store_together_all_give_up_after_retry_for(
    proxy: Proxy, namespace: str, how: str, answer_within: Callable[[float], None]
) -> None:
    """Given a store nobody has entered, when fifty tasks use it and nobody answers, then each gives up in time."""
    answer_within(0.3)
    if how == "refused":
        proxy.refuse()
    else:
        proxy.filter = lambda count, chunk: "eat"
    store = ccs.aio.connect(proxy.url, namespace=namespace, retry_for=1.0)
    began = time.monotonic()
    calls = [store.task("42").get("a") if index % 2 else store.task("42").set("a", 1) for index in range(50)]
    results = await bounded(asyncio.gather(*calls, return_exceptions=True))
    took(began, 1.0)
    assert all(isinstance(result, ccs.Unavailable) and not result.maybe_applied for result in results)
    await store.aclose()


def test_fifty_threads_that_open_a_store_together_all_give_up_after_retry_for(
    proxy: Proxy, namespace: str, answer_within: Callable[[float], None]
) -> None:
    """Given a store nobody has entered, when fifty threads use it and nobody answers, then each gives up in time."""
    answer_within(0.3)
    proxy.filter = lambda count, chunk: "eat"
    store = ccs.connect(proxy.url, namespace=namespace, retry_for=1.0)

    def work(index: int) -> None:
        with pytest.raises(ccs.Unavailable) as caught:
            store.task("42").get("a") if index % 2 else store.task("42").set("a", 1)
        assert not caught.value.maybe_applied

    began = time.monotonic()
    run_threads(work, 50)
    took(began, 1.0)
    store.close()


# --- Servers that are killed ------------------------------------------------------------------------------------------


@pytest.fixture
def synced_server(tmp_path: Path) -> Iterator[PrivateServer]:
    """A server that answers only what is on disk: with `everysec`, a slow disk may cost it what it has answered."""
    server = PrivateServer(binary_of("valkey"), tmp_path, "--appendfsync", "always").start()
    yield server
    server.stop()


async def test_a_server_killed_under_load_loses_nothing_acknowledged(
    synced_server: PrivateServer, namespace: str
) -> None:
    """Given fifty writers, when the server is killed with -9 and comes back, then all is there once (G5)."""
    for _ in range(counts(2, 20)):
        chosen, namespace = seed(), namespace + "x"
        async with ccs.aio.connect(synced_server.url, namespace=namespace, retry_for=60) as store:
            running = asyncio.ensure_future(run_writers([store], 50, 30, chosen))
            await aeventually(lambda store=store: store.stats().commits > 100)
            assert not running.done()
            await asyncio.to_thread(synced_server.kill)
            await asyncio.to_thread(synced_server.start)
            ledger = await running
        check_round(ledger, synced_server.url, namespace, TASK)


def test_a_server_killed_under_load_of_threads_loses_nothing_acknowledged(
    synced_server: PrivateServer, namespace: str
) -> None:
    """Given threads that increment, when the server is killed with -9 and comes back, then each counts once (G5)."""
    with ccs.connect(synced_server.url, namespace=namespace, retry_for=60) as store:
        task, going = store.task("42"), threading.Event()

        def work(index: int) -> None:
            if index < 20:
                for _ in range(30):
                    task.increment("n")
                return
            eventually(lambda: store.stats().commits > 100)
            synced_server.kill()
            synced_server.start()
            going.set()

        run_threads(work, 21)
        assert going.is_set()
        assert task.get("n") == 600
    found = records(synced_server.url, namespace, TASK)
    check_continuous(found)
    assert len(identities(found)) == 600


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A new folder with a short name, so that a socket fits into it."""
    with tempfile.TemporaryDirectory(prefix="ccs-", ignore_cleanup_errors=True) as name:
        yield Path(name)


async def test_the_embedded_server_killed_under_load_comes_back_and_loses_nothing(short_folder: Path) -> None:
    """Given a folder and writers, when its server is killed with -9, then it comes back by itself (G5, G16)."""
    chosen, socket = seed(), short_folder / ".ccs" / "server.sock"
    async with ccs.aio.connect(short_folder, namespace="ccs", retry_for=60) as store:
        for turn in range(counts(2, 10)):
            await asyncio.to_thread(always_sync, socket)
            commits = store.stats().commits
            running = asyncio.ensure_future(run_writers([store], 50, 20, chosen + turn))
            await aeventually(lambda commits=commits: store.stats().commits > commits + 100)
            assert not running.done()
            await asyncio.to_thread(kill, socket)
            ledger = await running
            await asyncio.to_thread(check_round, ledger, f"unix://{socket}", "ccs", TASK)
            await store.task("42").drop()
    await asyncio.to_thread(kill, socket)


def always_sync(socket: Path) -> None:
    """From here on what is answered is on disk: with `everysec` the server may answer before it has even written."""
    with redis.Redis(unix_socket_path=str(socket)) as client:
        client.config_set("appendfsync", "always")


def kill(socket: Path) -> None:
    """Kills the server that answers on the socket with -9."""
    with redis.Redis(unix_socket_path=str(socket)) as client:
        pid = client.info("server")["process_id"]
    os.kill(pid, signal.SIGKILL)
