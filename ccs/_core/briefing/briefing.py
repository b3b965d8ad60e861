"""A briefing as users get it: a text, and what it tells as items."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

__all__ = ["Briefing", "BriefingItem", "BriefingKind"]

BriefingKind = Literal[
    "notice", "message", "lost", "claim", "pinned", "change", "entry", "event", "joined", "left", "member"
]


@dataclass(frozen=True, slots=True)
class BriefingItem:
    """One thing that a briefing tells. `text` is its line in the briefing.

    `path` is that of the entry, or the topic of an event, the resource of a claim, the id of a message, the agent that came or
    went; "" for a notice. `agents` wrote it, the last one at `at` and `revision`. `new` is false for what is told each
    time: pinned entries, and claims and messages that are older than the cursor. `value` is all of the value, None if
    there is none.
    """

    kind: BriefingKind
    path: str
    text: str
    agents: tuple[str, ...]
    at: datetime | None
    revision: int
    new: bool
    value: Any = None


@dataclass(frozen=True, slots=True, repr=False)
class Briefing:
    """What an agent reads of a context, as Markdown within a budget: `str(briefing)`. It is true if anything is new.

    It takes `tokens` by the caller's `count`, and tells the state at `revision`. `items` are those that it shows. If it is not
    `complete`, `omitted` more are left for the next page: ask with `since=cursor`, which goes on at the same moment.
    `cursor` is text for `since=`: of the last page, what comes after it.
    """

    text: str
    items: tuple[BriefingItem, ...]
    tokens: int
    revision: int
    complete: bool
    omitted: int
    cursor: str
    address: str

    def __str__(self) -> str:
        return self.text

    def __bool__(self) -> bool:
        return any(item.new for item in self.items)

    def __repr__(self) -> str:
        rest = "" if self.complete else f", {self.omitted} more on other pages"
        return f"<Briefing on {self.address} at {self.revision}: {len(self.items)} items{rest}>"

    def json(self) -> str:
        """Returns all but the values and the text as JSON: an object on one line."""
        items = [{name: _plain(getattr(item, name)) for name in _TOLD} for item in self.items]
        known = {
            name: getattr(self, name) for name in ("address", "revision", "complete", "omitted", "tokens", "cursor")
        }
        return json.dumps({**known, "items": items}, ensure_ascii=False)


_TOLD = ("kind", "path", "text", "agents", "at", "revision", "new")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
