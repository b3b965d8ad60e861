"""Data that were written when format 1 was new are read, to exact values, and written on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._core.commits.journal import parse_record
from tests.formats.contents import EVENTS, HISTORY, OUTCOME, PARTIES, VALUES, VECTORS
from tests.formats.data import commands_of, expected_of
from tests.formats.seen import seen

EXPECTED = expected_of(1)


@pytest.fixture
async def data(astore: ccs.aio.Store, namespace: str) -> ccs.aio.Store:
    """A store on a server that was given the data of format 1."""
    await astore.task("any").handle.opening.run_all(list(commands_of(1, namespace)))
    return astore


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of one type throughout."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    return bool(one == other and (isinstance(one, set) or repr(one) == repr(other)))


def changed(changes: list[ccs.Change]) -> list[tuple[str, str, Any, Any, bool]]:
    """What they tell but for numbers and times. Commits made at once come in any order."""
    told = [(change.op, change.path, change.value, change.previous, change.created) for change in changes]
    return told[:-5] + sorted(told[-5:])


async def test_every_context_shows_the_numbers_names_and_times_that_it_showed(data: ccs.aio.Store) -> None:
    assert {info.address: await seen(data.context(info.address)) for info in await data.contexts()} == EXPECTED


async def test_every_value_is_read_as_it_was_written(data: ccs.aio.Store) -> None:
    task = data.task("values")
    for path, value in VALUES.items():
        assert same(await task.get(path), value), path
    snapshot = await task.snapshot()
    assert set(snapshot) == set(VALUES)
    assert all(same(entry.value, VALUES[path]) for path, entry in snapshot.items())


def test_every_value_is_read_without_asyncio(
    valkey: str, namespace: str, open_blocking: Callable[[str], ccs.Store]
) -> None:
    store = open_blocking(valkey)
    store.task("any").handle.opening.run_all(list(commands_of(1, namespace)))
    task = store.task("values")
    assert all(same(task.get(path), value) for path, value in VALUES.items())
    assert changed(store.task("history").history()) == HISTORY


@pytest.fixture
def open_blocking(namespace: str) -> Any:
    stores: list[ccs.Store] = []

    def opened(target: str) -> ccs.Store:
        stores.append(ccs.connect(target, namespace=namespace).__enter__())
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


async def test_its_whole_history_is_there_forwards_backwards_and_for_a_watch(data: ccs.aio.Store) -> None:
    task = data.task("history")
    changes = await task.history()
    assert changed(changes) == HISTORY
    assert [change.revision for change in changes] == sorted(change.revision for change in changes)
    backwards = await task.history(newest_first=True)
    assert sorted(backwards, key=lambda change: (change.revision, change.path)) == sorted(
        changes, key=lambda change: (change.revision, change.path)
    )
    async with task.watch("**", since=0) as watch:
        assert [await watch.receive(timeout=5) for _ in changes] == changes
    async with task.events("**", since=0) as events:
        assert [((event := await events.receive(timeout=5)).topic, event.data) for _ in EVENTS] == EVENTS
    first, second = (change.revision for change in changes[:2])
    assert dict((await task.at(first)).items())["status"].value == "new"
    assert (await task.at(second))["status"].value == "old"
    net = {change.path: (change.op, change.value) for change in await task.diff(first)}
    assert net["status"] == ("delete", None)
    assert net["count"] == ("set", 41)


async def test_each_kind_of_record_is_among_the_data() -> None:
    records = [
        parse_record(record)
        for name, _, _, *fields in commands_of(1, "ccs")
        if name == b"XADD"
        for record in fields[1::2]
    ]
    assert {step.kind for record in records for step in record.operations} == {b"s", b"d", b"x", b"e", b"f"}
    assert {len(record.operations) > 1 for record in records} == {True, False}
    assert any(fields.count(b"r") > 1 for name, _, _, *fields in commands_of(1, "ccs") if name == b"XADD")


async def test_contexts_live_and_have_ended_as_they_were_to(data: ccs.aio.Store) -> None:
    finished = data.task("finished")
    info = await finished.info()
    assert (info.finished, info.outcome) == (True, OUTCOME)
    assert await finished.get("a") == 1
    with pytest.raises(ccs.ContextFinished) as refused:
        await finished.set("a", 2)
    assert refused.value.outcome == OUTCOME
    assert [change.value for change in await data.actor("dropped").history()] == ["after"]
    assert (await data.actor("gone").info()).revision == 0
    with pytest.raises(ccs.ContextGone):
        async with data.actor("gone").watch("**", since=1_700_000_000_000_000):
            pass


async def test_what_a_team_agreed_on_holds(data: ccs.aio.Store) -> None:
    team = data.task("team", agent="eve")
    (held,) = await team.claims()
    assert (held.resource, held.holder, held.note) == ("printer", "carl", {"pages": 3})
    with pytest.raises(ccs.AlreadyClaimed, match="carl"):
        await team.claim("printer").acquire()
    assert await team.break_claim("printer")
    async with team.claim("printer") as claim:
        assert claim.token > held.token
    inbox = team.inbox("clerk")
    message = await inbox.receive(timeout=5)
    assert (message.content, message.sender, message.reply_to) == ("second", "carl", "nobody")
    await message.ack()
    assert await inbox.unread() == []
    await inbox.aclose()

    def never() -> int:
        raise AssertionError("this was run already")

    assert await team.once("sum", never, input=[40, 2]) == 42
    decision = await data.task("team", agent="ann").agree("plan", parties=PARTIES)
    assert (decision.committed, dict(decision.votes)) == (True, dict.fromkeys(PARTIES, True))
    await team.barrier("warm", parties=1)
    (member,) = await team.members()
    assert (member.agent, member.role, member.meta) == ("carl", "clerk", [1])
    assert await team.policies() == {"sealed/**": "write-once", "merged/**": "merge"}
    with pytest.raises(ccs.Conflict, match="write-once"):
        await team.set("sealed/a", 2)
    await team.set("merged/a", {"z": 3})
    assert await team.get("merged/a") == {"x": 1, "y": 2, "z": 3}


async def test_what_was_remembered_is_found(data: ccs.aio.Store) -> None:
    task = data.task("memories")
    best, *_ = await task.semantic.query(VECTORS["pear"], top_k=1)
    assert (best.id, best.content, best.metadata, best.agent) == ("pear", "pear", {"kind": "fruit"}, "dora")
    assert best.score == pytest.approx(1.0)
    (episode,) = await task.episodic.recent()
    assert (episode.id, episode.description, episode.metadata) == ("rain", "it rained", {"mm": 7})
    assert episode.at.isoformat() == "2024-05-01T00:00:00+00:00"
    (procedure,) = await task.procedural.recall([0.0, 1.0, 0.0])
    assert (procedure.steps, procedure.successes) == (["mix", "wait"], 1)
    assert procedure.confidence == pytest.approx(0.6)
    memory = data.memory(workflow="scoped", session="s", actor="a")
    assert await memory.get("key") == "of the session"
    assert await memory.get("key", scope="global") == "of all"


async def test_it_is_written_on_where_it_ended(data: ccs.aio.Store) -> None:
    task = data.task("history", agent="fay")
    before = await task.entry("count")
    assert before is not None
    async with task.watch("count") as changes:
        assert await task.increment("count") == 42
        change = await changes.receive(timeout=5)
    after = await task.entry("count")
    assert after is not None
    assert (change.previous, change.value, change.agent) == (41, 42, "fay")
    assert (after.version, after.created_at) == (before.version + 1, before.created_at)
    assert after.revision == change.revision > before.revision
    assert (await task.history())[-1] == change
