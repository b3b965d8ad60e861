"""Messages and items that no commit has made: what other clients may publish on a channel or write into a journal."""

from __future__ import annotations

from ccs._core.codec import encode
from tests.model.world import raw_record

NO_VALUE = b"\xc1"
"""What msgpack never begins with."""


def chained(previous: int, path: str = "p") -> dict[str, bytes]:
    """Returns messages that name the newest commit as their predecessor, each with something invalid in it."""
    good = raw_record(previous, previous + 1, path, "forged")
    value = encode("forged")
    later = b"%016d" % (previous + 1)
    numbers = f"{previous} {previous + 1}".encode()
    return {
        "cut off": good[:-3],
        "too long": good + b"more",
        "no entry": numbers + b" 1 x 1 0 0 0 0 - - 0".replace(b"- - ", b"") + b" s 1 0 4\npjunk",
        "a value that is none": good.replace(value, NO_VALUE * len(value)),
        "a path that is no text": good.replace(b"ann" + path.encode() + later, b"ann" + b"\xff" * len(path) + later),
        "before itself": good.replace(numbers, f"{previous} {previous - 1}".encode(), 1),
        "at no time": good.replace(later, b"9" * 40, 1),
        "a deadline beyond all time": good.replace(b" 3 0 0 0 0 s", b" 3 %d 0 0 0 s" % 10**400, 1),
        "an agent of no length": good.replace(b" 3 0 0 0 0 s", b" x 0 0 0 0 s", 1),
        "less than no operations": good.replace(b" s ", b" s -", 1),
        "an outcome that is none": _finish(previous, NO_VALUE),
    }


def _finish(previous: int, outcome: bytes) -> bytes:
    head = f"{previous} {previous + 1} {previous + 1} x 1 0 0 0 0 0 0 f 0 0 {len(outcome)}\n"
    return head.encode() + outcome
