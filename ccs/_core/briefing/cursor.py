"""Where a briefing stands, as text that its reader keeps: a moment, and between pages, how much of it was shown."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import crc32
from dataclasses import asdict, dataclass, replace

from ccs._core.quoted_values import shown
from ccs.errors import InvalidValue

__all__ = ["Bookmark", "bookmark_in", "digest_of"]


def digest_of(*parts: object) -> int:
    """Returns a number, not 0, that differs, almost certainly, if one of the parts does."""
    return crc32(json.dumps(parts).encode()) + 1


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A position in a context: the commit of `revision` with its identity, and of which context it is.

    Between pages, `skip` items of the `question` (0: all are shown) were shown, at that moment, with what came after the revision `since`
    (and its identity), or with the present state; `reason` says why that, if it was not asked for.
    """

    context: int
    revision: int
    identity: str
    skip: int = 0
    question: int = 0
    since: int | None = None
    since_identity: str = ""
    reason: str = ""

    def text(self) -> str:
        """Returns the cursor."""
        return urlsafe_b64encode(json.dumps(list(asdict(self).values())).encode()).decode().rstrip("=")

    @property
    def first_page(self) -> Bookmark:
        """The same moment and question, of which nothing was shown."""
        return replace(self, skip=0)

    @property
    def order(self) -> tuple[int, bool, int]:
        """The sort key: what is further is larger."""
        return self.revision, not self.question, self.skip


def bookmark_in(cursor: object, address: str) -> Bookmark:
    """Returns the position of a cursor. Raises `InvalidValue` for what is no cursor of a briefing on this context."""
    wrong = f"since is {shown(cursor)}: give the cursor of a briefing on {address}"
    if not isinstance(cursor, str):
        raise InvalidValue(wrong)
    try:
        context, revision, identity, skip, question, since, since_identity, reason = json.loads(
            urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        )
        numbers = [context, revision, skip, question, since or 0]
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(numbers)
        found = Bookmark(context, revision, str(identity), skip, question, since, str(since_identity), str(reason))
    except (ValueError, TypeError):
        raise InvalidValue(wrong) from None
    if found.context != digest_of(address):
        raise InvalidValue(f"this cursor is of a briefing on another context: give one on {address}")
    return found
