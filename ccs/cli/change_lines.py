"""Changes and events as lines: when, which revision, which agent, what was done, and where."""

from __future__ import annotations

from typing import Any

from ccs.cli.output import fields_of, one_line, paint, print_json, printable, short, width
from ccs.types import Change, Event

__all__ = ["ChangePrinter", "as_fields", "as_text"]

# How many of the contexts that were missed are named.
_SHOWN = 10
# The room of the longest operation, and of an agent at most.
_OP = len("delete")
_AGENT = 24
_STYLES = {"set": "green", "delete": "red", "expire": "yellow", "gone": "red", "missed": "red", "event": "cyan"}


class ChangePrinter:
    """Prints changes and events, each at once: as JSON, or as lines for people.

    On a terminal these are cut to its width, in columns, and the address of the one context at hand is left out.
    """

    def __init__(self, json: bool, address: str = "") -> None:
        self._json = json
        self._prefix = f"{address}/" if address else ""
        self._agent = 0

    def print(self, item: Change | Event) -> None:
        """Prints one."""
        if self._json:
            return print_json(as_fields(item), flush=True)
        text = as_text(item)
        columns = width()
        return print(text if columns is None else self._painted(text, columns), flush=True)

    def _painted(self, text: str, columns: int) -> str:
        *head, what = text.split("  ", 3)
        if len(head) == 3:
            self._agent = min(_AGENT, max(self._agent, len(head[2])))
            head[2] = one_line(head[2], _AGENT).ljust(self._agent)
        op, _, rest = what.partition(" ")
        colour = _STYLES.get(op)
        before = "  ".join(head)
        line = one_line(rest.removeprefix(self._prefix), columns - len(before) - _OP - 3)
        return f"{paint(before, 'dim')}  {paint(op.ljust(_OP), colour) if colour else op.ljust(_OP)} {line}"


def as_fields(item: Change | Event) -> dict[str, Any]:
    """Returns the fields by name; an event has `op` "event"."""
    return {**fields_of(item), "op": "event"} if isinstance(item, Event) else fields_of(item)


def as_text(item: Change | Event) -> str:
    """Returns the line for people, its parts two blanks apart."""
    when = item.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    if isinstance(item, Change) and item.op == "missed":
        return f"{when}  missed {_missed(item)}"
    what = _event(item) if isinstance(item, Event) else _change(item)
    return f"{when}  {item.revision}  {printable(item.agent)}  {what}"


def _missed(change: Change) -> str:
    if not change.value:
        return "commits of an unknown number of contexts that have ended"
    more = ", …" if len(change.value) > _SHOWN else ""
    shown = ", ".join(map(printable, change.value[:_SHOWN]))
    what = "context" if len(change.value) == 1 else "contexts"
    return f"commits of {len(change.value)} {what} that ended: {shown}{more}"


def _event(event: Event) -> str:
    return f"event {printable(f'{event.context}/{event.topic}')} = {short(event.data)}"


def _change(change: Change) -> str:
    before = "" if change.created or change.op == "gone" else f"  (was {short(change.previous)})"
    value = f" = {short(change.value)}" if change.op == "set" else ""
    where = f"{change.context}/{change.path}" if change.path else change.context
    return f"{change.op} {printable(where)}{value}{before}"
