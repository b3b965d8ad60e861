"""A context without a server: a journal, messages on their way, and watches of it, one step at a time.

The watches, the feed and the mailboxes are the real ones. Whatever may happen between two of their steps can be made to
happen: commits, messages that come, that are lost or that are forged, a journal that is trimmed, a server that forgets.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ccs._async.changes.watch import Watch
from ccs._compat import AsyncSignal
from ccs._core.changes.feed import Feed
from ccs._core.changes.watch_mailbox import Mailbox
from ccs._core.codec import encode
from ccs._core.commits.journal import JournalPage, Record, parse_page, parse_record
from ccs._core.retry import Patience
from ccs._stats import Counters

ADDRESS = "/tasks/t"
EPOCH = 2_000_000_000_000_000


def raw_record(previous: int, revision: int, path: str, value: object) -> bytes:
    """A commit that sets one path, as the script journals it."""
    agent, raw = "ann", encode(value)
    after = b"%016d 0000000001 %016d %016d %013d 3 ann%b" % (revision, revision, revision, 0, raw)
    head = f"{previous} {revision} {revision} client {revision} 0 {len(agent)} 0 0 0 0 s {len(path)} 0 {len(after)}\n"
    return head.encode() + agent.encode() + path.encode() + after


class World:
    """The journal of one context, the channel to one store, and what its dispatcher does."""

    def __init__(self) -> None:
        self.journal: list[bytes] = []
        self.records: list[Record] = []
        self.oldest = self.clock = 0
        self.began = EPOCH + 1
        self.on_the_way: deque[bytes] = deque()
        self.feed = Feed(ADDRESS, threading.Lock())
        self.meanwhile: Callable[[], object] = lambda: None

    @property
    def last(self) -> int:
        return self.records[-1].revision if self.journal else 0

    def commit(self, path: str) -> None:
        self.clock += 1
        revision = EPOCH + self.clock
        raw = raw_record(self.last, revision, path, self.clock)
        self.journal.append(raw)
        self.records.append(parse_record(raw))
        self.on_the_way.append(raw)

    def deliver(self) -> None:
        if self.on_the_way:
            self.feed.deliver(parse_record(self.on_the_way.popleft()))

    def lose(self) -> None:
        if self.on_the_way:
            self.on_the_way.popleft()

    def trim(self, keep: int) -> None:
        while len(self.journal) > max(1, keep):
            del self.journal[0]
            self.oldest = self.records.pop(0).revision

    def reconnect(self) -> None:
        """What was on its way is lost, and the dispatcher knows: it will look, but messages may come first."""
        self.on_the_way.clear()
        self.feed.doubt()

    def forget(self, commits: int) -> None:
        """The server loses its newest commits, and the connections to it."""
        kept = max(1, len(self.journal) - commits)
        del self.journal[kept:]
        del self.records[kept:]
        self.reconnect()

    def drop(self) -> None:
        """Ends the context; the next commit creates it again. Messages stay on their way."""
        self.journal.clear()
        self.records.clear()
        self.oldest = 0
        self.began = EPOCH + self.clock + 1

    def check(self) -> None:
        self.feed.check(self.page(self.feed.last or 0, 0))

    def page(self, cursor: int, count: int) -> JournalPage:
        held = list(zip(self.journal, self.records, strict=True))
        here = next((raw for raw, record in held if record.revision == cursor), b"")
        after = [raw for raw, record in held if record.revision > cursor]
        first = self.began if held else 0
        now = EPOCH // 1000 + 1_000_000 + self.clock  # later than all revisions
        numbers = (now, first, self.last, 0, 0, 0, self.oldest)
        return parse_page([*map(str, numbers), here.split(b"\n")[0], after[:count], b"", 0, 0])


class Engine:
    """What a watch needs of its store."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.stats = Counters()
        self.opening = Opening(world)

    async def look(self, address: str, cursor: int, count: int, patience: Patience | None = None) -> JournalPage:
        self._world.meanwhile()
        page = self._world.page(cursor, count)
        self._world.meanwhile()
        return page


class Opening:
    """What a watch needs of the opening of its store, and of the commands there."""

    def __init__(self, world: World) -> None:
        self.dispatcher = CommitDispatcher(world)
        self.commands = self

    async def ready(self) -> None:
        """There is nothing to wait for."""

    def check(self) -> None:
        """It is open."""

    def patience(self) -> Patience:
        """There is enough of it."""
        return Patience(float("inf"))


class CommitDispatcher:
    """What a watch needs of the dispatcher."""

    def __init__(self, world: World) -> None:
        self._world = world

    def signal(self) -> AsyncSignal:
        return AsyncSignal()

    async def join(self, address: str, mailbox: Mailbox) -> None:
        self._world.feed.mailboxes += (mailbox,)
        self._world.meanwhile()

    async def leave(self, address: str, mailbox: Mailbox) -> None:
        feed = self._world.feed
        feed.mailboxes = tuple(each for each in feed.mailboxes if each is not mailbox)

    def anchor(self, address: str, page: JournalPage) -> None:
        self._world.feed.anchor(page.last)


def watch_of(world: World, *patterns: str, **options: Any) -> Watch:
    """A watch in that world, not entered yet."""
    return Watch(Engine(world), ADDRESS, patterns, **options)  # type: ignore[arg-type]  # all that it needs of one
