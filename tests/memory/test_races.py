"""A call that loses a race for a memory pauses and tries again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs._async.context_handle
import ccs._async.optimistic
import ccs._sync.context_handle
import ccs._sync.optimistic
from ccs.errors import Conflict
from tests.memory.minds import embed, newer

PROJECT = Path(__file__).parents[2]
LOST = 3
EMBEDDINGS, FACT, EPISODE, PROCEDURE = "@embeddings", "@semantic/", "@episodes/", "@procedures/"

CALLS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "store": (EMBEDDINGS, lambda task: task.semantic.store("new")),
    "supersede": (FACT, lambda task: task.semantic.store("new", supersedes="old")),
    "supersede with others": (
        FACT,
        lambda task: task.semantic.store_many(["a", {"content": "b", "supersedes": "old"}]),
    ),
    "update": (FACT, lambda task: task.semantic.update("old", metadata={"a": 2})),
    "update, content": (FACT, lambda task: task.semantic.update("old", content="new")),
    "delete_matching": (FACT, lambda task: task.semantic.delete_matching({"a": 1})),
    "reembed": (FACT, lambda task: task.semantic.reembed(newer)),
    "reembed, dimension": (EMBEDDINGS, lambda task: task.semantic.reembed(newer)),
    "forget": (EPISODE, lambda task: task.episodic.forget("old")),
    "record": (EPISODE, lambda task: task.episodic.record("new", max_entries=1)),
    "prune": (EPISODE, lambda task: task.episodic.prune(datetime.now(UTC))),
    "reinforce": (PROCEDURE, lambda task: task.procedural.reinforce("old", True)),
}


@pytest.fixture
async def task(open_store: Any) -> Any:
    task = (await open_store(embed=embed)).task("t")
    await task.semantic.store("old", id="old", metadata={"a": 1})
    await task.episodic.record("old", id="old", at=datetime(2025, 1, 1, tzinfo=UTC))
    await task.procedural.learn("old", ["step"], id="old")
    return task


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses after lost races, in seconds."""
    made: list[float] = []

    async def paused(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(ccs._async.optimistic, "async_sleep", paused)
    monkeypatch.setattr(ccs._sync.optimistic, "sleep", made.append)
    return made


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_that_loses_races_for_a_memory_pauses_after_each_and_then_succeeds(
    name: str, task: Any, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given another writer that is faster three times, when a memory is changed, then a pause follows each lost race."""
    root, call = CALLS[name]
    lost: list[str] = []
    for place in (ccs._async.context_handle.Handle, ccs._sync.context_handle.Handle):

        def commit(
            self: Any, operations: Any, guards: Any, *rest: Any, _real: Any = place.commit, **options: Any
        ) -> Any:
            path = next((guard.path for guard in guards if guard.path.startswith(root) and guard.expected), None)
            if path and len(lost) < LOST:
                lost.append(path)
                raise Conflict(path, 1, 2, 2, "rival")
            return _real(self, operations, guards, *rest, **options)

        monkeypatch.setattr(place, "commit", commit)
    await call(task)
    assert len(lost) == len(pauses) == LOST


def test_every_loop_that_loses_races_uses_race() -> None:
    """All loops that read, commit with a guard and try again make the pauses of `Race`."""
    spelled = [path.name for path in (PROJECT / "ccs/_async").rglob("*.py") if "jitter" in path.read_text("utf-8")]
    assert spelled == ["optimistic.py"]
