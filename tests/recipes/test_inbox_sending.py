"""Sending: bounded, to any role, in one commit with a change of state; what expires, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ccs
from tests.context.probes import Open, unchanged
from tests.recipes.inboxes import PATIENCE, assert_nothing, close, contents, nothing_left, take
from tests.support.waiting import aeventually, bounded

# --- Bounds -----------------------------------------------------------------------------------------------------------


async def test_an_unread_message_expires_after_its_ttl(task: Any) -> None:
    """G9."""
    await task.send("r", "short", ttl=0.05)
    await task.send("r", "long", ttl=600)
    await aeventually(lambda: _unread(task, ["long"]))
    assert (await take(task)).content == "long"
    await aeventually(lambda: _expired(task))


async def _expired(task: Any) -> bool:
    return [change.op for change in await task.history("@inbox/r/%-/messages/*")] == ["set", "set", "expire"]


async def _unread(task: Any, wanted: list[Any]) -> bool:
    return bool(await contents(task.inbox("r").unread()) == wanted)


async def test_a_message_that_expires_while_it_is_held_leaves_nothing_behind(task: Any) -> None:
    await task.send("r", 1, ttl=0.3)
    message = await take(task, lease=0.1)
    await aeventually(lambda: _unread(task, []))
    await assert_nothing(task)
    await aeventually(lambda: nothing_left(task), what="the count of its deliveries to go too")
    with pytest.raises(ccs.ClaimLost):
        await message.ack()


async def test_a_full_inbox_refuses_and_takes_again_when_something_is_acknowledged(task: Any) -> None:
    for index in range(3):
        await task.send("r", index, limit=3)
    message = await take(task)
    full = await unchanged(task, task.send("r", 3, limit=3), ccs.InboxFull)
    assert (full.to, full.limit) == ("r", 3)
    await task.send("r/x", 0, limit=3)
    await message.ack()
    await task.send("r", 3, limit=3)
    await unchanged(task, task.send("r", 4, limit=3), ccs.InboxFull)


@pytest.mark.parametrize("how", ["send", "transaction"])
async def test_messages_that_expired_unswept_do_not_fill_an_inbox_for_long(open_store: Open, how: str) -> None:
    """G9: the store that wrote the ttl is gone, and no store watches."""
    first = await open_store()
    await first.task("t").send("r", 1, ttl=0.2)
    await close(first)
    task = (await open_store()).task("t")
    await aeventually(lambda: _unread(task, []))

    async def sent() -> bool:
        try:
            if how == "send":
                await task.send("r", 2, limit=1)
            else:
                async with task.transaction() as tx:
                    tx.send("r", 2, limit=1)
        except ccs.InboxFull:
            return False
        return True

    await aeventually(sent)


async def test_the_bound_is_exact_under_twenty_senders(open_store: Open) -> None:
    stores = [await open_store(f"agent {index}") for index in range(4)]
    sends = [store.task("t").send("r", 1, limit=50) for store in stores for _ in range(20)]
    found = await bounded(asyncio.gather(*sends, return_exceptions=True), 30)
    assert sum(isinstance(each, ccs.InboxFull) for each in found) == 30
    assert len(await stores[0].task("t").inbox("r").unread()) == 50


async def test_a_transaction_counts_all_the_messages_that_it_sends(task: Any) -> None:
    await task.send("r", 0)

    async def send(count: int) -> None:
        async with task.transaction() as tx:
            tx.set("a", count)
            for index in range(count):
                tx.send("r", index, limit=4)
                tx.send("other", index, limit=4)

    full = await unchanged(task, send(4), ccs.InboxFull)
    assert (full.to, full.limit) == ("r", 4)
    await unchanged(task, send(6), ccs.InboxFull)
    await send(3)
    assert len(await task.inbox("r").unread()) == 4


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"type": ""}, ccs.InvalidValue),
        ({"type": 1}, ccs.InvalidValue),
        ({"reply_to": 7}, ccs.InvalidValue),
        ({"ttl": 0}, ccs.InvalidValue),
        ({"limit": 0}, ccs.InvalidValue),
        ({"to": ""}, ccs.InvalidPath),
        ({"to": None}, ccs.InvalidPath),
        ({"to": "x" * 2000}, ccs.InvalidPath),
        ({"content": object()}, ccs.EncodingError),
        ({"content": b"x" * 1_048_577}, ccs.ValueTooLarge),
    ],
)
async def test_a_message_that_cannot_be_sent_is_refused_and_nothing_is_written(
    task: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    given = {"to": "r", "content": 1, **options}
    await unchanged(task, task.send(**given), error)

    async def send() -> None:
        async with task.transaction() as tx:
            tx.set("a", 1)
            tx.send(**given)

    await unchanged(task, send(), error)


@pytest.mark.parametrize("options", [{"lease": 0}, {"lease": "1"}, {"attempts": 0}, {"attempts": 1.5}, {"role": ""}])
async def test_an_inbox_with_bad_arguments_is_refused(task: Any, options: dict[str, Any]) -> None:
    with pytest.raises((ccs.InvalidValue, ccs.InvalidPath)):
        task.inbox(**{"role": "r", **options})


# --- In a transaction -------------------------------------------------------------------------------------------------


async def test_a_message_and_a_change_of_state_are_one_commit(task: Any) -> None:
    """G1."""
    async with task.transaction() as tx:
        tx.set("status", "ready")
        sent = tx.send("r", "go", type="task", reply_to="m", ttl=60)
        assert await task.inbox("r").unread() == []
    (message,) = await task.inbox("r").unread()
    assert (message.id, message.content, message.type, message.reply_to) == (sent, "go", "task", "m")
    assert message.revision == tx.revision == (await task.entry("status")).revision


async def test_a_transaction_that_fails_sends_nothing(task: Any) -> None:
    """G1, G4."""
    await task.set("read", 1)

    async def lose() -> None:
        async with task.transaction() as tx:
            await tx.get("read")
            tx.send("r", "never")
            await task.set("read", 2)

    async def stumble() -> None:
        async with task.transaction() as tx:
            tx.send("r", "never")
            raise ZeroDivisionError

    with pytest.raises(ccs.Conflict):
        await lose()
    await unchanged(task, stumble(), ZeroDivisionError)
    assert await task.inbox("r").unread() == []
    with pytest.raises(ccs.Misuse, match="not open"):
        task.transaction().send("r", 1)


# --- Any role, any content --------------------------------------------------------------------------------------------

ROLES = [
    "a",
    "a/b",
    "a/%-",
    "a/%-/messages",
    "%-",
    "%",
    "/",
    "a/",
    "..",
    "*",
    "{a,b}",
    "[a]",
    "@inbox",
    "ä\x00\n\u2028",
]


async def test_any_text_is_a_role_and_none_sees_the_messages_of_another(task: Any) -> None:
    for role in ROLES:
        await task.send(role, role)
        await task.send(role, [role])
    for role in ROLES:
        async with task.inbox(role, attempts=1) as inbox:
            first, second = await inbox.receive(timeout=PATIENCE), await inbox.receive(timeout=PATIENCE)
            assert (first.content, second.content, second.to) == (role, [role], role)
            with pytest.raises(TimeoutError):
                await inbox.receive(timeout=0)
            await first.ack()
            await second.release()
            assert await contents(inbox.dead()) == [[role]]


async def test_a_large_content_arrives_and_nobody_shares_a_mutable_one(task: Any) -> None:
    """G11."""
    content = {"text": "x" * 1_000_000, "list": [1]}
    sent = await task.send("r", content)
    content["list"].append(2)  # type: ignore[attr-defined]  # it is a list
    sent.content["list"].append(3)
    async with task.inbox("r") as inbox:
        message = await inbox.receive(timeout=PATIENCE)
        assert (message.content["list"], len(message.content["text"])) == ([1], 1_000_000)
        message.content["list"].append(4)
        await message.release()
        assert (await inbox.receive(timeout=PATIENCE)).content["list"] == [1]
