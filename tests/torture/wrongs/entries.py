"""What may be wrong with commits, and with what is read of them."""

from __future__ import annotations

from tests.torture.history import Held, Loss
from tests.torture.stories import A, Story
from tests.torture.wrongs.spoiling import call, index_of, lose, replace, replace_step, wrong

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
def an_entry_has_the_revision_of_another_commit(story: Story) -> None:
    number = index_of(story, "ledger/1")
    after = story.commits[number].steps[0].after
    assert after
    story.history.entries[A]["ledger/1"] = after._replace(revision=7)
    replace_step(story, number, after=after._replace(revision=7))


@wrong("the chain")
def the_last_revision_falls(story: Story) -> None:
    last = story.commits[-1]
    before = last.steps[0].before
    assert before
    replace(story, -1, revision=last.previous - 1, steps=())
    story.history.entries[A][last.steps[0].path] = before


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
def the_acknowledged_commit_has_another_value(story: Story) -> None:
    call(story, "set", 1).reply["writes"] = [["s/2", 77]]


@wrong("every acknowledged")
def the_acknowledged_commit_has_another_path(story: Story) -> None:
    call(story, "set", 1).reply["writes"] = [["s/3", 2]]


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


@wrong("what is computed")
def an_append_was_applied_twice(story: Story) -> None:
    story.commit(("l/2", [["p.ann", 2]]))


@wrong("what is computed")
def an_update_was_applied_twice(story: Story) -> None:
    story.commit(("u/1", {"by": "p.bob", "n": 1}))
    story.commit(("u/1", {"by": "p.ann", "n": 4}))


@wrong("what is computed")
def a_refused_append_was_applied(story: Story) -> None:
    story.commit(("l/2", [["p.ann", 3]]))
    story.call("append", outcome="Unavailable", args={"sign": ["p.ann", 3]})


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


@wrong("reads")
def a_path_is_not_listed(story: Story) -> None:
    call(story, "paths").reply["found"] = {}


@wrong("reads")
def a_path_is_listed_that_is_not_there(story: Story) -> None:
    call(story, "paths").reply["found"]["n/2"] = []


@wrong("reads")
def a_wait_ends_too_early(story: Story) -> None:
    call(story, "wait_for").reply["enough"] = False


@wrong("reads")
def a_wait_ends_with_an_entry_that_was_replaced(story: Story) -> None:
    call(story, "wait_for").reply["found"][1] = 1


@wrong("reads")
def a_wait_does_not_see_what_is_there(story: Story) -> None:
    call(story, "wait_for", 1).args["reached"] = 2


@wrong("reads")
def a_context_is_not_listed(story: Story) -> None:
    call(story, "contexts").reply["found"].clear()


@wrong("reads")
def a_context_is_listed_as_it_was(story: Story) -> None:
    call(story, "contexts").reply["found"][A] = story.commits[0].revision


@wrong("reads")
def a_revision_is_older_than_what_was_acknowledged(story: Story) -> None:
    call(story, "revision").reply["revision"] = story.commits[0].revision


@wrong("reads")
def a_snapshot_is_of_a_revision_that_never_was(story: Story) -> None:
    call(story, "snapshot").reply["revision"] += 1


@wrong("reads")
def a_context_is_listed_at_a_revision_that_never_was(story: Story) -> None:
    call(story, "contexts").reply["found"][A] += 1


@wrong("reads")
def a_claim_is_listed_after_its_end(story: Story) -> None:
    call(story, "claims", 1).reply["found"] = call(story, "claims", 0).reply["found"]


@wrong("reads")
def an_unread_message_is_not_listed(story: Story) -> None:
    call(story, "unread", 0).reply["found"] = []


@wrong("reads")
def an_acknowledged_message_is_listed(story: Story) -> None:
    call(story, "unread", 1).reply["found"] = ["m1"]


@wrong("reads")
def a_message_is_listed_that_never_was(story: Story) -> None:
    call(story, "unread", 1).reply["found"] = ["m2"]
