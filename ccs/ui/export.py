"""What a page downloads: JSON lines, or the page itself in one file that shows the same without a server."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ccs.aio import Context
from ccs.types import Entry
from ccs.ui.plain_values import cut, dumps, plain, preview
from ccs.ui.rows import SHOWN, log_line, mark_of, millis, overview_lines, row_of_entry
from ccs.ui.update import Update

__all__ = ["STATIC", "json_lines", "one_file"]

STATIC = Path(__file__).parent / "static"
_MODULES = re.compile(r'from "\./([\w./-]+\.js)"')
# How much of each value, and how many changes, the one file holds.
_VALUE = 65_536
_CHANGES = 3_000


async def json_lines(context: Context, when: int | datetime | None, patterns: list[str]) -> AsyncIterator[str]:
    """Yields a line for each entry, in the order of paths, with its value in full."""
    if when is None:
        async for entry in context.scan(*patterns):
            yield f"{dumps(_entry(entry))}\n"
    else:
        for entry in (await context.at(when, *patterns)).values():
            yield f"{dumps(_entry(entry))}\n"


def _entry(entry: Entry) -> dict[str, Any]:
    times = {"created_at": entry.created_at, "updated_at": entry.updated_at, "expires_at": entry.expires_at}
    return {
        "path": entry.path,
        "value": plain(entry.value),
        "version": entry.version,
        "revision": entry.revision,
        "agent": entry.agent,
        **{name: when.isoformat() if when else None for name, when in times.items()},
    }


async def one_file(context: Context, when: int | datetime | None) -> str:
    """Returns the page with all that it needs in it."""
    data = dumps(await _picture(context, when)).replace("<", "\\u003c")
    modules = dumps({"imports": dict(map(_module, _scripts()))})
    style = (STATIC / "style.css").read_text("utf-8")
    allowed = f"script-src 'sha256-{_digest(modules)}' data:; style-src 'unsafe-inline'; img-src data:"
    return _FRAME.format(policy=f"default-src 'none'; {allowed}", style=style, modules=modules, data=data)


def _scripts() -> list[Path]:
    return sorted(STATIC.rglob("*.js"))


def _name(path: Path) -> str:
    return f"ccs/{path.relative_to(STATIC).as_posix()}"


def _module(path: Path) -> tuple[str, str]:
    """Returns a module as a URL that holds it; modules in such URLs cannot import each other by relative names."""
    source = _MODULES.sub(r'from "ccs/\1"', path.read_text("utf-8"))
    return _name(path), f"data:text/javascript;base64,{base64.b64encode(source.encode()).decode()}"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


async def _picture(context: Context, when: int | datetime | None) -> dict[str, Any]:
    snapshot = await (context.snapshot() if when is None else context.at(when))
    until = snapshot.revision
    past = await context.history(*SHOWN, events=True, until=until, limit=_CHANGES, newest_first=True)
    past.reverse()
    update = Update()
    for item in past:
        update.add(item)
    users = [item for item in past if not getattr(item, "path", "").startswith("@")]
    marks = [mark for item in past if getattr(item, "path", "").startswith("@") and (mark := mark_of(item))]  # type: ignore[arg-type]  # events have no path
    info = await context.info()
    return {
        "address": context.address,
        "saved": millis(datetime.now(UTC)),
        "revision": until,
        "created": millis(info.created_at),
        "whole": len(past) < _CHANGES,
        "rows": [row_of_entry(entry) for entry in snapshot.values()],
        "values": {entry.path: _valued(entry) for entry in snapshot.values()},
        "ticks": update.message()["ticks"],
        "marks": marks,
        "log": [log_line(item) for item in users],
        "versions": [_versioned(item) for item in users if not hasattr(item, "topic")],
        "overview": overview_lines(await context.overview(when=until or None)),
    }


def _valued(entry: Entry) -> list[Any]:
    return [cut(entry.value, _VALUE), millis(entry.created_at), millis(entry.expires_at)]


def _versioned(change: Any) -> list[Any]:
    value = cut(change.value, _VALUE // 16)
    previous = cut(change.previous, _VALUE // 16)
    text = preview(change.previous)
    head = [change.path, change.op, change.created, change.version, change.revision, change.agent, millis(change.at)]
    return [*head, value, previous, text]


_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ccs</title>
<style>{style}</style>
<script type="importmap">{modules}</script>
<script type="module" src="data:text/javascript,import%20%22ccs/page.js%22"></script>
</head>
<body><div id="page"></div>
<script type="application/json" id="saved">{data}</script>
</body>
</html>
"""
