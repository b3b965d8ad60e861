"""The life of a context: finished means no more writes, dropped means gone, and a successor is new."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.torture.checks.timeline import Timelines
from tests.torture.checks.violation import Violation

__all__ = ["unseen_lives", "wrong_lives"]


def wrong_lives(timelines: Timelines) -> Iterator[Violation]:
    """Contexts that outlive their end, or whose watches did not learn of it."""
    for note in timelines.history.noted("life"):
        problem = _wrong(note.facts)
        if problem and not timelines.history.excused(note.facts["address"], note.facts["began"], note.at):
            yield Violation("lives", f"{note.facts['address']}: {problem}", (note,))


def _wrong(life: dict[str, Any]) -> str | None:
    if life["delivered"] != life["wrote"][: len(life["delivered"])]:
        return "its watch delivered something else than was written"
    if not _heard(life):
        return f"its callback was called with {life['heard']}"
    if life["how"] == "finish":
        if life["delivered"] != life["wrote"]:
            return "its watch did not deliver what was written before its end"
        if life["watch"] != "ContextFinished":
            return f"its watch ended with {life['watch']} when it was finished"
        if life["write"] != "ContextFinished":
            return f"a write after the end was answered {life['write']}"
        return None if life["read"] == life["last"] else "what was finished is not what is read"
    if life["watch"] != "ContextGone":
        return f"its watch ended with {life['watch']} when it was dropped"
    if life["read"] is not None:
        return "something is read after it was dropped"
    if life["write"] != "ok" or life["version"] != 1 or life["reborn"] <= life["wrote"][-1]:
        return "its successor is not new"
    return None


def _heard(life: dict[str, Any]) -> bool:
    """Whether a callback was given all until the end, was told of the end, and went on with the successor."""
    heard, wrote = life["heard"], life["wrote"]
    if life["how"] == "finish":
        return bool(heard == wrote)
    end = [life["address"], life["reborn"]]
    return bool(heard[-2:] == end and heard[:-2] == wrote[: len(heard) - 2])


def unseen_lives(timelines: Timelines) -> Iterator[Violation]:
    """Lives of which a watch of the whole store was told otherwise; of what it has missed it says so."""
    history = timelines.history
    for watch in history.noted("lives watched"):
        facts = watch.facts
        for note in history.noted("life"):
            life = note.facts
            address = life["address"]
            known = address not in facts["missed"] and not facts["blind"]
            if life["began"] <= facts["entered"] or history.excused(address, life["began"], note.at):
                continue
            told, expected = facts["told"].get(address, []), _whole(life)
            if told != expected if known else not _is_part(told, expected):
                text = f"{address}: {watch.process} was told of {told}, not {expected}"
                yield Violation("store watches", text, (note,))


def _whole(life: dict[str, Any]) -> list[int | str]:
    """All that there is to be told of a life, and of its successor."""
    return [*life["wrote"], "gone", *([life["reborn"], "gone"] if life["how"] == "drop" else [])]


def _is_part(told: list[int | str], expected: list[int | str]) -> bool:
    """Whether the one is the other without some of it."""
    left = iter(expected)
    return all(each in left for each in told)
