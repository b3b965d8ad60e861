"""A context as users see it: values by path, each with a version, and the effect of every method."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ccs._core.values.merge import merge_patch

ABSENT: Any = "absent"


class Ask(NamedTuple):
    """One call of a method of a context."""

    method: str
    path: str = ""
    value: Any = None
    guard: str = ""


class Held(NamedTuple):
    """The entry at a path."""

    value: Any
    version: int


@dataclass
class ApiModel:
    """What must be there, and every change so far: op, path, value, previous, created, version."""

    held: dict[str, Held] = field(default_factory=dict)
    changes: list[tuple[Any, ...]] = field(default_factory=list)
    commits: int = 0
    outcome: Any = ABSENT

    def apply(self, ask: Ask) -> Any:
        """What the call returns, or the name of the error it raises; an entry as its value and version."""
        if self.outcome is not ABSENT and ask.method not in ("drop", "refused"):
            return self._too_late(ask)
        before = copy.deepcopy(self.held)
        result = getattr(self, f"_{ask.method}")(ask)
        written = [path for path in {**before, **self.held} if before.get(path) != self.held.get(path)]
        self.commits += bool(written) or ask.method == "finish"
        return result

    def _too_late(self, ask: Ask) -> Any:
        """What the client finds out by itself comes first: that there is nothing to delete, or no map to merge into."""
        would = getattr(copy.deepcopy(self), f"_{ask.method}")(ask)
        by_client = ask.method in ("merge", "append_bounded") or isinstance(ask.value, float)
        if (ask.method == "delete_matching" and would == 0) or (by_client and would == "InvalidValue"):
            return would
        return "ContextFinished"

    def _put(self, path: str, value: Any) -> Any:
        before = self.held.get(path)
        held = self.held[path] = Held(value, before.version + 1 if before else 1)
        previous = before.value if before else None
        self.changes.append(("set", path, value, previous, before is None, held.version))
        return held

    def _remove(self, path: str) -> bool:
        before = self.held.pop(path, None)
        if before:
            self.changes.append(("delete", path, None, before.value, False, before.version))
        return before is not None

    def _guarded(self, ask: Ask, act: Callable[[], Any]) -> Any:
        actual = self.held[ask.path].version if ask.path in self.held else 0
        wrong = {"": False, "right": False, "wrong": True, "zero": actual != 0}[ask.guard]
        return "Conflict" if wrong else act()

    def _set(self, ask: Ask) -> Any:
        return self._guarded(ask, lambda: self._put(ask.path, ask.value))

    def _create(self, ask: Ask) -> Any:
        return "Conflict" if ask.path in self.held else self._put(ask.path, ask.value)

    def _delete(self, ask: Ask) -> Any:
        return self._guarded(ask, lambda: self._remove(ask.path))

    def _delete_matching(self, ask: Ask) -> Any:
        """The pattern is the path and everything below it."""
        found = sorted(path for path in self.held if path == ask.path or path.startswith(f"{ask.path}/"))
        return sum([self._remove(path) for path in found])

    def _set_many(self, ask: Ask) -> Any:
        for path, value in ask.value.items():
            self._put(path, value)

    def _transact(self, ask: Ask) -> Any:
        """Sets some, None deletes; returns what was at the path before."""
        before = self.held[ask.path].value if ask.path in self.held else ABSENT
        for path, value in ask.value.items():
            self._remove(path) if value is None else self._put(path, value)
        return before

    def _update(self, ask: Ask) -> Any:
        before = self.held[ask.path].value if ask.path in self.held else "new"
        return self._put(ask.path, [before, ask.value])

    def _merge(self, ask: Ask) -> Any:
        value = self.held[ask.path].value if ask.path in self.held else {}
        return self._put(ask.path, merge_patch(value, ask.value)) if isinstance(value, dict) else "InvalidValue"

    def _increment(self, ask: Ask) -> Any:
        value = self.held[ask.path].value if ask.path in self.held else 0
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "InvalidValue"
        return self._put(ask.path, value + ask.value).value

    def _append(self, ask: Ask) -> Any:
        value = self.held[ask.path].value if ask.path in self.held else []
        return self._put(ask.path, [*value, *ask.value]) if isinstance(value, list) else "InvalidValue"

    def _append_bounded(self, ask: Ask) -> Any:
        value = self.held[ask.path].value if ask.path in self.held else []
        return self._put(ask.path, [*value, *ask.value][-3:]) if isinstance(value, list) else "InvalidValue"

    def _renew(self, ask: Ask) -> bool:
        return ask.path in self.held

    def _refused(self, ask: Ask) -> str:
        return "EncodingError"

    def _finish(self, ask: Ask) -> None:
        self.outcome = ask.value

    def _drop(self, ask: Ask) -> None:
        self.held, self.outcome, self.changes = {}, ABSENT, []
