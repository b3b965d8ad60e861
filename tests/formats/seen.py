"""What a context shows to its readers beside values, in terms of JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ccs.aio


async def everything(context: ccs.aio.Context) -> list[str]:
    """Patterns for all that a context holds: what the system keeps is only found by name."""
    place = context.handle
    paths = await place.opening.run(("HKEYS", place.keys.entries))
    roots = {path.decode().split("/")[0] for path in paths if path.startswith(b"@")}
    return ["**", *(pattern for root in sorted(roots) for pattern in (ccs.escape(root), f"{ccs.escape(root)}/**"))]


async def seen(context: ccs.aio.Context) -> dict[str, Any]:
    """Whatever numbers, names and times the context shows."""
    patterns = await everything(context)
    info, snapshot = await context.info(), await context.snapshot(*patterns)
    return {
        "revision": info.revision,
        "created_at": _text(info.created_at),
        "updated_at": _text(info.updated_at),
        "ttl": info.ttl and info.ttl.total_seconds(),
        "finished": info.finished,
        "entries": {
            path: [
                entry.version,
                entry.revision,
                entry.agent,
                _text(entry.created_at),
                _text(entry.updated_at),
                _text(entry.expires_at),
            ]
            for path, entry in snapshot.items()
        },
        "changes": [
            [change.op, change.path, change.version, change.revision, change.agent, _text(change.at), change.created]
            for change in await context.history(*patterns)
        ],
    }


def _text(moment: datetime | None) -> str | None:
    return moment and moment.isoformat()
