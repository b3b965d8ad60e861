"""Local tables of a context's memories, for searching. They are kept up to date with entries."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping
from itertools import islice, takewhile
from sys import maxsize

from ccs._core.commits.entry import RawEntry
from ccs._core.memory.filters import Accept
from ccs._core.memory.matrix_per_dimension import Matrices
from ccs._core.memory.records import Kept, episode_of, kept_in
from ccs.types import Episode

__all__ = ["Table", "Timeline"]


class Table:
    """The memories of one kind, by path. With matrices, also searchable by similarity."""

    def __init__(self, matrices: Matrices | None) -> None:
        self._memories: dict[str, Kept] = {}
        self._expiring: set[str] = set()
        self.matrices = matrices

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} memories, {self.matrices}>"

    def __len__(self) -> int:
        return len(self._memories)

    @property
    def expires(self) -> bool:
        """Whether any memory in it has a deadline."""
        return bool(self._expiring)

    def apply(self, written: Mapping[str, RawEntry | None]) -> None:
        """Puts the entry of each path; removes the path if the entry is None."""
        vectors = {path: self._put(path, raw) if raw else self._remove(path) for path, raw in written.items()}
        if self.matrices is not None:
            self.matrices.update(vectors)

    def nearest(self, query: bytes, count: int, now: int, accept: Accept | None = None) -> list[tuple[float, Kept]]:
        """Returns score and memory of the `count` most similar of those accepted and alive, the best first."""
        if self.matrices is None:
            return []
        found = self.matrices.nearest(query, count, self._filter(now, accept))
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
    """Episodes, also in the order of their paths, which is that of their times."""

    def __init__(self, matrices: Matrices | None) -> None:
        super().__init__(matrices)
        self._order: list[str] = []
        self._paths: dict[str, str] = {}
        self._shown: dict[str, Episode] = {}

    def latest(self, count: int, now: int, since: str) -> list[Episode]:
        """Returns at most `count` of those alive whose path is not before `since`, the newest first.

        Each call returns the same object for the same episode.
        """
        paths: Iterable[str] = reversed(self._order[-count:])
        if since or self.expires:
            later = takewhile(lambda path: path >= since, reversed(self._order))
            paths = islice((path for path in later if not self._memories[path].due(now)), min(count, maxsize))
        return [self._shown.get(path) or self._show(path) for path in paths]

    def path_of(self, id: str) -> str | None:
        """Returns the path of the episode with an id, or None if this table has none."""
        return self._paths.get(id)

    def listed(self, count: int, now: int, after: str) -> list[Episode]:
        """Returns at most `count` of those alive whose id is after `after`, in the order of their ids."""
        names = sorted(self._paths)
        later = (self._paths[name] for name in islice(names, bisect_right(names, after), None))
        alive = (path for path in later if not self._memories[path].due(now))
        return [episode_of(self._memories[path]) for path in islice(alive, min(count, maxsize))]

    def _show(self, path: str) -> Episode:
        return self._shown.setdefault(path, episode_of(self._memories[path]))

    def _put(self, path: str, raw: RawEntry) -> bytes:
        if path not in self._memories:
            insort(self._order, path)
        self._shown.pop(path, None)
        vector = super()._put(path, raw)
        self._paths[self._memories[path].id] = path
        return vector

    def _remove(self, path: str) -> bytes:
        if path in self._memories:
            del self._order[bisect_left(self._order, path)]
            name = self._memories[path].id
            if self._paths.get(name) == path:  # else it was recorded again, with another time
                del self._paths[name]
        self._shown.pop(path, None)
        return super()._remove(path)


def _anything(_: Kept) -> bool:
    return True
