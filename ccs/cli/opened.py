"""The store that a command works on. Looking at a store never makes one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import ccs
from ccs._core.names.target import parse_target
from ccs._sync.transport.connect import resolve
from ccs.cli.exits import Exit, Stop
from ccs.embedded import Embedded

__all__ = ["check_store", "check_there", "folder_of", "holds_store", "opened"]

# Seconds that a server has to answer also where --timeout is shorter: a short wait ends as one, not as an outage.
_SHORTEST = 2.0


def opened(options: argparse.Namespace, *, make: bool = False, **how: Any) -> ccs.Store:
    """Returns the store that the options name, to be entered. Stops if it is a folder without one, unless it may `make` it."""
    if not make:
        check_store(options.store)
    return ccs.connect(
        options.store, agent=options.agent, namespace=options.namespace, retry_for=_patience(options), **how
    )


def check_store(target: str | None) -> None:
    """Stops if the target is a folder without a store."""
    folder = folder_of(target)
    if folder and not holds_store(folder):
        raise Stop(Exit.NOT_THERE, f"there is no store in {folder}")


def check_there(ctx: ccs.Context) -> ccs.ContextInfo:
    """Returns the info of a context. Stops if it does not exist."""
    info = ctx.info()
    if not info.revision:
        raise Stop(Exit.NOT_THERE, f"there is no context {ctx.address}")
    return info


def folder_of(target: str | None) -> Path | None:
    """Returns the folder of an embedded store; None for a server."""
    meant = resolve(parse_target(target))
    return Embedded(meant.location).folder if meant.kind == "folder" else None


def holds_store(folder: Path) -> bool:
    """Returns whether there is a store in a folder, or may be: opening it reports what keeps us from looking."""
    try:
        (folder / ".ccs").stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def _patience(options: argparse.Namespace) -> float:
    patience: float = options.retry_for
    return patience if options.timeout is None else min(patience, max(options.timeout, _SHORTEST))
