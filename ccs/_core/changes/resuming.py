"""Whether history continues from a cursor: what a watch that starts, resumes or has a gap checks before it reads on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from ccs._core.commits.journal import Cursor, JournalPage, Record
from ccs._core.names.address import canonical
from ccs._core.number_checks import integer
from ccs._core.quoted_values import shown
from ccs._core.times import to_micros
from ccs.errors import ContextGone, HistoryCompacted, HistoryDamaged, HistoryForked, InvalidValue

__all__ = ["check_moment", "check_resume", "check_since", "checked_cursor", "checked_revisions", "follow"]


def follow(cursor: Cursor, page: JournalPage, address: str, first: int = 0) -> Iterator[Record]:
    """Yields the records of a page that was read from a cursor, each the successor of the one before.

    `first` is the first revision of the context that is followed, where it is known: a cursor at the beginning fits any.
    Raises `ContextGone`, `HistoryCompacted` or `HistoryForked` if history does not continue from the cursor, and
    `HistoryDamaged` after the last readable record, if there is more.
    """
    check_resume(cursor, page, address)
    if first and page.first != first and not cursor.revision:
        raise ContextGone(address)
    at = cursor.revision
    for record in page.records:
        if record.previous != at:
            raise HistoryDamaged(address, at)
        yield record
        at = record.revision
    if page.damaged:
        raise HistoryDamaged(address, at)


def check_since(since: int, page: JournalPage, address: str) -> None:
    """Raises `InvalidValue` for a revision that lies in the future: no commit of the context can have it."""
    if since >= (page.now + 1) * 1000:
        raise InvalidValue(
            f"since is {since}, which is ahead of the server's clock, so {address} has never had that revision: give the"
            " revision of a change, an entry or a watch, or 0"
        )


def check_moment(when: datetime, page: JournalPage, address: str) -> None:
    """Raises `InvalidValue` for a time that lies in the future."""
    if to_micros(when) >= (page.now + 1) * 1000:
        raise InvalidValue(
            f"since is {when.isoformat()}, which is ahead of the server's clock at {address}: wait for it"
        )


def checked_cursor(since: int | datetime) -> int | datetime:
    """Returns the revision or time after which a watch begins. Raises `InvalidValue` unless it is one, or is naive."""
    if isinstance(since, datetime):
        to_micros(since)
        return since
    return integer("since", since, "a revision, 0 for everything, or an aware datetime")


def check_resume(cursor: Cursor, page: JournalPage, address: str) -> None:
    """Raises `ContextGone`, `HistoryCompacted` or `HistoryForked` unless history continues from the cursor."""
    if not page.exists:
        if cursor.revision:
            raise ContextGone(address)
    elif cursor.revision == 0 or cursor.revision == page.oldest:
        if cursor.revision < page.oldest:
            raise HistoryCompacted(cursor.revision, page.oldest, address)
    elif cursor.revision < page.first:
        raise ContextGone(address)
    elif cursor.revision < page.oldest:
        raise HistoryCompacted(cursor.revision, page.oldest, address)
    elif not page.identity or cursor.identity not in (b"", page.identity):
        raise HistoryForked(cursor.revision, page.last, address)


def checked_revisions(since: Mapping[str, int]) -> dict[str, int]:
    """Returns the revisions by canonical address at which a store watch starts. Raises `InvalidValue` for anything else."""
    if not isinstance(since, Mapping):
        hint = "; of a time, ask each context: context.watch(since=…)" if isinstance(since, datetime) else ""
        raise InvalidValue(
            f"since is {shown(since)}: give a mapping of address to revision, such as `revision` of such a watch{hint}"
        )
    return {
        canonical(address): integer(f"since of {address!r}", revision, "a revision, or 0 for everything")
        for address, revision in since.items()
    }
