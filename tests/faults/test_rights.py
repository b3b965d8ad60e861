"""What a user may not do is `Forbidden` at once; the error names the missing right, and nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

import ccs
from ccs._core.names.keys import keys_of
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy, once
from tests.support.waiting import aeventually, scaled

ALL = ("reset", "on", ">pw", "~*", "&*", "+@all")


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest, server_urls: Any) -> str:
    return str(server_urls(request.param))


@pytest.fixture
def admin(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as client:
        client.execute_command("ACL", "SETUSER", "app", *ALL)
        yield client
        client.acl_deluser("app")


def as_app(colour: str, url: str, namespace: str) -> Any:
    return connect_in(colour, url.replace("://", "://app:pw@"), namespace=namespace, retry_for=scaled(20))


async def state_of(task: Any) -> Any:
    history = [(change.op, change.path, change.revision) for change in await task.history()]
    return dict(await task.snapshot()), history, await task.revision()


REVOKED = {
    "PUBLISH": "set",
    "XADD": "set",
    "HSET": "set",
    "ZADD": "create",
    "HDEL": "delete",
    "ZREM": "delete",
    "XLEN": "set",
    "HMGET": "set",
    "EVALSHA": "set",
}


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_right_that_is_revoked_while_a_store_is_in_use_is_missed_at_once(
    colour: str, url: str, admin: Any, namespace: str
) -> None:
    """Given a store that writes, when a right is taken away between two writes, then the next one changes nothing."""
    asked: dict[str, Any] = {
        "set": lambda task: task.set("kept", 2),
        "create": lambda task: task.create("new", 1),
        "delete": lambda task: task.delete("kept"),
    }
    async with as_app(colour, url, namespace) as store, connect_in(colour, url, namespace=namespace) as other:
        task = store.task("42")
        for command, call in REVOKED.items():
            await task.set("kept", 1)
            before = await state_of(other.task("42"))
            admin.execute_command("ACL", "SETUSER", "app", f"-{command.lower()}")
            began = time.monotonic()
            with pytest.raises(ccs.Forbidden) as caught:
                await asked[call](task)
            assert time.monotonic() - began < scaled(2), "it was tried again"
            assert caught.value.user == "app"
            assert command in caught.value.action
            assert command in str(caught.value)
            assert isinstance(caught.value, PermissionError)
            admin.execute_command("ACL", "SETUSER", "app", f"+{command.lower()}")
            assert await state_of(other.task("42")) == before
        assert (await task.set("kept", 3)).value == 3


@pytest.mark.parametrize("colour", COLOURS)
async def test_an_append_by_a_user_who_may_not_read_the_journal_is_no_denial(
    colour: str, url: str, admin: Any, namespace: str
) -> None:
    """Given a user who may commit and read entries, when it appends, then it is told the list: the commit stands."""
    admin.execute_command("ACL", "SETUSER", "app", "-xrange")
    async with as_app(colour, url, namespace) as store:
        assert (await store.task("42").append("log", "a")).value == ["a"]
        assert (await store.task("42").append("log", "b")).value == ["a", "b"]


@pytest.mark.parametrize("colour", COLOURS)
async def test_an_append_is_not_denied_when_rights_are_revoked_between_its_commit_and_its_answer(
    colour: str, url: str, admin: Any, namespace: str
) -> None:
    """Given an append that was committed, when its list may no longer be read back, then it may have been applied."""

    def revoke() -> None:
        admin.execute_command("ACL", "SETUSER", "app", "-xrange", "-hget")

    with Proxy(int(url.rpartition(":")[2])) as proxy:
        async with as_app(colour, proxy.url, namespace) as store, connect_in(colour, url, namespace=namespace) as other:
            await store.task("42").append("log", "a")
            proxy.filter = once(b"XRANGE", "pass", revoke)
            with pytest.raises(ccs.Unavailable, match="does not let the user 'app'") as caught:
                await store.task("42").append("log", "b")
            assert caught.value.maybe_applied
            assert await other.task("42").get("log") == ["a", "b"]


@pytest.mark.parametrize("colour", COLOURS)
async def test_the_channel_and_the_key_that_are_missing_are_named(
    colour: str, url: str, admin: Any, namespace: str
) -> None:
    """Given a user for one context, when it writes to another, reads it or watches it, then the error names it."""
    mine, other = (keys_of(namespace, f"/tasks/{name}") for name in ("mine", "other"))
    admin.execute_command(
        "ACL", "SETUSER", "app", "reset", "on", ">pw", "+@all", f"~{mine.channel}:*", f"&{mine.channel}"
    )
    async with as_app(colour, url, namespace) as store:
        assert (await store.task("mine").set("a", 1)).value == 1
        for call in (
            lambda task: task.set("a", 1),
            lambda task: task.get("a"),
            lambda task: task.snapshot(),
            lambda task: task.info(),
            lambda task: task.history(),
        ):
            with pytest.raises(ccs.Forbidden, match=r"/tasks/other"):
                await call(store.task("other"))
        admin.execute_command("ACL", "SETUSER", "app", "resetchannels")
        with pytest.raises(ccs.Forbidden) as caught:
            await store.task("mine").set("a", 2)
        assert mine.channel in caught.value.action
        assert "channel" in caught.value.action
        assert await store.task("mine").get("a") == 1
    assert not admin.exists(*other.all)


@pytest.mark.parametrize("many", [1, 2, 5_000])
async def test_a_command_that_is_missing_for_many_new_entries_is_named(
    many: int, url: str, admin: Any, namespace: str
) -> None:
    """Given a user that loses ZADD, when it writes many new entries, then the error names it and its key."""
    async with as_app("aio", url, namespace) as store:
        task = store.task("mine")
        await task.set("first", 1)
        before = await state_of(task)
        admin.execute_command("ACL", "SETUSER", "app", "-zadd")
        with pytest.raises(ccs.Forbidden) as caught:
            await task.set_many({f"k/{number}": number for number in range(many)})
        assert caught.value.action == f"run ZADD on {keys_of(namespace, task.address).paths!r}"
        assert await state_of(task) == before


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_watch_of_a_channel_that_the_user_may_not_read_is_forbidden(
    colour: str, url: str, admin: Any, namespace: str
) -> None:
    """Given a user without channels, when it watches, then it gets an error at once; what it may do still works."""
    admin.execute_command("ACL", "SETUSER", "app", "resetchannels", "&nothing")
    async with as_app(colour, url, namespace) as store:
        began = time.monotonic()
        with pytest.raises(ccs.Forbidden, match="subscribe"):
            async with store.task("42").watch("**"):
                pass
        assert time.monotonic() - began < scaled(3)
        assert await store.task("42").get("a") is None


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_read_in_a_script_that_is_denied_names_the_command(
    colour: str, url: str, admin: Any, namespace: str
) -> None:
    """Given a user that may not run a command of a read script, then the error names it, whatever the server's words."""
    async with as_app(colour, url, namespace) as store:
        task = store.task("42")
        await task.set("a", 1)
        asked = {"HGETALL": task.snapshot, "XRANGE": task.history, "HLEN": task.info, "ZCOUNT": task.info}
        for command, call in asked.items():
            admin.execute_command("ACL", "SETUSER", "app", f"-{command.lower()}")
            with pytest.raises(ccs.Forbidden) as caught:
                await call()
            assert command in caught.value.action
            admin.execute_command("ACL", "SETUSER", "app", f"+{command.lower()}")


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_wrong_password_is_unavailable(colour: str, url: str, admin: Any, namespace: str) -> None:
    with pytest.raises(ccs.Unavailable):
        async with connect_in(colour, url.replace("://", "://app:wrong@"), namespace=namespace):
            pass


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_user_that_may_not_sweep_is_refused_once_and_reads_on(
    colour: str, url: str, admin: Any, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Given an entry that is due, when a user that may only read comes upon it again and again, then one try is made."""
    keys = keys_of(namespace, "/tasks/42")
    async with connect_in(colour, url, namespace=namespace) as writer:
        await writer.task("42").set("a", 1, ttl=1000)
    admin.hset(keys.entries, "a", (raw := admin.hget(keys.entries, "a"))[:62] + b"1000000000000" + raw[75:])
    admin.zadd(keys.deadlines, {"a": 1_000_000_000_000})
    admin.execute_command("ACL", "SETUSER", "app", "-zrem")
    async with as_app(colour, url, namespace) as store:
        assert await store.task("42").get("a") is None
        await aeventually(lambda: "left to others" in caplog.text, 5, "the refusal of the sweep")
        for _ in range(5):
            assert await store.task("42").get("a") is None
            assert await store.task("42").paths() == []
    assert caplog.text.count("left to others") == 1
    assert admin.hexists(keys.entries, "a")
