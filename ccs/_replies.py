"""Replies of a server out of the bytes that it sends."""

from __future__ import annotations

from typing import Any

import hiredis
from redis.connection import DefaultParser
from redis.exceptions import InvalidResponse

__all__ = ["NOTHING_YET", "reply_reader"]

NOTHING_YET = object()
"""What the reader gives while a reply is not complete."""


def reply_reader() -> Any:
    """A reader of replies: `feed` it bytes, `gets` the next reply; errors of the server are redis-py's exceptions."""
    errors: Any = DefaultParser.parse_error
    return hiredis.Reader(protocolError=InvalidResponse, replyError=errors, notEnoughData=NOTHING_YET)
