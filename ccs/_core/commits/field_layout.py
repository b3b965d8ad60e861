"""The layout of all that is stored and sent, written down once, for Lua, Python and the tests.

A layout is a template. `{name:16}` is a field of sixteen characters, `{name:other}` a field that has the layout `other`,
and `{name}` is what is left. All else is literal. Revisions and times in µs have 16 digits (from the year 2001 to 2286),
times in ms 13, versions 10: numbers of one width are found by their offsets and compared as text.

The Lua sources name the fields: `${entry.expiry}` becomes its offsets, `63, 75` (`ccs/_protocol/lua_source.py`).

What changes here changes the format of contexts: raise `FORMAT`, so that older versions refuse what they would misread.

- A state begins with the last revision, in every format. Behind that, a blank is format 1. A later format has its mark
  there: a `/`, its number, a `/`, the oldest version of CCS that knows it, and a blank.
- Where a later format changes entries or records, each of them begins with a `/` too, so that no reader of format 1, which
  may look at one of them alone, takes it for its own.
"""

from __future__ import annotations

import re
from string import Formatter

from ccs._core.names.keys import BIRTHS
from ccs.errors import UnknownFormat

__all__ = [
    "COMMIT_LIMIT",
    "CONSTANTS",
    "COUNTS",
    "ENTRY",
    "EXTRAS",
    "FINISHED",
    "FORMAT",
    "FORMAT_ERROR",
    "KEPT",
    "LABEL",
    "LAYOUTS",
    "NEEDS",
    "NEVER",
    "RECORD",
    "SHARDED",
    "STATE",
    "TERMS",
    "Layout",
    "check_format",
    "format_refused",
]

FORMAT = 1
NEEDS = "0.1"
"""The format that this version reads and writes, and the oldest version of CCS that knows it."""

FORMAT_ERROR = "CCSFORMAT"
"""The code of the error with which a script refuses another format; the mark in the state follows it."""

SHARDED = "SPUBLISH"
"""The command that publishes a commit in a Cluster, where other nodes do not hear it."""

COMMIT_LIMIT = 16 * 1024 * 1024
"""How many bytes a commit may take in the journal."""

_MARK = " " if FORMAT == 1 else f"/{FORMAT}/{NEEDS} "
_MARKED = re.compile(r"/(\d+)/(\S+)")


class Layout:
    """The fields of a text: `spans` has the offsets (first, last) of each, from 1 as in Lua; last None: to the end."""

    def __init__(self, template: str, **parts: Layout) -> None:
        self.spans: dict[str, tuple[int, int | None]] = {}
        self._pieces: list[tuple[str, str]] = []
        end: int | None = 0
        for literal, name, kind, _ in Formatter().parse(template):
            if name is None or kind is None or end is None:
                raise ValueError(f"{template!r} is no layout")
            self._pieces.append((literal, name))
            start = end + len(literal) + 1
            end = self._add(name, start, parts.get(kind), int(kind) if kind.isdigit() else None)
        self.length = end

    def _add(self, name: str, start: int, part: Layout | None, width: int | None) -> int | None:
        if part:
            for inner, (first, last) in part.spans.items():
                self.spans[f"{name}.{inner}"] = start + first - 1, last and start + last - 1
            width = part.length
        end = width and start + width - 1
        self.spans[name] = start, end
        return end

    def width(self, name: str) -> int:
        """Returns how many characters a field has."""
        first, last = self.spans[name]
        if last is None:
            raise ValueError(f"{name} has no width")
        return last - first + 1

    def slice_of(self, name: str) -> slice:
        """Returns the slice of a text that is the field, from 0 as in Python."""
        first, last = self.spans[name]
        return slice(first - 1, last)

    def text(self, *values: int | str | None, blank: str = "-") -> str:
        """Returns the first fields with these values: numbers in all their digits, None as so many `blank`s."""
        shown = [
            value
            if isinstance(value, str)
            else f"{value:0{self.width(name)}d}"
            if value is not None
            else blank * self.width(name)
            for (_, name), value in zip(self._pieces, values, strict=False)
        ]
        return "".join(literal + each for (literal, _), each in zip(self._pieces, shown, strict=False))

    def parse(self, text: str) -> dict[str, str]:
        """Returns the fields of a text by name."""
        return {name: text[self.slice_of(name)] for name in self.spans}

    def pattern(self) -> str:
        """Returns a regular expression for a text whose fields are numbers."""
        kinds = {name: rf"\d{{{last - first + 1}}}" if last else r"\d+" for name, (first, last) in self.spans.items()}
        return "".join(re.escape(literal) + kinds[name] for literal, name in self._pieces)


ENTRY = Layout("{revision:16} {version:10} {created:16} {updated:16} {expiry:13} {agent}")
"""An entry. Times in µs, its expiry in ms (0: none). `agent`: `<bytes> <agent><value>`, the value as msgpack."""

COUNTS = Layout("{bytes:15} {records:12}")
"""How much a journal holds, or may hold."""

TERMS = Layout("{expiring:1}{limits:counts} {policies:16} {first:16} {settings}", counts=COUNTS)
"""The second half of a state, which an ordinary commit passes on as it is.

`expiring` says which keys have the idle deadline for sure: `e` entries and paths, `d` deadlines, `b` both, blank none. A
key that is emptied loses its deadline, and may be there anew. The journal is trimmed past the `limits`. `policies` is the
revision of those that hold, `first` that of the context's first commit.
`settings`: `<ttl ms> <keep commits> <keep bytes>[ <outlasted>]|<settings given last>`; the idle deadline must not come
before `outlasted`, an expiry.
"""

STATE = Layout(
    f"{{last:16}}{{format:{len(_MARK)}}}{{written:counts}} {{updated:16}} {{deadline:13}} {{renewed_after:13}}{{terms:terms}}",
    counts=COUNTS,
    terms=TERMS,
)
"""The field `state` of meta. Of a context that was dropped `last`, its last revision, is all that is left: in any format.

`written` is what was ever written into the journal. The idle `deadline` is moved seldom: it is set a sixty-fourth of the
ttl too late, and is set again by the first commit after `renewed_after`, when that is used up.
"""

_TIME = Layout("{millis:13}{tenth:1}{hundredths:2}")
_CLOCK = Layout("{seconds:10}{micros:6}")

KEPT = Layout("{number:12} {at:time} {answers}", time=_TIME)
"""The answers to a batch, as meta keeps them in one field for each parity of a client's batches."""

EXTRAS = Layout("{behind:12} {latest:16} {settings}")
"""What a batch says beyond the ordinary: the batch before it, the latest time for it, and settings (`-`: not given)."""

LABEL = Layout("{index:4} {agent:3} {policies:16} {guards:6} {operations:6}")
"""What stands before a commit: its index, the bytes of its agent, the policies that it heeds (`*`: any), two counts."""

_TTL = Layout("{lasting:1}{millis}")

RECORD = (
    "previous",
    "revision",
    "at",
    "client",
    "number",
    "index",
    "agent",
    "deadline",
    "bytes",
    "records",
    "expiry",
)
"""The words with which a record of the journal begins. `agent` counts bytes; `bytes` and `records` were written before."""

FINISHED = "9999999999998"
NEVER = "9999999999999"
"""In `renewed_after`: the context is finished; its deadline is never moved."""

LAYOUTS = {
    "entry": ENTRY,
    "counts": COUNTS,
    "terms": TERMS,
    "state": STATE,
    "kept": KEPT,
    "extras": EXTRAS,
    "label": LABEL,
    "ttl": _TTL,
    "clock": _CLOCK,
    "time": _TIME,
}

CONSTANTS = {
    "BIRTHS": BIRTHS,
    "COMMIT_LIMIT": str(COMMIT_LIMIT),
    "FINISHED": FINISHED,
    "FORMAT_ERROR": FORMAT_ERROR,
    "FORMAT_MARK": _MARK,
    "NEVER": NEVER,
    "SHARDED": SHARDED,
}
"""The names that the Lua sources use beside those of fields."""


def check_format(state: bytes, address: str) -> None:
    """Raises `UnknownFormat` for the state of a context whose format this version does not know."""
    mark = STATE.slice_of("format")
    if state[mark] not in (_MARK.encode(), b""):
        raise format_refused(address, state[mark.start :].split(b" ", 1)[0].decode(errors="replace"))


def format_refused(address: str, mark: str) -> UnknownFormat:
    """Returns the error for a context with this mark in its state."""
    found = _MARKED.fullmatch(mark)
    return UnknownFormat(address, int(found[1]), found[2]) if found else UnknownFormat(address, 0, "")
