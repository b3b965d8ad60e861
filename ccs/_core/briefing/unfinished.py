"""Briefings of which pages are left: what they tell is kept, so that the next page does not read and decide it all again.

Nothing rests on it. What is not kept any more, or by another process, is read again, and gives the same page.
"""

from __future__ import annotations

from collections.abc import Hashable

from ccs._core.briefing.cursor import Bookmark
from ccs._core.briefing.items import Item

__all__ = ["Unfinished"]

_MOST = 4
_MOST_BYTES = 64 * 1024 * 1024
_BYTES_OF_ITEM = 500


class Unfinished:
    """The items of a few briefings, the latest of each question: at most 64 MiB of each, by a generous count."""

    def __init__(self) -> None:
        # By the question. Threads share it, so each step of it is one operation of a dict.
        self._kept: dict[Hashable, tuple[Bookmark, list[Item]]] = {}

    def __repr__(self) -> str:
        return f"<Unfinished: {len(self._kept)} briefings>"

    def items(self, question: Hashable, mark: Bookmark) -> list[Item] | None:
        """Returns all items of the briefing of which a bookmark marks a page; None if they are not kept."""
        kept = self._kept.get(question)
        return kept[1] if kept and kept[0] == mark.first_page else None

    def keep(self, question: Hashable, mark: Bookmark, items: list[Item]) -> None:
        """Keeps the items of a briefing in place of those of an earlier one on the same question."""
        kept = self._kept.pop(question, None)
        is_kept = kept is not None and kept[1] is items
        if not is_kept and sum(_BYTES_OF_ITEM + len(item.encoded or b"") for item in items) > _MOST_BYTES:
            return
        self._kept[question] = mark.first_page, items
        for oldest in list(self._kept)[:-_MOST]:
            self._kept.pop(oldest, None)

    def forget(self, question: Hashable) -> None:
        """Forgets the briefing on a question: its last page was shown."""
        self._kept.pop(question, None)
