"""What a process writes down, note by note, so that a kill loses only the tail; and how it is read again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack

from tests.torture.history import Call, Delivery, History, Note, Watching

__all__ = ["Diary", "now", "read_diaries"]

SUFFIX = ".notes"
ASK, ANSWER, OPEN, ENTERED, DELIVERED, END, NOTE = range(7)


def now() -> int:
    """The time in microseconds."""
    return time.time_ns() // 1000


class Diary:
    """The file of one process."""

    def __init__(self, folder: Path, process: str) -> None:
        self.process = process
        self._file = os.open(folder / f"{process}{SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._number = 0

    def _write(self, *words: Any) -> None:
        os.write(self._file, msgpack.packb(words))

    def ask(self, agent: str, op: str, address: str, seen: int, args: dict[str, Any]) -> int:
        """Notes what is about to be asked. Returns its number."""
        self._number += 1
        self._write(ASK, self._number, now(), agent, op, address, seen, args)
        return self._number

    def answer(self, number: int, outcome: str, knows: int, reply: dict[str, Any]) -> None:
        """Notes what was answered."""
        self._write(ANSWER, number, now(), outcome, knows, reply)

    def open(self, name: str, address: str, kind: str, patterns: tuple[str, ...], since: int | None) -> None:
        """Notes a watch that is about to be entered."""
        self._write(OPEN, name, address, kind, patterns, since, now())

    def entered(self, name: str, base: int) -> None:
        """Notes that it was, and where it begins."""
        self._write(ENTERED, name, now(), base)

    def delivered(self, name: str, deliveries: list[Delivery]) -> None:
        """Notes what it handed out."""
        self._write(DELIVERED, name, deliveries)

    def end(self, name: str, how: str, cursor: int) -> None:
        """Notes its end, and its cursor then."""
        self._write(END, name, how, now(), cursor)

    def note(self, kind: str, **facts: Any) -> None:
        """Notes something else."""
        self._write(NOTE, now(), kind, facts)


def read_diaries(folder: Path, history: History) -> None:
    """Adds what all processes have written to a history."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        _read(path, path.name.removesuffix(SUFFIX), history)
    history.calls.sort(key=lambda call: call.asked)


def _notes(path: Path) -> Iterator[list[Any]]:
    """The notes that were written whole."""
    with path.open("rb") as file:
        yield from msgpack.Unpacker(file, strict_map_key=False)


def _read(path: Path, process: str, history: History) -> None:
    calls: dict[int, Call] = {}
    watches: dict[str, Watching] = {}
    for kind, *words in _notes(path):
        if kind == ASK:
            calls[words[0]] = Call(process, *words)
        elif kind == ANSWER:
            call = calls[words[0]]
            call.answered, call.outcome, call.knows, call.reply = words[1:]
        elif kind == OPEN:
            name, address, what, patterns, since, asked = words
            watches[name] = Watching(process, name, address, what, tuple(patterns), since, asked)
        elif kind == ENTERED:
            watches[words[0]].entered, watches[words[0]].base = words[1:]
        elif kind == DELIVERED:
            watches[words[0]].deliveries.extend(Delivery(*each) for each in words[1])
        elif kind == END:
            watch = watches[words[0]]
            watch.end, watch.ended, watch.cursor = words[1:]
        else:
            history.notes.append(Note(process, *words))
    history.calls.extend(calls.values())
    history.watches.extend(watches.values())
