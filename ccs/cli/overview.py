"""What `ccs top` shows, gathered from a store: contexts with their rates, agents, claims, and watches that are behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import ccs
from ccs._sync.changes.watch_kinds import StoreTail
from ccs.cli.activity import Activity
from ccs.cli.server_info import engine_of, server_name, servers
from ccs.types import ClaimInfo, ContextInfo

__all__ = ["AgentRow", "ClaimRow", "ContextRow", "Overview", "SlowWatch", "gathered", "listening"]

# Of how many contexts, the busiest ones, claims and members are read.
_LOOKED_AT = 20
_SPARK = 20
_GAPS = (ccs.HistoryCompacted, ccs.HistoryDamaged, ccs.HistoryForked)


@dataclass(frozen=True, slots=True)
class ContextRow:
    """A context: what it holds, how busy it is, how many agents and claims it has; None where that was not read."""

    address: str
    entries: int
    commits_per_second: float
    recent: tuple[int, ...]
    agents: int | None
    claims: int | None
    updated_at: datetime | None
    finished: bool


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent: its role where it has joined a context, how often it writes, and what it wrote last, so many seconds ago."""

    agent: str
    role: str
    writes_per_second: float
    where: str
    what: str
    idle: float | None


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A claim, and the context in which it is held."""

    context: str
    claim: ClaimInfo


@dataclass(frozen=True, slots=True)
class SlowWatch:
    """A subscriber that does not keep up: where it is, since when, and how many bytes wait for it at the server."""

    name: str
    where: str
    age: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Overview:
    """A picture of a store at a moment. `watches` counts the other subscribers; None where this user may not ask."""

    address: str
    server: str
    at: datetime
    latency: float
    contexts: tuple[ContextRow, ...]
    agents: tuple[AgentRow, ...]
    claims: tuple[ClaimRow, ...]
    watches: int | None
    slow_watches: tuple[SlowWatch, ...]
    commits_per_second: float


@contextmanager
def listening(store: ccs.Store, pattern: str) -> Iterator[Activity]:
    """Counts what happens in the contexts that match, in the background."""
    activity = Activity()
    with StoreTail(engine_of(store), (f"{pattern.removesuffix('/**')}/**",)) as changes:
        thread = threading.Thread(target=_listen, args=(changes, activity), daemon=True)
        thread.start()
        try:
            yield activity
        finally:
            changes.close()
            thread.join(1.0)


def _listen(changes: StoreTail, activity: Activity) -> None:
    while True:
        try:
            for item in changes:
                activity.note(item, time.time())
            return
        except (ccs.Unavailable, *_GAPS):
            time.sleep(0.2)
        except ccs.CCSError:
            return  # it was closed


def gathered(store: ccs.Store, activity: Activity, pattern: str) -> Overview:
    """Reads what there is to show now."""
    now = time.time()
    infos = sorted(store.contexts(pattern), key=lambda info: _order(info, activity, now))
    looked_at = infos[:_LOOKED_AT]
    members = [(info.address, member) for info in looked_at for member in store.context(info.address).members()]
    claims = [ClaimRow(info.address, claim) for info in looked_at for claim in store.context(info.address).claims()]
    contexts = [_row(info, activity, now) for info in infos]
    for index, info in enumerate(looked_at):
        here = {member.agent for address, member in members if address == info.address}
        held = sum(row.context == info.address for row in claims)
        contexts[index] = _row(info, activity, now, len(here), held)
    watches = _watches(store)
    return Overview(
        address=store.address,
        server=", ".join(sorted({server_name(facts) for facts in servers(store).values()})),
        at=datetime.now().astimezone(),
        latency=store.ping(),
        contexts=tuple(contexts),
        agents=tuple(
            _agents(activity, {member.agent: (address, member.role or "") for address, member in members}, now)
        ),
        claims=tuple(claims),
        watches=None if watches is None else max(0, len(watches) - 1),
        slow_watches=tuple(watch for watch in watches or () if watch.waiting),
        commits_per_second=activity.total.rate(now),
    )


def _order(info: ContextInfo, activity: Activity, now: float) -> tuple[float, float, str]:
    updated = info.updated_at.timestamp() if info.updated_at else 0.0
    return -activity.rate(info.address, now), -updated, info.address


def _row(
    info: ContextInfo, activity: Activity, now: float, agents: int | None = None, claims: int | None = None
) -> ContextRow:
    return ContextRow(
        info.address,
        info.entries,
        activity.rate(info.address, now),
        tuple(activity.recent(info.address, _SPARK, now)),
        agents,
        claims,
        info.updated_at,
        info.finished,
    )


def _agents(activity: Activity, joined: dict[str, tuple[str, str]], now: float) -> Iterator[AgentRow]:
    """Yields those that write, then those that are only present."""
    writing = activity.agents(now)
    for name, agent in writing.items():
        role = joined.get(name, ("", ""))[1]
        yield AgentRow(name, role, agent.writes.rate(now), agent.where, agent.what, max(0.0, now - agent.at))
    for name, (address, role) in sorted(joined.items()):
        if name not in writing:
            yield AgentRow(name, role, 0.0, address, "", None)


def _watches(store: ccs.Store) -> list[SlowWatch] | None:
    try:
        replies = engine_of(store).opening.commands.on_every_server(("CLIENT", "LIST", "TYPE", "pubsub"))
    except ccs.CCSError:
        return None
    return [
        _watch(line) for reply in replies.values() for line in reply.decode("utf-8", "replace").splitlines() if line
    ]


def _watch(line: str) -> SlowWatch:
    facts = dict(word.partition("=")[::2] for word in line.split(" "))
    return SlowWatch(
        facts.get("name", ""), facts.get("addr", ""), int(facts.get("age", "0")), int(facts.get("omem", "0"))
    )
