"""What an agent does with entries: every way to write, and every way to read."""

from __future__ import annotations

from typing import Any

from tests.torture.history import Delivery
from tests.torture.workload.agent import Agent, mark_of
from tests.torture.workload.paths import ledger, path_of, pattern_of

__all__ = ["MOVES", "delivery_of", "event_of", "found_in", "maybe", "wrote"]


def wrote(entry: Any) -> dict[str, Any]:
    """What an entry says of the commit that wrote it."""
    return {"revision": entry.revision, "writes": [[entry.path, mark_of(entry.value)]]}


async def set_one(agent: Agent) -> None:
    task, path, value = agent.context(), path_of(agent.dice, "s"), agent.value()
    await agent.call("set", task, task.set(path, value), wrote, writes=[[path, mark_of(value)]])


async def set_if_unchanged(agent: Agent) -> None:
    task, path, value = agent.context(), path_of(agent.dice, "s"), agent.value()
    entry = await agent.call("entry", task, task.entry(path), lambda found: _looked(path, found))
    guard = {"if_revision": entry.revision if entry else 0}
    await agent.call("set if", task, task.set(path, value, **guard), wrote, writes=[[path, mark_of(value)]])


async def create(agent: Agent) -> None:
    task, value = agent.context(), agent.value()
    path = agent.dice.choice((path_of(agent.dice, "s"), ledger(agent.dice)))
    await agent.call("create", task, task.create(path, value), wrote, writes=[[path, mark_of(value)]])


async def overwrite_ledger(agent: Agent) -> None:
    task, path, value = agent.context(), ledger(agent.dice), agent.value()
    await agent.call("set", task, task.set(path, value), wrote, writes=[[path, mark_of(value)]])


async def set_many(agent: Agent) -> None:
    task = agent.context()
    values = {path_of(agent.dice, kind): agent.value() for kind in ("s", "s", "u")}
    writes = [[path, mark_of(value)] for path, value in values.items()]
    await agent.call(
        "set_many", task, task.set_many(values), lambda found: {"revision": found, "writes": writes}, writes=writes
    )


async def set_for_a_while(agent: Agent) -> None:
    task, path, value = agent.context(), path_of(agent.dice, "ttl"), agent.value()
    ttl = agent.dice.choice((0.2, 1, 5))
    await agent.call("set with ttl", task, task.set(path, value, ttl=ttl), wrote, writes=[[path, mark_of(value)]])


async def renew(agent: Agent) -> None:
    task, path = agent.context(), path_of(agent.dice, "ttl")
    await agent.call("renew", task, task.renew(path, agent.dice.choice((0.5, 3))), lambda found: {"found": found})


async def update(agent: Agent) -> None:
    task, path, value = agent.context(), path_of(agent.dice, "u"), agent.value()

    def again(before: Any) -> Any:
        return {**value, "after": before.get("n") if isinstance(before, dict) else None}

    await agent.call("update", task, task.update(path, again, timeout=10), wrote, sign=[value["by"], value["n"]])


async def merge(agent: Agent) -> None:
    task, path = agent.context(), path_of(agent.dice, "m")
    patch = {agent.dice.choice("abcd"): agent.dice.choice((None, {"n": agent.value()["n"]}))}
    await agent.call("merge", task, task.merge(path, patch), wrote)


async def append(agent: Agent) -> None:
    task, path = agent.context(), path_of(agent.dice, "l")
    value = agent.value()
    item = [value["by"], value["n"]]
    most = agent.dice.choice((None, 6, 6, 6))
    await agent.call("append", task, task.append(path, item, max_items=most), wrote, sign=item)


async def increment(agent: Agent) -> None:
    task, path = agent.context(), path_of(agent.dice, "n")
    await agent.call("increment", task, task.increment(path), lambda found: {"writes": [[path, mark_of(found)]]})


async def delete(agent: Agent) -> None:
    task, path = agent.context(), path_of(agent.dice, agent.dice.choice(("s", "s", "l", "m", "u")))
    await agent.call("delete", task, task.delete(path), lambda found: {"writes": [[path, None]] if found else []})


async def delete_matching(agent: Agent) -> None:
    task = agent.context()
    await agent.call("delete_matching", task, task.delete_matching("l/*", "s/[89]"), lambda found: {"found": found})


async def transaction(agent: Agent) -> None:
    """Two paths that always have the same value, whoever looks."""
    task, value = agent.context(), agent.value()
    pair = ["t/0", "t/1"] if agent.dice.random() < 0.5 else ["t/2", "t/3"]
    writes = [[path, mark_of(value)] for path in pair]

    async def commit() -> Any:
        async with task.transaction() as tx:
            await tx.get(pair[0])
            await maybe(tx.set(pair[0], value))
            await maybe(tx.set(pair[1], value))
            await maybe(tx.publish("e/t", value))
        return await maybe(tx.revision)

    await agent.call("transaction", task, commit(), lambda found: {"revision": found, "writes": writes}, writes=writes)


async def transact(agent: Agent) -> None:
    task, path = agent.context(), path_of(agent.dice, "u")
    value = agent.value()

    async def step(tx: Any) -> int:
        before = await tx.get(path)
        after = {**value, "after": before.get("n") if isinstance(before, dict) else None}
        await maybe(tx.set(path, after))
        return mark_of(after)

    await agent.call(
        "transact", task, task.transact(step, attempts=5), lambda found: {"writes": [[path, found]]},
        sign=[value["by"], value["n"]],
    )  # fmt: skip


async def publish(agent: Agent) -> None:
    task, topic, value = agent.context(), agent.dice.choice(("e/a", "e/b", "e/c/d")), agent.value()
    writes = [[topic, mark_of(value)]]
    await agent.call(
        "publish", task, task.publish(topic, value), lambda found: {"revision": found, "writes": writes}, writes=writes
    )


async def get(agent: Agent) -> None:
    task, path = agent.context(), path_of(agent.dice, agent.dice.choice(("s", "u", "n", "ttl", "l")))
    nothing = "nothing there"
    await agent.call(
        "get",
        task,
        task.get(path, nothing),
        lambda found: {"path": path, "found": None if found == nothing else mark_of(found)},
    )


def _looked(path: str, entry: Any) -> dict[str, Any]:
    shown = None if entry is None else [entry.revision, entry.version, entry.agent, mark_of(entry.value)]
    return {"path": path, "found": shown}


async def entry(agent: Agent) -> None:
    task, path = agent.context(), path_of(agent.dice, agent.dice.choice(("s", "u", "t", "ttl")))
    await agent.call("entry", task, task.entry(path), lambda found: _looked(path, found))


async def exists(agent: Agent) -> None:
    task, path = agent.context(), path_of(agent.dice, "s")
    await agent.call("exists", task, task.exists(path), lambda found: {"path": path, "found": found})


async def get_many(agent: Agent) -> None:
    task, paths = agent.context(), sorted({path_of(agent.dice, kind) for kind in ("s", "t", "t", "n")})
    await agent.call("get_many", task, task.get_many(paths), lambda found: {"paths": paths, "found": _marks(found)})


def _marks(values: dict[str, Any]) -> dict[str, Any]:
    return {path: [mark_of(value)] for path, value in values.items()}


async def paths(agent: Agent) -> None:
    task, patterns = agent.context(), pattern_of(agent.dice)
    await agent.call(
        "paths",
        task,
        task.paths(*patterns),
        lambda found: {"patterns": patterns, "found": {path: [] for path in found}},
    )


async def wait_for(agent: Agent) -> None:
    """For a count that is reached already, or is next."""
    task, path = agent.context(), path_of(agent.dice, "n")
    there = await agent.call("entry", task, task.entry(path), lambda found: _looked(path, found))
    if there is None:
        return
    least = there.value + agent.dice.randrange(2)
    until = task.wait_for(path, lambda value: value >= least, timeout=20 if least == there.value else 0.5)
    reached = there.version if least == there.value else None
    await agent.call(
        "wait_for", task, until, lambda found: {**_looked(path, found), "enough": found.value >= least},
        path=path, reached=reached,
    )  # fmt: skip


async def by_address(agent: Agent) -> None:
    """As the store itself, without a context."""
    task, path, value = agent.context(), path_of(agent.dice, "s"), agent.value()
    store, whole, name = agent.store, f"{task.address}/{path}", agent.store_name
    match agent.dice.randrange(4):
        case 0:
            writes = [[path, mark_of(value)]]
            await agent.call("store set", task, store.set(whole, value), wrote, by=name, writes=writes)
        case 1:
            gone = store.delete(whole)
            await agent.call(
                "store delete", task, gone, lambda found: {"writes": [[path, None]] if found else []}, by=name
            )
        case 2:
            await agent.call("entry", task, store.entry(whole), lambda found: _looked(path, found), by=name)
        case _:
            nothing = "nothing there"
            await agent.call("get", task, store.get(whole, nothing), lambda found: {
                "path": path, "found": None if found == nothing else mark_of(found)}, by=name)  # fmt: skip


async def scan(agent: Agent) -> None:
    """In one page, so that it is of one moment."""
    task = agent.context()

    async def all_of_it() -> dict[str, Any]:
        found = await maybe(task.scan("t/*", page=100))
        return {each.path: each.value async for each in found}

    await agent.call("scan", task, all_of_it(), lambda found: {"patterns": ["t/*"], "found": _marks(found)})


async def tree(agent: Agent) -> None:
    task = agent.context()

    def flat(found: dict[str, Any]) -> dict[str, Any]:
        return {"patterns": ["u/*"], "found": {f"u/{name}": [mark_of(value)] for name, value in found.items()}}

    await agent.call("tree", task, task.tree("u"), flat)


def found_in(snapshot: Any) -> dict[str, list[int]]:
    """The entries of a snapshot, by path."""
    return {path: [each.revision, mark_of(each.value)] for path, each in snapshot.entries.items()}


async def snapshot(agent: Agent) -> None:
    task, patterns = agent.context(), pattern_of(agent.dice)
    await agent.call(
        "snapshot",
        task,
        task.snapshot(*patterns),
        lambda found: {"revision": found.revision, "patterns": patterns, "found": found_in(found)},
    )


async def at(agent: Agent) -> None:
    task, patterns = agent.context(), pattern_of(agent.dice)
    known = agent.revisions[task.address]
    if known:
        await agent.call(
            "at",
            task,
            task.at(agent.dice.choice(known), *patterns),
            lambda found: {"revision": found.revision, "patterns": patterns, "found": found_in(found)},
        )


def delivery_of(change: Any) -> Delivery:
    """A change as a diary notes it."""
    removed = change.op != "set"
    return Delivery(
        change.path,
        change.op,
        change.revision,
        change.version,
        None if removed else mark_of(change.value),
        None if change.created or (change.previous is None and not removed) else mark_of(change.previous),
        change.created,
        change.agent,
    )


def event_of(event: Any) -> Delivery:
    """An event as a diary notes it."""
    return Delivery(event.topic, "event", event.revision, 0, mark_of(event.data), None, False, event.agent)


async def history(agent: Agent) -> None:
    task, patterns = agent.context(), pattern_of(agent.dice)
    known = sorted(agent.revisions[task.address])
    if len(known) > 1:
        since, until = known[-2:]
        await agent.call(
            "history",
            task,
            task.history(*patterns, since=since, until=until),
            lambda found: {
                "since": since, "until": until, "patterns": patterns, "found": list(map(delivery_of, found)),
            },
        )  # fmt: skip


async def diff(agent: Agent) -> None:
    task, patterns = agent.context(), pattern_of(agent.dice)
    known = sorted(agent.revisions[task.address])
    if len(known) > 1:
        since, until = known[-2:]

        def net(found: list[Any]) -> dict[str, Any]:
            marks = [[each.path, mark_of(each.value) if each.op == "set" else None] for each in found]
            return {"since": since, "until": until, "patterns": patterns, "found": marks}

        await agent.call("diff", task, task.diff(since, *patterns, until=until), net)


async def revision(agent: Agent) -> None:
    task = agent.context()
    await agent.call("revision", task, task.revision(), lambda found: {"revision": found})


async def info(agent: Agent) -> None:
    task = agent.context()
    await agent.call("info", task, task.info(), lambda found: {"revision": found.revision})


async def maybe(result: Any) -> Any:
    """Returns a result that must be awaited in one colour only."""
    return await result if hasattr(result, "__await__") else result


MOVES = {
    set_one: 14, set_if_unchanged: 4, create: 4, overwrite_ledger: 1, set_many: 4, set_for_a_while: 3, renew: 1,
    update: 4, merge: 4, append: 4, increment: 8, delete: 4, delete_matching: 1, transaction: 5, transact: 3,
    publish: 4, get: 12, entry: 6, exists: 2, get_many: 4, scan: 1, tree: 1, snapshot: 3, at: 1, history: 1, diff: 1,
    revision: 1, info: 1, paths: 2, wait_for: 1, by_address: 4,
}  # fmt: skip
"""Each move, and how often it is made."""
