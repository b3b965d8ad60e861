"""Commands as bytes, and replies out of the bytes that a server sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis

__all__ = ["NOTHING_YET", "InvalidReply", "ServerError", "pack", "reply_reader"]

NOTHING_YET = object()
"""What the reader gives while a reply is not complete."""

pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
"""A command as it travels."""

InvalidReply = hiredis.ProtocolError
"""Raised where the bytes are none that a Redis would send."""


class ServerError(Exception):
    """An error that the server answered with: a `code`, such as `NOSCRIPT` or `ERR`, and the text that says more."""

    def __init__(self, text: str) -> None:
        super().__init__(text.removeprefix("ERR "))
        self.code = text.partition(" ")[0]


def reply_reader() -> hiredis.Reader:
    """A reader of replies: `feed` it bytes, `gets` the next reply; what the server refuses comes as a `ServerError`."""
    return hiredis.Reader(replyError=ServerError, notEnoughData=NOTHING_YET)
