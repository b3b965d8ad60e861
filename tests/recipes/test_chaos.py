"""All recipes at once among real processes, behind a network that breaks, some killed and some stopped past their ttls.

What happened is read from the journal at the end, over a connection that nothing breaks, and held against what the
agents were told, the dead ones included.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ccs
from tests.embedded.players import Player
from tests.faults.chaos import faults, seed
from tests.recipes.chaos_checks import Claims, Mail, Runs, below, by_kind
from tests.recipes.chaos_players import END, ROLES, SETTLE, TTL, live, read_diaries
from tests.support.colours import COLOURS
from tests.support.journal import check_continuous, records
from tests.support.proxy import Proxy
from tests.support.waiting import counts, eventually

SIZE, ROUNDS, PAUSE = counts(4, 10), counts(4, 200), 1.6 * TTL
EVERYTHING = ("@claims/**", "@once/**", "@runs/**", "@inbox/**", "@members/*", "work/**")
LEASES = ("@claims/**", "@waiting/**", "@runs/**", "@inbox/*/%-/leases/*", "@members/*")


@dataclass
class Actor:
    """An agent in a process."""

    name: str
    player: Player

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.player.pid, number)


class Troupe:
    """The living, and what is done to them."""

    def __init__(self, url: str, namespace: str, folder: Path, dice: random.Random) -> None:
        self._life, self.folder, self.dice = (url, namespace), folder, dice
        self.living: list[Actor] = []
        self.done: Counter[str] = Counter()

    def enter(self) -> None:
        """Starts one more agent, in the blocking and the asyncio colour in turn."""
        number = self.done["enter"]
        self.done["enter"] += 1
        actor = Actor(f"agent-{number}", Player())
        self.living.append(actor)
        colour, chosen = COLOURS[number % 2], self.dice.randrange(2**31)
        actor.player.begin(live, *self._life, actor.name, colour, self.folder, chosen)

    def kill(self) -> None:
        actor = self.living.pop(self.dice.randrange(len(self.living)))
        actor.player.kill()
        actor.player.end()
        self.enter()

    def stop(self) -> None:
        """Stops up to half of them for longer than their ttls."""
        chosen = self.dice.sample(self.living, self.dice.randint(1, SIZE // 2))
        since = time.monotonic()
        try:
            for actor in chosen:
                actor.send_signal(signal.SIGSTOP)
            eventually(lambda: time.monotonic() - since > PAUSE)
        finally:
            for actor in chosen:
                actor.send_signal(signal.SIGCONT)

    def check(self) -> None:
        """Checks that no agent has ended by itself, and raises the error of one that has."""
        for actor in self.living:
            if actor.player.has_answered:
                actor.player.result()
                raise AssertionError(f"{actor.name} has ended")

    def end(self) -> None:
        for actor in self.living:
            actor.player.end()


@contextmanager
def troupe(url: str, namespace: str, folder: Path, dice: random.Random) -> Iterator[Troupe]:
    """`SIZE` agents at work."""
    agents = Troupe(url, namespace, folder, dice)
    try:
        for _ in range(SIZE):
            agents.enter()
        yield agents
    finally:
        agents.end()


def disturb(agents: Troupe, proxy: Proxy, number: int) -> None:
    """Makes one fault; the first faults are of each kind."""
    blows = {"stop": agents.stop, "kill": agents.kill, "cut": proxy.cut_all}
    kind = [*blows][number % 3] if number < 3 else agents.dice.choice([*blows, "stop"])
    agents.done[kind] += 1
    blows[kind]()


def agents_in(task: Any) -> list[str]:
    return sorted(member.agent for member in task.members())


@pytest.fixture
def task(valkey: str, namespace: str) -> Iterator[Any]:
    with ccs.connect(valkey, namespace=namespace, agent="the test") as store:
        task = store.task("t", keep_commits=10_000_000, keep_bytes=2**32)
        task.set("begun", True)
        with task.watch("begun"):  # so that somebody is left who expires what the agents held
            yield task


def test_whatever_happens_to_agents_and_network_every_recipe_keeps_its_promise(
    valkey: str, proxy: Proxy, namespace: str, task: Any, tmp_path: Path
) -> None:
    dice = random.Random(seed())
    proxy.fault = faults(random.Random(dice.random()), 0.005, ("cut", "cut", "drop", "drop", "hang"))
    with troupe(proxy.url, namespace, tmp_path, dice) as agents:
        eventually(lambda: len(agents_in(task)) == SIZE, 60, "all to be at work")
        for number in range(ROUNDS):
            play_round(agents, proxy, task, number)
        (tmp_path / SETTLE).touch()
        living = sorted(actor.name for actor in agents.living)
        eventually(lambda: agents_in(task) == living, 60, "the members to be the living")
        (tmp_path / END).touch()
        for actor in agents.living:
            actor.player.result()
    assert agents_in(task) == []
    eventually(lambda: not task.paths(*LEASES), what="nothing to be held any more")
    check_all(task, valkey, namespace, tmp_path, agents.done)


def play_round(agents: Troupe, proxy: Proxy, task: Any, number: int) -> None:
    """Makes a fault, and waits until the other agents have done more work."""
    seen = task.revision()
    disturb(agents, proxy, number)

    def has_moved() -> bool:
        agents.check()
        return len(task.history(*EVERYTHING, since=seen)) > 20 * SIZE

    eventually(has_moved, 60, "progress")


def check_all(task: Any, url: str, namespace: str, folder: Path, done: Counter[str]) -> None:
    """Every promise, from the journal and the diaries."""
    check_continuous(records(url, namespace, "/tasks/t"))
    # What is due is hidden before it is journaled as expired.
    eventually(lambda: not differing(task), what="the entries to be what the journal says")
    changes, notes = task.history(*EVERYTHING, since=0), by_kind(read_diaries(folder))
    assert notes["failed"] == []
    claims, runs, mail = Claims(), Runs(), Mail()
    claims.replay(changes)
    claims.check(notes)
    runs.replay([*changes])
    runs.check(notes)
    mail.replay(below("@inbox", changes))
    unread, dead = (
        {each.content for role in ROLES for each in read(role)} for read in (unread_of(task), dead_of(task))
    )
    mail.check(notes, unread, dead)
    figures = Counter({kind: len(found) for kind, found in notes.items()})
    figures += Counter(f"{change.path.split('/')[0]} {change.op}" for change in changes)
    print(dict(done), dict(figures), len(records(url, namespace, "/tasks/t")))  # noqa: T201  # seen with a failure
    attacked = ("wrote", "believed", "result", "sent", "acknowledged", "@members expire")
    assert all(figures[kind] for kind in attacked), f"nothing was tried: {figures}"


def told(task: Any) -> dict[str, tuple[int, Any]]:
    """Returns the entries that must exist by the journal, without deadlines: renewals move them, and are not journaled."""
    standing: dict[str, tuple[int, Any]] = {}
    for change in task.history(*EVERYTHING, since=0):
        if change.op == "set":
            standing[change.path] = change.revision, change.value
        else:
            del standing[change.path]
    return standing


def found(task: Any) -> dict[str, tuple[int, Any]]:
    """What does."""
    return {entry.path: (entry.revision, entry.value) for entry in task.snapshot(*EVERYTHING).values()}


def differing(task: Any) -> list[str]:
    """Returns the paths whose entries differ from the journal."""
    expected, standing = told(task), found(task)
    return [path for path in expected.keys() | standing if expected.get(path) != standing.get(path)]


def unread_of(task: Any) -> Any:
    return lambda role: task.inbox(role).unread()


def dead_of(task: Any) -> Any:
    return lambda role: task.inbox(role, attempts=10**6).dead()
