"""G6 against a model: whatever is lost, trimmed or forgotten, and whenever a watch joins, it delivers what the journal has."""

from __future__ import annotations

import asyncio
import random

import pytest

import ccs
from ccs._async.changes.watch import Watch
from tests.model.world import ADDRESS, World, watch_of
from tests.support.waiting import counts

PATTERNS = ("a", "b", "*")
COMMITS = ["commit a", "commit b", "commit c"]
STEPS = COMMITS * 3 + ["deliver"] * 9 + ["take"] * 5 + ["live", "since", "since", "beginning", "nudge"]
RARE = ["lose", "check", "reconnect"]
MEANWHILE = [*COMMITS, "deliver", "deliver", "deliver"]

SEEDS = range(counts(30, 20_000))


class Watcher:
    """A watch, and what it has delivered so far."""

    def __init__(self, watch: Watch, pattern: str, since: int | None) -> None:
        self.watch, self.pattern, self.since = watch, pattern, since
        self.told: list[int] = []
        self.error: ccs.CCSError | None = None

    async def enter(self) -> None:
        try:
            await self.watch.start()
        except ccs.CCSError as error:
            self.error = error
        else:
            self.since = self.watch.revision if self.since is None else self.since

    async def take(self) -> bool:
        """Takes the next change, if one is there already."""
        if self.error:
            return False
        try:
            self.told.append((await self.watch.receive(timeout=0.0)).revision)
        except TimeoutError:
            return False
        except ccs.CCSError as error:
            self.error = error
            return False
        return True

    def matches(self, path: str) -> bool:
        return self.pattern in ("*", path)


class Play:
    """A world, and the watches that join it as the play goes on."""

    def __init__(self, seed: int, *faults: str) -> None:
        self.world, self.dice, self.faults = World(), random.Random(seed), faults
        self.watchers: list[Watcher] = []
        self.committed: list[tuple[int, str]] = []
        self.world.meanwhile = self.meanwhile

    def meanwhile(self) -> None:
        """What happens in the middle of a watch's own doing."""
        for _ in range(self.dice.randrange(4)):
            self.happen(self.one_of(MEANWHILE))

    def one_of(self, ordinary: list[str]) -> str:
        return self.dice.choice([*RARE, *self.faults] if self.dice.random() < 0.06 else ordinary)

    def happen(self, what: str) -> None:
        world, (kind, _, path) = self.world, what.partition(" ")
        if kind == "commit":
            world.commit(path)
            self.committed.append((world.last, path))
        elif kind == "nudge":
            for mailbox in world.feed.mailboxes:
                mailbox.nudge()
        elif kind == "trim":
            world.trim(self.dice.randint(1, 5))
        elif kind == "forget":
            world.forget(self.dice.randint(1, 3))
        else:
            getattr(world, kind)()

    async def join(self, since: int | None) -> None:
        pattern, buffer = self.dice.choice(PATTERNS), self.dice.randint(1, 4)
        watcher = Watcher(watch_of(self.world, pattern, since=since, buffer=buffer), pattern, since)
        await watcher.enter()
        self.watchers.append(watcher)

    async def step(self, what: str) -> None:
        if what == "live":
            await self.join(None)
        elif what == "beginning":
            await self.join(0)
        elif what == "since":
            held = [record.revision for record in self.world.records]
            await self.join(self.dice.choice(held) if held else 0)
        elif what == "take":
            if self.watchers:
                await self.dice.choice(self.watchers).take()
        else:
            self.happen(what)

    async def finish(self) -> None:
        """The connection comes back for good, and everybody takes what there is."""
        self.world.meanwhile = lambda: None
        self.world.reconnect()
        self.world.check()
        for watcher in self.watchers:
            while await watcher.take():
                pass

    def expected(self, watcher: Watcher) -> list[int]:
        """Returns what it must have delivered by now, of all that was ever committed."""
        since = watcher.since or 0
        return [revision for revision, path in self.committed if revision > since and watcher.matches(path)]


def play(seed: int, *faults: str) -> Play:
    """A play from beginning to end."""

    async def run() -> Play:
        play = Play(seed, *faults)
        for _ in range(play.dice.randrange(60)):
            await play.step(play.one_of(STEPS))
        await play.finish()
        return play

    return asyncio.run(run())


def test_whenever_a_watch_joins_and_whatever_messages_are_lost_it_delivers_all_that_match_once() -> None:
    """Given writers, other watches and lost messages, then each watch has delivered every match after its cursor, in order."""
    for seed in SEEDS:
        finished = play(seed)
        for watcher in finished.watchers:
            assert watcher.error is None, seed
            assert watcher.told == finished.expected(watcher), seed
            assert watcher.watch.revision == finished.world.last, seed


def test_where_the_journal_was_trimmed_it_delivers_all_up_to_there_and_then_raises() -> None:
    """Given a journal that is trimmed at any time, then a watch has delivered all, or the first changes and `HistoryCompacted`."""
    for seed in SEEDS:
        finished = play(seed, "trim")
        for watcher in finished.watchers:
            expected = finished.expected(watcher)
            if watcher.error is None:
                assert watcher.told == expected, seed
                continue
            assert isinstance(watcher.error, ccs.HistoryCompacted), seed
            assert watcher.error.address == ADDRESS
            assert watcher.told == expected[: len(watcher.told)], seed


def test_where_the_server_forgot_commits_no_remaining_one_is_skipped() -> None:
    """Given a server that loses its newest commits, then a watch delivers all that remain, or raises."""
    for seed in SEEDS:
        finished = play(seed, "forget")
        standing = {record.revision for record in finished.world.records}
        for watcher in finished.watchers:
            expected = finished.expected(watcher)
            if watcher.error is None:
                assert watcher.told == [revision for revision in expected if revision in standing], seed
            else:
                assert isinstance(watcher.error, ccs.HistoryForked), seed
                assert watcher.error.address == ADDRESS


async def test_a_late_message_of_an_earlier_life_is_not_delivered_again() -> None:
    """Given a watch that goes on after the end of its context, when a message of the old one comes, then it is skipped."""
    world = World()
    watch = watch_of(world, "*", since=None, buffer=4)
    await watch.start()

    async def told() -> int | None:
        try:
            return int((await watch.receive(timeout=0.0)).revision)
        except TimeoutError:
            return None

    world.commit("a")
    nudge(world)
    assert await told() == world.last
    world.drop()
    nudge(world)
    with pytest.raises(ccs.ContextGone):
        await told()
    watch.begin_again()
    assert await told() is None
    world.deliver()
    assert await told() is None
    world.commit("b")
    world.deliver()
    assert await told() == world.last
    assert await told() is None


def nudge(world: World) -> None:
    for mailbox in world.feed.mailboxes:
        mailbox.nudge()
