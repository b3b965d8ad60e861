# Generated from ccs/_async/changes/journal_backwards.py by scripts/twin. Do not edit.
"""Reading the journal backwards."""

from __future__ import annotations

from collections.abc import Iterator

from ccs._core.commits.journal import Record
from ccs._sync.changes.moments import parsed
from ccs._sync.context_handle import Handle

__all__ = ["newest_first"]

_PAGE = 100


def newest_first(handle: Handle, since: int | None, until: int | None) -> Iterator[Record]:
    """Yields the records after `since`, up to and including `until`, that the journal still holds, the newest first.

    Raises `HistoryDamaged` for an item that is not a record.
    """
    after = "-" if since is None else f"({since}-0"
    before = "+" if until is None else _end_of(handle, until)
    while True:
        items = handle.read(("XREVRANGE", handle.keys.journal, before, after, "COUNT", str(_PAGE)))
        for item, fields in items:
            for raw in reversed(fields[1::2]):
                record = parsed(raw, item, handle.address)
                if (since or 0) < record.revision and (until is None or record.revision <= until):
                    yield record
            before = f"({item.decode()}"
        if len(items) < _PAGE:
            return


def _end_of(handle: Handle, until: int) -> str:
    """Returns the id of the first item that ends with the revision `until` or a later one, or else the end."""
    items = handle.read(("XRANGE", handle.keys.journal, f"{until}-0", "+", "COUNT", "1"))
    return items[0][0].decode() if items else "+"
