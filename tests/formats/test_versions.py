"""Two versions of CCS on one server: what may be mixed, and what a version refuses that it does not know."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import ccs
import ccs.aio
from ccs._core.commits.field_layout import FORMAT, NEEDS, STATE
from ccs._core.names.keys import Keys, keys_of
from ccs._protocol.scripts import COMMIT
from tests.support.waiting import scaled

LATER = f"/{FORMAT + 1}/9.9 "
"""How the state of a context in a later format goes on behind its last revision."""


@pytest.fixture
async def written(astore: ccs.aio.Store) -> ccs.aio.Context:
    """A context that a later version writes on."""
    task = astore.task("later")
    await task.set("a", {"x": 1})
    await task.set("dated", 1, ttl=3600)
    return task


async def make_later(task: ccs.aio.Context) -> None:
    """Does what a later version would: it gives the context its own format."""
    place = task.handle
    state = await place.opening.run(("HGET", place.keys.meta, "state"))
    last, rest = state[STATE.slice_of("last")], state[STATE.slice_of("format").stop :]
    await place.opening.run(("HSET", place.keys.meta, "state", last + LATER.encode() + rest))


def refused(error: ccs.UnknownFormat) -> None:
    assert (error.address, error.format, error.needs) == ("/tasks/later", FORMAT + 1, "9.9")
    assert "/tasks/later" in str(error)
    assert "version 9.9 or later" in str(error)


async def watched(task: ccs.aio.Context, **options: Any) -> None:
    async with task.watch("**", **options):
        pass


async def in_a_transaction(task: ccs.aio.Context) -> None:
    async with task.transaction() as tx:
        tx.set("a", 2)


async def mirrored(task: ccs.aio.Context) -> None:
    async with task.mirror("**"):
        pass


async def scanned(task: ccs.aio.Context) -> None:
    async for _ in task.scan():
        pass


async def called_back(task: ccs.aio.Context) -> None:
    async with task.store:
        await task.subscribe("**", print).ready(timeout=5)


USES: dict[str, Callable[[ccs.aio.Context], Awaitable[Any]]] = {
    "get": lambda task: task.get("a"),
    "get of nothing": lambda task: task.get("nothing"),
    "get of what has a ttl": lambda task: task.get("dated"),
    "get by the store": lambda task: task.store.get("/tasks/later/a"),
    "get_many": lambda task: task.get_many(["a"]),
    "entry": lambda task: task.entry("a"),
    "exists": lambda task: task.exists("a"),
    "paths": lambda task: task.paths(),
    "snapshot": lambda task: task.snapshot(),
    "scan": scanned,
    "info": lambda task: task.info(),
    "contexts": lambda task: task.store.contexts(),
    "history": lambda task: task.history(),
    "history, the newest first": lambda task: task.history(newest_first=True),
    "history until a revision": lambda task: task.history(newest_first=True, until=1_700_000_000_000_000),
    "at": lambda task: task.at(1_700_000_000_000_000),
    "diff": lambda task: task.diff(1_700_000_000_000_000),
    "watch": watched,
    "watch from the beginning": lambda task: watched(task, since=0),
    "watch with all that is there": lambda task: watched(task, initial=True),
    "subscribe": called_back,
    "wait_for": lambda task: task.wait_for("b", timeout=5),
    "mirror": mirrored,
    "set": lambda task: task.set("a", 2),
    "set with a ttl": lambda task: task.set("a", 2, ttl=5),
    "delete": lambda task: task.delete("a"),
    "increment": lambda task: task.increment("n"),
    "update": lambda task: task.update("a", lambda value: value),
    "merge": lambda task: task.merge("a", {"y": 2}),
    "append": lambda task: task.append("list", 1),
    "renew": lambda task: task.renew("dated", 5),
    "transaction": in_a_transaction,
    "publish": lambda task: task.publish("topic", 1),
    "finish": lambda task: task.finish(),
    "drop": lambda task: task.drop(),
    "claim": lambda task: task.claim("resource").acquire(),
    "claims": lambda task: task.claims(),
    "send": lambda task: task.send("role", "text"),
    "receive": lambda task: task.inbox("role").receive(timeout=5),
    "once": lambda task: task.once("key", print),
    "set_policy": lambda task: task.set_policy("**", "reject"),
    "policies": lambda task: task.policies(),
    "memory": lambda task: task.store.memory(workflow="later").get("key"),
    "remember": lambda task: task.semantic.store("text", embedding=[1.0]),
    "recall": lambda task: task.semantic.query([1.0]),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_context_of_a_later_format_is_refused_before_anything_is_written(
    written: ccs.aio.Context, aconnect: Callable[..., ccs.aio.Store], use: Callable[[ccs.aio.Context], Awaitable[Any]]
) -> None:
    """Given a context in a later format, when it is used in any way, then the error names the version that it needs."""
    await make_later(written)
    before = await _kept(written)
    with pytest.raises(ccs.UnknownFormat) as error:
        await use(aconnect("another").task("later"))
    refused(error.value)
    assert await _kept(written) == before


async def _kept(task: ccs.aio.Context) -> list[Any]:
    place = task.handle
    reads = [("HGETALL", place.keys.entries), ("HGETALL", place.keys.meta), ("XRANGE", place.keys.journal, "-", "+")]
    ranges = [("ZRANGE", key, "0", "-1", "WITHSCORES") for key in (place.keys.paths, place.keys.deadlines)]
    kept: list[Any] = await place.opening.run_all([*reads, *ranges])
    return kept


async def test_who_uses_it_already_is_refused_from_the_next_commit_on(written: ccs.aio.Context) -> None:
    """Given reads and writes before, when the context gets a later format, then no commit is made and no cache used."""
    assert await written.get("a") == {"x": 1}
    await make_later(written)
    for use in (written.set("a", 2), written.snapshot(), written.history(), written.increment("n")):
        with pytest.raises(ccs.UnknownFormat) as error:
            await use
        refused(error.value)


@pytest.mark.parametrize("marked", [True, False], ids=["an entry that is marked", "a context alone"])
async def test_an_entry_of_a_later_format_is_never_taken_for_ours(written: ccs.aio.Context, marked: bool) -> None:
    """Given a context that was read before, when entries are marked as of a later format, then they are refused too."""
    assert await written.get("a") == {"x": 1}
    await make_later(written)
    place = written.handle
    raw = await place.opening.run(("HGET", place.keys.entries, "a"))
    if marked:
        await place.opening.run(("HSET", place.keys.entries, "a", LATER.encode() + raw))
    for use in (written.get("a"), written.entry("a")):
        if marked:
            with pytest.raises(ccs.UnknownFormat) as error:
                await use
            refused(error.value)
        else:
            await use  # unmarked, so it reads the same in both formats


async def test_a_live_watch_ends_with_the_first_commit_that_it_does_not_know(written: ccs.aio.Context) -> None:
    async with written.watch("**") as changes:
        await make_later(written)
        place = written.handle
        await place.opening.run(("PUBLISH", place.keys.channel, LATER + "anything"))
        for _ in range(2):  # however often it is asked
            with pytest.raises(ccs.UnknownFormat) as error:
                await changes.receive(timeout=scaled(10))
            refused(error.value)


async def test_a_watch_of_the_store_tells_it_once_and_goes_on_with_all_others(
    written: ccs.aio.Context, aconnect: Callable[..., ccs.aio.Store]
) -> None:
    await make_later(written)
    store = aconnect("another")
    async with store.watch("/tasks/**") as changes:
        with pytest.raises(ccs.UnknownFormat) as error:
            await changes.receive(timeout=scaled(10))
        refused(error.value)
        place = written.handle
        for message in (LATER + "anything", "1 2 3 - 1 0 2 0 - - 0 s 1 0 0\nmea"):
            await place.opening.run(("PUBLISH", place.keys.channel, message))
        await store.task("other").set("b", 1)
        change = await changes.receive(timeout=scaled(10))
        assert (change.context, change.path) == ("/tasks/other", "b")


async def test_a_mark_that_says_nothing_is_refused_without_a_version(written: ccs.aio.Context) -> None:
    place = written.handle
    state = await place.opening.run(("HGET", place.keys.meta, "state"))
    await place.opening.run(("HSET", place.keys.meta, "state", state[:16] + b"?" + state[17:]))
    with pytest.raises(ccs.UnknownFormat, match="a later version of collaborative-context-store") as error:
        await written.set("a", 1)
    assert (error.value.format, error.value.needs) == (0, "")


OTHER = """
import json, sys, ccs
from ccs._protocol.scripts import COMMIT
target, namespace, source = sys.argv[1:]
assert ccs.__file__.startswith(source), ccs.__file__
with ccs.connect(target, agent="other", namespace=namespace) as store:
    task = store.task("shared")
    print(json.dumps(COMMIT.digest), flush=True)
    for line in sys.stdin:
        print(json.dumps(eval(line)), flush=True)
"""
"""Another version, as a process: it evaluates each line, where `task` is the same context."""


class OtherVersion:
    """A copy of this version, in which some sources were changed."""

    def __init__(self, folder: Path, target: str, namespace: str) -> None:
        self._folder, self._target, self._namespace = folder, target, namespace
        shutil.copytree(Path(ccs.__file__).parent, folder / "ccs", ignore=shutil.ignore_patterns("__pycache__"))
        self._process: subprocess.Popen[str] | None = None

    def change(self, name: str, old: str, new: str) -> None:
        file = self._folder / "ccs" / name
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))

    def start(self) -> str:
        """Starts it. Returns the digest by which it calls its commit script."""
        command = [sys.executable, "-c", OTHER, self._target, self._namespace, str(self._folder)]
        path = {**os.environ, "PYTHONPATH": str(self._folder)}
        self._process = subprocess.Popen(
            command, env=path, cwd=self._folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return str(self._answer())

    def __call__(self, expression: str) -> Any:
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        if self._process:
            self._process.communicate(timeout=scaled(10))


@pytest.fixture
def other(tmp_path: Path, valkey: str, namespace: str) -> Iterator[OtherVersion]:
    made = OtherVersion(tmp_path, valkey, namespace)
    yield made
    made.end()


@pytest.fixture
def store(valkey: str, namespace: str) -> Iterator[ccs.Store]:
    with ccs.connect(valkey, agent="ours", namespace=namespace) as store:
        yield store


@pytest.fixture
def keys(namespace: str) -> Keys:
    return keys_of(namespace, "/tasks/shared")


def test_versions_with_other_scripts_and_one_format_share_a_context(store: ccs.Store, other: OtherVersion) -> None:
    """Given two versions with scripts of their own, then both see one history, whoever wrote."""
    for script in ("commit", "read", "journal", "info"):
        other.change(f"lua/{script}.lua", "-- KEYS ", "-- Of another version.\n-- KEYS ")
    assert other.start() != COMMIT.digest
    task = store.task("shared")
    with task.watch("**", since=0) as changes:
        for turn in range(3):
            assert other("task.increment('n')") == 4 * turn + 1
            assert task.increment("n") == 4 * turn + 2
            other(f"task.set('theirs/{turn}', {turn}, ttl=600).revision")
            assert task.get(f"theirs/{turn}") == turn
            assert other("task.transact(lambda tx: tx.set('n', tx.get('n') + 1))") is None
            with pytest.raises(ccs.Conflict) as conflict:
                task.set("n", 0, if_version=1)
            assert conflict.value.agent == "other"
            assert task.increment("n") == 4 * turn + 4
        with task.claim("resource"):
            assert other("[each.holder for each in task.claims()]") == ["ours"]
        assert other("task.delete('n')") is True
        history = task.history()
        assert [changes.receive(timeout=scaled(10)) for _ in history] == history
    assert {change.agent for change in history} == {"ours", "other"}
    assert other("[change.revision for change in task.history()]") == [change.revision for change in history]


def test_a_version_with_a_later_format_keeps_its_contexts_to_itself(
    store: ccs.Store, other: OtherVersion, keys: Keys, valkey: str
) -> None:
    """Given a version that has raised the number in the layout, then it works, and this one refuses what it writes."""
    other.change(
        "_core/commits/field_layout.py",
        f'FORMAT = {FORMAT}\nNEEDS = "{NEEDS}"\n',
        f'FORMAT = {FORMAT + 1}\nNEEDS = "9.9"\n',
    )
    other.start()
    assert other("task.set('a', 1, ttl=600).version") == 1
    assert other("task.increment('n')") == 1
    assert other("[change.path for change in task.history()]") == ["a", "n"]
    assert other("task.info().entries") == 2
    with redis.Redis.from_url(valkey) as client:
        assert client.hget(keys.meta, "state")[16 : 16 + len(LATER)] == LATER.encode()
    task = store.task("shared")
    for use in (lambda: task.set("a", 2), lambda: task.get("a"), task.snapshot, task.history, task.info):
        with pytest.raises(ccs.UnknownFormat, match=r"/tasks/shared is in format 2 .* version 9\.9 or later"):
            use()
    assert other("task.get('a')") == 1
    assert store.task("ours").set("a", 1).version == 1
