"""The checker passes a history in which all is right, and finds each thing that is wrong in another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.torture.checks import RULES, check
from tests.torture.history import Call, Held, Loss
from tests.torture.stories import SECOND, A, Story, right

Spoiler = Callable[[Story], Any]
WRONG: list[tuple[str, str, Spoiler]] = []


def wrong(promise: str) -> Callable[[Spoiler], Spoiler]:
    """This makes something wrong, which the rule whose promise begins so is to find."""

    def add(spoil: Spoiler) -> Spoiler:
        WRONG.append((promise, spoil.__name__, spoil))
        return spoil

    return add


def found(story: Story) -> dict[str, list[Any]]:
    return {promise: violations for promise, violations in check(story.history).items() if violations}


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


def test_a_history_in_which_all_is_right_is_clean() -> None:
    assert found(right()) == {}


# The chain.


@wrong("the chain")
def a_record_is_missing(story: Story) -> None:
    del story.commits[index_of(story, "e/a")]


@wrong("the chain")
def a_revision_falls(story: Story) -> None:
    replace(story, 3, revision=story.commits[1].revision)


@wrong("the chain")
def a_record_tells_another_value_before(story: Story) -> None:
    replace_step(story, 2, before=Held(1, 1, "eve", 1))


@wrong("the chain")
def a_version_is_skipped(story: Story) -> None:
    after = story.commits[2].steps[0].after
    assert after
    replace_step(story, 2, after=after._replace(version=5))


@wrong("the chain")
def an_entry_is_not_what_was_journaled(story: Story) -> None:
    story.history.entries[A]["ledger/1"] = Held(1, 1, "eve", 1)


# Once applied.


@wrong("every identity")
def an_identity_comes_twice(story: Story) -> None:
    replace(story, 1, identity=story.commits[0].identity)


@wrong("every identity")
def a_call_is_applied_again_under_another_identity(story: Story) -> None:
    story.commit(("s/1", 1))


# Acknowledged.


def lose(story: Story, number: int) -> None:
    """A failover loses a commit, and all that it made."""
    lost = story.commits.pop(number)
    replace(story, number, previous=lost.previous)


@wrong("every acknowledged")
def an_acknowledged_commit_is_lost(story: Story) -> None:
    lose(story, 1)


@wrong("every acknowledged")
def what_all_replicas_had_is_lost_by_a_failover(story: Story) -> None:
    lost = call(story, "set", 2)
    story.history.losses.append(Loss(lost.asked, lost.answered))
    lose(story, 2)


@wrong("every acknowledged")
def another_commit_has_the_acknowledged_revision(story: Story) -> None:
    replace(story, 0, agent="eve")


@wrong("every acknowledged")
def an_acknowledged_increment_is_not_there(story: Story) -> None:
    story.call("increment", writes=[["n/1", 8]])


@wrong("every acknowledged")
def a_commit_is_lost_in_a_context_that_had_no_failover(story: Story) -> None:
    lost = call(story, "set", 1)
    story.history.losses.append(Loss(lost.asked, lost.answered, frozenset(["/tasks/another"])))
    story.history.journals["/tasks/another"] = []
    lose(story, 1)


@wrong("nothing of a refused")
def a_refused_call_was_applied(story: Story) -> None:
    story.commit(("s/1", 77))
    story.call("set", outcome="StoreFull", args={"writes": [["s/1", 77]]})


# Reads.


@wrong("reads")
def a_read_shows_what_never_was(story: Story) -> None:
    call(story, "get").reply["found"] = 42


@wrong("reads")
def a_read_is_older_than_what_was_acknowledged(story: Story) -> None:
    call(story, "get").reply["found"] = 1


@wrong("reads")
def a_read_finds_nothing_where_something_is(story: Story) -> None:
    call(story, "get").reply["found"] = None


@wrong("reads")
def an_entry_has_another_author(story: Story) -> None:
    call(story, "entry").reply["found"][2] = "eve"


@wrong("reads")
def several_paths_are_of_two_moments(story: Story) -> None:
    call(story, "get_many").reply["found"]["s/1"] = [1]


@wrong("reads")
def a_snapshot_lacks_an_entry(story: Story) -> None:
    del call(story, "snapshot").reply["found"]["s/2"]


@wrong("reads")
def a_snapshot_is_old(story: Story) -> None:
    first = story.commits[0].revision
    call(story, "snapshot").reply.update(revision=first, found={"s/1": [first, 1]})


@wrong("reads")
def the_past_is_another(story: Story) -> None:
    call(story, "at").reply["found"] = {}


@wrong("reads")
def history_has_a_hole(story: Story) -> None:
    del call(story, "history").reply["found"][1]


@wrong("reads")
def a_difference_is_not_told(story: Story) -> None:
    call(story, "diff").reply["found"].clear()


@wrong("reads")
def a_revision_never_was(story: Story) -> None:
    call(story, "revision").reply["revision"] += 1


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


def test_a_watch_with_the_present_entries_first_is_right() -> None:
    story = right()
    initial(story)
    assert found(story) == {}


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


# Recipes.


@wrong("claims")
def two_hold_a_claim(story: Story) -> None:
    del story.commits[index_of(story, "@claims/r", 1)]


@wrong("claims")
def a_stale_write_is_accepted(story: Story) -> None:
    number = index_of(story, "guarded/r", 1)
    replace_step(story, number, after=Held(1, 1, "bob", 1, 0, {"token": 5}))


@wrong("claims")
def a_token_falls(story: Story) -> None:
    call(story, "claim", 0).reply["token"] = story.last


@wrong("claims")
def a_claim_is_trusted_past_its_end(story: Story) -> None:
    number = story.history.notes.index(story.history.noted("believed")[0])
    story.history.notes[number] = story.history.notes[number]._replace(at=story.time)


@wrong("a key of once")
def a_key_runs_beside_another_run(story: Story) -> None:
    number = index_of(story, "@once/k")
    replace(story, number, steps=story.commits[number].steps[:1])


@wrong("a key of once")
def a_key_runs_again_after_its_result(story: Story) -> None:
    story.commit(("@once/k", {"state": "running"}), ("@runs/k", 1))


@wrong("a key of once")
def a_token_runs_twice(story: Story) -> None:
    story.history.notes.append(story.history.noted("ran")[0])


@wrong("a key of once")
def a_caller_gets_another_result(story: Story) -> None:
    call(story, "once").reply["result"] = 8


INBOX = "@inbox/role/%-"


@wrong("no acknowledged message")
def a_message_is_delivered_after_its_end(story: Story) -> None:
    story.commit((f"{INBOX}/deliveries/m1", {"count": 2}), (f"{INBOX}/leases/m1", 2))


@wrong("no acknowledged message")
def a_message_is_received_after_it_was_acknowledged(story: Story) -> None:
    story.look("receive", id="m1", attempts=2)


@wrong("no acknowledged message")
def a_delivery_is_handed_out_twice(story: Story) -> None:
    story.call("receive", agent="bob", id="m1", attempts=1)


@wrong("no acknowledged message")
def a_message_is_delivered_while_somebody_has_it(story: Story) -> None:
    number = index_of(story, f"{INBOX}/deliveries/m1")
    lease, delivery = story.commits[number].steps
    replace(story, number, steps=(lease._replace(before=lease.after), delivery))


@wrong("no acknowledged message")
def a_message_is_acknowledged_by_somebody_else(story: Story) -> None:
    replace(story, index_of(story, f"{INBOX}/messages/m1", 1), agent="eve")


@wrong("an agreement")
def two_decisions(story: Story) -> None:
    call(story, "agree", 1).reply["committed"] = False


@wrong("an agreement")
def a_decision_without_a_party(story: Story) -> None:
    for each in story.history.of("agree"):
        each.args["parties"] = ["ann", "bob", "eve"]


@wrong("an agreement")
def a_decision_against_a_vote(story: Story) -> None:
    for each in story.history.of("agree"):
        each.args["vote"] = each.agent != "bob"


@wrong("a barrier")
def a_barrier_opens_early(story: Story) -> None:
    for each in story.history.of("barrier"):
        each.args["parties"] = 3


@wrong("what is finished")
def a_finished_context_is_written(story: Story) -> None:
    story.history.noted("life")[0].facts["write"] = "ok"


@wrong("what is finished")
def a_watch_of_a_finished_context_missed_something(story: Story) -> None:
    story.history.noted("life")[0].facts["delivered"] = [1]


@wrong("what is finished")
def a_watch_of_a_dropped_context_is_silent(story: Story) -> None:
    story.history.noted("life")[1].facts["watch"] = "TimeoutError"


@wrong("what is finished")
def a_callback_does_not_go_on_with_the_successor(story: Story) -> None:
    story.history.noted("life")[1].facts["heard"].pop()


@wrong("what is finished")
def a_callback_is_not_told_of_the_end(story: Story) -> None:
    story.history.noted("life")[1].facts["heard"].remove("/tasks/g")


@wrong("what is finished")
def a_callback_is_not_called_with_the_last_change_before_the_end(story: Story) -> None:
    story.history.noted("life")[0].facts["heard"].pop()


@wrong("what is finished")
def a_dropped_context_is_read(story: Story) -> None:
    story.history.noted("life")[1].facts["read"] = 3


@wrong("what is finished")
def a_revision_comes_back_in_another_life(story: Story) -> None:
    story.history.noted("life")[1].facts["reborn"] = 2


@wrong("a policy")
def what_is_written_once_is_written_again(story: Story) -> None:
    story.commit(("ledger/1", 2))


@wrong("a query")
def a_fact_is_not_found(story: Story) -> None:
    call(story, "recall").reply["found"] = ["g"]


@wrong("nothing ends")
def a_call_ends_in_an_undocumented_way(story: Story) -> None:
    story.call("get", outcome="KeyError")


@wrong("nothing ends")
def a_process_fails(story: Story) -> None:
    story.note("failed", error="Traceback")


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
