# Generated from ccs/_async/changes/journal_backwards.py by scripts/twin. Do not edit.
"""The journal read backwards."""

from __future__ import annotations

from collections.abc import Iterator

from ccs._core.commits.journal import MALFORMED, Record, parse_record
from ccs._sync.handle import Place
from ccs.errors import HistoryDamaged

__all__ = ["newest_first"]

_PAGE = 100


def newest_first(place: Place, since: int | None, until: int | None) -> Iterator[Record]:
    """The records after `since`, up to and including `until`, that the journal still holds.

    `HistoryDamaged` where something in between is no record.
    """
    journal = place.keys.journal
    newest = b"+"
    if until is not None and (items := place.read(("XRANGE", journal, f"{until}-0", "+", "COUNT", "1"))):
        newest = items[0][0]  # the item that ends there or later
    before, after = newest.decode(), "-" if since is None else f"({since}-0"
    while True:
        items = place.read(("XREVRANGE", journal, before, after, "COUNT", str(_PAGE)))
        for item, fields in items:
            for raw in reversed(fields[1::2]):
                record = _parsed(raw, item, place.address)
                if (since or 0) < record.revision and (until is None or record.revision <= until):
                    yield record
            before = f"({item.decode()}"
        if len(items) < _PAGE:
            return


def _parsed(raw: bytes, item: bytes, address: str) -> Record:
    try:
        return parse_record(raw)
    except MALFORMED as error:
        raise HistoryDamaged(address, int(item.split(b"-")[0])) from error
