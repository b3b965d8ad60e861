"""What others wrote, as text that cannot be taken for anything else: names on one line, and values for a fence.

Whatever could end a line, leave a fence, turn the direction of writing round or be invisible is escaped. The same value
gives the same text, in every process.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

__all__ = [
    "agents_text",
    "as_json",
    "count_text",
    "fence_for",
    "longest",
    "name_cut",
    "name_text",
    "shape_of",
    "time_text",
    "value_text",
    "words_cut",
]

# Control characters, other ends of lines, marks of direction, invisible ones, lone surrogates.
_HIDDEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
_UNSAFE_IN_VALUE = re.compile(f"[{_HIDDEN}]")
_UNSAFE_IN_NAME = re.compile(f'[{_HIDDEN}\t\n`"\\\\]')
_PLAIN_NAME = re.compile(r"[\w./:@%+=,~*-]+")
_TICKS = re.compile("`+")
_NAME = 160
_NAMED_AGENTS = 3
_DEEPEST = 40
_DIGITS = 4000
_ONE_LINE = 100


def name_text(name: str, most: int = _NAME) -> str:
    """Returns a name as part of a line: as it is, or quoted, and cut if it has more than `most` characters."""
    rest = len(name) - most
    text = name[:most]
    if not _PLAIN_NAME.fullmatch(text) or _UNSAFE_IN_NAME.search(text):
        text = f'"{_UNSAFE_IN_NAME.sub(_escaped, text)}"'
    return text if rest <= 0 else f"{text}… ({rest:,} more characters)"


def name_cut(name: str, most: int) -> str:
    """Returns a name as part of a line, of which at most `most` characters are shown: `sources/a-very-long…`."""
    return name_text(name) if len(name) <= most else f"{name_text(name[: most - 1])}…"


def words_cut(text: str, most: int) -> str:
    """Returns the first words of a text, together at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1].rpartition(' ')[0]} …"


def agents_text(agents: Sequence[str]) -> str:
    """Returns some agents as part of a line: `ann, bob, carl and 4 others`."""
    named = [name_text(agent, 60) for agent in agents[:_NAMED_AGENTS]]
    rest = len(agents) - len(named)
    if rest > 0:
        return f"{', '.join(named)} and {count_text(rest, 'other')}"
    return " and ".join([", ".join(named[:-1]), named[-1]]) if len(named) > 1 else "".join(named)


def count_text(count: int, what: str) -> str:
    """Returns a number of things: `1 message`, `2,000 messages`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def time_text(moment: datetime) -> str:
    """Returns a moment in UTC, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


def shape_of(value: Any) -> str:
    """Returns what kind of value it is and how large, but nothing of its content."""
    if isinstance(value, str):
        return f"text of {count_text(len(value), 'character')}"
    if isinstance(value, (bytes, bytearray)):
        return count_text(len(value), "byte")
    if isinstance(value, Mapping):
        return f"a map of {count_text(len(value), 'key')}"
    if isinstance(value, (list, tuple)):
        return f"a list of {count_text(len(value), 'item')}"
    if isinstance(value, Set):
        return f"a set of {count_text(len(value), 'item')}"
    return _shape_of_scalar(value)


def _shape_of_scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return f"a {type(value).__name__}"


def value_text(value: Any) -> str:
    """Returns a value as text for a fence: text as it is, all else as JSON."""
    if isinstance(value, str):
        return _UNSAFE_IN_VALUE.sub(_escaped, value)
    plain = as_json(value)
    text = json.dumps(plain, ensure_ascii=False)
    if len(text) > _ONE_LINE:
        text = _in_lines(plain)
    return _UNSAFE_IN_VALUE.sub(_escaped, text)


def _in_lines(plain: Any) -> str:
    """Returns JSON with each item of the outermost map or list on a line: readable, and shorter than all indented."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    if isinstance(plain, dict):
        lines = [f"{text(key)}: {text(value)}" for key, value in plain.items()]
        return "{{\n{}\n}}".format(",\n".join(lines))
    if isinstance(plain, list):
        return "[\n{}\n]".format(",\n".join(map(text, plain)))
    return text(plain)


def as_json(value: Any, depth: int = 0) -> Any:
    """Returns a value as what JSON can hold; what JSON does not know becomes text."""
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {_key(key): as_json(each, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each, depth + 1) for each in value]
    if isinstance(value, Set):
        return sorted((as_json(each, depth + 1) for each in value), key=repr)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < 3 * _DIGITS else f"an integer of {value.bit_length():,} bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, (bytes, bytearray)):
        return f"hex {bytes(value).hex()}"
    return str(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(_scalar(key))


def fence_for(text: str) -> str:
    """Returns a fence that is longer than any run of backticks in the text."""
    longest = max(map(len, _TICKS.findall(text)), default=0)
    return "`" * max(3, longest + 1)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def longest(build: Callable[[int], str], most: int, fits: Callable[[str], bool]) -> int:
    """Returns the largest size up to `most` whose text fits, looking at few sizes, and small ones first; 0 if none is found."""
    low = 0
    step = 1
    while low + step <= most and fits(build(low + step)):
        low += step
        step *= 2
    high = min(most, low + step)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(build(middle)):
            low = middle
        else:
            high = middle - 1
    return low
