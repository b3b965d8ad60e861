"""Local tables of a context's memories, for searching. They are kept up to date with entries."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping
from itertools import islice, takewhile
from sys import maxsize

from ccs._core.codec import encode
from ccs._core.commits.entry import RawEntry
from ccs._core.memory.filters import Accept
from ccs._core.memory.fusion import DEPTH, fused
from ccs._core.memory.matrix import Fade, Row
from ccs._core.memory.matrix_per_dimension import Matrices
from ccs._core.memory.records import Kept, episode_of, kept_in, text_in
from ccs._core.memory.search import Search
from ccs._core.memory.word_index import WordIndex
from ccs.types import Episode

__all__ = ["Table", "Timeline"]

Found = list[tuple[float, Kept]]

_NO_ROW = Row(b"", 0)


class Table:
    """The memories of one kind, by path. With matrices, also searchable by similarity."""

    def __init__(self, matrices: Matrices | None) -> None:
        self._memories: dict[str, Kept] = {}
        self._expiring: set[str] = set()
        self._words: WordIndex | None = None
        self.matrices = matrices

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} memories, {self.matrices}>"

    def __len__(self) -> int:
        return len(self._memories)

    @property
    def expires(self) -> bool:
        """Whether any memory in it has a deadline."""
        return bool(self._expiring)

    @property
    def superseded(self) -> int:
        """How many of them no search finds, since another one took their place."""
        return sum("superseded_by" in memory.value for memory in self._memories.values())

    @property
    def dimension(self) -> int:
        """How many numbers a vector has; 0 without vectors."""
        return self.matrices.dimension if self.matrices else 0

    @property
    def size(self) -> int:
        """How many bytes the vectors, the index of words, and all else as it is stored take."""
        values = sum(len(encode(memory.value)) for memory in self._memories.values())
        return values + (self.matrices.size if self.matrices else 0) + (self._words.size if self._words else 0)

    def apply(self, written: Mapping[str, RawEntry | None]) -> None:
        """Puts the entry of each path; removes the path if the entry is None."""
        rows = {path: self._put(path, raw) if raw else self._remove(path) for path, raw in written.items()}
        if self.matrices is not None:
            self.matrices.update(rows)
        if self._words is not None:
            self._words.update({path: self._text(path) if row.vector else None for path, row in rows.items()})

    @property
    def knows_words(self) -> bool:
        """Whether the words of all memories are at hand; else the first search that needs them takes its time."""
        return self._words is not None

    def search(self, query: bytes, search: Search, now: int) -> Found:
        """Returns score and memory of those that are found for a vector and alive at `now` (ms), the best first."""
        if self.matrices is None:
            return []
        accept = self._filter(now, search.accept)
        fade = search.fading and Fade(now * 1000, *search.fading)
        words = self._living_words(now) if search.reads_words else None
        among = words.having(search.keywords) if words is not None and search.keywords else None
        depth = search.most if search.words is None else max(DEPTH, search.most)
        found = self.matrices.nearest(query, depth, accept, among=among, fade=fade)
        if words is not None and search.words is not None:
            by_words = words.ranked(search.words, depth, _both(accept, among))
            found = fused(found, by_words)[: search.most]
        return [(score, self._memories[path]) for score, path in found if score >= search.least]

    def count(self, now: int, accept: Accept | None) -> int:
        """Returns how many of those accepted are alive."""
        passes = self._filter(now, accept)
        return len(self) if passes is None else sum(map(passes, self._memories))

    def _living_words(self, now: int) -> WordIndex:
        """Returns the words of what a search can find: an entry that has expired must not count, swept or not."""
        words = self._indexed() if self._words is None else self._words
        # None meanwhile: an interrupt could leave a half changed index, so then all words are read again.
        self._words = None
        for path in self._expiring:
            if self._memories[path].due(now):
                words.discard(path)
        words.tidy()
        self._words = words
        return words

    def _indexed(self) -> WordIndex:
        words = WordIndex()
        found = self.matrices or ()
        words.update({path: self._text(path) for path in self._memories if path in found})
        return words

    def _text(self, path: str) -> str:
        return text_in(path, self._memories[path].value)

    def _filter(self, now: int, accept: Accept | None) -> Callable[[str], bool] | None:
        memories = self._memories
        if accept is None and not self._expiring:
            return None
        accepts = accept or _anything

        def passes(path: str) -> bool:
            memory = memories[path]
            return accepts(memory) and not memory.due(now)

        return passes

    def _put(self, path: str, raw: RawEntry) -> Row:
        kept, vector = kept_in(path, raw)
        self._memories[path] = kept
        if raw.expiry:
            self._expiring.add(path)
        else:
            self._expiring.discard(path)
        return Row(vector, kept.stored)

    def _remove(self, path: str) -> Row:
        self._memories.pop(path, None)
        self._expiring.discard(path)
        return _NO_ROW


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

    def listed(self, count: int, now: int, after: str, accept: Accept | None = None) -> list[Episode]:
        """Returns at most `count` of those accepted and alive whose id is after `after`, in the order of their ids."""
        names = sorted(self._paths)
        later = (self._paths[name] for name in islice(names, bisect_right(names, after), None))
        alive = filter(self._filter(now, accept), later)
        return [episode_of(self._memories[path]) for path in islice(alive, min(count, maxsize))]

    def _show(self, path: str) -> Episode:
        return self._shown.setdefault(path, episode_of(self._memories[path]))

    def _put(self, path: str, raw: RawEntry) -> Row:
        if path not in self._memories:
            insort(self._order, path)
        self._shown.pop(path, None)
        row = super()._put(path, raw)
        self._paths[self._memories[path].id] = path
        return row

    def _remove(self, path: str) -> Row:
        if path in self._memories:
            del self._order[bisect_left(self._order, path)]
            name = self._memories[path].id
            if self._paths.get(name) == path:  # else it was recorded again, with another time
                del self._paths[name]
        self._shown.pop(path, None)
        return super()._remove(path)


def _anything(_: Kept) -> bool:
    return True


def _both(accept: Callable[[str], bool] | None, among: Iterable[str] | None) -> Callable[[str], bool] | None:
    """Returns whether a path is accepted and among these."""
    if among is None:
        return accept
    paths = set(among)
    return lambda path: path in paths and (accept is None or accept(path))
