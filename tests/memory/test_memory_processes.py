"""Memory among real processes: many write at once, some are killed, and so is a server."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ccs
from tests.embedded.players import crowd
from tests.memory.memory_players import (
    acknowledged,
    best_by_words,
    known,
    reembed_for_ever,
    remember,
    remember_for_ever,
    remember_many_for_ever,
)
from tests.memory.minds import contents, embed, newer
from tests.support.blocked import open_in
from tests.support.colours import COLOURS
from tests.support.servers import PrivateServer
from tests.support.waiting import LONG, counts, eventually

SHORT = [("asyncio", "valkey"), ("blocking", "redis")]
PAIRS = list(itertools.product(COLOURS, ("valkey", "redis"))) if LONG else SHORT

each_colour = pytest.mark.parametrize("colour", COLOURS)


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> Any:
    """A colour and a kind of server."""
    return request.param


@pytest.fixture
def colour(pair: tuple[str, str]) -> str:
    return pair[0]


@pytest.fixture
def url(pair: tuple[str, str], server_urls: Callable[[str], str]) -> str:
    return server_urls(pair[1])


@pytest.fixture
def task(colour: str, url: str, namespace: str) -> Any:
    with open_in(colour, url, namespace=namespace, agent="reader", embed=embed) as store:
        yield store.task("t")


def test_sixteen_processes_at_once_lose_nothing_and_are_never_refused(
    colour: str, url: str, namespace: str, task: Any
) -> None:
    """G1, G16."""
    each = counts(20, 300)
    assert known(task) == (set(), set())
    with crowd(16) as players:
        for player in players:
            player.begin(remember, colour, url, namespace, each)
        told = [player.result() for player in players]
    facts = {name for stored, _ in told for name in stored}
    events = {name for _, recorded in told for name in recorded}
    assert len(facts) == len(events) == 16 * each
    assert known(task) == (facts, events)
    assert len({match.agent for match in task.semantic.query("anything", 100_000)}) == 16


def test_no_query_misses_a_memory_acknowledged_before_it(colour: str, url: str, namespace: str) -> None:
    """G3: by the same store, which shares its copy among threads, or by another one."""
    options: dict[str, Any] = {"namespace": namespace, "embed": embed}
    facts, events, failures, done = list[str](), list[str](), list[str](), threading.Event()

    def write(task: Any) -> None:
        for i in range(counts(40, 1000)):
            facts.append(task.semantic.store(f"fact {i}"))
            events.append(task.episodic.record(f"event {i}"))

    def read(task: Any) -> None:
        while not done.is_set():
            before = set(facts), set(events)
            found = known(task)
            failures.extend((before[0] - found[0]) | (before[1] - found[1]))

    with open_in(colour, url, agent="0", **options) as one, open_in(colour, url, agent="1", **options) as two:
        stores = (one, one, two)
        writers = [threading.Thread(target=write, args=(store.task("t"),)) for store in stores]
        readers = [threading.Thread(target=read, args=(store.task("t"),)) for store in stores]
        for thread in (*writers, *readers):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in readers:
            thread.join()
        assert known(one.task("t")) == known(two.task("t")) == (set(facts), set(events))
    assert failures == []
    assert len(facts) == 3 * counts(40, 1000)


def test_a_killed_writer_loses_nothing_that_was_acknowledged(
    colour: str, url: str, namespace: str, task: Any, tmp_path: Path
) -> None:
    """G1."""
    ledgers = [tmp_path / f"{i}" for i in range(4)]
    with crowd(4) as players:
        for player, ledger in zip(players, ledgers, strict=True):
            player.begin(remember_for_ever, colour, url, namespace, ledger)
        for i, (player, ledger) in enumerate(zip(players, ledgers, strict=True)):
            eventually(lambda ledger=ledger, i=i: len(acknowledged(ledger, "event")) > 10 * (i + 1))
            player.kill()
    facts, events = known(task)
    for ledger in ledgers:
        assert acknowledged(ledger, "fact") <= facts
        assert acknowledged(ledger, "event") <= events
    # Nothing half-written: what is found is what stands there, and nothing else.
    assert {f"@semantic/{name}" for name in facts} == set(task.paths("@semantic/*"))


def test_a_writer_killed_while_it_stores_many_leaves_all_of_them_or_none(
    colour: str, url: str, namespace: str, task: Any, tmp_path: Path
) -> None:
    """G1."""
    size = 150
    for turn in range(counts(3, 40)):
        ledger = tmp_path / f"{turn}"
        with crowd(1) as (player,):
            player.begin(remember_many_for_ever, colour, url, namespace, ledger, size)
            eventually(lambda ledger=ledger: len(acknowledged(ledger, "batch")) > 3)
            player.kill()
        batches = Counter(path.partition("/")[2].rpartition("-")[0] for path in task.paths("@semantic/*"))
        assert set(batches.values()) == {size}
        assert acknowledged(ledger, "batch") <= batches.keys()


def test_all_processes_rank_alike_by_words_and_meaning(colour: str, url: str, namespace: str, task: Any) -> None:
    """Also one that has followed every change, and one that has just begun."""
    words = ["ant", "bee", "cow", "dog"]
    task.semantic.store("x", id="0")
    assert len(task.semantic.query("ant", mode="hybrid")) == 1
    for number in range(200):
        text = " ".join(words[(number * step) % 4] for step in range(1, 2 + number % 7))
        task.semantic.store(text, id=f"{number % 120}", replace=True)
    expected = [(match.id, match.score) for match in task.semantic.query("bee dog", 1000, mode="hybrid")]
    with crowd(3) as players:
        for player in players:
            player.begin(best_by_words, colour, url, namespace, "bee dog", None)
        assert [player.result() for player in players] == [expected] * 3


def test_a_process_killed_while_it_embeds_again_leaves_all_memories_to_be_found_and_embedded(
    colour: str, url: str, namespace: str, task: Any
) -> None:
    """G1: wherever it is killed, each memory has one vector, of one model or the other, and the next process can go on."""
    facts = {task.semantic.store(f"{i}") for i in range(200)}
    for _ in range(counts(2, 40)):
        with crowd(1) as (player,):
            player.begin(reembed_for_ever, colour, url, namespace)
            revision = task.revision()
            eventually(lambda revision=revision: task.revision() != revision)
            player.kill()
        old, new = found_by(task, embed), found_by(task, newer)
        assert (old | new, old & new) == (facts, set())
    assert task.semantic.reembed(newer) == 200
    assert (found_by(task, embed), found_by(task, newer)) == (set(), facts)
    with open_in(colour, url, namespace=namespace, embed=newer) as store:
        facts.add(store.task("t").semantic.store("one more"))
    assert found_by(task, newer) == facts


def found_by(task: Any, model: Callable[[list[str]], list[list[float]]]) -> set[str]:
    """The ids of the facts that a model finds."""
    try:
        return {match.id for match in task.semantic.query(model(["anything"])[0], 1000)}
    except ccs.InvalidValue:  # there are none of its dimension
        return set()


@each_colour
def test_a_server_killed_under_load_keeps_what_was_on_disk_and_all_agree_on_the_rest(
    colour: str, own_server: PrivateServer, namespace: str, tmp_path: Path
) -> None:
    """G6: a copy never shows what the server has lost."""
    options: dict[str, Any] = {"namespace": namespace, "embed": embed}
    with crowd(3) as players, open_in(colour, own_server.url, agent="reader", **options) as store:
        task, ledgers = store.task("t"), [tmp_path / f"{i}" for i in range(3)]
        for player, ledger in zip(players, ledgers, strict=True):
            player.begin(remember_for_ever, colour, own_server.url, namespace, ledger)
        for turn in range(1, counts(2, 10) + 1):
            eventually(lambda turn=turn: all(len(acknowledged(ledger, "event")) > 20 * turn for ledger in ledgers))
            on_disk = [acknowledged(ledger, kind) for kind in ("fact", "event") for ledger in ledgers]
            own_server.sync()
            known(task)
            own_server.kill()
            own_server.start()
            facts, events = known(task)
            assert set().union(*on_disk[:3]) <= facts, "a fact is lost"
            assert set().union(*on_disk[3:]) <= events, "an event is lost"
        for player in players:
            player.kill()
        facts, events = known(task)
        assert {f"@semantic/{name}" for name in facts} == set(task.paths("@semantic/*"))
        with open_in(colour, own_server.url, **options) as fresh:
            assert known(fresh.task("t")) == (facts, events)


@each_colour
@pytest.mark.parametrize("behind", [False, True], ids=["clock right", "clock behind"])
def test_a_copy_forgets_what_the_server_has_lost_in_a_failover(
    colour: str, own_server: PrivateServer, namespace: str, behind: bool
) -> None:
    """G6: history has forked, and nothing, one thing or more has been written since.

    One copy has followed the history that is lost, the other one was loaded at its end. Where the clock of the promoted
    server is behind, the new history has the same revisions as the lost one.
    """
    options: dict[str, Any] = {"namespace": namespace, "embed": embed}
    with open_in(colour, own_server.url, **options) as writer, open_in(colour, own_server.url, **options) as follower:
        task = writer.task("t")
        remember_both(task, "kept")
        assert recalled(follower.task("t")) == ["kept", "kept"]
        if behind:
            set_clock_behind(own_server)
            remember_both(task, "kept")
        kept = recalled(task)
        for new in range(5):
            with open_in(colour, own_server.url, **options) as late:
                readers = follower.task("t"), late.task("t")
                with rolled_back(own_server):
                    remember_both(task, "lost")
                    for reader in readers:
                        assert recalled(reader) == [*kept, "lost", "lost"]
                with rolled_back(own_server):
                    for turn in range(new):
                        remember = late.task("t").episodic.record if turn % 2 else late.task("t").semantic.store
                        remember("new")
                    for reader in readers:
                        assert recalled(reader) == kept + ["new"] * new


def remember_both(task: Any, text: str) -> None:
    task.semantic.store(text)
    task.episodic.record(text)


def recalled(task: Any) -> list[str]:
    return sorted(contents(task.semantic.query("x")) + [each.description for each in task.episodic.recent()])


def set_clock_behind(server: PrivateServer) -> None:
    """Makes the last revision of every context one that the clock reaches in an hour."""
    with server.client() as client:
        for meta in client.keys("*:meta"):
            state = client.hget(meta, "state").decode()
            client.hset(meta, "state", f"{int(state[:16]) + 3_600_000_000:016d}{state[16:]}")


@contextmanager
def rolled_back(server: PrivateServer) -> Iterator[None]:
    """Puts all keys back in the end, as a promoted replica that had not heard of what came since."""
    with server.client() as client:
        before = {key: (client.dump(key), max(0, client.pttl(key))) for key in client.keys("*")}
        yield
        client.flushall()
        for key, (raw, ttl) in before.items():
            client.restore(key, ttl, raw)
