"""A copy of one kind of memory of a context, for searches: a search sees every commit acknowledged before it.

The copy follows the journal only when it is asked, so it costs nothing meanwhile. Each question first checks by one plain
command whether the journal still ends at the copy's cursor; if not, it reads the records after the cursor. If the journal
no longer holds the cursor, all memories are loaded again, page by page; then the records since the first page bring all
pages to the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any, TypeVar

from ccs._async.engine import Engine
from ccs._compat import AsyncLock, AsyncWork
from ccs._core.changes.resuming import follow
from ccs._core.commits.entry import RawEntry, parse_entry
from ccs._core.commits.journal import MALFORMED, Cursor, Record, cursor_of
from ccs._core.commits.queries import Found

#| from ccs._compat import refuse_interrupter
from ccs._core.commits.script_calls import page_call
from ccs._core.memory.filters import Accept
from ccs._core.memory.matrix_per_dimension import Matrices
from ccs._core.memory.records import Kept
from ccs._core.memory.search import Search
from ccs._core.memory.search_tables import Table
from ccs._core.names.pattern import Below
from ccs.errors import ContextGone, HistoryCompacted, HistoryDamaged, HistoryForked
from ccs.types import MemoryStats

__all__ = ["Index"]

T = TypeVar("T")

# Records, and entries, in a page.
_RECORDS = 256
_PAGE = 1000
# No page limit: for a context whose history is trimmed faster than it can be read in pages.
_UNLIMITED = -1
# The size in bytes up to which the last record is fetched just to see that nothing is new.
_SMALL = 16_384
# The number of memories above which a search runs in a worker thread.
_MANY = 20_000

_WRITTEN = (b"s", b"d", b"x")


class Index:
    """A table of the memories below a root, shared by all callers in this store."""

    def __init__(self, engine: Engine, address: str, root: str, kind: type[Table]) -> None:
        self._engine = engine
        self._address = address
        self._prefix = f"{root}/"
        self._kind = kind
        self._table = kind(None)
        self._lock = AsyncLock()
        self._cursor: Cursor | None = None
        self._size = self._now = 0
        self._begun = self._done = 0
        self._loaded_at = datetime.now(UTC)

    def __repr__(self) -> str:
        revision = self._cursor and self._cursor.revision
        return f"<Index of {self._prefix} in {self._address} at {revision}: {self._table}>"

    async def ask(self, question: Callable[[Any, int], T], search: Search | None = None, *, long: bool = False) -> T:
        """Returns `question(table, now)`: the table holds every commit acknowledged before, `now` is the server's time in ms.

        For a `search` the table has vectors too. `now` is 0 if nothing in the table has a deadline and the search does not
        fade. A `long` question about many memories is answered in a thread.
        """
        #| refuse_interrupter(self.ask)
        await self._engine.opening.ready()
        wanted = self._begun + 1
        async with self._lock:
            if search and self._table.matrices is None:
                # In a thread, as the first one imports numpy.
                matrices = await AsyncWork(Matrices)()
                self._table = self._kind(matrices)
                self._cursor = None
            await self._keep_up(wanted, clock=search is not None and search.fading is not None)
            learns = search is not None and search.reads_words and not self._table.knows_words
            if learns or (long and len(self._table) > _MANY):
                return await AsyncWork(question)(self._table, self._now)  # type: ignore[no-any-return]  # a T, of question
            return question(self._table, self._now)

    async def search(self, query: bytes, search: Search) -> list[tuple[float, Kept]]:
        """Returns score and memory of those that a search finds for a packed vector, the best first."""

        def found(table: Table, now: int) -> list[tuple[float, Kept]]:
            return table.search(query, search, now)

        return await self.ask(found, search, long=True)

    async def count(self, accept: Accept | None) -> int:
        """Returns how many memories there are, of those accepted."""

        def counted(table: Table, now: int) -> int:
            return table.count(now, accept)

        return await self.ask(counted, long=True)

    async def stats(self) -> MemoryStats:
        """Returns how many memories there are, and what they take in this process."""

        def told(table: Table, _: int) -> MemoryStats:
            return MemoryStats(len(table), table.superseded, table.size, table.dimension, self._loaded_at)

        return await self.ask(told, long=True)

    async def _keep_up(self, wanted: int, *, clock: bool = False) -> None:
        """Brings the table up to date, and the server's time if the `clock` is asked for.

        A read that begins from now on is new enough: all callers that wait for the lock meanwhile share one.
        """
        if clock or self._done < wanted or self._cursor is None:
            self._begun += 1
            await self._catch_up(clock)
            self._done = self._begun

    async def _catch_up(self, clock: bool) -> None:
        if self._cursor is not None and not clock and await self._is_current(self._cursor):
            return None
        for page in chain((_PAGE, _PAGE), repeat(_UNLIMITED)):
            fresh = self._cursor is None
            try:
                cursor = await self._load(page) if self._cursor is None else self._cursor
                return await self._read_on(cursor)
            except (ContextGone, HistoryCompacted, HistoryForked):
                self._cursor = None
            except HistoryDamaged:
                self._cursor = None
                if fresh:
                    raise

    async def _is_current(self, cursor: Cursor) -> bool:
        """Returns whether the journal ends at the cursor; False also if only reading it can show that."""
        if self._table.expires or self._size > _SMALL:
            return False
        journal = self._engine.keys(self._address).journal
        found = await self._engine.opening.run(("XRANGE", journal, f"{cursor.revision}-0", "+", "COUNT", "2"))
        if len(found) != 1:
            return not found and cursor.revision == 0
        raws = found[0][1][1::2]
        try:
            held = cursor_of(raws[-1])
        except MALFORMED:
            return False
        self._size = sum(map(len, raws))
        return held.revision == cursor.revision and cursor.identity in (b"", held.identity)

    async def _load(self, limit: int) -> Cursor:
        """Loads all memories into a new table. Returns a cursor at the revision of the first page."""
        keys = self._engine.keys(self._address)
        start = -1
        table = self._kind(None if self._table.matrices is None else Matrices())
        after: str | None = ""
        while after is not None:
            call = page_call(keys, Below(self._prefix), after, limit)
            # Parsed in a thread: it may be a million facts.
            reply = await self._engine.opening.call(call._replace(parse=_as_it_is))
            revision, after = await AsyncWork(_put_page)(table, call.parse, reply)
            start = revision if start < 0 else start
        self._table = table
        self._loaded_at = datetime.now(UTC)
        return Cursor(start)

    async def _read_on(self, cursor: Cursor) -> None:
        """Applies the records of the journal after the cursor to the table."""
        while True:
            page = await self._engine.look(self._address, cursor.revision, _RECORDS)
            records = list(follow(cursor, page, self._address))
            # No cursor meanwhile: an interrupt could leave a half applied page, so then all is loaded again.
            self._cursor = None
            self._now = page.now
            self._table.apply(self._written(records))
            cursor = cursor._replace(identity=page.identity)  # unknown until then if all was just loaded
            if records:
                cursor = records[-1].cursor
                self._size = records[-1].size
            self._cursor = cursor
            if not records or cursor.revision >= page.last:
                return

    def _written(self, records: Iterable[Record]) -> dict[str, RawEntry | None]:
        """Returns the last entry written at each path below the root; None if it was removed."""
        return {
            step.path: parse_entry(step.after) if step.after else None
            for record in records
            for step in record.operations
            if step.kind in _WRITTEN and step.path.startswith(self._prefix)
        }


def _as_it_is(reply: Any) -> Any:
    return reply


def _put_page(table: Table, parse: Callable[[Any], Found], reply: Any) -> tuple[int, str | None]:
    """Puts a page of entries into a table. Returns the revision of the page, and the last path."""
    found = parse(reply)
    table.apply(found.entries)
    return found.revision, found.last_path
