"""Inboxes: each message is delivered to one receiver at a time, in order, again until it is acknowledged, and then never."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import ccs
from tests.context.probes import Open, unchanged
from tests.recipes.inboxes import PATIENCE, assert_nothing, contents, lapse, left_behind, nothing_left, take
from tests.support.waiting import aeventually, bounded, counts

# --- Sending and receiving --------------------------------------------------------------------------------------------


async def test_a_message_arrives_with_all_its_fields(open_store: Open) -> None:
    """G11, G12."""
    sender, receiver = (await open_store("gatherer")).task("t"), (await open_store("analyst")).task("t")
    sent = await sender.send("analysis", {"read": [1, b"\x00", None]}, type="task", reply_to="m0")
    got = await take(receiver, "analysis")
    assert (got.id, got.sender, got.to, got.type) == (sent.id, "gatherer", "analysis", "task")
    assert (got.content, got.reply_to) == ({"read": [1, b"\x00", None]}, "m0")
    assert (sent.attempts, got.attempts) == (0, 1)
    assert got.revision == sent.revision == sender.last_revision
    assert got.sent_at == sent.sent_at == (await sender.history("@inbox/**"))[0].at


async def test_messages_are_delivered_in_the_order_of_sending_those_of_a_transaction_included(open_store: Open) -> None:
    """G2."""
    senders = [(await open_store(f"agent {index}")).task("t") for index in range(2)]
    for index in range(6):
        await senders[index % 2].send("r", index)
    async with senders[0].transaction() as tx:
        for index in range(6, 18):
            tx.send("r", index)
    await senders[1].send("r", 18)
    assert await contents(senders[0].inbox("r").unread()) == list(range(19))
    async with senders[1].inbox("r") as inbox:
        assert [(await inbox.receive(timeout=PATIENCE)).content for _ in range(19)] == list(range(19))


async def test_a_message_is_unread_until_it_is_acknowledged_and_then_leaves_nothing_behind(task: Any) -> None:
    await task.send("r", "hello")
    message = await take(task)
    await assert_nothing(task)
    assert [(each.content, each.attempts) for each in await task.inbox("r").unread()] == [("hello", 1)]
    await message.ack()
    await assert_nothing(task)
    assert await task.inbox("r").unread() == []
    assert await left_behind(task) == []


async def test_receiving_is_one_commit_and_so_is_acknowledging(task: Any) -> None:
    await task.send("r", 1)
    async with task.inbox("r") as inbox:
        message = await inbox.receive(timeout=PATIENCE)
        await message.ack()
    assert len({change.revision for change in await task.history("@inbox/**")}) == 3


async def test_two_receivers_never_hold_the_same_message(open_store: Open) -> None:
    task, other = [(await open_store(f"agent {index}")).task("t") for index in range(2)]
    for index in range(4):
        await task.send("r", index)
    async with task.inbox("r") as mine, other.inbox("r") as theirs:
        got = [(await inbox.receive(timeout=PATIENCE)).content for inbox in (mine, theirs, theirs, mine)]
        assert got == [0, 1, 2, 3]
        with pytest.raises(TimeoutError, match="no message for 'r'"):
            await theirs.receive(timeout=0)


async def test_receivers_that_race_get_each_message_once(open_store: Open) -> None:
    stores = [await open_store(f"agent {index}") for index in range(3)]
    count, got = counts(30, 2000), list[int]()

    async def work(task: Any) -> None:
        async for message in task.inbox("r"):
            got.append(message.content)
            await message.ack()

    working = [asyncio.ensure_future(work(store.task("t"))) for store in stores for _ in range(2)]
    for index in range(count):
        await stores[0].task("t").send("r", index)
    await aeventually(lambda: len(got) >= count or any(each.done() for each in working), 30)
    await aeventually(lambda: nothing_left(stores[0].task("t")))
    await stores[0].task("t").finish()
    await bounded(asyncio.gather(*working))
    assert sorted(got) == list(range(count))


async def test_an_answer_names_what_it_answers(open_store: Open) -> None:
    asker, answerer = (await open_store("asker")).task("t"), (await open_store("answerer")).task("t")
    asked = await asker.send("oracle", "how many?")
    await (await take(answerer, "oracle")).reply(42, ttl=60)
    answer = await take(asker, "asker")
    assert (answer.content, answer.sender, answer.type, answer.reply_to) == (42, "answerer", "reply", asked.id)


# --- What comes back --------------------------------------------------------------------------------------------------


async def test_a_message_whose_lease_expires_is_delivered_again_before_younger_ones(open_store: Open) -> None:
    task, other = [(await open_store(f"agent {index}")).task("t") for index in range(2)]
    for index in range(3):
        await task.send("r", index)
    first, second = await take(task), await take(task)
    await lapse(task, first)
    async with other.inbox("r") as inbox:
        again = await inbox.receive(timeout=PATIENCE)
        assert (again.id, again.attempts) == (first.id, 2)
        assert (await inbox.receive(timeout=PATIENCE)).content == 2
    assert second.content == 1


async def test_a_waiting_receiver_gets_a_message_when_its_lease_expires_and_not_before(task: Any) -> None:
    """G9."""
    sent = await task.send("r", 1)
    await take(task, lease=0.2)
    async with task.inbox("r") as inbox:
        again = await inbox.receive(timeout=PATIENCE)
        assert (again.id, again.attempts) == (sent.id, 2)
        leased = [(change.op, change.at) for change in await task.history("@inbox/r/%-/leases/*")]
    assert [op for op, _ in leased] == ["set", "expire", "set"]
    assert leased[1][1] - leased[0][1] >= timedelta(seconds=0.2)


async def test_a_late_ack_changes_nothing_once_another_receiver_has_the_message(task: Any) -> None:
    """Exactly one ack wins."""
    await task.send("r", 1)
    late = await take(task)
    await lapse(task, late)
    current = await take(task)
    for settle in (late.ack, late.release):
        lost = await unchanged(task, settle(), ccs.ClaimLost)
        assert late.id in lost.resource
        assert isinstance(lost.__cause__, ccs.Conflict)
        assert "delivered to somebody else since" in str(lost)
        assert "claim" not in str(lost)
    await current.ack()
    assert await left_behind(task) == []


async def test_a_late_ack_counts_until_another_receiver_takes_the_message(task: Any) -> None:
    await task.send("r", 1)
    late = await take(task)
    await lapse(task, late)
    await late.ack()
    await assert_nothing(task)
    assert await left_behind(task) == []


@pytest.mark.parametrize("before", ["ack", "release"])
@pytest.mark.parametrize("after", ["ack", "release"])
async def test_a_message_is_settled_once(task: Any, before: str, after: str) -> None:
    await task.send("r", 1)
    message = await take(task)
    await getattr(message, before)()
    await unchanged(task, getattr(message, after)(), ccs.ClaimLost)


async def test_only_a_received_message_can_be_settled(task: Any) -> None:
    sent = await task.send("r", 1)
    (unread,) = await task.inbox("r").unread()
    for message in (sent, unread):
        await unchanged(task, message.ack(), ccs.Misuse)
        await unchanged(task, message.release(), ccs.Misuse)


async def test_a_released_message_is_free_at_once_and_keeps_its_order(task: Any) -> None:
    await task.send("r", "old")
    await task.send("r", "young")
    async with task.inbox("r") as inbox:
        old = await inbox.receive(timeout=PATIENCE)
        await old.release()
        again = await take(task)
        assert (again.id, again.attempts) == (old.id, 2)


async def test_a_message_released_with_a_delay_is_free_after_it(task: Any) -> None:
    await task.send("r", 1)
    message = await take(task)
    await message.release(delay=timedelta(seconds=60))
    await assert_nothing(task)
    await unchanged(task, message.ack(), ccs.ClaimLost)
    await lapse(task, message)
    message = await take(task)
    await message.release(delay=0.05)
    released = (await task.history("@inbox/**"))[-1].at
    async with task.inbox("r") as inbox:
        again = await inbox.receive(timeout=PATIENCE)
    assert again.attempts == 3
    assert (await task.history("@inbox/**"))[-1].at >= released + timedelta(seconds=0.05)
    with pytest.raises(ccs.InvalidValue, match="delay"):
        await again.release(delay=-1)


# --- Dead letters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lapse", "release"])
async def test_after_its_last_attempt_a_message_moves_to_the_dead_letters(task: Any, how: str) -> None:
    sent = await task.send("r", "poison", type="task", reply_to="m")
    await task.send("r", "fine")
    for attempt in (1, 2, 3):
        message = await take(task, attempts=3)
        assert (message.id, message.attempts) == (sent.id, attempt)
        await (lapse(task, message) if how == "lapse" else message.release(delay=0))
    assert (await take(task, attempts=3)).content == "fine"
    await unchanged(task, message.ack(), ccs.ClaimLost)
    (dead,) = await task.inbox("r", attempts=3).dead()
    assert (dead.id, dead.attempts, dead.revision, dead.sent_at) == (sent.id, 3, sent.revision, sent.sent_at)
    assert (dead.sender, dead.to, dead.type, dead.content, dead.reply_to) == ("test", "r", "task", "poison", "m")
    assert await contents(task.inbox("r").unread()) == ["fine"]


async def test_a_late_receiver_buries_no_message_that_another_has(task: Any) -> None:
    await task.send("r", 1)
    late = await take(task, attempts=1)
    await lapse(task, late)
    current = await take(task, attempts=5)
    await unchanged(task, late.release(), ccs.ClaimLost)
    await current.ack()
    assert await task.inbox("r", attempts=1).dead() == []


async def test_dead_letters_are_listed_without_any_receiver(task: Any) -> None:
    for index in range(3):
        await task.send("r", index)
    messages = [await take(task, attempts=1) for _ in range(3)]
    assert await task.inbox("r", attempts=1).dead() == []
    for message in reversed(messages):
        await lapse(task, message)
    assert await contents(task.inbox("r", attempts=1).dead()) == [0, 1, 2]
    assert await task.inbox("r").unread() == []


async def test_a_dead_message_that_is_too_large_to_be_moved_holds_up_no_other(open_store: Any) -> None:
    task = (await open_store(max_value_bytes=16 << 20)).task("t")
    await task.send("r", bytes(9 << 20))
    await task.send("r", "small")
    async with task.inbox("r", attempts=1) as inbox:
        message = await inbox.receive(timeout=10)
        with pytest.raises(ccs.ValueTooLarge):
            await message.release()
        await lapse(task, message)
        small = await inbox.receive(timeout=10)
        assert small.content == "small"
        assert await inbox.dead() == []
        await small.ack()
        assert await inbox.count() == 1


async def test_a_dead_letter_is_removed_when_it_is_acknowledged(task: Any) -> None:
    await task.send("r", 1)
    await (await take(task, attempts=1)).release()
    inbox = task.inbox("r", attempts=1)
    dead, same = (await inbox.dead())[0], (await inbox.dead())[0]
    await unchanged(task, dead.release(), ccs.Misuse)
    await dead.ack()
    assert await inbox.dead() == []
    await unchanged(task, same.ack(), ccs.ClaimLost)
    assert await left_behind(task) == []
