"""What may be wrong with policies, rights and memories; and what ends as it may not."""

from __future__ import annotations

from typing import Any

from tests.torture.stories import Story
from tests.torture.wrongs.spoiling import call, wrong


@wrong("a policy")
def what_is_written_once_is_written_again(story: Story) -> None:
    story.commit(("ledger/1", 2))


@wrong("a policy")
def what_was_not_read_is_overwritten(story: Story) -> None:
    commit = story.commit(("rejected/1", 2))
    story.call("set blindly", revision=commit.revision, writes=[["rejected/1", 2]])


@wrong("a policy")
def a_map_is_replaced(story: Story) -> None:
    story.commit(("merged/1", {"b": 3}))


@wrong("a view")
def a_view_shows_what_is_hidden(story: Story) -> None:
    call(story, "hidden").outcome = "ok"


@wrong("a view")
def a_view_lists_what_is_hidden(story: Story) -> None:
    call(story, "hidden claims").reply["found"] = 1


def visit(story: Story) -> dict[str, Any]:
    return story.history.noted("visit")[0].facts


@wrong("a user has")
def a_user_reads_another_context(story: Story) -> None:
    visit(story)["may"]["hidden"] = "ok"


@wrong("a user has")
def a_user_writes_what_it_may_read(story: Story) -> None:
    visit(story)["may"]["refused"] = "ok"


@wrong("a user has")
def a_user_lists_all_contexts(story: Story) -> None:
    visit(story)["may"]["all"] = "ok"


@wrong("a user has")
def a_user_who_was_removed_goes_on(story: Story) -> None:
    visit(story)["may"]["afterwards"] = "ok"


@wrong("a user has")
def a_user_may_not_do_what_was_granted(story: Story) -> None:
    visit(story)["may"]["write"] = "Forbidden"


@wrong("a user has")
def a_user_is_not_listed(story: Story) -> None:
    visit(story)["listed"] = False


@wrong("every reinforcement")
def a_reinforcement_is_not_counted(story: Story) -> None:
    value = {"successes": 1, "failures": 0, "confidence": 0.7}
    story.commit(("@procedures/p", value))


@wrong("every reinforcement")
def a_reinforcement_counts_twice(story: Story) -> None:
    value = {"successes": 3, "failures": 0, "confidence": 0.7}
    story.commit(("@procedures/p", value))


@wrong("every reinforcement")
def a_failure_counts_as_a_success(story: Story) -> None:
    value = {"successes": 1, "failures": 1, "confidence": 0.7}
    story.commit(("@procedures/p", value))


@wrong("every reinforcement")
def a_confidence_is_another(story: Story) -> None:
    value = {"successes": 2, "failures": 0, "confidence": 0.6}
    story.commit(("@procedures/p", value))


@wrong("a query")
def a_fact_is_found_after_it_was_forgotten(story: Story) -> None:
    call(story, "recall", 1).reply["found"].append("f")


@wrong("a query")
def a_fact_is_not_found(story: Story) -> None:
    call(story, "recall").reply["found"] = ["g"]


@wrong("nothing ends")
def a_call_ends_in_an_undocumented_way(story: Story) -> None:
    story.call("get", outcome="KeyError")


@wrong("nothing ends")
def a_process_fails(story: Story) -> None:
    story.note("failed", error="Traceback")
