"""Agreement: all parties get the same decision, which commits only if all have voted yes in time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from anyio import to_thread

import ccs
import ccs.aio
from ccs._core.codec import encode
from ccs._core.commits.operations import delete_op, renew_op, set_op
from ccs._core.recipes.presence import written
from tests.context.probes import Open
from tests.recipes.work import commit
from tests.support.waiting import aeventually, bounded

ABC = ["a", "b", "c"]
LONG = 60.0
"""Seconds that no test waits: what is decided sooner was decided for another reason."""


async def decided(task: Any, *votes: bool | None, name: str = "n", timeout: float = LONG) -> list[ccs.Decision]:
    """The decisions of the parties a, b, c that vote, all at once."""
    parties = [(party, vote) for party, vote in zip(ABC, votes, strict=True) if vote is not None]
    calls = [party_of(task, party).agree(name, parties=ABC, vote=vote, timeout=timeout) for party, vote in parties]
    return list(await bounded(asyncio.gather(*calls), 20))


def party_of(task: Any, party: str) -> Any:
    return task.store.task("t", agent=party)


async def voted(task: Any, party: str, name: str = "n") -> Any:
    return await aeventually(lambda: task.exists(f"@agreements/{name}/votes/{party}"), what=f"the vote of {party}")


async def time_is_up(task: Any, name: str = "n") -> None:
    """Lets the deadline pass, by the server's clock."""
    path = f"@agreements/{name}/deadline"
    await aeventually(lambda: task.exists(path))
    await commit(task, [renew_op(path, 1)])
    task.handle.expect(1)


async def write(task: Any, values: dict[str, Any]) -> None:
    """Writes the entries that a party which is gone has left behind."""
    await commit(task, [set_op(path, encode(value)) for path, value in values.items()])


async def test_it_commits_when_all_have_voted_yes(task: Any) -> None:
    found = await decided(task, True, True, True)
    assert found == [found[0]] * 3
    decision = found[0]
    assert (decision.name, decision.committed, decision.reason) == ("n", True, "every party voted yes")
    assert decision.votes == {"a": True, "b": True, "c": True}
    assert bool(decision)
    entry = await task.entry("@agreements/n/decision")
    assert (entry.version, entry.created_at) == (1, decision.decided_at)
    assert not await task.exists("@agreements/n/deadline")


async def test_one_no_aborts_at_once_though_others_have_not_voted(task: Any) -> None:
    found = await decided(task, True, False, None)
    assert found == [found[0]] * 2
    assert (found[0].committed, found[0].reason) == (False, "'b' voted no")
    assert found[0].votes.get("b") is False
    assert not found[0]


async def test_when_the_time_is_up_it_aborts_for_all(task: Any) -> None:
    waiting = asyncio.ensure_future(decided(task, True, True, None))
    await voted(task, "a")
    await voted(task, "b")
    await time_is_up(task)
    found = await bounded(waiting)
    assert found == [found[0]] * 2
    assert not found[0].committed
    assert found[0].reason == "the time was up without a vote of 'c'"
    assert found[0].votes == {"a": True, "b": True}


async def test_the_timeout_is_that_of_the_first_caller(task: Any) -> None:
    waiting = asyncio.ensure_future(decided(task, True, None, None, timeout=0.3))
    await aeventually(lambda: task.exists("@agreements/n/terms"))
    late = await decided(task, None, True, None, timeout=LONG)
    assert late == await bounded(waiting)


async def test_a_party_that_comes_late_reads_the_decision_and_cannot_change_it(task: Any) -> None:
    early = await decided(task, True, False, None)
    assert await decided(task, None, None, True) == early[:1]
    assert "c" not in (await task.get("@agreements/n/decision"))["votes"]
    assert await decided(task, True, True, True) == early[:1] * 3


async def test_the_first_vote_of_a_party_counts(task: Any) -> None:
    first = asyncio.ensure_future(decided(task, True, None, None))
    await voted(task, "a")
    again = asyncio.ensure_future(decided(task, False, None, None))
    others = await decided(task, None, True, True)
    assert others[0].committed
    assert await bounded(first) == await bounded(again) == others[:1]


async def test_if_no_party_was_left_to_decide_a_later_one_decides(task: Any, open_store: Open) -> None:
    """All parties have died; only their entries are left, past the deadline."""
    later = await open_store("b")
    terms = {"parties": ABC, "timeout": 50, "present": []}
    await write(task, {"@agreements/n/terms": terms, "@agreements/n/votes/a": {"vote": True}})
    found = await bounded(later.task("t").agree("n", parties=ABC, timeout=LONG))
    assert (found.committed, found.votes) == (False, {"a": True})
    assert found.reason == "the time was up without a vote of 'b' and 'c'"


async def test_if_all_had_voted_yes_in_time_a_later_party_commits(task: Any) -> None:
    terms = {"parties": ABC, "timeout": 50, "present": []}
    votes = {f"@agreements/n/votes/{party}": {"vote": True} for party in ABC}
    await write(task, {"@agreements/n/terms": terms, **votes})
    (found,) = await decided(task, None, True, None)
    assert found.committed


async def test_a_member_that_leaves_before_it_has_voted_aborts_at_once(task: Any) -> None:
    async with party_of(task, "c").join(), party_of(task, "b").join():
        waiting = asyncio.ensure_future(decided(task, True, True, None))
        await voted(task, "b")
    found = await bounded(waiting)
    assert found == [found[0]] * 2
    assert (found[0].committed, found[0].reason) == (False, "'c' left without a vote")


async def test_a_member_that_joins_later_and_leaves_aborts_as_well(task: Any) -> None:
    waiting = asyncio.ensure_future(decided(task, True, None, None))
    await voted(task, "a")
    async with party_of(task, "b").join():
        await task.members()
    assert (await bounded(waiting))[0].reason == "'b' left without a vote"


async def test_a_member_that_comes_and_goes_in_a_moment_aborts_as_well(astore: ccs.aio.Store) -> None:
    """Both commits are sent together, so a waiting party receives them at once."""
    task, path = astore.task("t"), "@members/b"
    waiting = asyncio.ensure_future(decided(task, True, None, None))
    await voted(task, "a")
    operations = set_op(path, encode(written("worker", 60_000, None))), delete_op(path)
    place = party_of(task, "b").handle
    await asyncio.gather(*(place.commit([each]) for each in operations))
    assert (await bounded(waiting))[0].reason == "'b' left without a vote"


async def test_a_member_that_left_is_remembered_when_all_that_saw_it_are_gone(task: Any) -> None:
    await write(task, {"@agreements/n/terms": {"parties": ABC, "timeout": 60_000, "present": ["c"]}})
    await write(task, {"@agreements/n/deadline": {}})
    (found,) = await decided(task, True, None, None)
    assert found.reason == "'c' left without a vote"


async def test_of_two_members_of_one_name_the_last_one_leaving_counts(task: Any) -> None:
    first, second = party_of(task, "b").join(), party_of(task, "b").join()
    await first.enter()
    await second.enter()
    waiting = asyncio.ensure_future(decided(task, True, None, None))
    await voted(task, "a")
    await first.leave()
    await task.set("something", 1)
    assert not await task.exists("@agreements/n/decision")
    await second.leave()
    assert (await bounded(waiting))[0].reason == "'b' left without a vote"


async def test_a_member_that_leaves_after_it_has_voted_changes_nothing(task: Any) -> None:
    async with party_of(task, "a").join():
        waiting = asyncio.ensure_future(decided(task, True, None, None))
        await voted(task, "a")
    assert (await decided(task, None, True, True))[0].committed
    assert (await bounded(waiting))[0].committed


async def test_other_parties_for_the_same_name_are_refused(task: Any) -> None:
    found = await decided(task, True, True, True)
    for parties in (["a", "b"], ["a", "b", "c", "d"]):
        with pytest.raises(ccs.InvalidValue, match="between 'a', 'b' and 'c', not"):
            await party_of(task, "a").agree("n", parties=parties)
    assert await bounded(party_of(task, "a").agree("n", parties=["c", "b", "a", "a"])) == found[0]
    with pytest.raises(ccs.InvalidValue, match="none of the parties"):
        await party_of(task, "d").agree("n", parties=ABC)


async def test_names_do_not_affect_each_other(task: Any) -> None:
    names = ["x", "x/votes/a", "x/decision", "..", "100 % */{a,b}\n"]
    for index, name in enumerate(names):
        found = await decided(task, True, bool(index % 2), True, name=name)
        assert {(each.name, each.committed) for each in found} == {(name, bool(index % 2))}


async def test_it_ends_with_its_context(task: Any) -> None:
    waiting = asyncio.ensure_future(decided(task, True, None, None))
    await voted(task, "a")
    await task.finish("over")
    with pytest.raises(ccs.ContextFinished):
        await bounded(waiting)
    await task.drop()
    waiting = asyncio.ensure_future(decided(task, True, None, None))
    await voted(task, "a")
    await task.drop()
    with pytest.raises(ccs.ContextGone):
        await bounded(waiting)


async def test_a_decision_can_be_read_when_the_context_is_finished(task: Any) -> None:
    found = await decided(task, True, True, True)
    await task.finish()
    assert await decided(task, None, True, None) == found[:1]


@pytest.fixture
async def many_threads() -> None:
    """Each party of the blocking colour waits in a thread; ordinarily there are forty."""
    to_thread.current_default_thread_limiter().total_tokens = 120


@pytest.mark.usefixtures("many_threads")
async def test_fifty_parties_get_one_decision(task: Any) -> None:
    parties = [f"party {index:02}" for index in range(50)]
    for name, against in (("all", None), ("but one", "party 31")):
        calls = [
            party_of(task, party).agree(name, parties=parties, vote=party != against, timeout=LONG) for party in parties
        ]
        found = await bounded(asyncio.gather(*calls), 30)
        assert found == [found[0]] * 50
        assert found[0].committed == (against is None)
        changes = await task.history(f"@agreements/{name}/decision")
        assert [change.op for change in changes] == ["set"], "it was decided more than once"
