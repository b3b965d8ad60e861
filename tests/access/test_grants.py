"""Grants: users of the server who may work in some contexts and nowhere else, on every server, in both colours."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis

import ccs
import ccs.aio
from ccs._core.names.keys import keys_of
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import PrivateServer
from tests.support.targets import raw_client
from tests.support.waiting import aeventually, scaled

KINDS = ("valkey", "redis", "cluster", "sentinel")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, server_urls: Callable[[str], str]) -> str:
    return server_urls(request.param)


@pytest.fixture
async def admin(url: str, namespace: str) -> AsyncIterator[ccs.aio.Store]:
    """A store of a user who may do everything; at the end, whoever it has let in is gone."""
    async with ccs.aio.connect(url, agent="admin", namespace=namespace) as store:
        yield store
        for grant in await store.grants():
            await store.revoke(grant.user)


def as_granted(colour: str, grant: ccs.Grant, namespace: str) -> Any:
    return connect_in(colour, grant.url, agent="granted", namespace=namespace, retry_for=scaled(20))


async def write_everything(task: Any) -> None:
    """Every kind of write of the interface, and what the recipes and memories make of them."""
    await task.set("status", "open", ttl=60)
    await task.create("a", 1)
    await task.set_many({"list": [1], "map": {"x": 1}, "b": 2})
    await task.update("a", lambda value: value + 1)
    await task.increment("a", 5)
    await task.append("list", 2)
    await task.append("list", 3, max_items=2)
    await task.merge("map", {"y": 2})
    assert await task.renew("status", 30)
    assert await task.delete("b")
    async with task.transaction() as tx:
        await tx.get("a")
        tx.set("c", 1)
        tx.delete("map")
        tx.publish("done", 1)
        tx.send("analyst", "in a transaction")
    assert await task.delete_matching("c", "list") == 2
    async with task.claim("r", wait=1) as claim:
        await claim.context.set("claimed", 1)
    assert await task.claim_any(["r1", "r2"]) is not None
    assert await task.break_claim("r1")
    assert await task.once("key", lambda: "done") == "done"
    await task.publish("topic", {"a": 1})
    await task.send("analyst", "hello")
    async with task.inbox("analyst") as inbox:
        message = await inbox.receive(timeout=5)
        await message.ack()
    async with task.join("role"):
        assert len(await task.members()) == 1
    assert (await task.agree("vote", parties=["granted"])).committed
    await task.barrier("warm", parties=1)
    await task.set_policy("kept/*", "write-once")
    await task.set("kept/1", 1)
    with pytest.raises(ccs.Conflict):
        await task.set("kept/1", 2)
    await task.semantic.store("a fact", embedding=[1.0, 0.0])
    await task.episodic.record("an episode", embedding=[1.0, 0.0], max_entries=5)
    await task.procedural.learn("how", ["first", "second"], embedding=[1.0, 0.0])


async def read_everything(task: Any) -> None:
    assert await task.get("a") == 7
    assert (await task.entry("a")).agent == "granted"
    assert await task.get("status") == "open"  # has a deadline, so a script reads it
    assert await task.exists("a")
    assert (await task.get_many(["a", "nothing"])) == {"a": 7}
    paths = await task.paths()
    assert "a" in paths
    snapshot = await task.snapshot()
    assert sorted(snapshot) == paths
    assert (await task.tree())["a"] == 7
    assert [entry.path async for entry in task.scan(page=2)] == paths
    assert (await task.info()).entries
    assert sorted(await task.at(snapshot.revision)) == paths
    assert await task.history(limit=1)
    assert await task.history(newest_first=True, limit=1)
    assert await task.diff((await task.history(limit=1))[0].revision)
    assert (await task.wait_for("a", 7, timeout=5)).value == 7
    assert await task.policies() == {"kept/*": "write-once"}
    assert len(await task.claims()) == 0
    assert await task.members() == []
    assert len(await task.inbox("analyst").unread()) == 1
    assert len(await task.semantic.query([1.0, 0.0])) == 1
    assert len(await task.semantic.list()) == 1
    assert len(await task.episodic.recent()) == 1
    assert len(await task.procedural.recall([1.0, 0.0])) == 1


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_granted_writer_can_do_everything_in_its_context_and_nothing_in_any_other(
    colour: str, url: str, admin: ccs.aio.Store, namespace: str
) -> None:
    """Given a grant to write one context, then every operation works there, and all are `Forbidden` elsewhere, at once."""
    await admin.task("other").set("a", 1)
    grant = await admin.grant(f"w{namespace}", write=["/tasks/mine"])
    async with as_granted(colour, grant, namespace) as store:
        task = store.task("mine")
        await write_everything(task)
        await read_everything(task)
        async with task.watch("**", initial=True) as changes:
            assert (await changes.receive(timeout=5)).path
        await task.finish("done")
        await task.drop()
        other = store.task("other")
        for call in (
            lambda: other.get("a"),
            lambda: other.snapshot(),
            lambda: other.paths(),
            lambda: other.info(),
            lambda: other.history(),
            lambda: other.set("a", 2),
            lambda: other.delete("a"),
            lambda: other.publish("topic", 1),
            lambda: other.drop(),
            lambda: other.finish(),
            lambda: other.wait_for("a", 2, timeout=5),
            lambda: store.contexts(),
            lambda: store.grants(),
        ):
            with pytest.raises(ccs.Forbidden) as caught:
                await call()
            assert caught.value.user == grant.user
        for watch in (other.watch("**"), store.watch("/tasks/*/a")):
            with pytest.raises(ccs.Forbidden):
                await watch.__aenter__()
    assert await admin.task("other").get("a") == 1


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_granted_reader_can_read_everything_and_write_nothing(
    colour: str, url: str, admin: ccs.aio.Store, namespace: str
) -> None:
    """Given a grant to read, then it reads, watches, lists and travels in time, and each write is `Forbidden`."""
    async with ccs.aio.connect(url, agent="granted", namespace=namespace) as writer:
        task = writer.task("mine")
        await write_everything(task)
        assert await task.break_claim("r2") in (True, False)
        grant = await admin.grant(f"r{namespace}", read=["/tasks/mine"])
        async with as_granted(colour, grant, namespace) as store:
            await read_everything(store.task("mine"))
            async with store.task("mine").watch("a") as changes:
                await task.set("a", 8)
                assert (await changes.receive(timeout=5)).value == 8
            revision = await task.revision()
            reader = store.task("mine")
            for call in (
                lambda: reader.set("a", 9),
                lambda: reader.delete("a"),
                lambda: reader.renew("a", 5),
                lambda: reader.publish("topic", 1),
                lambda: reader.send("analyst", 1),
                lambda: reader.drop(),
            ):
                with pytest.raises(ccs.Forbidden):
                    await call()
            assert await task.revision() == revision


@pytest.mark.parametrize("colour", ["asyncio", "blocking"])
async def test_a_granted_reader_has_mirrors(colour: str, admin: ccs.aio.Store, namespace: str) -> None:
    await admin.task("mine").set("a", 1)
    grant = await admin.grant(f"m{namespace}", read=["/tasks/mine"])
    if colour == "asyncio":
        async with ccs.aio.connect(grant.url, namespace=namespace) as store, store.task("mine").mirror() as mirror:
            entry = await admin.task("mine").set("b", 2)
            await mirror.caught_up(entry.revision, timeout=5)
            assert dict(mirror) == {"a": 1, "b": 2}
    else:
        async with connect_in("blocking", grant.url, namespace=namespace) as awaited:
            mirror = awaited.blocking.task("mine").mirror()
            from anyio import to_thread

            await to_thread.run_sync(mirror.__enter__)
            assert dict(mirror) == {"a": 1}
            await to_thread.run_sync(mirror.close)


async def test_what_is_only_read_can_be_neither_written_nor_published_on(
    url: str, admin: ccs.aio.Store, namespace: str
) -> None:
    """Given a user who writes one context and reads another, then no right of the first counts in the second."""
    await admin.task("read").set("a", 1)
    grant = await admin.grant(f"b{namespace}", write=["/tasks/write"], read=["/tasks/read"])
    read = keys_of(namespace, "/tasks/read")
    async with ccs.aio.connect(grant.url, namespace=namespace) as store:
        await store.task("write").set("a", 1)
        assert await store.task("read").get("a") == 1
        with pytest.raises(ccs.Forbidden):
            await store.task("read").set("a", 2)
    host = raw_client(url, read.meta)
    password = ccs._core.names.server_url.parse_endpoint(
        f"redis://{grant.url.split('://')[1].split('@')[0]}@h"
    ).password
    options = host.connection_pool.connection_kwargs
    place = {"host": options["host"], "port": options["port"]} if "host" in options else None
    if place is not None:
        with redis.Redis(**place, username=grant.user, password=password) as client:
            for command in (
                ("PUBLISH", read.channel, "x"),
                ("SPUBLISH", read.channel, "x"),
                ("HSET", read.meta, "a", "1"),
            ):
                with pytest.raises((redis.exceptions.NoPermissionError, redis.ResponseError), match=r"(?i)perm|access"):
                    client.execute_command(*command)
    host.close()


NASTY = (
    "plain",
    "two words",
    "two  words",
    "a*b",
    "a?b",
    "[x]",
    "back\\slash",
    "{brace}",
    "naïve",
    "a/b",
    "%",
    "-",
    "(p)",
)


async def test_an_id_is_granted_exactly_whatever_is_in_it(valkey: str, namespace: str) -> None:
    """Given ids that mean something to the ACL, when one is granted, then that context is reached and none of the others."""
    async with ccs.aio.connect(valkey, namespace=namespace) as admin:
        for name in NASTY:
            await admin.task(name).set("a", 1)
        for name in NASTY:
            grant = await admin.grant(f"x{namespace}", read=ccs.escape(admin.task(name).address))
            async with ccs.aio.connect(grant.url, namespace=namespace) as store:
                reached = []
                for other in NASTY:
                    try:
                        await store.task(other).get("a")
                        reached.append(other)
                    except ccs.Forbidden:
                        pass
            assert reached == [name]
            assert [found.read for found in await admin.grants()] == [grant.read]
        await admin.revoke(grant.user)


async def test_a_glob_is_granted_as_far_as_it_reaches(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as admin:
        for pattern, reached in {
            "/tasks/*": {"/tasks/a", "/tasks/ab"},
            "/tasks/a?(*)": set(),
            "/{tasks,actors}/a": {"/tasks/a", "/actors/a"},
            "/**": {"/tasks/a", "/tasks/ab", "/actors/a", "/global"},
            "/*": {"/global"},
            "/tasks/a*": {"/tasks/a", "/tasks/ab"},
        }.items():
            if "?" in pattern:
                with pytest.raises(ccs.InvalidPattern):
                    await admin.grant(f"g{namespace}", read=[pattern])
                continue
            grant = await admin.grant(f"g{namespace}", read=[pattern])
            async with ccs.aio.connect(grant.url, namespace=namespace) as store:
                found = set()
                for address in ("/tasks/a", "/tasks/ab", "/actors/a", "/global"):
                    try:
                        await store.context(address).get("a")
                        found.add(address)
                    except ccs.Forbidden:
                        pass
            assert found == reached, pattern
        await admin.revoke(f"g{namespace}")


async def test_users_that_are_not_ours_are_left_alone(valkey: str, namespace: str) -> None:
    """Given users that somebody else made, then they are no grants, cannot be revoked, and are not replaced."""
    with redis.Redis.from_url(valkey) as raw:
        raw.execute_command("ACL", "SETUSER", f"f{namespace}", "on", ">pw", "~*", "+get")
        try:
            before = raw.execute_command("ACL", "LIST")
            async with ccs.aio.connect(valkey, namespace=namespace) as admin:
                assert await admin.grants() == []
                for user in (f"f{namespace}", "default"):
                    assert not await admin.revoke(user)
                    with pytest.raises(ccs.InvalidValue, match="not made by grant"):
                        await admin.grant(user, read=["/tasks/1"])
            async with ccs.aio.connect(valkey, namespace=f"{namespace}-other") as other:
                await other.grant(f"o{namespace}", read=["/tasks/1"])
                async with ccs.aio.connect(valkey, namespace=namespace) as admin:
                    assert await admin.grants() == []
                    assert not await admin.revoke(f"o{namespace}")
                assert await other.revoke(f"o{namespace}")
            assert raw.execute_command("ACL", "LIST") == before
        finally:
            raw.acl_deluser(f"f{namespace}")


async def test_who_may_not_make_users_is_told_what_to_hand_on(valkey: str, namespace: str) -> None:
    with redis.Redis.from_url(valkey) as raw:
        raw.execute_command("ACL", "SETUSER", f"n{namespace}", "on", ">pw", "~*", "&*", "+@all", "-acl")
        try:
            mine = valkey.replace("://", f"://n{namespace}:pw@")
            async with ccs.aio.connect(mine, namespace=namespace) as store:
                with pytest.raises(ccs.Forbidden) as caught:
                    await store.grant("someone", write=["/tasks/42"], password="a secret")
                said = str(caught.value)
                assert "ACL SETUSER someone reset on >PASSWORD" in said
                assert f"~{{{namespace}:/tasks/42}}:*" in said
                assert "a secret" not in said
                with pytest.raises(ccs.Forbidden):
                    await store.grants()
                with pytest.raises(ccs.Forbidden):
                    await store.revoke("someone")
        finally:
            raw.acl_deluser(f"n{namespace}")


async def test_the_rules_that_are_shown_are_enough_for_an_operator(valkey: str, namespace: str) -> None:
    """Given a grant, when its rules are set by hand, then the user is as before, and is found as a grant."""
    async with ccs.aio.connect(valkey, namespace=namespace) as admin:
        grant = await admin.grant(f"h{namespace}", write=["/tasks/1"], read=["/tasks/2"], password="a b/c@d")
        await admin.revoke(grant.user)
        with redis.Redis.from_url(valkey) as raw:
            raw.execute_command("ACL", "SETUSER", grant.user, *grant.rules)
        async with ccs.aio.connect(grant.url, namespace=namespace) as store:
            await store.task("1").set("a", 1)
            assert await store.task("2").get("a") is None
        (found,) = await admin.grants()
        assert (found.user, found.read, found.write) == (grant.user, grant.read, grant.write)
        await admin.revoke(grant.user)


def test_no_rule_names_a_category_or_reaches_keys_outside(namespace: str) -> None:
    from ccs._protocol.access_rules import access_rules

    rules = access_rules(namespace, ("/tasks/r",), ("/tasks/w",), "pw")
    words = [word.strip("()") for rule in rules for word in rule.split(" ")]
    assert not [word for word in words if "@" in word and not word.startswith("%R~")]
    assert "+scan" not in words
    assert all(f"{{{namespace}:" in word for word in words if word.startswith(("~", "&", "%R~")))


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("kind", ["folder", "memory"])
async def test_where_there_are_no_users_a_grant_is_refused_and_says_why(colour: str, kind: str, tmp_path: Path) -> None:
    target = "memory://" if kind == "memory" else str(tmp_path)
    why = "belongs to its process" if kind == "memory" else "owns all of it"
    async with connect_in(colour, target) as store:
        for call in (lambda: store.grant("app", read=["/tasks/1"]), lambda: store.revoke("app"), store.grants):
            with pytest.raises(ccs.Misuse, match=why):
                await call()


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": "two words", "read": ["/tasks/1"]},
        {"user": "", "read": ["/tasks/1"]},
        {"user": "app"},
        {"user": "app", "read": ["/tasks/1"], "password": ""},
        {"user": "app", "read": ["/tasks/1"], "password": "a\ud800"},
        {"user": "app\ud800", "read": ["/tasks/1"]},
        {"user": "app", "read": ["/tasks/1/status"]},
        {"user": "app", "read": ["tasks/1"]},
        {"user": "app", "read": ["/tasks/[ab]"]},
        {"user": "app", "read": ["/nothing/*"]},
        {"user": "app", "read": 3},
    ],
)
async def test_what_can_be_no_grant_is_refused(wrong: dict[str, Any], valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        with pytest.raises((ccs.InvalidValue, ccs.InvalidPath, ccs.InvalidPattern)):
            await store.grant(**wrong)
        assert await store.grants() == []


async def test_no_secret_is_shown(valkey: str, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with ccs.aio.connect(valkey, namespace=namespace) as admin:
        grant = await admin.grant(f"s{namespace}", write=["/tasks/1"], password="hunter2")
        random = await admin.grant(f"t{namespace}", write=["/tasks/1"])
        async with ccs.aio.connect(grant.url, namespace=namespace, retry_for=1) as store:
            await store.task("1").set("a", 1)
            shown = [
                repr(grant),
                str(grant),
                repr(store),
                store.address,
                repr(store.stats()),
                *map(repr, await admin.grants()),
            ]
            with pytest.raises(ccs.Forbidden) as caught:
                await store.task("2").set("a", 1)
            shown += [str(caught.value), repr(caught.value)]
        assert "hunter2" in grant.url
        assert all("hunter2" not in text and "#" not in text for text in shown)
        secret = random.url.split(":")[2].split("@")[0]
        assert len(secret) > 30
        assert secret not in repr(random)
        assert "hunter2" not in caplog.text
        assert secret not in caplog.text
        for each in (grant, random):
            assert await admin.revoke(each.user)


@pytest.mark.parametrize("colour", COLOURS)
async def test_who_is_revoked_is_out(colour: str, valkey: str, namespace: str) -> None:
    """Given a granted user at work, when it is revoked, then its calls fail and it cannot come back."""
    async with ccs.aio.connect(valkey, namespace=namespace) as admin:
        grant = await admin.grant(f"v{namespace}", write=["/tasks/1"])
        async with connect_in(colour, grant.url, namespace=namespace, retry_for=1) as store:
            await store.task("1").set("a", 1)
            assert await admin.revoke(grant.user)
            assert not await admin.revoke(grant.user)
            assert await admin.grants() == []
            with pytest.raises(ccs.Unavailable):
                await store.task("1").set("a", 2)
        assert await admin.task("1").get("a") == 1


async def test_a_new_grant_replaces_the_rights_of_the_old_one(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as admin:
        grant = await admin.grant(f"p{namespace}", write=["/tasks/1"], password="pw")
        async with ccs.aio.connect(grant.url, namespace=namespace) as store:
            await store.task("1").set("a", 1)
            await admin.grant(grant.user, read=["/tasks/1"], password="pw")
            with pytest.raises(ccs.Forbidden):
                await store.task("1").set("a", 2)
            assert await store.task("1").get("a") == 1
        assert [(each.read, each.write) for each in await admin.grants()] == [(("/tasks/1",), ())]
        await admin.revoke(grant.user)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_users_are_saved_where_the_server_has_a_file_for_them(
    kind: str, start: Callable[..., PrivateServer], tmp_path: Path
) -> None:
    """Given a server with a file of users, when it starts again, then the grant is still there."""
    users = tmp_path / "users.acl"
    users.write_text("user default on nopass ~* &* +@all\n")
    server = start("--aclfile", str(users), kind=kind)
    with ccs.connect(server.url) as admin:
        grant = admin.grant("app", write=["/tasks/one two"], read=["/sessions/*"])
        assert grant.saved is True
    server.stop()
    server.start()
    with ccs.connect(server.url) as admin, ccs.connect(grant.url) as store:
        store.task("one two").set("a", 1)
        (found,) = admin.grants()
    assert (found.user, found.read, found.write) == ("app", ("/sessions/*",), ("/tasks/one two",))


async def test_every_server_has_the_user(url: str, admin: ccs.aio.Store, namespace: str) -> None:
    """Given several servers, when a user is granted and revoked, then all of them know it, and then none, replicas too."""
    nodes = await admin._engine.opening.commands.on_every_server(("ACL", "WHOAMI"))
    grant = await admin.grant(f"e{namespace}", read=["/tasks/1"])
    assert grant.saved is False
    replies = await admin._engine.opening.commands.on_every_server(("ACL", "USERS"))
    assert all(grant.user.encode() in users for users in replies.values())
    assert len(replies) == len(nodes) == {"cluster": 6, "sentinel": 3}.get(_kind_of(url), 1)
    assert await admin.revoke(grant.user)
    replies = await admin._engine.opening.commands.on_every_server(("ACL", "USERS"))
    assert not any(grant.user.encode() in users for users in replies.values())


def _kind_of(url: str) -> str:
    return "cluster" if "+cluster" in url else "sentinel" if "+sentinel" in url else "server"


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_user_from_before_the_read_only_calls_reads_on(colour: str, valkey: str, namespace: str) -> None:
    """Given a user who may call scripts, but not in the read-only way, then it reads as ever."""
    with redis.Redis.from_url(valkey) as raw:
        raw.execute_command(
            "ACL", "SETUSER", f"l{namespace}", "on", ">pw", "~*", "&*", "+@all", "-evalsha_ro", "-eval_ro"
        )
        try:
            async with connect_in(colour, valkey.replace("://", f"://l{namespace}:pw@"), namespace=namespace) as store:
                await store.task("1").set("a", 1)
                assert sorted(await store.task("1").snapshot()) == ["a"]
                async with store.task("1").watch(initial=True) as changes:
                    assert (await changes.receive(timeout=5)).path == "a"
                assert len(await store.contexts()) == 1
        finally:
            raw.acl_deluser(f"l{namespace}")


async def test_a_reader_meets_an_entry_that_is_due_and_leaves_it_to_others(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as admin:
        await admin.task("1").set("a", 1)
        grant = await admin.grant(f"d{namespace}", read=["/tasks/1"])
        async with ccs.aio.connect(grant.url, namespace=namespace) as store:
            await admin.task("1").set("a", 1, ttl=0.05)
            await aeventually(_gone(store.task("1")), 5, "the end of the entry")
            assert await store.task("1").paths() == []
        await admin.revoke(grant.user)


def _gone(task: Any) -> Any:
    async def gone() -> bool:
        return await task.get("a") is None

    return gone
