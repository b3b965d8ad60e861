"""How much memory a small context takes in an embedded server."""

from __future__ import annotations

from pathlib import Path

import ccs

MOST = 3_000


def test_a_small_context_takes_little_memory(folder: Path) -> None:
    """Given one small entry, then its keys take less than half of the memory that they take with default settings."""
    with ccs.connect(folder) as store:
        task = store.task("t")
        task.set("status", "ready")
        run, keys = task.handle.opening.run, task.handle.keys.all
        assert sum(run(("MEMORY", "USAGE", key, "SAMPLES", "0")) or 0 for key in keys) < MOST
