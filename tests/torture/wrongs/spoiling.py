"""How a history is spoiled, and the list of all spoilers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.torture.history import Call
from tests.torture.stories import Story

__all__ = ["WRONG", "Spoiler", "call", "index_of", "lose", "replace", "replace_step", "wrong"]

Spoiler = Callable[[Story], Any]
WRONG: list[tuple[str, str, Spoiler]] = []


def wrong(promise: str) -> Callable[[Spoiler], Spoiler]:
    """This makes something wrong, which the rule whose promise begins so is to find."""

    def add(spoil: Spoiler) -> Spoiler:
        WRONG.append((promise, spoil.__name__, spoil))
        return spoil

    return add


def call(story: Story, op: str, number: int = 0) -> Call:
    return story.history.of(op)[number]


def replace(story: Story, number: int, **changes: Any) -> None:
    story.commits[number] = story.commits[number]._replace(**changes)


def replace_step(story: Story, number: int, **changes: Any) -> None:
    steps = story.commits[number].steps
    replace(story, number, steps=(steps[0]._replace(**changes), *steps[1:]))


def index_of(story: Story, path: str, number: int = 0) -> int:
    """Which commit writes this path."""
    return [n for n, each in enumerate(story.commits) if any(step.path == path for step in each.steps)][number]


def lose(story: Story, number: int) -> None:
    """A failover loses a commit, and all that it made."""
    lost = story.commits.pop(number)
    replace(story, number, previous=lost.previous)
