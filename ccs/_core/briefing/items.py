"""What a briefing tells, one thing an item, before it is known how much of it fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ccs._core.briefing.briefing import BriefingItem, BriefingKind
from ccs._core.briefing.plain_text import name_cut, name_text, shape_of, time_text, words_cut
from ccs._core.codec import decode

__all__ = ["SECTIONS", "Item", "in_priority"]

SECTIONS = ("notices", "messages", "claims", "pinned", "changes", "events", "members")
"""In the order in which they stand in a briefing, and come before each other."""

_FLOOR = 3
_SINCE = ("claim", "member")


_READS = {"message": "receive it", "event": "history of {}", "notice": "ask who finished it"}
_UNREAD = object()


@dataclass(slots=True, eq=False)
class Item:
    """One thing to tell. There may be very many, of which few are shown, so texts and values are made when they are asked for.

    `lead` says what happened, as far as the shape of the value that follows it; "" for an entry, of which its value and
    who wrote it are told. `encoded` is the value as it is stored, None if there is none. In its section it stands by `place`.
    """

    section: str
    kind: BriefingKind
    path: str
    lead: str
    agents: tuple[str, ...]
    at: datetime | None
    revision: int
    place: tuple[Any, ...]
    new: bool = True
    encoded: bytes | None = None
    _value: Any = field(default=_UNREAD, init=False, repr=False)

    @property
    def has_value(self) -> bool:
        """Whether there is a value to show."""
        return self.encoded is not None

    @property
    def value(self) -> Any:
        """The value; None if there is none. It is decoded once."""
        if self._value is _UNREAD:
            self._value = self._decoded()
        return self._value

    def _decoded(self) -> Any:
        return None if self.encoded is None else decode(self.encoded)

    @property
    def what(self) -> str:
        """What happened, to which kind of value, without its content."""
        if not self.lead:
            return f"{shape_of(self.value)} by {name_text(self.agents[0], 60)}"
        return f"{self.lead}{shape_of(self.value)}" if self.has_value else self.lead

    @property
    def read(self) -> str:
        """How to get all of the value."""
        return _READS.get(self.kind, "read {}").format(name_text(self.path))

    @property
    def headline(self) -> str:
        """All that is told of it on one line, but for its value."""
        joint = " since " if self.kind in _SINCE else ", "
        when = f"{joint}{time_text(self.at)}" if self.at else ""
        name = f"{name_text(self.path)}: " if self.path else ""
        return f"{name}{self.what}{when}{self._at_revision}"

    @property
    def _at_revision(self) -> str:
        return f" r{self.revision}" if self.revision else ""

    @property
    def short(self) -> str:
        """The same in fewer words, for small budgets."""
        when = f", {time_text(self.at)}" if self.at else ""
        if not self.path:
            return f"{words_cut(self.what, 60)}{when}{self._at_revision}"
        return f"{name_cut(self.path, 32)}: {words_cut(self.what, 24)}{when}{self._at_revision}"

    def shorter(self) -> Iterator[str]:
        """Yields what names it, in ever fewer words; a revision stands there whole."""
        if not self.path:
            yield from (words_cut(self.what, most) for most in (40, 24))
            return
        for most in (32, 16, 8):
            yield f"{name_cut(self.path, most)},{self._at_revision}" if self.revision else name_cut(self.path, most)
        if self.revision:
            yield self._at_revision.strip()

    def public(self) -> BriefingItem:
        """Returns what users see of it. Its value is decoded anew, so no two callers share a mutable one."""
        return BriefingItem(
            self.kind, self.path, self.headline, self.agents, self.at, self.revision, self.new, self._decoded()
        )


def in_priority(sections: dict[str, list[Item]]) -> list[Item]:
    """Returns all items in the order in which they get room; those of each section come in their own priority.

    Notices come first, then the first few of each section, then the rest of each.
    """
    first = [item for name in SECTIONS for item in sections.get(name, [])[: None if name == "notices" else _FLOOR]]
    rest = [item for name in SECTIONS[1:] for item in sections.get(name, [])[_FLOOR:]]
    return first + rest
