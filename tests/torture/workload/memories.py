"""What agents remember: values by scope, facts, episodes and procedures by meaning."""

from __future__ import annotations

import random
from typing import Any

from tests.torture.diary import now
from tests.torture.workload.agent import Agent, mark_of
from tests.torture.workload.moves import maybe, wrote
from tests.torture.workload.paths import FACTS

__all__ = ["MEMORIES"]

_SCOPES = (("workflow", "/tasks/m"), ("session", "/sessions/m"), ("actor", "/actors/m"))


async def remember(agent: Agent) -> None:
    """By scope: each scope is a context."""
    memory = await maybe(agent.store.memory(workflow="m", session="m", actor="m", agent=agent.name))
    scope, root = agent.dice.choice(_SCOPES)
    task, key, value = agent.context(root), f"s/{agent.dice.randrange(3)}", agent.value()
    chance, nothing = agent.dice.random(), "nothing there"
    if chance < 0.4:
        await agent.call("memory set", task, memory.set(key, value, scope=scope), wrote, writes=[[key, mark_of(value)]])
    elif chance < 0.5:
        await agent.call(
            "memory delete", task, memory.delete(key, scope=scope),
            lambda found: {"writes": [[key, None]] if found else []},
        )  # fmt: skip
    elif chance < 0.6:
        await agent.call("exists", task, memory.exists(key, scope=scope), lambda found: {"path": key, "found": found})
    elif chance < 0.7:
        await agent.call("paths", task, memory.keys("s/*", scope=scope), lambda keys: {
            "patterns": ["s/*"], "found": {key: [] for key in keys},
        })  # fmt: skip
    else:
        await agent.call(
            "get", task, memory.get(key, nothing, scope=scope),
            lambda found: {"path": key, "found": None if found == nothing else mark_of(found)},
        )  # fmt: skip


def _vector(dice: random.Random) -> list[float]:
    return [dice.gauss(0, 1) for _ in range(8)]


def _ids(found: list[Any]) -> dict[str, Any]:
    return {"found": [each.id for each in found]}


async def learn(agent: Agent) -> None:
    """A fact that was stored is found, and is not once it was forgotten."""
    task, vector = agent.context(FACTS), _vector(agent.dice)
    text = f"{agent.diary.process} {agent.value()['n']}"
    stored = await agent.call(
        "fact", task, task.semantic.store(text, embedding=vector, ttl=20), lambda found: {"id": found}
    )
    if not stored:
        return
    await agent.call("recall", task, task.semantic.query(vector, top_k=3), _ids, id=stored, stored=now())
    if agent.dice.random() < 0.3:
        gone = await agent.call("forget", task, task.semantic.forget(stored), lambda found: {"found": found})
        if gone:
            await agent.call("recall", task, task.semantic.query(vector, top_k=3), _ids, gone=stored, stored=now())


async def record(agent: Agent) -> None:
    """An episode that was recorded is among the latest."""
    task = agent.context(FACTS)
    text = f"{agent.diary.process} {agent.value()['n']}"
    stored = await agent.call("episode", task, task.episodic.record(text, ttl=20), lambda found: {"id": found})
    if stored:
        await agent.call("recall", task, task.episodic.recent(1000), _ids, id=stored, stored=now())


async def practise(agent: Agent) -> None:
    """Procedures that everybody reinforces: all of it counts."""
    task, name = agent.context(FACTS), f"p{agent.dice.randrange(3)}"
    path = f"@procedures/{name}"
    writes = {"writes": [[path, -1]]}
    if await task.procedural.get(name) is None:
        steps = task.procedural.learn(name, ["one", "two"], id=name, embedding=_vector(agent.dice))
        await agent.call("procedure", task, steps, lambda _: writes)
        return
    success = agent.dice.random() < 0.4
    await agent.call("reinforce", task, task.procedural.reinforce(name, success), lambda _: writes)


MEMORIES = {remember: 2, learn: 0.5, record: 0.3, practise: 0.3}
"""Each use of memory, and how often it is made."""
