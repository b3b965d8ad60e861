"""What may be wrong with what agents do together, and with the lives of contexts."""

from __future__ import annotations

from dataclasses import replace as replaced

from tests.torture.history import Held
from tests.torture.stories import SECOND, A, Story
from tests.torture.wrongs.spoiling import call, index_of, replace, replace_step, wrong


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
def a_token_falls_where_any_was_taken(story: Story) -> None:
    taken = call(story, "claim_any")
    story.look("claim_any", revision=taken.revision - 1, token=taken.revision - 1, resource="q")


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
def a_key_goes_on_under_a_lease_of_its_own_after_its_result(story: Story) -> None:
    story.commit(("@runs/k", 1), ("@once/k", {"state": "running"}))
    story.commit(("@runs/k", None), ("@once/k", {"state": "done", "result": 7}))


@wrong("a key of once")
def a_run_has_a_token_that_never_was(story: Story) -> None:
    story.note("ran", address=A, key="k", token=story.last + 1)


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
def a_delivery_is_handed_out_to_two(story: Story) -> None:
    taken = call(story, "receive")
    story.history.calls.insert(story.history.calls.index(taken), replaced(taken, agent="eve"))


@wrong("no acknowledged message")
def a_message_is_sent_twice(story: Story) -> None:
    number = index_of(story, f"{INBOX}/deliveries/m1")
    step = story.commits[index_of(story, f"{INBOX}/messages/m1")].steps[0]
    replace(story, number, steps=(*story.commits[number].steps, step))


@wrong("no acknowledged message")
def a_delivery_is_miscounted(story: Story) -> None:
    number = index_of(story, f"{INBOX}/deliveries/m1")
    lease, delivery = story.commits[number].steps
    assert delivery.after
    counted = delivery.after._replace(value={"count": 3})
    replace(story, number, steps=(lease, delivery._replace(after=counted)))


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
def a_barrier_opens_before_the_last_has_come(story: Story) -> None:
    last = story.history.of("barrier")[1]
    last.asked += SECOND
    last.answered += SECOND


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
def a_watch_of_a_dropped_context_delivered_what_was_not_written(story: Story) -> None:
    story.history.noted("life")[1].facts["delivered"] = [2]


@wrong("what is finished")
def a_watch_of_a_finished_context_does_not_end(story: Story) -> None:
    story.history.noted("life")[0].facts["watch"] = "TimeoutError"


@wrong("what is finished")
def what_is_finished_is_read_otherwise(story: Story) -> None:
    story.history.noted("life")[0].facts["read"] = 2


@wrong("what is finished")
def a_successor_cannot_be_written(story: Story) -> None:
    story.history.noted("life")[1].facts["write"] = "ContextFinished"


@wrong("what is finished")
def a_successor_has_the_versions_of_the_one_before(story: Story) -> None:
    story.history.noted("life")[1].facts["version"] = 3


@wrong("what is finished")
def a_callback_is_called_with_what_was_not_written(story: Story) -> None:
    story.history.noted("life")[1].facts["heard"][0] = 2


@wrong("what is finished")
def a_dropped_context_is_read(story: Story) -> None:
    story.history.noted("life")[1].facts["read"] = 3


@wrong("what is finished")
def a_revision_comes_back_in_another_life(story: Story) -> None:
    story.history.noted("life")[1].facts.update(reborn=2, heard=[1, "/tasks/g", 2])
