"""Topologies that the tests of a process share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Self, TypeVar, cast

from tests.support.topologies.nodes import Topology, subfolder

__all__ = ["SharedTopologies"]

T = TypeVar("T", bound=Topology)


class SharedTopologies:
    """One of each kind, started when it is first asked for, lent to one test after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[object, Topology] = {}
        self._numbers = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for topology in self._started.values():
            topology.stop()

    def get(self, kind: Callable[[Path], T]) -> T:
        """The topology of that kind, which nobody may break."""
        if kind not in self._started:
            topology = kind(subfolder(self._folder, str(next(self._numbers))))
            self._started[kind] = topology.start()
        return cast(T, self._started[kind])

    @contextmanager
    def lent(self, kind: Callable[[Path], T]) -> Iterator[T]:
        """The topology of that kind, empty, for a test that may break it. Afterwards it is repaired."""
        topology = self.get(kind)
        topology.empty()  # tests that only share it leave their keys
        try:
            yield topology
            topology.repair()
        except BaseException:
            # What is beyond repair is not for the next test.
            del self._started[kind]
            topology.stop()
            raise
