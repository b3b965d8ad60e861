"""An overview: how the agents of a context work together, now and at an earlier moment; and what changes mean."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ccs

ROOTS = ("@claims/**", "@waiting/**", "@members/**", "@inbox/**", "@once/**", "@agreements/**", "@barriers/**")


async def test_it_shows_who_holds_what_and_who_waits(task: Any) -> None:
    async with task.claim("sources/a b%", note="reading"):
        waiting = asyncio.ensure_future(task.claim("sources/a b%", wait=30).acquire())
        await task.wait_for_count("@waiting/**", 1, timeout=10)
        seen = await task.overview("claims")
        (claim,) = seen.claims
        assert (claim.resource, claim.note, claim.waiting) == ("sources/a b%", "reading", (task.agent,))
        assert [each.waiting for each in await task.claims()] == [(task.agent,)]
    await (await waiting).release()
    assert (await task.overview("claims")).claims == ()
    (held,) = (await task.overview("claims", when=seen.revision)).claims
    assert (held.resource, held.waiting) == ("sources/a b%", (task.agent,))


async def test_it_shows_messages_without_receiving_them(task: Any) -> None:
    for number in range(3):
        await task.send("analyst/deep", number)
    async with task.inbox("analyst/deep", attempts=1) as inbox:
        message = await inbox.receive(timeout=10)
        (box,) = (await task.overview("inboxes")).inboxes
        assert [(each.content, each.held_by, each.attempts) for each in box.unread] == [
            (0, task.agent, 1),
            (1, None, 0),
            (2, None, 0),
        ]
        assert (box.role, box.dead) == ("analyst/deep", ())
        await message.release()
    (box,) = (await task.overview()).inboxes
    assert [each.content for each in (*box.unread, *box.dead)] in ([0, 1, 2], [1, 2, 0])
    assert len(await task.inbox("analyst/deep", attempts=1).dead()) == 1
    (box,) = (await task.overview()).inboxes
    assert ([each.content for each in box.unread], [each.content for each in box.dead]) == ([1, 2], [0])


async def test_it_shows_runs_agreements_barriers_and_policies(task: Any) -> None:
    await task.once("invoice/7", lambda: "sent")
    await task.agree("deploy/v2", parties=[task.agent])
    await task.barrier("warm", parties=1)
    await task.set_policy("ledger/**", "write-once")
    async with task.join("reviewer", meta=1):
        seen = await task.overview()
        assert [(member.agent, member.role) for member in seen.members] == [(task.agent, "reviewer")]
    assert [(run.key, run.state, run.attempts, run.error) for run in seen.runs] == [("invoice/7", "done", 1, "")]
    (agreement,) = seen.agreements
    assert (agreement.name, agreement.parties, agreement.votes) == ("deploy/v2", (task.agent,), {task.agent: True})
    assert agreement.decision
    assert agreement.decision.committed
    assert [(barrier.name, barrier.parties, barrier.open) for barrier in seen.barriers] == [("warm", 1, True)]
    assert seen.policies == {"ledger/**": "write-once"}
    assert (await task.overview("runs")).policies == {}


async def test_a_kind_that_there_is_not_is_refused(task: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match="claims, members"):
        await task.overview("claim")


async def test_changes_of_the_system_are_told_in_words(task: Any) -> None:
    async with task.join("reader"):
        async with task.claim("sources/a"):
            pass
        sent = await task.send("analyst", "hello")
        async with task.inbox("analyst") as inbox:
            await (await inbox.receive(timeout=10)).ack()
    await task.once("key", lambda: 1)
    await task.agree("deploy", parties=[task.agent])
    await task.barrier("warm", parties=1)
    seen = [ccs.activity(change) for change in await task.history(*ROOTS)]
    told = [(each.kind, each.name) for each in seen if each]
    assert told == [
        ("joined", "reader"),
        ("claimed", "sources/a"),
        ("released", "sources/a"),
        ("sent", "analyst"),
        ("received", "analyst"),
        ("settled", "analyst"),
        ("left", "reader"),
        ("began", "key"),
        ("done", "key"),
        ("voted", "deploy"),
        ("decided", "deploy"),
        ("opened", "warm"),
    ]
    assert {each.id for each in seen if each and each.name == "analyst"} == {sent.id}


async def test_what_users_write_has_no_meaning_of_its_own(task: Any) -> None:
    await task.set("claims/a", 1)
    assert [ccs.activity(change) for change in await task.history()] == [None]


async def test_watches_and_histories_may_hold_events_too(task: Any) -> None:
    async with task.watch("data/**", events=True) as both:
        await task.set("data/a", 1)
        await task.publish("data/ready", 2)
        await task.publish("other", 3)
        await task.set("data/b", 4)
        seen = [await both.receive(timeout=10) for _ in range(3)]
    names = [each.topic if isinstance(each, ccs.Event) else each.path for each in seen]
    assert names == ["data/a", "data/ready", "data/b"]
    assert await task.history("data/**", events=True) == seen
    assert await task.history("data/**", events=True, newest_first=True, limit=2) == [seen[2], seen[1]]
    assert [each.path for each in await task.history("data/**")] == ["data/a", "data/b"]
