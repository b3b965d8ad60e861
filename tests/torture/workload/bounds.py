"""What agents may not do: policies, views, and the rights of a user that the server knows."""

from __future__ import annotations

from typing import Any

from tests.support.colours import connect_in
from tests.torture.diary import now
from tests.torture.workload.agent import EXPECTED, Agent, mark_of, outcome_of
from tests.torture.workload.moves import found_in, maybe, wrote
from tests.torture.workload.paths import CONTEXTS

__all__ = ["BOUNDS", "POLICIES", "visit"]

POLICIES = {"ledger/**": "write-once", "rejected/**": "reject", "merged/**": "merge"}
"""The policies of the contexts."""


async def overwrite(agent: Agent) -> None:
    """Without a guard only what is not there; with one, what was read."""
    task, path, value = agent.context(), f"rejected/{agent.dice.randrange(4)}", agent.value()
    writes = [[path, mark_of(value)]]
    if agent.dice.random() < 0.5:
        await agent.call("set blindly", task, task.set(path, value), wrote, writes=writes)
        return
    entry = await task.entry(path)
    if entry and agent.dice.random() < 0.5:
        gone = task.delete(path, if_revision=entry.revision)
        await agent.call("delete if", task, gone, lambda found: {"writes": [[path, None]] if found else []})
    else:
        guard = {"if_revision": entry.revision if entry else 0}
        await agent.call("set if", task, task.set(path, value, **guard), wrote, writes=writes)


async def merge(agent: Agent) -> None:
    """A map is merged with what is there, whoever sets it."""
    task, path = agent.context(), f"merged/{agent.dice.randrange(3)}"
    await agent.call("set merged", task, task.set(path, {agent.dice.choice("abc"): agent.value()["n"]}), wrote)


async def narrowed(agent: Agent) -> None:
    """Through a view: what it shows is as it is, the rest is not there."""
    task, shown = agent.context(), ("s/*", "n/0")
    view = await maybe(task.view(read=shown, write=("u/*",)))
    value = agent.value()
    known = sorted(agent.revisions[task.address])
    moves: list[Any] = [
        lambda: agent.call("snapshot", task, view.snapshot(), lambda found: {
            "revision": found.revision, "patterns": shown, "found": found_in(found)}),
        lambda: agent.call("paths", task, view.paths("**"), lambda found: {
            "patterns": shown, "found": {path: [] for path in found}}),
        lambda: agent.call("set", task, view.set("u/0", value), wrote, writes=[["u/0", mark_of(value)]]),
        lambda: agent.call("hidden", task, view.get("t/0"), lambda _: {}),
        lambda: agent.call("hidden", task, view.set("s/0", value), lambda _: {}, writes=[["s/0", mark_of(value)]]),
        lambda: agent.call("hidden claims", task, view.claims(), lambda found: {"found": len(found)}),
    ]  # fmt: skip
    if known:
        revision = agent.dice.choice(known)
        moves.append(lambda: agent.call("at", task, view.at(revision), lambda found: {
            "revision": found.revision, "patterns": shown, "found": found_in(found)}))  # fmt: skip
    await agent.dice.choice(moves)()


async def list_all(agent: Agent) -> None:
    """All contexts are listed, each with a revision as new as any that was acknowledged."""
    listed = agent.store.contexts("/tasks/c*")
    await agent.call(
        "contexts", agent.context(), listed, lambda all_: {"found": {each.address: each.revision for each in all_}},
        under="/tasks/c",
    )  # fmt: skip


async def visit(agent: Agent, colour: str) -> None:
    """Makes a user, works as this user, and removes it; notes what it could do and what not."""
    read, write, other = agent.dice.sample(CONTEXTS, 3)
    user, task = f"guest-{agent.diary.process}-{agent.value()['n']}", agent.context(read)
    grant = await agent.call("grant", task, agent.store.grant(user, read=[read], write=[write]), lambda _: {})
    if grant is None:
        return
    began, may = now(), {}
    async with connect_in(colour, grant.url, namespace="torture", agent=user, retry_for=1.0) as guest:
        at = {address: await maybe(guest.context(address)) for address in (read, write, other)}
        may["read"] = await _tried(at[read].get("begun"))
        may["write"] = await _tried(at[write].set("guest", user))
        may["hidden"] = await _tried(at[other].get("begun"))
        may["refused"] = await _tried(at[read].set("guest", user))
        may["all"] = await _tried(guest.contexts())
        listed = [each.user for each in await agent.store.grants()]
        ended = now()
        if await agent.call("revoke", task, agent.store.revoke(user), lambda found: {"found": found}):
            may["afterwards"] = await _tried(at[read].get("begun"))
    agent.diary.note(
        "visit", user=user, addresses=[read, write], began=began, ended=ended, may=may, listed=user in listed
    )


async def _tried(made: Any) -> str:
    try:
        await made
    except EXPECTED as error:
        return outcome_of(error)
    return "ok"


BOUNDS = {overwrite: 2, merge: 1, narrowed: 2, list_all: 0.3}
"""Each of them, and how often it is made."""
