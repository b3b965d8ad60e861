"""The checker passes a history in which all is right, and finds each thing that is wrong in another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.torture.checks import RULES, check
from tests.torture.history import Loss
from tests.torture.stories import A, Story, right
from tests.torture.wrongs import WRONG
from tests.torture.wrongs.changes import initial
from tests.torture.wrongs.spoiling import Spoiler, lose


def found(story: Story) -> dict[str, list[Any]]:
    return {promise: violations for promise, violations in check(story.history).items() if violations}


def test_a_history_in_which_all_is_right_is_clean() -> None:
    assert found(right()) == {}


def test_a_watch_with_the_present_entries_first_is_right() -> None:
    story = right()
    initial(story)
    assert found(story) == {}


@pytest.mark.parametrize(("promise", "spoil"), [(p, s) for p, _, s in WRONG], ids=[name for _, name, _ in WRONG])
def test_what_is_wrong_is_found(promise: str, spoil: Spoiler) -> None:
    story = right()
    spoil(story)
    assert any(each.startswith(promise) for each in found(story)), found(story)


def test_every_rule_has_a_wrong_history() -> None:
    assert [each for each in RULES if not any(each.startswith(promise) for promise, _, _ in WRONG)] == []


def test_a_failover_may_lose_what_not_every_replica_had() -> None:
    """Given a commit of the time of a failover, when it is gone, then a watch that had it must be told of a fork."""
    story = Story()
    story.set("s/1", 1)
    lost = story.set("s/2", 2)
    story.set("s/3", 3)
    story.watch("s/*", base=story.commits[0].revision).deliveries = []
    watch = story.watch("s/*", base=story.commits[0].revision)
    del watch.deliveries[1:]
    watch.end, watch.cursor = "HistoryForked", lost.revision
    lose(story, 1)
    del story.history.entries[A]["s/2"]
    story.history.watches.pop(0)
    story.history.losses.append(Loss(lost.asked, lost.answered))
    assert found(story) == {}
    story.history.losses.clear()
    assert len(found(story)) == 2
