"""What agents do together: claims, runs of once, messages, agreements, barriers, and the lives of contexts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from anyio import to_thread

import ccs
from tests.torture.diary import now
from tests.torture.workload.agent import EXPECTED, Agent, Broken, mark_of, outcome_of
from tests.torture.workload.moves import maybe, wrote

__all__ = ["RECIPES", "TTL"]

TTL = 2.0
"""Seconds that a hold lasts when its process is gone."""


async def claim(agent: Agent) -> None:
    """Writes under a claim, also when the claim seems lost."""
    task, resource = agent.context(), f"r{agent.dice.randrange(4)}"
    hold = await maybe(task.claim(resource, ttl=TTL, wait=agent.dice.choice((0.0, 0.3))))
    try:
        await agent.call(
            "claim", task, _taken(hold), lambda token: {"revision": token, "token": token,
            "writes": [[f"@claims/{resource}", -1]]}, quiet=False, resource=resource,
        )  # fmt: skip
    except EXPECTED:
        return
    await _work_under(agent, task, resource, hold)


async def claim_any(agent: Agent) -> None:
    """Takes whatever is free."""
    task = agent.context()

    def taken(hold: Any) -> dict[str, Any]:
        if hold is None:
            return {"token": 0}
        resource, token = _plain(hold).resource, _plain(hold).token
        return {"revision": token, "token": token, "resource": resource, "writes": [[f"@claims/{resource}", -1]]}

    wanted = [f"r{number}" for number in agent.dice.sample(range(4), 2)]
    hold = await agent.call("claim_any", task, task.claim_any(wanted, ttl=TTL), taken)
    if hold is not None:
        await _work_under(agent, task, _plain(hold).resource, hold)


async def _work_under(agent: Agent, task: Any, resource: str, hold: Any) -> None:
    token = await maybe(hold.token)
    fenced = await maybe(hold.context)
    for _ in range(agent.dice.randrange(4)):
        if agent.dice.random() < 0.2:
            await asyncio.sleep(agent.dice.random() / 5)
        at = now()
        if await maybe(hold.held):
            agent.diary.note("believed", address=task.address, token=token, at=at)
        path, value = f"guarded/{resource}", {"token": token, **agent.value()}
        await agent.call("fenced set", task, fenced.set(path, value), wrote, writes=[[path, mark_of(value)]])
    await agent.call("release", task, hold.release(), lambda _: {"writes": [[f"@claims/{resource}", None]]})


async def _taken(hold: Any) -> int:
    await hold.acquire()
    return int(await maybe(hold.token))


async def claims(agent: Agent) -> None:
    task = agent.context()
    await agent.call(
        "claims", task, task.claims("r*"), lambda found: {"found": [[each.resource, each.token] for each in found]}
    )


async def break_claim(agent: Agent) -> None:
    """As an operator does; whoever had it is refused from then on."""
    task, resource = agent.context(), f"r{agent.dice.randrange(4)}"
    await agent.call(
        "break", task, task.break_claim(resource),
        lambda found: {"writes": [[f"@claims/{resource}", None]] if found else []},
    )  # fmt: skip


async def once(agent: Agent) -> None:
    """Asks for the result of a key that others ask for too; keys change every second."""
    task = agent.context()
    key = f"k/{int(time.time())}/{agent.dice.randrange(2)}"
    fails, lasts = agent.dice.random() < 0.2, agent.dice.random() / 20

    def run(*, token: int) -> dict[str, Any]:
        agent.diary.note("ran", address=task.address, key=key, token=token)
        time.sleep(lasts)
        if fails:
            raise Broken(key)
        return {"token": token}

    await agent.call(
        "once", task, task.once(key, run, lease=TTL, attempts=4, timeout=8), lambda found: {"result": found}, key=key
    )


async def send(agent: Agent) -> None:
    task, role, value = agent.context(), f"role{agent.dice.randrange(2)}", agent.value()

    def sent(message: Any) -> dict[str, Any]:
        return {"revision": message.revision, "writes": [[_message(role, message.id), -1]]}

    await agent.call("send", task, task.send(role, value, limit=200), sent)


def _message(role: str, name: str) -> str:
    return f"@inbox/{role}/%-/messages/{name}"


async def receive(agent: Agent) -> None:
    """Takes a few messages: acknowledges most, gives some back, forgets some."""
    task, role = agent.context(), f"role{agent.dice.randrange(2)}"
    async with task.inbox(role, lease=TTL, attempts=5) as inbox:
        for _ in range(agent.dice.randrange(1, 8)):
            message = await agent.call(
                "receive", task, inbox.receive(timeout=0.1), lambda it: {"id": _plain(it).id,
                "attempts": _plain(it).attempts}, role=role,
            )  # fmt: skip
            if message is None:
                return
            name, chance = _plain(message).id, agent.dice.random()
            if chance < 0.85:
                gone = {"writes": [[_message(role, name), None]]}
                await agent.call("ack", task, message.ack(), lambda _, gone=gone: gone, id=name)  # type: ignore[misc]
            elif chance < 0.95:
                await agent.call("give back", task, message.release(), lambda _: {}, id=name)


async def look_into(agent: Agent) -> None:
    """What is not acknowledged, and what is dead: that is looked at, and then put away."""
    task, role = agent.context(), f"role{agent.dice.randrange(2)}"
    dead = agent.dice.random() < 0.3
    root = f"@inbox/{role}/%-/{'dead' if dead else 'messages'}/"

    def ids(found: list[Any]) -> dict[str, Any]:
        return {"root": root, "found": [_plain(each).id for each in found]}

    async with task.inbox(role, lease=TTL, attempts=5) as inbox:
        found = await agent.call("dead" if dead else "unread", task, inbox.dead() if dead else inbox.unread(), ids)
        for message in (found or [])[:3] if dead else []:
            gone = {"writes": [[f"{root}{_plain(message).id}", None]]}
            await agent.call("put away", task, message.ack(), lambda _, gone=gone: gone)  # type: ignore[misc]


def _plain(made: Any) -> Any:
    return getattr(made, "blocking", made)


async def agree(agent: Agent) -> None:
    """Three agents by name decide, every few seconds."""
    parties = ["w0.0", "w1.0", "w2.0"]
    if agent.name not in parties:
        return
    task, name = agent.context("/tasks/c0"), f"a/{int(time.time() / 5)}"
    vote = agent.dice.random() < 0.9
    await agent.call(
        "agree", task, task.agree(name, parties=parties, vote=vote, timeout=4), lambda found: {
        "committed": found.committed, "votes": dict(found.votes)}, name=name, vote=vote, parties=parties,
    )  # fmt: skip


async def barrier(agent: Agent) -> None:
    task, name = agent.context("/tasks/c1"), f"b/{int(time.time() / 3)}"
    await agent.call(
        "barrier", task, task.barrier(name, parties=3, timeout=2, ttl=TTL), lambda _: {}, name=name, parties=3
    )


async def join(agent: Agent) -> None:
    task = agent.context()

    async def attend() -> int:
        async with await maybe(task.join("worker", ttl=TTL)):
            return len(await task.members())

    await agent.call("join", task, attend(), lambda found: {"members": found})


async def live(agent: Agent) -> None:
    """The whole life of a context of its own, by its only writer, with a watch; then what is left of it."""
    name = f"life-{agent.diary.process}-{agent.name}-{agent.value()['n']}"
    how = agent.dice.choice(("finish", "drop"))
    task = await maybe(agent.store.task(name, agent=agent.name, ttl=600))
    life: dict[str, Any] = {"address": task.address, "how": how, "began": now(), "delivered": []}
    try:
        life["wrote"] = [(await task.set("a", number)).revision for number in range(2)]
        heard: list[Any] = []
        subscription = await maybe(task.subscribe("a", _revision_to(heard), since=0, on_gone=heard.append))
        async with await maybe(task.watch("a", since=0)) as changes:
            life["wrote"] += [(await task.set("a", number)).revision for number in range(2, 4)]
            await (task.finish("done") if how == "finish" else task.drop())
            life["watch"] = await _end(changes, life["delivered"])
        life["read"], life["last"] = await task.get("a"), 3
        try:
            entry = await task.set("a", 9)
            life["write"], life["version"], life["reborn"] = "ok", entry.version, entry.revision
        except ccs.ContextFinished as error:
            life["write"] = outcome_of(error)
        life["heard"] = await _heard_all(subscription, heard, life["reborn"] if how == "drop" else life["wrote"][-1])
        await task.drop()
    except ccs.Unavailable:
        return  # nothing is known for sure
    except (ccs.Forbidden, ccs.StoreFull):
        return
    except EXPECTED as error:
        agent.diary.note("failed", error=f"life of {task.address}: {error!r}")
        return
    agent.diary.note("life", **life)


def _revision_to(heard: list[Any]) -> Callable[[Any], None]:
    def hear(change: Any) -> None:
        heard.append(change.revision)

    return hear


async def _heard_all(subscription: Any, heard: list[Any], last: int) -> list[Any]:
    """Waits until a callback has heard of the last commit, or will not. Returns what it has heard."""
    for _ in range(200):
        if last in heard or subscription.state in ("failed", "ended"):
            break
        await asyncio.sleep(0.1)
    await to_thread.run_sync(subscription.cancel)
    return list(heard)


async def _end(changes: Any, delivered: list[int]) -> str:
    """Receives until the end. Returns how it ended."""
    try:
        for _ in range(10):
            change = await changes.receive(timeout=20)
            delivered.append(change.revision)
    except (ccs.ContextFinished, ccs.ContextGone, ccs.HistoryForked, TimeoutError) as error:
        return type(error).__name__
    return "goes on"


RECIPES = {
    claim: 3, claim_any: 1, claims: 0.5, break_claim: 0.2, look_into: 0.5, once: 2, send: 3, receive: 2, agree: 0.6, barrier: 0.2, join: 0.3, live: 0.1,
}  # fmt: skip
"""Each recipe, and how often it is used."""
