"""A live copy of one kind of memory of a context, for searches: as new as the newest commit acknowledged before.

It is fed by the journal when somebody asks, so it costs nothing meanwhile. Each question looks first whether the
journal still ends where the copy stands, which is one plain command; only if it does not, the stretch in between is
read. Where the journal no longer holds the copy's place, everything is loaded anew: page by page, which the journal
since the first page then makes one moment of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Any, TypeVar

from ccs._async.engine import Engine
from ccs._compat import AsyncLock, AsyncWork

#| from ccs._compat import refuse_interrupter
from ccs._core.commits.entry import RawEntry, parse_entry
from ccs._core.commits.journal import MALFORMED, Cursor, Record, cursor_of, follow
from ccs._core.commits.queries import page_arguments, parse_found
from ccs._core.memory.matrices import Matrices
from ccs._core.memory.tables import Table
from ccs._core.names.pattern import Below
from ccs._protocol.scripts import READ
from ccs.errors import ContextGone, HistoryCompacted, HistoryDamaged, HistoryForked

__all__ = ["Index"]

T = TypeVar("T")

# Records and entries at a time; -1: all entries at once, where history moves on faster than they are read by pages.
_RECORDS, _PAGE, _WHOLE = 256, 1000, -1
# The bytes of a record that may travel just to say that nothing is new; memories beyond which a thread searches.
_SMALL, _MANY = 16_384, 20_000

_WRITTEN = b"s", b"d", b"x"


class Index:
    """A table of the memories below a root, shared by all who ask in this store."""

    def __init__(self, engine: Engine, address: str, root: str, kind: type[Table]) -> None:
        self._engine, self._address, self._prefix, self._kind = engine, address, f"{root}/", kind
        self._table = kind(None)
        self._lock = AsyncLock()
        self._cursor: Cursor | None = None
        self._size = self._now = 0
        self._begun = self._done = 0

    def __repr__(self) -> str:
        return (
            f"<Index of {self._prefix} in {self._address} at {self._cursor and self._cursor.revision}: {self._table}>"
        )

    async def ask(self, question: Callable[[Any, int], T], *, searches: bool = False) -> T:
        """`question(table, now)`, the table holding every commit acknowledged before, and the server's time in ms.

        For who `searches`, the table has vectors too. `now` is 0 where nothing in the table has a deadline.
        """
        #| refuse_interrupter(self.ask)
        await self._engine.ready()
        # A look that begins from now on will do: all who wait for the lock meanwhile share one.
        wanted = self._begun + 1
        async with self._lock:
            if searches and self._table.matrices is None:
                self._table, self._cursor = self._kind(Matrices()), None
            if self._done < wanted or self._cursor is None:
                self._begun += 1
                await self._catch_up()
                self._done = self._begun
            if searches and len(self._table) > _MANY:
                return await AsyncWork(question)(self._table, self._now)  # type: ignore[no-any-return]  # what it is asked
            return question(self._table, self._now)

    async def _catch_up(self) -> None:
        if self._cursor is not None and await self._is_current(self._cursor):
            return None
        for page in chain((_PAGE, _PAGE), repeat(_WHOLE)):
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
        """Whether the journal ends where the copy stands; False where only a closer look can tell."""
        if self._table.expires or self._size > _SMALL:
            return False
        journal = self._engine.keys(self._address).journal
        found = await self._engine.connection.run(("XRANGE", journal, f"{cursor.revision}-0", "+", "COUNT", "2"))
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
        """Reads everything; the revision at which that began."""
        keys, start = self._engine.keys(self._address), -1
        table = self._kind(None if self._table.matrices is None else Matrices())
        after: str | None = ""
        while after is not None:
            arguments = page_arguments(Below(self._prefix), after, limit)
            reply = await self._engine.connection.script(READ, keys.all, arguments)
            revision, after = await AsyncWork(_put_page)(table, reply)
            start = revision if start < 0 else start
        self._table = table
        return Cursor(start)

    async def _read_on(self, cursor: Cursor) -> None:
        """Takes in what the journal holds after the cursor."""
        while True:
            page = await self._engine.look(self._address, cursor.revision, _RECORDS)
            records = list(follow(cursor, page, self._address))
            # An interrupt meanwhile could leave half of it there: then everything is read again.
            self._cursor, self._now = None, page.now
            self._table.apply(self._written(records))
            cursor = cursor._replace(identity=page.identity)  # unknown until then where everything was just read
            if records:
                cursor, self._size = records[-1].cursor, records[-1].size
            self._cursor = cursor
            if not records or cursor.revision >= page.last:
                return

    def _written(self, records: Iterable[Record]) -> dict[str, RawEntry | None]:
        """What was written at each path that is ours, the last of it; None where it was removed."""
        return {
            step.path: parse_entry(step.after) if step.after else None
            for record in records
            for step in record.operations
            if step.kind in _WRITTEN and step.path.startswith(self._prefix)
        }


def _put_page(table: Table, reply: Sequence[Any]) -> tuple[int, str | None]:
    """Puts a page of entries into a table; the revision that it was read at, and where the next page begins."""
    found = parse_found(reply, lambda _: True)
    table.apply(found.entries)
    return found.revision, found.last_path
