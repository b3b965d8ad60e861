# Generated from ccs/_async/changes/moments.py by scripts/twin. Do not edit.
"""Moments as cursors: the last commit that had happened by a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ccs._core.changes.resuming import check_moment
from ccs._core.commits.journal import MALFORMED, Record, parse_record
from ccs._core.retry import Patience
from ccs._core.times import to_micros
from ccs._sync.engine import Engine
from ccs.errors import HistoryCompacted, HistoryDamaged

__all__ = ["parsed", "revision_at"]

_PAGE = "16"


def revision_at(engine: Engine, address: str, when: datetime, patience: Patience | None = None) -> int:
    """Returns the revision of the last commit of a context by a time of the server; 0 if the context is younger.

    Raises `HistoryCompacted` if the journal no longer holds that commit, and `InvalidValue` for a time to come.
    """
    page = engine.look(address, 0, 0, patience)
    check_moment(when, page, address)
    moment = to_micros(when)
    reached = _reached_by(engine, address, moment, patience)
    if reached is None and page.oldest:
        raise HistoryCompacted(moment, page.oldest, address)
    return reached or 0


def _reached_by(engine: Engine, address: str, moment: int, patience: Patience | None) -> int | None:
    """Returns the revision of the last record by a time in microseconds, or None."""
    journal = engine.keys(address).journal
    run = engine.opening.commands.run
    # No commit is later than its revision. It may be earlier, where many came at a time, or the clock was set back.
    items = run(("XREVRANGE", journal, f"{moment}-0", "-", "COUNT", "1"), patience=patience)
    reached = max((record.revision for record in _records(items, address)), default=None)
    after = f"({moment}-0"
    while items := run(("XRANGE", journal, after, "+", "COUNT", _PAGE), patience=patience):
        for record in _records(items, address):
            if record.at > moment:
                return reached
            reached = record.revision
        after = f"({items[-1][0].decode()}"
    return reached


def _records(items: Sequence[Any], address: str) -> list[Record]:
    return [parsed(raw, item, address) for item, fields in items for raw in fields[1::2]]


def parsed(raw: bytes, item: bytes, address: str) -> Record:
    """Returns the record in an item of the journal. Raises `HistoryDamaged` if it is none."""
    try:
        return parse_record(raw)
    except MALFORMED as error:
        raise HistoryDamaged(address, int(item.split(b"-")[0])) from error
