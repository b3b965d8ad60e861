"""The journal read backwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ccs._core.journal import Record, parse_record
from ccs.aio.place import Place

__all__ = ["newest_first"]

_PAGE = 100


async def newest_first(place: Place, since: int | None, until: int | None) -> AsyncIterator[Record]:
    """The records after `since`, up to and including `until`, that the journal still holds."""
    run, journal, newest = place.connection.run, place.keys.journal, b"+"
    if until is not None and (items := await run(("XRANGE", journal, f"{until}-0", "+", "COUNT", "1"))):
        newest = items[0][0]  # the item that ends there or later
    before, after = newest.decode(), "-" if since is None else f"({since}-0"
    while True:
        items = await run(("XREVRANGE", journal, before, after, "COUNT", str(_PAGE)))
        for item, fields in items:
            for raw in reversed(fields[1::2]):
                record = parse_record(raw)
                if (since or 0) < record.revision and (until is None or record.revision <= until):
                    yield record
            before = f"({item.decode()}"
        if len(items) < _PAGE:
            return
