"""The picture of `ccs top`, made with rich: it takes the size of the terminal and leaves out what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ccs.cli.entry_lines import span, time_left
from ccs.cli.output import printable, short
from ccs.cli.overview import AgentRow, ClaimRow, ContextRow, Overview, SlowWatch
from ccs.cli.server_info import size

__all__ = ["picture"]

_BARS = "▁▂▃▄▅▆▇█"
# Lines that are no rows: the head, the watches, and for each of three tables a blank line, its head and what is left out.
_FIXED = 12
# Columns that what fills a line keeps in a narrow terminal.
_LEAST = 14
_WIDE = 110


def picture(seen: Overview, columns: int, lines: int) -> RenderableType:
    """Returns the picture for a terminal of this size."""
    room = max(6, lines - _FIXED - len(seen.slow_watches))
    agents = min(len(seen.agents), max(2, room // 3))
    claims = min(len(seen.claims), max(2, room // 3))
    contexts = max(2, room - agents - claims)
    wide = columns >= _WIDE
    return Group(
        _head(seen, columns),
        Text(),
        _contexts(seen.contexts, contexts, wide),
        Text(),
        _agents(seen.agents, agents, wide),
        Text(),
        _claims(seen.claims, claims, wide),
        Text(),
        *_watches(seen),
    )


def _head(seen: Overview, columns: int) -> Text:
    count = len(seen.contexts)
    entries = sum(row.entries for row in seen.contexts)
    parts = [
        f"{seen.commits_per_second:,.1f} commits/s",
        f"{count:,} {'context' if count == 1 else 'contexts'}",
        f"{entries:,} {'entry' if entries == 1 else 'entries'}",
        f"{seen.latency * 1_000:.1f} ms",
    ]
    if columns >= _WIDE:
        parts.append(seen.server)
    clock = f"{seen.at:%H:%M:%S}"
    rest = " · ".join(parts)
    room = columns - len(rest) - len(clock) - 5
    address = printable(seen.address)
    if len(address) > max(room, 12):
        address = "…" + address[-max(room, 12) + 1 :]
    left = Text.assemble((address, "bold"), " · ", rest, no_wrap=True, overflow="ellipsis")
    left.truncate(columns - len(clock) - 1)
    return Text.assemble(left, " " * max(1, columns - left.cell_len - len(clock)), (clock, "dim"), no_wrap=True)


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name, justify in columns:
        right = justify == "right"
        fill = justify == "fill"
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if fill else None,
            min_width=_LEAST if fill else None,
        )
    return table


def _contexts(rows: Sequence[ContextRow], most: int, wide: bool) -> RenderableType:
    middle = (("LAST 20 S", "right"),) if wide else ()
    table = _table(
        ("CONTEXT", "fill"), ("ENTRIES", "right"), ("COMMITS/S", "right"), *middle,
        ("AGENTS", "right"), ("CLAIMS", "right"), ("UPDATED", "right"),
    )  # fmt: skip
    for row in rows[:most]:
        busy = "bold green" if row.commits_per_second else "dim" if row.finished else ""
        table.add_row(
            Text(printable(row.address), style=busy),
            f"{row.entries:,}",
            Text(_rate(row.commits_per_second), style=busy),
            *([Text(_spark(row.recent), style="green")] if wide else []),
            _count(row.agents),
            _count(row.claims),
            Text("finished", style="dim") if row.finished else _ago(row.updated_at),
        )
    return _with_rest(table, len(rows) - most, "context")


def _agents(rows: Sequence[AgentRow], most: int, wide: bool) -> RenderableType:
    if not rows:
        return Text("AGENTS  nobody has joined, and nobody has written for a minute", style="dim")
    last = (("LAST WRITE", "fill"), ("", "right")) if wide else (("LAST WRITE", "fill"),)
    table = _table(("AGENT", "left"), ("ROLE", "left"), ("WRITES/S", "right"), *last)
    for row in rows[:most]:
        idle = "" if row.idle is None else f"{span(row.idle)} ago"
        what = printable(f"{row.where}: {row.what}" if row.what else f"{row.where}")
        cells = [Text(what, style="" if row.idle is not None and row.idle < 2 else "dim")]
        if wide:
            cells.append(Text(idle, style="dim"))
        table.add_row(
            Text(printable(row.agent), style="cyan"), printable(row.role), _rate(row.writes_per_second), *cells
        )
    return _with_rest(table, len(rows) - most, "agent")


def _claims(rows: Sequence[ClaimRow], most: int, wide: bool) -> RenderableType:
    if not rows:
        return Text("CLAIMS  none is held", style="dim")
    note = (("NOTE", "fill"),) if wide else ()
    table = _table(
        ("CLAIM", "left" if wide else "fill"), ("HOLDER", "left"), ("HELD FOR", "right"), ("EXPIRES IN", "right"), *note
    )
    for row in rows[:most]:
        held = datetime.now().astimezone() - row.claim.claimed_at
        table.add_row(
            Text(printable(f"{row.context}: {row.claim.resource}")),
            Text(printable(row.claim.holder), style="cyan"),
            span(held.total_seconds()),
            time_left(row.claim.expires_at),
            *([Text("" if row.claim.note is None else short(row.claim.note), style="dim")] if wide else []),
        )
    return _with_rest(table, len(rows) - most, "claim")


def _watches(seen: Overview) -> Sequence[RenderableType]:
    if seen.watches is None:
        return [Text("WATCHES  this user may not see them", style="dim")]
    if not seen.watches:
        return [Text("WATCHES  no other program listens", style="dim")]
    if not seen.slow_watches:
        listen = "other program listens" if seen.watches == 1 else "other programs listen"
        return [Text(f"WATCHES  {seen.watches} {listen}, none is behind", style="dim")]
    return [Text(f"WATCHES  {len(seen.slow_watches)} of {seen.watches} are behind", style="yellow")] + [
        Text(_slow(watch), style="yellow") for watch in seen.slow_watches
    ]


def _slow(watch: SlowWatch) -> str:
    return (
        f"  {printable(watch.name or watch.where)}: {size(watch.waiting)} wait for it, connected for {span(watch.age)}"
    )


def _with_rest(table: Table, rest: int, what: str) -> RenderableType:
    if rest > 0:
        table.caption = f"{rest:,} more {what}{'s' * (rest > 1)}"
        table.caption_justify = "left"
    return table


def _rate(rate: float) -> str:
    return "·" if not rate else f"{rate:,.1f}"


def _count(count: int | None) -> str:
    return "" if count is None else f"{count}" if count else "·"


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return ""
    seconds = (datetime.now().astimezone() - moment).total_seconds()
    return "now" if seconds < 2 else f"{span(seconds)} ago"


def _spark(counts: Sequence[int]) -> str:
    most = max(counts, default=0)
    if not most:
        return " " * len(counts)
    return "".join(_BARS[min(7, count * 8 // (most + 1))] if count else " " for count in counts)
