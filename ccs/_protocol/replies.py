"""Commands as bytes, and replies from bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis

__all__ = ["NOTHING_YET", "InvalidReply", "ServerError", "pack", "reply_reader"]

NOTHING_YET = object()
"""The reader returns it while a reply is incomplete."""

pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
"""Returns a command as bytes."""

InvalidReply = hiredis.ProtocolError
"""Raised for bytes that no Redis server sends."""


class ServerError(Exception):
    """An error reply of the server. `code` is its first word, such as `NOSCRIPT` or `ERR`."""

    def __init__(self, text: str) -> None:
        super().__init__(text.removeprefix("ERR "))
        self.code = text.partition(" ")[0]


def reply_reader() -> hiredis.Reader:
    """Returns a reader: `feed` takes bytes, `gets` returns the next reply, or a `ServerError` for an error reply."""
    return hiredis.Reader(replyError=ServerError, notEnoughData=NOTHING_YET)
