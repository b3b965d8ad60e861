"""A server that takes part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PATIENCE", "Server", "ServerMissing", "folder"]

PATIENCE = 15.0  # seconds for a server to start or to end


class ServerMissing(Exception):
    """A server that cannot be had here; says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: where, what, how it keeps what it acknowledged; the CPU seconds that it has used, or NaN."""

    url: str
    version: str
    durability: str
    cpu: Callable[[], float] = field(repr=False)
    info: Callable[[], dict[str, Any]] = field(default=dict, repr=False)


@contextmanager
def folder() -> Iterator[Path]:
    """A private folder, removed in the end."""
    with tempfile.TemporaryDirectory(prefix="ccs-bench-", ignore_cleanup_errors=True) as path:
        yield Path(path)
