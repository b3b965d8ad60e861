"""How a file of any name becomes text, and that text a path of the store."""

from __future__ import annotations

import hashlib
import os

__all__ = ["cut", "place_of", "shown"]

# The path of a job has at most 57 segments and 768 bytes, each `%` counted as three; `files/` stands before ours.
MAX_SEGMENTS = 56
MAX_BYTES = 760


def shown(raw: bytes) -> str:
    """The relative path as text that stores, terminals and JSON can hold, different for different files.

    What does not print, undecodable bytes and `%` are percent-encoded.
    """
    return "".join(map(_escaped, os.fsdecode(raw)))


def _escaped(character: str) -> str:
    if character != "%" and character.isprintable():
        return character
    return "".join(f"%{byte:02X}" for byte in os.fsencode(character))


def place_of(name: str) -> str:
    """Where a file stands below `files/`: its shown name or, for one that is too long or too deep, a digest of it."""
    if name.count("/") < MAX_SEGMENTS and len(name.replace("%", "%25").encode()) <= MAX_BYTES:
        return name
    return f"%long/{hashlib.sha256(name.encode()).hexdigest()}"  # no shown name has `%` before anything but two digits


def cut(text: str, width: int) -> str:
    """At most `width` characters of the text, its middle left out if need be."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
