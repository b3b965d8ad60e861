"""What a process keeps of a context's memories so that it can search them: tables, fed with entries."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from itertools import islice, takewhile
from typing import Any

from ccs._core.codec import decode, encode
from ccs._core.entry import RawEntry
from ccs._core.matrix import Matrix
from ccs._core.memories import Kept, episode_of, kept_in, map_of
from ccs.types import Episode

__all__ = ["Accept", "Table", "Timeline", "having"]

Accept = Callable[[Kept], bool]


def having(wanted: Mapping[str, Any] | None) -> Accept | None:
    """Accepts what has this metadata; None where all will do."""
    # As it would be stored: a tuple is a list there.
    stored = decode(encode(map_of(wanted, "where")))
    if not stored:
        return None
    items, missing = stored.items(), object()

    def has_them(memory: Kept) -> bool:
        metadata = memory.value["metadata"]
        for key, value in items:  # noqa: SIM110  # all(…) takes four times as long, and it is asked of every memory
            if metadata.get(key, missing) != value:
                return False
        return True

    return has_them


class Table:
    """The memories of a kind, by path; with a matrix, also searchable by similarity."""

    def __init__(self, matrix: Matrix | None) -> None:
        self._memories: dict[str, Kept] = {}
        self._expiring: set[str] = set()
        self.matrix = matrix

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} memories, {self.matrix}>"

    def __len__(self) -> int:
        return len(self._memories)

    @property
    def expires(self) -> bool:
        """Whether something in it has a deadline."""
        return bool(self._expiring)

    def apply(self, written: Mapping[str, RawEntry | None]) -> None:
        """Puts in what was written at each path; takes out where that is None."""
        vectors = {path: self._put(path, raw) if raw else self._remove(path) for path, raw in written.items()}
        if self.matrix is not None:
            self.matrix.update(vectors)

    def nearest(self, query: bytes, count: int, now: int, accept: Accept | None = None) -> list[tuple[float, Kept]]:
        """The `count` memories most similar to the query of those accepted and alive: score and memory, the best first."""
        if self.matrix is None:
            return []
        found = self.matrix.nearest(query, count, self._filter(now, accept))
        return [(score, self._memories[path]) for score, path in found]

    def _filter(self, now: int, accept: Accept | None) -> Callable[[str], bool] | None:
        memories = self._memories
        if accept is None and not self._expiring:
            return None
        accepts = accept or _anything

        def passes(path: str) -> bool:
            memory = memories[path]
            return accepts(memory) and not memory.due(now)

        return passes

    def _put(self, path: str, raw: RawEntry) -> bytes:
        self._memories[path], vector = kept_in(path, raw)
        if raw.expiry:
            self._expiring.add(path)
        else:
            self._expiring.discard(path)
        return vector

    def _remove(self, path: str) -> bytes:
        self._memories.pop(path, None)
        self._expiring.discard(path)
        return b""


class Timeline(Table):
    """Episodes, which also have an order: that of their paths."""

    def __init__(self, matrix: Matrix | None) -> None:
        super().__init__(matrix)
        self._order: list[str] = []
        self._shown: dict[str, Episode] = {}

    def latest(self, count: int, now: int, since: str) -> list[Episode]:
        """The latest that are alive, at most `count`, none whose path comes before `since`; the newest first.

        Each is the same object whenever it is asked for.
        """
        paths: Iterable[str] = reversed(self._order[-count:])
        if since or self.expires:
            later = takewhile(lambda path: path >= since, reversed(self._order))
            paths = islice((path for path in later if not self._memories[path].due(now)), count)
        return [self._shown.get(path) or self._show(path) for path in paths]

    def _show(self, path: str) -> Episode:
        return self._shown.setdefault(path, episode_of(self._memories[path]))

    def _put(self, path: str, raw: RawEntry) -> bytes:
        if path not in self._memories:
            insort(self._order, path)
        self._shown.pop(path, None)
        return super()._put(path, raw)

    def _remove(self, path: str) -> bytes:
        if path in self._memories:
            del self._order[bisect_left(self._order, path)]
        self._shown.pop(path, None)
        return super()._remove(path)


def _anything(_: Kept) -> bool:
    return True
