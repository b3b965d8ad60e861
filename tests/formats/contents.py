"""What the data of a format hold: every type of value, every kind of record, and what the recipes and memories keep.

`written` writes it, once for each format, with the version of CCS that introduces that format (`make.py`). `VALUES` and
the like are what must be read back for ever.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import math
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from zoneinfo import ZoneInfo

import ccs.aio

AGES = 1_000_000_000
"""Seconds, about thirty years: how long the data live that have a deadline."""

VALUES: dict[str, Any] = {
    "nothing": None,
    "true": True,
    "false": False,
    "zero": 0,
    "small": -1,
    "byte": 255,
    "negative byte": -128,
    "large": 2**53,
    "largest": 2**64 - 1,
    "least": -(2**63),
    "huge": 3**200,
    "huge negative": -(3**200),
    "float": 0.1,
    "infinite": math.inf,
    "empty text": "",
    "digits": "123",
    "text": "Grüße, 世界 🌍\0\n",
    "long text": "x" * 300,
    "no bytes": b"",
    "bytes": b"\x00\xff\r\n",
    "list": [1, "two", None, [3.5, []]],
    "map": {"a": {"b": [1]}, "": 2, "ä": None},
    "odd keys": {7: "int", None: "none", True: "yes", 2.5: "float", b"b": "bytes"},
    "moment": dt.datetime(2024, 2, 29, 12, 30, 15, 123456, dt.UTC),
    "elsewhere": dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
    "in a zone": dt.datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    "day": dt.date(1970, 1, 1),
    "time": dt.time(23, 59, 59, 999999),
    "duration": dt.timedelta(days=-1, seconds=5, microseconds=7),
    "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "decimal": decimal.Decimal("1.10"),
    "set": {1, "two"},
    "all in one": {"at": dt.date(2024, 1, 1), "ids": [uuid.UUID(int=1)], "n": 2**70},
    "like/@this/{braces}/*?[a]": "a path of any text",
}

HISTORY: list[tuple[str, str, Any, Any, bool]] = [
    ("set", "status", "new", None, True),
    ("set", "status", "old", "new", False),
    ("set", "count", 1, None, True),
    ("set", "count", 41, 1, False),
    ("set", "list", [1], None, True),
    ("set", "list", [1, "two"], [1], False),
    ("set", "map", {"a": 1, "b": {"c": 2}}, None, True),
    ("set", "map", {"b": {"c": 3}}, {"a": 1, "b": {"c": 2}}, False),
    ("delete", "status", None, "old", False),
    ("set", "many/a", 1, None, True),
    ("set", "many/b", 2, None, True),
    ("set", "guarded", True, None, True),
    ("delete", "many/a", None, 1, False),
    ("set", "lasting", "a ttl", None, True),
    ("set", "passing", "gone", None, True),
    ("expire", "passing", None, "gone", False),
    *(("set", f"together/{n}", n, None, True) for n in range(5)),
]
"""Operation, path, value, previous value, created: the changes of `/tasks/history`, in order."""

EVENTS = [("data/ready", {"rows": 3})]
PARTIES = ["ann", "bob"]
OUTCOME = {"result": "done", "at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}
VECTORS = {"apple": [1.0, 0.0, 0.5], "pear": [0.5, 0.5, 0.0]}


@asynccontextmanager
async def written(store: ccs.aio.Store) -> AsyncIterator[None]:
    """Writes all of it. What is only there while somebody holds it is there inside the block."""
    await _values(store)
    await _history(store)
    await _lives(store)
    await _together(store)
    await _memories(store)
    team = store.task("team", ttl=None, agent="carl")
    async with team.claim("printer", ttl=AGES, note={"pages": 3}), team.join("clerk", ttl=AGES, meta=[1]):
        yield


async def _values(store: ccs.aio.Store) -> None:
    values = store.task("values", ttl=None, agent="wrïter")
    for path, value in VALUES.items():
        await values.set(path, value)


async def _history(store: ccs.aio.Store) -> None:
    task = store.task("history", ttl=None, agent="ann")
    await task.set("status", "new")
    await task.set("status", "old")
    await task.increment("count")
    await task.increment("count", 40)
    await task.append("list", 1)
    await task.append("list", "two")
    await task.set("map", {"a": 1, "b": {"c": 2}})
    await task.merge("map", {"a": None, "b": {"c": 3}})
    await task.delete("status")
    await task.set_many({"many/a": 1, "many/b": 2})
    for topic, data in EVENTS:
        await task.publish(topic, data)
    async with task.transaction() as tx:
        if not await tx.exists("guarded"):
            tx.set("guarded", True)
            tx.delete("many/a")
    await task.set("lasting", "a ttl", ttl=60)
    await task.renew("lasting", AGES)
    async with task.watch("passing") as changes:
        await task.set("passing", "gone", ttl=0.05)
        while (await changes.receive(timeout=10)).op != "expire":
            pass
    await asyncio.gather(*(task.set(f"together/{n}", n) for n in range(5)))


async def _lives(store: ccs.aio.Store) -> None:
    finished = store.task("finished", agent="bob")
    await finished.set("a", 1)
    await finished.finish(OUTCOME, keep=AGES)
    await store.session("idle", ttl=AGES, keep_commits=7, keep_bytes=70_000).set("a", 1)
    dropped = store.actor("dropped", agent="bob")
    await dropped.set("a", "before")
    await dropped.drop()
    await dropped.set("a", "after")
    tombstone = store.actor("gone", agent="bob")
    await tombstone.set("a", 1)
    await tombstone.drop()


async def _together(store: ccs.aio.Store) -> None:
    team = store.task("team", ttl=None, agent="carl")
    await team.send("clerk", {"do": "file it"}, type="job")
    await team.send("clerk", "second", reply_to="nobody")
    inbox = team.inbox("clerk")
    await (await inbox.receive(timeout=5)).ack()
    await inbox.aclose()
    assert await team.once("sum", lambda: 42, input=[40, 2], keep=AGES) == 42
    voters = [store.task("team", ttl=None, agent=each) for each in PARTIES]
    await asyncio.gather(*(voter.agree("plan", parties=PARTIES) for voter in voters))
    await team.barrier("warm", parties=1)
    await team.set_policy("sealed/**", "write-once")
    await team.set_policy("merged/**", "merge")
    await team.set("sealed/a", 1)
    await team.set("merged/a", {"x": 1})
    await team.set("merged/a", {"y": 2})


async def _memories(store: ccs.aio.Store) -> None:
    task = store.task("memories", ttl=None, agent="dora")
    for name, vector in VECTORS.items():
        await task.semantic.store(name, id=name, embedding=vector, metadata={"kind": "fruit"})
    moment = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    await task.episodic.record("it rained", at=moment, id="rain", embedding=[1.0, 2.0, 3.0], metadata={"mm": 7})
    await task.procedural.learn("bake", ["mix", "wait"], id="bake", embedding=[0.0, 1.0, 0.0])
    await task.procedural.reinforce("bake", True)
    memory = store.memory(workflow="scoped", session="s", actor="a")
    await memory.set("key", "of the session", scope="session")
    await memory.set("key", "of all", scope="global")
