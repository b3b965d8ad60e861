"""What may be wrong with watches, callbacks and mirrors."""

from __future__ import annotations

from typing import Any

from tests.torture.history import Loss
from tests.torture.stories import SECOND, Story
from tests.torture.wrongs.spoiling import call, wrong

# Watches.


def watched(story: Story, number: int = 0) -> list[Any]:
    return story.history.watches[number].deliveries


@wrong("watches")
def a_watch_misses_a_change(story: Story) -> None:
    del watched(story)[1]


@wrong("watches")
def a_watch_misses_the_last_change_that_it_passed(story: Story) -> None:
    watched(story).pop()


@wrong("watches")
def a_watch_delivers_twice(story: Story) -> None:
    watched(story).insert(1, watched(story)[0])


@wrong("watches")
def a_watch_delivers_in_another_order(story: Story) -> None:
    watched(story).reverse()


@wrong("watches")
def a_watch_delivers_half_of_a_commit(story: Story) -> None:
    del watched(story)[2]
    assert watched(story)[1].revision != watched(story)[2].revision


@wrong("watches")
def a_watch_delivers_what_does_not_match(story: Story) -> None:
    watched(story)[0] = watched(story)[0]._replace(path="t/1")


@wrong("watches")
def a_watch_tells_another_value_before(story: Story) -> None:
    watched(story)[1] = watched(story)[1]._replace(previous=None)


@wrong("watches")
def a_watch_tells_of_a_creation_that_was_none(story: Story) -> None:
    watched(story)[1] = watched(story)[1]._replace(created=True)


@wrong("watches")
def a_watch_that_resumes_begins_late(story: Story) -> None:
    story.watch("s/*", base=story.commits[2].revision).base = story.commits[0].revision


@wrong("watches")
def a_watch_that_resumes_begins_early(story: Story) -> None:
    story.watch("s/*", base=story.commits[0].revision).base = story.commits[1].revision


@wrong("watches")
def a_live_watch_begins_late(story: Story) -> None:
    watch = story.watch("s/*", base=story.commits[1].revision)
    watch.since, watch.entered = None, call(story, "set", 0).asked - SECOND


@wrong("watches")
def a_watch_is_told_of_no_fork_after_what_never_was(story: Story) -> None:
    watched(story)[1] = watched(story)[1]._replace(revision=7)


@wrong("watches")
def a_watch_is_told_of_a_fork_that_there_was_not(story: Story) -> None:
    story.history.watches[0].end = "HistoryForked"


@wrong("watches")
def a_watch_is_closed_past_a_lost_commit_without_a_word(story: Story) -> None:
    lost = watched(story)[-1]._replace(revision=story.last - SECOND // 2)
    watched(story).append(lost)
    story.history.losses.append(Loss(lost.revision, lost.revision))


@wrong("watches")
def a_watch_goes_on_past_a_lost_commit(story: Story) -> None:
    first, second = watched(story)[:2]
    lost = second._replace(revision=first.revision + 1)
    watched(story).insert(1, lost)
    story.history.losses.append(Loss(lost.revision, lost.revision))


@wrong("watches")
def a_watch_misses_a_change_before_it_is_told_of_a_fork(story: Story) -> None:
    lost = watched(story)[-1]._replace(revision=story.last - SECOND // 2)
    watched(story).append(lost)
    del watched(story)[1]
    watch = story.history.watches[0]
    watch.end, watch.cursor = "HistoryForked", lost.revision
    story.history.losses.append(Loss(lost.revision, lost.revision))


@wrong("watches")
def an_event_is_not_delivered(story: Story) -> None:
    watched(story, 1).pop()


@wrong("watches")
def a_watch_ends_for_no_reason(story: Story) -> None:
    story.history.watches[0].end = "HistoryCompacted"


def initial(story: Story) -> None:
    """A watch that is given the present entries first, in the middle of the story."""
    moment = story.commits[2].revision
    watch = story.watch("s/*", base=moment, kind="initial")
    watch.base, watch.since, watch.asked, watch.entered = 0, None, moment + 200, moment + 300
    entries = [story.commits[number].steps[0].after for number in (1, 2)]
    present = zip(("s/2", "s/1"), entries, strict=True)
    watch.deliveries[:0] = [
        watched(story)[0]._replace(path=path, op="set", revision=held.revision, version=held.version, mark=held.mark,
                                   previous=None, created=held.version == 1, agent=held.agent)
        for path, held in present if held
    ]  # fmt: skip


@wrong("watches")
def a_present_entry_is_missing(story: Story) -> None:
    initial(story)
    del watched(story, -1)[0]


@wrong("watches")
def a_change_is_missing_behind_the_present_entries(story: Story) -> None:
    initial(story)
    del watched(story, -1)[2]


# Callbacks.


@wrong("watches")
def a_callback_misses_a_change(story: Story) -> None:
    del watched(story, 2)[1]


@wrong("watches")
def a_callback_misses_the_first_change_after_it_was_live(story: Story) -> None:
    del watched(story, 2)[0]


@wrong("watches")
def a_callback_misses_the_last_change(story: Story) -> None:
    watched(story, 2).pop()


@wrong("watches")
def a_callback_is_called_with_what_came_before_it_was_made(story: Story) -> None:
    first = story.commits[0]
    watched(story, 2).insert(0, watched(story, 2)[0]._replace(path="s/1", revision=first.revision, version=1))


@wrong("watches")
def a_callback_of_memory_tells_another_value_before(story: Story) -> None:
    watched(story, 3)[1] = watched(story, 3)[1]._replace(previous=None)


@wrong("watches")
def a_callback_of_memory_is_called_twice(story: Story) -> None:
    watched(story, 3).append(watched(story, 3)[-1])


@wrong("a callback that raises")
def an_error_is_not_told(story: Story) -> None:
    story.history.noted("callback errors")[0].facts["told"] = []


@wrong("a callback that raises")
def an_error_is_told_twice(story: Story) -> None:
    story.history.noted("callback errors")[1].facts["told"] = [[1, "s/1"], [1, "s/1"]]


@wrong("a callback that raises")
def an_error_of_another_change_is_told(story: Story) -> None:
    story.history.noted("callback errors")[1].facts["told"] = [[2, "s/1"]]


# The lives of others.


def lives(story: Story, number: int = 0) -> dict[str, list[Any]]:
    told: dict[str, list[Any]] = story.history.noted("lives watched")[number].facts["told"]
    return told


@wrong("a watch of the store")
def a_new_context_is_not_told(story: Story) -> None:
    del lives(story)["/tasks/l"]


@wrong("a watch of the store")
def the_first_commit_of_a_new_context_is_not_told(story: Story) -> None:
    del lives(story)["/tasks/g"][0]


@wrong("a watch of the store")
def an_end_is_not_told(story: Story) -> None:
    lives(story)["/tasks/l"].pop()


@wrong("a watch of the store")
def an_end_is_told_too_early(story: Story) -> None:
    lives(story)["/tasks/g"][1:3] = ["gone", 2]


@wrong("a watch of the store")
def a_successor_is_not_told(story: Story) -> None:
    lives(story)["/tasks/g"].remove(3)


@wrong("a watch of the store")
def what_is_told_beside_what_is_missed_never_was(story: Story) -> None:
    lives(story, 1)["/tasks/l"] = [7]


# Mirrors.


@wrong("mirrors")
def a_mirror_lacks_an_entry(story: Story) -> None:
    del story.history.noted("mirror")[0].facts["found"]["s/2"]


@wrong("mirrors")
def a_mirror_goes_back(story: Story) -> None:
    early, late = story.history.noted("mirror")
    late.facts.update(early.facts)
    early.facts.update(revision=story.last, found={})
