"""The processes of a run: half of them blocking, half asyncio; what is killed is replaced."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.embedded.players import Player
from tests.support.waiting import eventually
from tests.torture.workload.process import DRAIN, SETTLE, Part, clock_file, live, settled_file

__all__ = ["Troupe"]


class Troupe:
    """The living, each in its slot. `part_of(slot, incarnation)` says what it plays."""

    def __init__(self, folder: Path, size: int, part_of: Callable[[int, int], Part]) -> None:
        self._folder, self._size, self._part_of = folder, size, part_of
        self._players: list[Player] = []
        self._parts: list[Part] = []

    def enter(self) -> None:
        """Starts all."""
        (self._folder / "progress").write_bytes(bytes(8 * self._size))
        for slot in range(self._size):
            self._parts.append(self._part_of(slot, 0))
            self._players.append(self._started(slot))

    def _started(self, slot: int) -> Player:
        player = Player()
        player.begin(live, self._parts[slot])
        return player

    def progress(self) -> int:
        """How many calls were answered."""
        return sum(memoryview((self._folder / "progress").read_bytes()).cast("Q"))

    def check(self) -> None:
        """Raises if one has ended by itself."""
        for player, part in zip(self._players, self._parts, strict=True):
            if player.has_answered:
                player.result()
                raise AssertionError(f"{part.process} has ended")

    def kill(self, choice: int) -> None:
        """Kills one with -9, and starts another in its slot."""
        slot = choice % self._size
        self._players[slot].kill()
        self._players[slot].end()
        self._parts[slot] = self._part_of(slot, self._parts[slot].incarnation + 1)
        self._players[slot] = self._started(slot)

    @contextmanager
    def stopped(self, choice: int) -> Iterator[None]:
        """Stops up to half of them meanwhile."""
        count = 1 + choice % max(1, self._size // 2)
        chosen = [self._players[(choice + number) % self._size] for number in range(count)]
        for player in chosen:
            os.kill(player.pid, signal.SIGSTOP)
        yield
        for player in chosen:
            os.kill(player.pid, signal.SIGCONT)

    @contextmanager
    def clock_off(self, choice: int, micros: int) -> Iterator[None]:
        """Moves the clock of one of them meanwhile."""
        file = self._folder / clock_file(choice % self._size)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(micros))
        draft.replace(file)
        yield
        file.unlink()

    def settle(self) -> None:
        """Ends all calls, then lets the watches receive what is left, and waits for the end of all processes."""
        (self._folder / SETTLE).touch()
        eventually(self._settled, 90, "all to make no more calls")
        (self._folder / DRAIN).touch()
        for player in self._players:
            eventually(lambda each=player: each.has_answered, 60, f"{player!r} to end")
            player.result()

    def _settled(self) -> bool:
        self.check()
        return all((self._folder / settled_file(part.process)).exists() for part in self._parts)

    def end(self) -> None:
        """Ends what is left."""
        for player in self._players:
            player.kill()
            player.end()
