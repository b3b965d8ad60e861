"""Callbacks: one that raises is told of it, each time and in order, and goes on."""

from __future__ import annotations

from collections.abc import Iterator

from tests.torture.checks.timeline import Timelines
from tests.torture.checks.violation import Violation

__all__ = ["untold_errors"]


def untold_errors(timelines: Timelines) -> Iterator[Violation]:
    """Errors of callbacks of which their handlers were not told, or of others than were raised."""
    for note in timelines.history.noted("callback errors"):
        raised, told = note.facts["raised"], note.facts["told"]
        # The last one may be on its way, unless the callback was called once more.
        least = len(raised) if note.facts["whole"] else len(raised) - 1
        if told != raised[: len(told)] or len(told) < least:
            text = f"{note.facts['address']}: {note.facts['name']} raised at {raised[-3:]}, and was told of {told[-3:]}"
            yield Violation("callbacks", text, (note,))
