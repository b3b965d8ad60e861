"""Messages as commands print them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ccs
from ccs.cli.output import clock, fields_of, print_json, print_table, short

__all__ = ["message_fields", "print_messages"]

_HEAD = ("ID", "FROM", "TYPE", "SENT", "ATTEMPTS", "CONTENT")


def message_fields(address: str, message: ccs.Message) -> dict[str, Any]:
    """Returns the fields of a message, and of which context it is."""
    return {"context": address, **fields_of(message)}


def print_messages(address: str, messages: Iterable[ccs.Message], json: bool) -> None:
    """Prints messages: as JSON, or in columns."""
    if json:
        for message in messages:
            print_json(message_fields(address, message))
        return
    print_table(_HEAD, [_row(message) for message in messages])


def _row(message: ccs.Message) -> tuple[str, ...]:
    what = (message.id, message.sender, message.type, clock(message.sent_at), str(message.attempts))
    return *what, short(message.content)
