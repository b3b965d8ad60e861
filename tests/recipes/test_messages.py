"""What senders and receivers do with single messages: delays, ids, priorities, leases that last, recalls, blocks."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import ccs
from ccs._async.context_handle import Handle
from ccs._core.commits.operations import delete_op
from ccs._core.recipes.inbox import inbox_paths
from tests.context.probes import Open, unchanged
from tests.recipes.inboxes import PATIENCE, assert_nothing, contents, lapse, left_behind, nothing_left, take
from tests.recipes.work import commit
from tests.support.waiting import aeventually, bounded, counts, scaled

PATHS = inbox_paths("r")
# Long: what is had within PATIENCE was given back, and did not lapse.
LONG = 300.0


async def ends_in(task: Any, message: Any) -> timedelta:
    """How long the lease on a message lasts, by the clock of this machine, which is the server's."""
    lease = await task.entry(PATHS.at("leases", message.id))
    return lease.expires_at - datetime.now(UTC)  # type: ignore[no-any-return]  # of an Any


# --- Leases that last as long as the work -----------------------------------------------------------------------------


@pytest.mark.parametrize("renew", [None, 1, "no"])
async def test_renew_is_a_truth_value(task: Any, renew: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match=f"renew is {renew!r}: give True or False"):
        task.inbox("r", renew=renew)


async def test_a_lease_is_extended_from_now_on_without_a_commit(task: Any) -> None:
    await task.send("r", 1)
    message = await take(task, lease=5)
    before = await task.revision()
    await message.extend(600)
    assert await ends_in(task, message) > timedelta(seconds=500)
    await message.extend(timedelta(seconds=20))
    assert await ends_in(task, message) <= timedelta(seconds=20)
    assert await task.revision() == before
    await message.ack()
    assert await left_behind(task) == []


async def test_a_message_that_was_acknowledged_has_no_lease_to_extend(task: Any) -> None:
    await task.send("r", 1)
    message = await take(task)
    await message.ack()
    with pytest.raises(ccs.Misuse, match="and has no lease to extend"):
        await message.extend(60)


async def test_a_lease_that_has_ended_is_not_extended_but_an_ack_still_counts(task: Any) -> None:
    await task.send("r", 1)
    message = await take(task)
    await lapse(task, message)
    with pytest.raises(ccs.ClaimLost, match="has ended; extend it earlier"):
        await message.extend(60)
    await message.ack()
    with pytest.raises(ccs.ClaimLost):
        await message.extend(60)
    assert await left_behind(task) == []


async def test_only_the_receiver_that_has_a_message_extends_its_lease(task: Any) -> None:
    await task.send("r", 1)
    late = await take(task)
    await lapse(task, late)
    current = await take(task)
    ends = (await task.entry(PATHS.at("leases", current.id))).expires_at
    lost = await unchanged(task, late.extend(600), ccs.ClaimLost)
    assert "delivered to somebody else since" in str(lost)
    assert (await task.entry(PATHS.at("leases", current.id))).expires_at == ends
    (unread,) = await task.inbox("r").unread()
    with pytest.raises(ccs.Misuse, match="was not received"):
        await unread.extend(1)
    with pytest.raises(ccs.InvalidValue):
        await current.extend(0)


async def test_an_extended_lease_is_given_back_with_its_inbox(open_store: Open) -> None:
    task, other = (await open_store()).task("t"), (await open_store("other")).task("t")
    await task.send("r", 1)
    async with task.inbox("r", lease=0.2) as inbox:
        message = await inbox.receive(timeout=PATIENCE)
        await message.extend(LONG)
    async with other.inbox("r") as inbox:
        assert (await inbox.receive(timeout=PATIENCE)).attempts == 2


async def test_a_present_agents_extended_lease_is_held_in_parts(task: Any) -> None:
    """The claim to a message goes with its agent, and lasts as long as was asked for while it is there."""
    await task.send("r", 1)
    async with task.join(ttl=scaled(0.6)):
        message = await take(task, lease=0.1)
        await message.extend(600)
        assert await ends_in(task, message) <= timedelta(seconds=scaled(0.6))
        first = (await task.entry(PATHS.at("leases", message.id))).expires_at

        async def renewed() -> bool:
            return bool((await task.entry(PATHS.at("leases", message.id))).expires_at > first)

        await aeventually(renewed)
        await message.ack()


async def test_with_renew_a_lease_lives_as_long_as_the_message(task: Any) -> None:
    await task.send("r", 1)
    message = await take(task, lease=scaled(0.6), renew=True)
    path = PATHS.at("leases", message.id)
    first = (await task.entry(path)).expires_at

    async def outlived() -> bool:
        return bool((await task.entry(path)).expires_at > first + timedelta(seconds=scaled(0.6)))

    await aeventually(outlived, what="the lease to be renewed beyond twice its length")
    assert message.attempts == 1
    await assert_nothing(task)
    await message.ack()
    assert await left_behind(task) == []
    assert [change.op for change in await task.history(path)] == ["set", "delete"]


async def test_with_renew_an_extension_is_never_shorter_than_the_lease(task: Any) -> None:
    await task.send("r", 1)
    message = await take(task, lease=30, renew=True)
    await message.extend(0.01)
    assert await ends_in(task, message) > timedelta(seconds=20)


async def test_with_renew_a_forgotten_message_is_given_back(open_store: Open) -> None:
    task, other = (await open_store()).task("t"), (await open_store("other")).task("t")
    await task.send("r", 1)
    async with task.inbox("r", lease=LONG, renew=True) as inbox:
        message = await inbox.receive(timeout=PATIENCE)
        async with other.inbox("r") as theirs:
            waiting = asyncio.ensure_future(theirs.receive(timeout=PATIENCE))
            del message
            gc.collect()
            assert (await bounded(waiting, 20)).attempts == 2


async def test_with_renew_what_is_lost_is_not_held_again(task: Any, open_store: Open) -> None:
    """Given a message whose lease was lost to another receiver, when its time to renew comes, then nothing changes."""
    await task.send("r", 1)
    late = await take(task, lease=scaled(0.3), renew=True)
    await lapse(task, late)
    current = await take((await open_store("other")).task("t"), lease=LONG)
    ends = (await task.entry(PATHS.at("leases", current.id))).expires_at
    with pytest.raises(ccs.ClaimLost):
        await late.extend(1)
    dispatcher = late.blocking if hasattr(late, "blocking") else late
    lease = dispatcher._delivery.lease._lease
    await aeventually(lambda: lease.lost, what="the renewal to find that it is lost")
    assert (await task.entry(PATHS.at("leases", current.id))).expires_at == ends


# --- Blocks -----------------------------------------------------------------------------------------------------------


async def test_a_block_acknowledges_at_its_end_and_releases_on_an_error(task: Any) -> None:
    await task.send("r", 1)
    async with task.inbox("r") as inbox:
        with pytest.raises(ZeroDivisionError):
            async with await inbox.receive(timeout=PATIENCE):
                raise ZeroDivisionError
        async with await inbox.receive(timeout=PATIENCE) as message:
            assert (message.content, message.attempts) == (1, 2)
        assert await left_behind(task) == []


async def test_a_block_leaves_a_message_alone_that_was_settled_inside(task: Any) -> None:
    await task.send("r", 1)
    async with await take(task) as message:
        await message.release(delay=LONG)
    assert await task.inbox("r").count() == 1
    await assert_nothing(task)


async def test_a_block_whose_message_was_lost_says_so_unless_an_error_leaves_it(
    task: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def lose_it(error: type[Exception] | None) -> None:
        async with await take(task) as message:
            await lapse(task, message)
            await (await take(task)).ack()
            if error:
                raise error

    for error in (None, ZeroDivisionError):
        await task.send("r", 1)
        with pytest.raises(error or ccs.ClaimLost):
            await lose_it(error)
    assert "was not released" in caplog.text


async def test_a_block_buries_a_message_that_failed_for_the_last_time_and_keeps_dead_letters(task: Any) -> None:
    await task.send("r", 1)
    with pytest.raises(ZeroDivisionError):
        async with await take(task, attempts=1):
            raise ZeroDivisionError
    for error in (ZeroDivisionError, None):
        (dead,) = await task.inbox("r", attempts=1).dead()
        with pytest.raises(ccs.Misuse, match="dead letter"):
            await dead.extend(1)
        try:
            async with dead:
                if error:
                    raise error
        except ZeroDivisionError:
            pass
    assert await left_behind(task) == []
    (sent,) = [await task.send("r", 2)]
    with pytest.raises(ccs.Misuse, match="was not received"):
        async with sent:
            pass


async def test_a_block_that_is_cancelled_releases_at_once(aconnect: Any) -> None:
    """G14."""
    task = aconnect().task("t")
    await task.send("r", 1)
    inbox, inside = task.inbox("r", lease=LONG), asyncio.Event()

    async def work() -> None:
        async with await inbox.receive(timeout=PATIENCE):
            inside.set()
            await asyncio.Event().wait()

    working = asyncio.ensure_future(work())
    await bounded(inside.wait())
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert (await take(aconnect("other").task("t"))).attempts == 2
    await inbox.aclose()


# --- Delays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["delay", "at", "transaction"])
async def test_a_delayed_message_comes_when_its_time_has_come_and_not_before(task: Any, how: str) -> None:
    """G9: a waiting receiver gets it by itself."""
    after = timedelta(seconds=scaled(0.6))
    due = datetime.now(UTC) + after
    if how == "transaction":
        async with task.transaction() as tx:
            tx.send("r", "late", delay=after)
    else:
        await task.send("r", "late", **({"delay": after} if how == "delay" else {"at": due}))
    assert await task.inbox("r").count() == 1
    async with task.inbox("r") as inbox:
        assert (await inbox.receive(timeout=PATIENCE)).content == "late"
    kept, ended, taken = (await task.history("@inbox/r/%-/leases/*"))[:3]
    assert (kept.op, ended.op, taken.op) == ("set", "expire", "set")
    assert ended.at >= due - timedelta(milliseconds=2), "whole milliseconds, by the clock of the server"


async def test_a_delayed_message_holds_up_no_other(task: Any) -> None:
    await task.send("r", "late", delay=LONG)
    await task.send("r", "now")
    assert await task.inbox("r").count() == 2
    assert (await take(task)).content == "now"
    await assert_nothing(task)


async def test_a_time_in_the_past_is_no_delay(task: Any) -> None:
    await task.send("r", 1, at=datetime.now(UTC) - timedelta(days=1))
    assert (await take(task)).content == 1
    await unchanged(task, task.send("r", 1, delay=1, at=datetime.now(UTC)), ccs.InvalidValue)
    await unchanged(task, task.send("r", 1, delay=2, ttl=1), ccs.InvalidValue)


# --- Ids --------------------------------------------------------------------------------------------------------------


async def test_an_id_is_sent_once_by_all_senders_together_and_after_its_ack(open_store: Open) -> None:
    """Exactly one of the senders that race sends; all get the same message."""
    stores = [await open_store(f"agent {index}") for index in range(3)]
    sending = [store.task("t").send("r", index, id="order/7") for index, store in enumerate(stores * 4)]
    sent = await bounded(asyncio.gather(*sending))
    assert len({(each.id, each.revision, each.content, each.sender) for each in sent}) == 1
    task = stores[0].task("t")
    received = await take(task)
    assert (received.id, received.content, received.sender) == ("order/7", sent[0].content, sent[0].sender)
    again = await task.send("r", "again", id="order/7")
    assert (again.attempts, again.content) == (1, received.content)
    await received.ack()
    again = await task.send("r", "again", id="order/7")
    assert (again.id, again.revision, again.sender, again.sent_at) == (
        "order/7",
        received.revision,
        received.sender,
        received.sent_at,
    )
    await assert_nothing(task)
    await task.send("other", 1, id="order/7")
    assert await task.inbox("other").count() == 1
    (record,) = (await task.snapshot("@inbox/r/%-/sent/*")).values()
    assert abs(record.expires_at - record.created_at - timedelta(days=1)) < timedelta(seconds=1)


async def test_an_id_that_was_sent_needs_no_room(task: Any) -> None:
    await task.send("r", 1, id="a", limit=1)
    assert (await task.send("r", 1, id="a", limit=1)).id == "a"
    with pytest.raises(ccs.InboxFull):
        await task.send("r", 1, id="b", limit=1)
    await (await take(task)).ack()
    await task.send("r", 1, id="b", limit=1)


async def test_an_id_that_was_sent_before_is_a_conflict_in_a_transaction(task: Any) -> None:
    sent = await task.send("r", 1, id="a")

    async def send_again() -> None:
        async with task.transaction() as tx:
            tx.set("state", "done")
            tx.send("r", 2, id="a")

    await unchanged(task, send_again(), ccs.Conflict)
    assert await contents(task.inbox("r").unread()) == [1]
    assert not await task.exists("state")
    async with task.transaction() as tx:
        assert [tx.send("r", each, id=each) for each in ("z", "y-9", "x")] == ["z", "y-9", "x"]
    assert [each.id for each in await task.inbox("r").unread()] == [sent.id, "z", "y-9", "x"]


# --- Priorities -------------------------------------------------------------------------------------------------------


async def test_the_highest_priority_comes_first_and_within_one_the_oldest(task: Any) -> None:
    for content, priority in (("b", 0), ("d", -1), ("a", 5), ("c", 0)):
        await task.send("r", content, priority=priority)
    async with task.transaction() as tx:
        tx.send("r", "a2", priority=5)
    unread = await task.inbox("r").unread()
    assert [(each.content, each.priority) for each in unread] == [("a", 5), ("a2", 5), ("b", 0), ("c", 0), ("d", -1)]
    async with task.inbox("r", attempts=1) as inbox:
        received = [await inbox.receive(timeout=PATIENCE) for _ in range(5)]
        assert [each.content for each in received] == ["a", "a2", "b", "c", "d"]
        for each in received:
            await each.release()
    assert {(each.content, each.priority) for each in await task.inbox("r").dead()} == {
        (each.content, each.priority) for each in unread
    }


# --- Taking back ------------------------------------------------------------------------------------------------------


async def test_a_message_is_recalled_unless_a_receiver_has_it(task: Any) -> None:
    sent = await task.send("r", 1, delay=LONG)
    assert await sent.recall()
    assert not await sent.recall()
    assert await left_behind(task) == []
    sent = await task.send("r", 2)
    message = await take(task)
    assert not await unchanged_result(task, sent.recall())
    await message.release()
    (unread,) = await task.inbox("r").unread()
    assert await unread.recall()
    await assert_nothing(task)


async def unchanged_result(task: Any, call: Any) -> Any:
    before = await task.revision()
    result = await call
    assert await task.revision() == before
    return result


async def test_a_message_that_was_sent_again_under_its_id_is_another_one(task: Any) -> None:
    old = await task.send("r", 1, id="a")
    await (await take(task)).ack()
    await commit(task, [delete_op(PATHS.at("sent", "a"))])  # a day later
    await task.send("r", 2, id="a")
    assert not await old.recall()
    assert await contents(task.inbox("r").unread()) == [2]


async def test_of_a_recall_and_a_receiver_that_race_one_wins(open_store: Open) -> None:
    stores = [await open_store(f"agent {index}") for index in range(3)]
    count, got = counts(20, 1000), list[int]()

    async def work(task: Any) -> None:
        async for message in task.inbox("r"):
            await message.ack()
            got.append(message.content)

    working = [asyncio.ensure_future(work(store.task("t"))) for store in stores]

    async def send_and_recall(number: int) -> int | None:
        message = await stores[number % 3].task("t").send("r", number)
        return number if await message.recall() else None

    recalled = [
        each for each in await bounded(asyncio.gather(*map(send_and_recall, range(count))), 30) if each is not None
    ]
    await aeventually(lambda: len(got) + len(recalled) >= count or any(each.done() for each in working), 30)
    await aeventually(lambda: nothing_left(stores[0].task("t")))
    await stores[0].task("t").finish()
    await bounded(asyncio.gather(*working))
    assert sorted(got + recalled) == list(range(count))


async def test_purging_removes_all_messages_whoever_has_them_but_no_dead_letters(task: Any) -> None:
    await task.send("r", "dead")
    await (await take(task, attempts=1)).release()
    for content in ("held", "delayed", "free"):
        await task.send("r", content, delay=LONG if content == "delayed" else None)
    held = await take(task)
    assert (held.content, await task.inbox("r").count()) == ("held", 3)
    before = await task.revision()
    assert await task.inbox("r").purge() == 3
    assert len({change.revision for change in await task.history("@inbox/**", since=before)}) == 1
    assert (await task.inbox("r").count(), await task.inbox("r").purge()) == (0, 0)
    with pytest.raises(ccs.ClaimLost):
        await held.ack()
    assert [path.split("/")[-2] for path in await left_behind(task)] == ["dead"]
    await task.send("r", "new")
    assert (await take(task)).content == "new"


async def test_purging_more_than_one_commit_can_hold_takes_several(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for colour in ("_async", "_sync"):
        monkeypatch.setattr(f"ccs.{colour}.recipes.message_removal.REMOVAL_BYTES", 5_000)
    for number in range(7):
        await task.send("r", b"x" * 1_000, id=f"{number}")
    before = await task.revision()
    assert await task.inbox("r").purge() == 7
    assert len({change.revision for change in await task.history("@inbox/**", since=before)}) == 3
    assert [path.split("/")[-2] for path in await left_behind(task)] == ["sent"] * 7


async def test_of_a_purge_and_receivers_that_race_each_message_ends_once(open_store: Open) -> None:
    stores = [await open_store(f"agent {index}") for index in range(2)]
    task, count, got = stores[0].task("t"), counts(20, 1000), list[int]()

    async def work() -> None:
        async for message in stores[1].task("t").inbox("r"):
            try:
                await message.ack()
            except (ccs.ClaimLost, ccs.ContextFinished):  # it was purged meanwhile, and then all was over
                continue
            got.append(message.content)

    for number in range(count):
        await task.send("r", number)
    working = asyncio.ensure_future(work())
    await aeventually(lambda: got)
    purged = await task.inbox("r").purge()
    await aeventually(lambda: nothing_left(task))
    await task.finish()
    await bounded(working)
    assert len(got) + purged == count
    assert len(set(got)) == len(got)


# --- Several at once, and from elsewhere ------------------------------------------------------------------------------


async def test_many_are_received_at_once_as_far_as_they_are_there(task: Any) -> None:
    for number in range(5):
        await task.send("r", number)
    async with task.inbox("r") as inbox:
        assert await contents(inbox.receive_many(3, timeout=PATIENCE)) == [0, 1, 2]
        rest = await inbox.receive_many(10, timeout=PATIENCE)
        assert [each.content for each in rest] == [3, 4]
        with pytest.raises(TimeoutError):
            await inbox.receive_many(2, timeout=0.01)
        for wrong in (0, True, 1.5):
            with pytest.raises(ccs.InvalidValue):
                await inbox.receive_many(wrong)


async def test_many_are_given_to_several_receivers_each_once(open_store: Open) -> None:
    tasks = [(await open_store(f"agent {index}")).task("t") for index in range(3)]
    count, got = counts(24, 2000), list[int]()

    async def work(task: Any) -> None:
        async with task.inbox("r") as inbox:
            while True:
                try:
                    messages = await inbox.receive_many(7)
                except ccs.ContextFinished:
                    return
                for message in messages:
                    await message.ack()
                    got.append(message.content)

    working = [asyncio.ensure_future(work(task)) for task in tasks]
    for number in range(count):
        await tasks[0].send("r", number)
    await aeventually(lambda: len(got) >= count or any(each.done() for each in working), 30)
    await aeventually(lambda: nothing_left(tasks[0]))
    await tasks[0].finish()
    await bounded(asyncio.gather(*working))
    assert sorted(got) == list(range(count))


async def test_what_a_cancelled_call_has_taken_comes_next(aconnect: Any) -> None:
    """G14."""
    task = aconnect().task("t")
    for number in range(4):
        await task.send("r", number)
    commit, reached, calls = Handle.commit, asyncio.Event(), [0]

    async def hanging(handle: Handle, *given: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            reached.set()
            await asyncio.Event().wait()
        return await commit(handle, *given)

    async with task.inbox("r", lease=LONG) as inbox:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Handle, "commit", hanging)
            receiving = asyncio.ensure_future(inbox.receive_many(4))
            await bounded(reached.wait())
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
        messages = [await inbox.receive(timeout=PATIENCE) for _ in range(4)]
        assert {(each.content, each.attempts) for each in messages} == {(number, 1) for number in range(4)}
        for each in messages:
            await each.ack()
    assert await left_behind(task) == []


@pytest.mark.parametrize("id", [None, "order/7"])
async def test_a_message_is_acknowledged_from_elsewhere_by_its_id_and_token(open_store: Open, id: str | None) -> None:
    task, other = [(await open_store(f"agent {index}")).task("t") for index in range(2)]
    sent = await task.send("r", 1, id=id)
    assert sent.token is None
    late = await take(task)
    await lapse(task, late)
    message = await take(task)
    inbox = other.inbox("r")
    assert late.token < message.token
    await unchanged(other, inbox.ack(late.id, late.token), ccs.ClaimLost)
    await unchanged(other, inbox.ack("nothing", message.token), ccs.ClaimLost)
    for wrong in (None, 0, "7"):
        await unchanged(other, inbox.ack(message.id, wrong), ccs.InvalidValue)
    await inbox.ack(message.id, message.token)
    assert await other.inbox("r").count() == 0
    await unchanged(other, inbox.ack(message.id, message.token), ccs.ClaimLost)
    with pytest.raises(ccs.ClaimLost):
        await message.ack()


async def test_a_message_that_is_kept_outlives_its_inbox_and_is_acknowledged_elsewhere(task: Any) -> None:
    """Given a message that is kept, then leaving the inbox gives nothing back, and its token settles it until the lease ends."""
    await task.send("analyst", "kept")
    await task.send("analyst", "given back")
    async with task.inbox("analyst", lease=300) as inbox:
        kept = await inbox.receive(timeout=10)
        await inbox.receive(timeout=10)
        kept.keep()
    async with task.inbox("analyst") as other:
        assert (await other.receive(timeout=10)).content == "given back"
        with pytest.raises(TimeoutError):
            await other.receive(timeout=0.05)
    await task.inbox("analyst").ack(kept.id, kept.token)
    with pytest.raises(ccs.ClaimLost):
        await kept.ack()


async def test_a_lease_that_was_renewed_ends_after_it_is_kept(task: Any) -> None:
    await task.send("analyst", "kept")
    async with task.inbox("analyst", lease=0.3, renew=True) as inbox:
        message = await inbox.receive(timeout=10)
        message.keep()
        async with task.inbox("analyst") as other:
            again = await other.receive(timeout=10)
            assert (again.id, again.attempts) == (message.id, 2)


async def test_only_a_received_message_can_be_kept(task: Any) -> None:
    with pytest.raises(ccs.Misuse):
        (await task.send("analyst", "hello")).keep()
