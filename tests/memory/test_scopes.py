"""Scoped memory in both colours: look-up order, one round trip, events and audit trail (G3, G7, G11, G12)."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pydantic
import pytest
from anyio import to_thread

import ccs
import ccs.aio
from tests.context.probes import Open
from tests.support.colours import COLOURS, Awaited, connect_in
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, scaled

SCOPES = ("workflow", "session", "actor", "global")
IDS = {"workflow": "w1", "session": "s1", "actor": "a1"}


@pytest.fixture
def store(shared: Any) -> Any:
    return shared


async def test_the_most_specific_scope_that_has_the_key_answers(store: Any) -> None:
    """Given a key in every scope, when they are emptied one after the other, then the next one answers."""
    memory = store.memory(**IDS)
    for scope in SCOPES:
        await memory.set("key", scope, scope=scope)
    for scope in SCOPES:
        assert await memory.get("key") == scope
        assert await memory.get("key", scope="global") == "global"
        assert await memory.delete("key", scope=scope)
    assert await memory.get("key", "nothing") == "nothing"
    assert not await memory.exists("key")


async def test_a_value_is_found_whatever_it_is(store: Any) -> None:
    """Given None, "" or 0 in a specific scope, then that is the value, not that of a wider scope (G11)."""
    memory = store.memory(**IDS)
    await memory.set("key", "wide", scope="global")
    for value in (None, "", 0, False, [], "123", b"\x00", 2**80, datetime.now(UTC)):
        await memory.set("key", value)
        assert await memory.get("key", "missing") == value
        assert type(await memory.get("key")) is type(value)
        assert await memory.exists("key")


async def test_scopes_are_the_contexts_of_the_store(store: Any) -> None:
    memory = store.memory(**IDS, agent="ann")
    entries = {scope: await memory.set("key", scope, scope=scope) for scope in SCOPES}
    assert entries["workflow"] == await store.task("w1").entry("key")
    assert entries["session"] == await store.session("s1").entry("key")
    assert entries["actor"] == await store.actor("a1").entry("key")
    assert entries["global"] == await store.global_context().entry("key")
    assert {entry.agent for entry in entries.values()} == {"ann"}
    await store.task("w1").drop()
    assert await memory.get("key") == "session"


async def test_a_scope_that_was_not_given_is_an_error_and_never_the_global_one(store: Any) -> None:
    memory = store.memory(session="s1")
    for call in (
        lambda: memory.get("key", scope="workflow"),
        lambda: memory.set("key", 1, scope="actor"),
        lambda: memory.delete("key", scope="universe"),
        lambda: memory.keys(scope=""),
    ):
        with pytest.raises(ccs.InvalidValue):
            await call()
    for key in ("", "/a", "@claims/a", "a//b"):
        with pytest.raises(ccs.CCSError):
            await memory.set(key, 1)


@pytest.mark.parametrize("connect", [ccs.connect, ccs.aio.connect], ids=COLOURS)
def test_an_id_that_is_empty_or_none_is_an_error(connect: Callable[..., Any]) -> None:
    """For example a session without a user, also beside a valid id."""
    store = connect("memory://")
    for scope, wrong, ids in product(IDS, ("", None, 5, b"w", False), ({}, IDS)):
        with pytest.raises(ccs.InvalidPath, match=f"{scope}={wrong!r} is not an id"):
            store.memory(**{**ids, scope: wrong})
    for get in (store.task, store.session, store.actor):
        with pytest.raises(ccs.InvalidPath):
            get(None)
    for agent in ("", 5):
        with pytest.raises(ccs.InvalidValue, match="agent"):
            connect("memory://", agent=agent)


async def test_without_an_id_a_write_must_name_the_global_scope(store: Any) -> None:
    """Given a memory without ids, then it reads the global scope, and writes to it only by name."""
    memory = store.memory()
    await memory.set("key", "for all", scope="global")
    for write in (lambda: memory.set("key", "private"), lambda: memory.delete("key")):
        with pytest.raises(ccs.InvalidValue, match='scope="global"'):
            await write()
    assert await memory.get("key") == await store.memory(actor="ann").get("key") == "for all"
    assert await memory.exists("key")
    assert await memory.keys() == ["key"]
    assert await memory.delete("key", scope="global")


@pytest.mark.parametrize(
    "asked",
    [{"limit": -1}, {"limit": True}, {"limit": "x"}, {"since": "x"}, {"since": -1}, {"since": datetime(2025, 1, 1)}],  # noqa: DTZ001
    ids=str,
)
async def test_a_history_with_bad_arguments_is_refused(store: Any, asked: dict[str, Any]) -> None:
    memory = store.memory(session="s1")
    for _ in "empty", "with a change":
        with pytest.raises(ccs.InvalidValue):
            await memory.history(**asked)
        await memory.set("key", 1)


async def test_a_callback_that_is_not_callable_is_refused(store: Any) -> None:
    with pytest.raises(ccs.InvalidValue):
        await react(store.memory(session="s1"), 5, "a")


async def test_an_expired_value_lets_the_next_scope_answer(store: Any) -> None:
    memory = store.memory(**IDS)
    await memory.set("key", "wide", scope="global")
    await memory.set("key", "short", ttl=0.05)
    assert await memory.get("key") in ("short", "wide")
    await aeventually(lambda: answers(memory, "wide"))


async def test_a_scope_is_cleaned_up_with_its_context(store: Any) -> None:
    """G10: working memory goes with its task, and the next scope answers."""
    memory = store.memory(**IDS)
    for scope in SCOPES:
        await memory.set("key", scope, scope=scope)
    contexts = store.task("w1"), store.session("s1"), store.actor("a1"), store.global_context()
    assert [(await each.info()).ttl for each in contexts] == [timedelta(days=1), timedelta(days=30), None, None]
    await store.task("w1", ttl=0.1).set("key", "brief")
    await aeventually(lambda: answers(memory, "session"))
    await contexts[1].finish(keep=0.1)
    assert await memory.get("key") in ("session", "actor")
    await aeventually(lambda: answers(memory, "actor"))
    assert await memory.keys() == ["key"]


async def answers(memory: Any, value: Any) -> bool:
    return bool(await memory.get("key") == value)


class Customer(pydantic.BaseModel):
    name: str
    born: datetime


async def test_models_go_in_and_come_out(store: Any) -> None:
    memory, customer = store.memory(actor="a1"), Customer(name="Ann", born=datetime(1990, 1, 1, tzinfo=UTC))
    await memory.set("customer", customer)
    assert await memory.get("customer", type=Customer) == customer
    with pytest.raises(ccs.InvalidValue):
        await memory.get("customer", type=int)


@pytest.mark.parametrize("colour", COLOURS)
async def test_one_read_of_all_scopes_is_one_round_trip(valkey: str, namespace: str, colour: str) -> None:
    """Given a connection that counts requests, when four scopes are read, then it sends one."""
    async with connect_in(colour, valkey, namespace=namespace) as store:
        memory = store.memory(**IDS)
        blocking = getattr(memory, "blocking", memory)
        asked: list[int] = []
        link = next(iter(blocking._scopes.values())).handle.opening.commands.topology.only
        call_all = link.call_all
        link.call_all = lambda commands, patience: asked.append(len(commands)) or call_all(commands, patience)
        await memory.get("key")
        assert len(asked) == 1


@pytest.mark.parametrize("colour", COLOURS)
async def test_an_error_of_a_scope_is_raised(own_server: PrivateServer, namespace: str, colour: str) -> None:
    """Given one scope that cannot be read, then reading all scopes is an error, not the value of another scope."""
    async with connect_in(colour, own_server.url, namespace=namespace) as store:
        memory = store.memory(**IDS)
        await memory.set("key", "wide", scope="global")
        with own_server.client() as client:
            client.set("{" + namespace + ":/sessions/s1}:entries", "not a hash")
        with pytest.raises(ccs.CCSError):
            await memory.get("key")
        assert await memory.get("key", scope="global") == "wide"


async def test_changes_of_any_scope_are_delivered(aconnect: Callable[..., ccs.aio.Store]) -> None:
    """Given a callback registered before the store is entered, when others write in all scopes, then it is called (G7)."""
    reader, writer = aconnect(agent="reader"), aconnect(agent="writer").memory(**IDS)
    memory, seen, plain = reader.memory(**IDS), list[ccs.MemoryEvent](), list[ccs.MemoryEvent]()

    @memory.on_change("customer_*_sentiment", ["order_*"])
    async def react(event: ccs.MemoryEvent) -> None:
        seen.append(event)

    memory.on_change("order_*", scope="session")(plain.append)
    async with reader:
        for scope in SCOPES:
            await writer.set("customer_7_sentiment", scope, scope=scope)
            await writer.set("other", scope, scope=scope)
        await writer.set("order_1", 1, scope="session")
        await writer.set("order_1", 2, scope="session")
        await writer.delete("order_1", scope="session")
        await writer.set("order_1", 3, scope="actor")
        await aeventually(lambda: len(seen) == 8 and len(plain) == 3)
    assert {(e.scope, e.scope_id) for e in seen if e.key != "order_1"} == {*IDS.items(), ("global", "")}
    assert [(e.action, e.data, e.previous_data) for e in plain] == [
        ("set", 1, None),
        ("set", 2, 1),
        ("delete", None, 2),
    ]
    assert {e.agent for e in seen} == {"writer"}
    assert all(e.timestamp.tzinfo for e in seen)


async def test_changes_are_delivered_to_callbacks_that_are_registered_later(store: Any, open_store: Open) -> None:
    """Given an open store, when a callback is registered, then it gets every change from then on, in order (G7)."""
    writer, seen = (await open_store(agent="writer")).memory(**IDS), list[ccs.MemoryEvent]()
    memory = store.memory(**IDS)
    await writer.set("order_1_status", "before")
    await react(memory, seen.append, "customer_*_sentiment", ["order_*_status"])
    await memory.get("anything")
    expected = []
    for i in range(20):
        for scope in SCOPES:
            entry = await writer.set("order_1_status", i, scope=scope)
            expected.append((scope, IDS.get(scope, ""), i, entry.revision))
            await writer.set("order_1_note", i, scope=scope)
    await writer.delete("order_1_status")
    await aeventually(lambda: len(seen) == 81)
    told = sorted((event for event in seen if event.action == "set"), key=lambda event: event.revision)
    assert [(each.scope, each.scope_id, each.data, each.revision) for each in told] == expected
    for scope in SCOPES:
        before = [event.previous_data for event in seen if event.scope == scope]
        assert before == ["before" if scope == "workflow" else None, *range(19), *([19] if scope == "workflow" else [])]
    assert sorted(await memory.history("order_*_status", since=expected[0][3] - 1), key=order) == sorted(
        seen, key=order
    )


def order(event: ccs.MemoryEvent) -> int:
    return event.revision


async def react(memory: Any, callback: Any, *patterns: str | list[str], **options: Any) -> None:
    """Registers a callback, in a thread if that blocks."""
    if isinstance(memory, Awaited):
        await to_thread.run_sync(memory.blocking.on_change(*patterns, **options), callback)
    else:
        memory.on_change(*patterns, **options)(callback)


IMPORTED = {
    "blocking": """
import sys, threading, ccs
store, seen, enough = ccs.connect(sys.argv[1], namespace=sys.argv[2]), [], threading.Event()
memory = store.memory(workflow="w1", actor="a1")

@memory.on_change("order_*_status", ["customer_*"])
def react(event):
    seen.append((event.scope, event.key, event.data, event.previous_data, event.agent))
    enough.set() if len(seen) == 3 else None

with store:
    store.task("w1").set("ready", True)
    assert enough.wait(20)
""",
    "asyncio": """
import asyncio, sys, ccs.aio as ccs
store, seen, enough = ccs.connect(sys.argv[1], namespace=sys.argv[2]), [], asyncio.Event()
memory = store.memory(workflow="w1", actor="a1")

@memory.on_change("order_*_status", ["customer_*"])
async def react(event):
    seen.append((event.scope, event.key, event.data, event.previous_data, event.agent))
    enough.set() if len(seen) == 3 else None

async def main():
    async with store:
        await store.task("w1").set("ready", True)
        await asyncio.wait_for(enough.wait(), 20)

asyncio.run(main())
""",
}


@pytest.mark.parametrize("colour", COLOURS)
def test_callbacks_are_registered_while_a_module_is_imported(valkey: str, namespace: str, colour: str) -> None:
    """Given a program that registers before any loop runs, when another writes, then its callback gets all changes (G7)."""
    program = IMPORTED[colour] + "print(sorted(seen, key=repr))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, valkey, namespace], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with ccs.connect(valkey, namespace=namespace, agent="writer") as store:
        store.task("w1").wait_for("ready", timeout=scaled(30))
        memory = store.memory(workflow="w1", actor="a1")
        memory.set("order_1_status", "open")
        memory.set("order_1_status", "sent")
        memory.set("customer_1", 1, scope="actor")
    said, error = process.communicate(timeout=scaled(60))
    assert (process.returncode, error) == (0, "")
    assert ast.literal_eval(said) == [
        ("actor", "customer_1", 1, None, "writer"),
        ("workflow", "order_1_status", "open", None, "writer"),
        ("workflow", "order_1_status", "sent", "open", "writer"),
    ]


async def test_history_is_an_audit_trail_over_all_scopes(store: Any) -> None:
    memory = store.memory(**IDS)
    entries = [await memory.set("key", i, scope=SCOPES[i % 4]) for i in range(8)]
    await memory.set("other", 1)
    events = await memory.history("key")
    assert [(event.data, event.scope, event.revision) for event in events] == [
        (i, SCOPES[i % 4], entries[i].revision) for i in range(8)
    ]
    assert [event.previous_data for event in events] == [None] * 4 + [0, 1, 2, 3]
    assert await memory.history("key", since=entries[5].revision) == events[6:]
    assert await memory.history("key", since=entries[5].updated_at) == events[6:]
    assert await memory.history("key", since=entries[7].updated_at + timedelta(1)) == []
    assert await memory.history("key", limit=2) == events[:2]
    assert [event.data for event in await memory.history("key", scope="actor")] == [2, 6]


def test_blocking_callbacks_are_called_too(connect: Callable[..., ccs.Store]) -> None:
    store, told = connect(), list[Any]()
    memory = store.memory(**IDS)
    memory.on_change("a")(lambda event: told.append((event.scope, event.data, store.task("w1").get("a"))))
    memory.set("a", 1)
    asyncio.run(aeventually(lambda: told == [("workflow", 1, 1)]))

    async def wrong(event: ccs.MemoryEvent) -> None: ...

    with pytest.raises(ccs.InvalidValue):
        memory.on_change("a")(wrong)
