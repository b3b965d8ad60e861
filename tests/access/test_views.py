"""Views: what a view does not show cannot be reached through anything that comes from it."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ccs
import ccs.aio
from ccs._core.names.pattern import compile_patterns
from tests.support.colours import COLOURS, awaited, connect_in
from tests.support.waiting import counts

SECRET = "hidden-from-the-view"
PUBLIC = re.compile(r"[a-z]\w*")


async def keep_secrets(task: Any) -> list[Any]:
    """Fills a context with things that say that they are secret, in every way in which it keeps anything.

    What is returned is held for as long as it is referred to.
    """
    await task.set("open/a", 1)
    await task.set(f"{SECRET}/x", SECRET)
    await task.set("secret", {"text": SECRET})
    await task.set("secret-list", [SECRET])
    await task.set("secret-number", 424242)
    await task.set("secret-gone", SECRET)
    await task.delete("secret-gone")
    await task.publish("secret/topic", SECRET)
    await task.send("spy", SECRET)
    claim = await task.claim("r", note=SECRET).acquire()
    await task.once("key", lambda: SECRET)
    presence = await task.join(SECRET, meta=SECRET).__aenter__()
    await task.set_policy(f"{SECRET}/**", "write-once")
    await task.semantic.store(SECRET, id="fact", embedding=[1.0, 0.0])
    await task.episodic.record(SECRET, id="episode", embedding=[1.0, 0.0])
    await task.procedural.learn(SECRET, [SECRET], id="how", embedding=[1.0, 0.0])
    return [claim, presence]


class Tries:
    """For each public name of a context, one coroutine that gets whatever it can out of a view by it.

    What it returns, and what it raises, must not tell a secret.
    """

    def __init__(self, task: Any, view: Any) -> None:
        self.task, self.view = task, view
        self.start = 0

    async def _taken(self, stream: Any) -> list[Any]:
        found = []
        async with stream as items:
            await self.task.set("secret", {"text": SECRET})
            await self.task.publish("secret/topic", SECRET)
            await self.task.set("open/a", 1)
            with suppress(TimeoutError):
                while True:
                    found.append(await items.receive(timeout=0.1))
        return found

    async def address(self) -> Any:
        return self.view.address

    async def agent(self) -> Any:
        return self.view.agent

    async def last_revision(self) -> Any:
        return self.view.last_revision

    async def store(self) -> Any:
        return await self.view.store.get(f"{self.view.address}/secret")

    async def get(self) -> Any:
        return await self.view.get("secret")

    async def get_many(self) -> Any:
        return await self.view.get_many(["open/a", "secret"])

    async def entry(self) -> Any:
        return await self.view.entry("secret")

    async def exists(self) -> Any:
        return f"{SECRET} exists" if await self.view.exists("secret") else "exists not"

    async def paths(self) -> Any:
        return [await self.view.paths(*some) for some in ((), ("**",), ("secret*",), ("@*/**",), ("@claims/**",))]

    async def snapshot(self) -> Any:
        return [dict(await self.view.snapshot(*some)) for some in ((), ("secret",), ("@claims/**", "@inbox/**"))]

    async def tree(self) -> Any:
        return await self.view.tree(), await self.view.tree("secret")

    async def scan(self) -> Any:
        return [entry async for entry in self.view.scan("**", "secret", "@claims/**", page=1)]

    async def revision(self) -> Any:
        return await self.view.revision()

    async def info(self) -> Any:
        return await self.view.info()

    async def history(self) -> Any:
        return await self.view.history(since=0), await self.view.history("secret*", "@**/*", newest_first=True)

    async def at(self) -> Any:
        revision = await self.view.revision()
        return dict(await self.view.at(revision)), dict(await self.view.at(revision, "secret", "@claims/**"))

    async def diff(self) -> Any:
        first = (await self.task.history(limit=1))[0].revision
        return await self.view.diff(first), await self.view.diff(first, "secret*", "@claims/**")

    async def watch(self) -> Any:
        return [
            await self._taken(self.view.watch()),
            await self._taken(self.view.watch("secret", "**", since=0)),
            await self._taken(self.view.watch("secret", "@claims/**", initial=True)),
        ]

    async def _called(self, subscribe: Callable[[Callable[[Any], None]], Any], *more: Any) -> list[Any]:
        found: list[Any] = []
        subscription = subscribe(found.append)
        if isinstance(subscription, Awaitable):
            subscription = await subscription
        await self.task.set("secret", {"text": SECRET})
        await self.task.publish("secret/topic", SECRET)
        await asyncio.sleep(0.2)
        if hasattr(subscription, "cancel"):
            subscription.cancel()
        return found

    async def subscribe(self) -> Any:
        return await self._called(lambda call: self.view.subscribe(["**", "secret"], call, since=0))

    async def on_change(self) -> Any:
        return await self._called(lambda call: self.view.on_change("**", "secret", since=0)(call))

    async def on_event(self) -> Any:
        return await self._called(lambda call: self.view.on_event("**", "secret/*", since=0)(call))

    async def events(self) -> Any:
        return await self._taken(self.view.events("**", since=0))

    async def bus(self) -> Any:
        found = await self._called(lambda call: self.view.bus.subscribe("**", since=0)(call))
        return found, await self.view.bus.publish("secret/topic", 1)

    async def subscribe_events(self) -> Any:
        return await self._called(lambda call: self.view.subscribe_events(["**", "secret/*"], call, since=0))

    async def wait_for(self) -> Any:
        with pytest.raises(ccs.Forbidden):
            await self.view.wait_for(["open/a", "secret"], timeout=0.2)
        return await self.view.wait_for("secret", timeout=0.2)

    async def wait_for_count(self) -> Any:
        for pattern in ("secret*", "@claims/**", f"{SECRET}/**"):
            with pytest.raises((TimeoutError, ccs.Forbidden)):
                await self.view.wait_for_count(pattern, 1, timeout=0.05)
        return await self.view.wait_for_count("**", 0)

    async def mirror(self) -> Any:
        called: list[Any] = []
        async with self.view.mirror("**", "secret", "@claims/**", on_change=called.append) as mirror:
            await self.task.set("secret", {"text": SECRET})
            entry = await self.task.set("open/a", 1)
            await mirror.caught_up(entry.revision, timeout=5)
            return dict(mirror), dict(mirror.snapshot()), mirror.entry("secret"), called

    async def transaction(self) -> Any:
        async with self.view.transaction() as tx:
            return await tx.get("secret"), await tx.entry("secret"), await tx.exists("secret")

    async def transact(self) -> Any:
        def stolen(call: Callable[[Any], Any]) -> Any:
            async def steal(tx: Any) -> Any:
                found = call(tx)
                return await found if isinstance(found, Awaitable) else found

            return self.view.transact(steal)

        for call in (
            lambda tx: tx.increment("secret-number"),
            lambda tx: tx.append("secret-list", 1),
            lambda tx: tx.merge("secret", {"more": 1}),
            lambda tx: tx.renew("secret", 1),
            lambda tx: tx.delete("secret"),
        ):
            with pytest.raises(ccs.Forbidden):
                await stolen(call)
        assert await stolen(lambda tx: tx.delete_matching("secret*", f"{SECRET}/**")) in (0, None)

        async def steal(tx: Any) -> Any:
            tx.set("secret", 1)
            tx.send("spy", 1)
            tx.publish("secret/topic", 1)

        return await self.view.transact(steal)

    async def set(self) -> Any:
        return await self.view.set("secret", {"more": 1})

    async def create(self) -> Any:
        return await self.view.create("secret", 1)

    async def delete(self) -> Any:
        return await self.view.delete("secret")

    async def delete_matching(self) -> Any:
        return await self.view.delete_matching("secret*", f"{SECRET}/**")

    async def set_many(self) -> Any:
        return await self.view.set_many({"secret": 1, "open/b": 2})

    async def update(self) -> Any:
        seen: list[Any] = []
        with suppress(ccs.Forbidden):
            await self.view.update("secret", lambda value: seen.append(value) or value)
        return seen

    async def merge(self) -> Any:
        return await self.view.merge("secret", {"more": 1})

    async def increment(self) -> Any:
        return await self.view.increment("secret-number")

    async def append(self) -> Any:
        return await self.view.append("secret-list", 1)

    async def renew(self) -> Any:
        with pytest.raises(ccs.Forbidden):
            await self.view.get("secret", renew=1)
        return await self.view.renew("secret", 1)

    async def finish(self) -> Any:
        return await self.view.finish()

    async def drop(self) -> Any:
        return await self.view.drop()

    async def durable(self) -> Any:
        safe = self.view.durable(disk=False)
        found = [await safe.paths(), dict(await safe.snapshot("**", "secret"))]
        with pytest.raises(ccs.Forbidden):
            await safe.set("secret", 1)
        return found, await safe.set("open/a", 1)

    async def claim(self) -> Any:
        return await self.view.claim("r", wait=0.1).acquire()

    async def claim_any(self) -> Any:
        return await self.view.claim_any(["r", "free"])

    async def claim_all(self) -> Any:
        async with self.view.claim_all(["r", "free"]) as claims:
            return claims

    async def jobs(self) -> Any:
        with pytest.raises(ccs.Forbidden):
            await self.view.jobs("open/*").progress()
        async with self.view.jobs("secret*") as jobs:
            return await jobs.take(timeout=0.1)

    async def claims(self) -> Any:
        return await self.view.claims()

    async def break_claim(self) -> Any:
        return await self.view.break_claim("r")

    async def once(self) -> Any:
        return await self.view.once("key", lambda: "run again")

    async def forget_once(self) -> Any:
        return await self.view.forget_once("key")

    async def idempotent(self) -> Any:
        return await self.view.idempotent("key")(lambda: "run again")()

    async def publish(self) -> Any:
        return await self.view.publish("secret/topic", 1)

    async def send(self) -> Any:
        return await self.view.send("spy", 1)

    async def inbox(self) -> Any:
        for call in ("count", "purge"):
            with pytest.raises(ccs.Forbidden):
                await getattr(self.view.inbox("spy"), call)()
        async with self.view.inbox("spy") as inbox:
            return await inbox.receive(timeout=0.1)

    async def join(self) -> Any:
        async with self.view.join("role"):
            return await self.view.members()

    async def overview(self) -> Any:
        return await self.view.overview()

    async def members(self) -> Any:
        return await self.view.members()

    async def agree(self) -> Any:
        return await self.view.agree("vote", parties=[self.view.agent], timeout=0.5)

    async def barrier(self) -> Any:
        return await self.view.barrier("warm", parties=1, timeout=0.5)

    async def set_policy(self) -> Any:
        return await self.view.set_policy("secret*", "last-write-wins")

    async def policies(self) -> Any:
        return await self.view.policies()

    async def semantic(self) -> Any:
        memory = self.view.semantic
        words = await memory.query([1.0, 0.0], keywords=SECRET, mode="hybrid")
        faded = await memory.query([1.0, 0.0], recency=60)
        found = await memory.get("fact"), await memory.list(), await memory.query([1.0, 0.0]), words, faded
        return found, await memory.count(), await memory.stats(), await memory.update("fact", metadata={"a": 1})

    async def episodic(self) -> Any:
        memory = self.view.episodic
        return await memory.get("episode"), await memory.list(), await memory.recent(), await memory.count()

    async def procedural(self) -> Any:
        memory = self.view.procedural
        return await memory.get("how"), await memory.list(), await memory.recall([1.0, 0.0]), await memory.count()

    async def briefing(self) -> Any:
        first = await self.view.briefing("none")
        await self.task.set("secret", {"text": SECRET})
        await self.task.publish("secret/topic", SECRET)
        for refused in ({"role": "spy"}, {"pinned": ["secret"]}):
            with pytest.raises(ccs.Forbidden):
                await self.view.briefing(**refused)
        asked = ("**", "secret*", "secret/**", "@claims/**", "@inbox/**")
        present = await self.view.briefing(*asked)
        news = await self.view.briefing(*asked, since=first.cursor, own=True)
        return [(each.text, each.items) for each in (present, news)]

    async def reader(self) -> Any:
        return await self.view.reader("name").briefing()

    async def tools(self) -> Any:
        reach = ["**", "secret*", "secret/**", "@claims/**", "@inbox/**"]
        tools = self.view.tools(role="spy", read=reach, write=reach, allow_delete=True)
        calls: dict[str, list[dict[str, Any]]] = {
            "read": [{"path": path} for path in ("secret", "@claims/r", f"{SECRET}/x")],
            "list": [{}, {"patterns": ["secret*"]}],
            "history": [{}, {"patterns": ["secret*"], "limit": 100}],
            "wait": [{"patterns": ["secret*"], "timeout": 0.05}],
            "write": [{"path": "secret", "value": 1}, {"path": "secret", "value": 1, "if_revision": 1}],
            "merge": [{"path": "secret", "value": {"more": 1}}],
            "delete": [{"path": "secret"}],
            "claim": [{"resource": "r"}],
            "send": [{"to": "spy", "content": 1}],
        }
        names = ["briefing", "inbox", *calls]
        given = [(name, arguments) for name in names for arguments in calls.get(name, [{}])]
        texts = [(await tools.call(name, arguments)).text for name, arguments in given]
        # An answer repeats what the call named, and which patterns the program gave.
        return [text for text in texts if "that is not yours" not in text and "there is no tool" not in text]

    async def fork(self) -> Any:
        return await self.view.fork("a-way-out")

    async def adopt(self) -> Any:
        number = secrets.token_hex(4)
        return await self.view.adopt(await self.task.fork(number, "open/**"))

    async def view_(self) -> Any:
        wider = self.view.view(read=["**", "secret", "@claims/**", "@inbox/**"], write=["**", "secret", "@claims/**"])
        found = [dict(await wider.snapshot("**", "secret", "@claims/**")), await wider.claims()]
        with pytest.raises(ccs.Forbidden):
            await wider.set("secret", 1)
        with pytest.raises(ccs.Forbidden):
            await wider.get("secret")
        return found


# What is no part of the interface, and says so.
INTERNAL = {"handle"}
# What takes hold of nothing that is secret, and so may succeed.
HARMLESS = {
    "address", "agent", "last_revision", "paths", "snapshot", "tree", "scan", "revision", "info", "history", "at", "diff",
    "watch", "subscribe", "on_change", "on_event", "events", "mirror", "claims", "members", "view_", "update",
    "delete_matching", "durable", "subscribe_events", "wait_for_count", "briefing", "tools",
    "overview",
}  # fmt: skip


def names_of(kind: type) -> set[str]:
    return {name for name in dir(kind) if PUBLIC.fullmatch(name)} - INTERNAL


def test_every_public_name_of_a_context_is_tried() -> None:
    """Given the public names of a context, then each has a try below: a new one cannot be forgotten."""
    tried = {name.rstrip("_") for name in vars(Tries) if PUBLIC.fullmatch(name)}
    assert tried == names_of(ccs.aio.Context) == names_of(ccs.Context)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "a view": lambda task: task.view(read=["open/**"], write=["open/**"]),
    "a view of a view": lambda task: task.view(read=["open/**", "secret"]).view(
        read=["open/**", "@claims/**"], write=["**"]
    ),
}


NAMES = [name for name in vars(Tries) if PUBLIC.fullmatch(name)]
# In short rounds, one kind of view for each name.
TRIED = [
    (name, kind)
    for place, name in enumerate(NAMES)
    for number, kind in enumerate(VIEWS)
    if counts(place % len(VIEWS) == number, True)
]


@pytest.fixture(scope="module")
def secrets_at(server_urls: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """The server and the namespace of a context full of secrets, some of which are held: no try changes it."""
    url = server_urls("valkey")
    namespace = f"t{secrets.token_hex(6)}"
    with ccs.connect(url, agent="test", namespace=namespace) as store:
        held = asyncio.run(keep_secrets(awaited(store).task("42")))
        yield url, namespace
        assert all(held)


@pytest.mark.parametrize(("name", "kind"), TRIED)
async def test_nothing_that_comes_from_a_view_tells_what_it_does_not_show(
    name: str, kind: str, secrets_at: tuple[str, str]
) -> None:
    """Given a context full of secrets, when one tries to get at them by each public name, then none is told or changed."""
    url, namespace = secrets_at
    async with ccs.aio.connect(url, agent="test", namespace=namespace) as store:
        task = store.task("42")
        before = await state_of(task)
        tries = Tries(task, VIEWS[kind](task))
        try:
            found = await asyncio.wait_for(getattr(tries, name)(), 20)
        except ccs.Forbidden as error:
            told = str(error)
        else:
            assert name in HARMLESS, f"{name} is not Forbidden, and returned {found!r}"
            told = repr(found)
            assert "'secret'" not in told
            assert "'@" not in told
        assert SECRET not in told
        assert "424242" not in told
        assert await state_of(task) == before


async def state_of(task: Any) -> dict[str, Any]:
    roots = ("**", "@claims/**", "@inbox/**", "@policies/**", "@members/**", "@semantic/**", "@once/**", "@agree/**")
    return {path: entry.value for path, entry in (await task.snapshot(*roots)).items() if path != "open/a"}


@pytest.mark.parametrize("colour", COLOURS)
async def test_what_a_view_shows_can_be_used_as_ever(colour: str, namespace: str, valkey: str) -> None:
    """Given a view that names roots of the system, then what rests on them works in it; so do claims and their contexts."""
    roots = ["open/**", "@claims/**", "@inbox/**", "@once/**", "@members/**", "@semantic/**", "@episodes/**", "jobs/*"]
    async with connect_in(colour, valkey, agent="test", namespace=namespace) as store:
        task = store.task("42")
        await task.set("hidden", 1)
        view = task.view(write=roots, read=roots)
        await view.set("open/a", 1)
        async with view.claim("s", slots=2) as one, view.claim("s", slots=2) as other:
            assert one.token < other.token
        async with view.claim("r") as claim:
            await claim.context.set("open/b", 2)
            with pytest.raises(ccs.Forbidden):
                await claim.context.set("hidden", 2)
            with pytest.raises(ccs.Forbidden):
                await claim.context.get("hidden")
            with pytest.raises(ccs.AlreadyClaimed):
                await view.claim("r", wait=0.05).acquire()
        assert await view.once("key", lambda: 7) == 7
        await view.send("analyst", "hello")
        async with view.inbox("analyst") as inbox:
            await (await inbox.receive(timeout=5)).ack()
        async with view.join("role"):
            assert len(await view.members()) == 1
        await view.semantic.store("a fact", embedding=[1.0, 0.0])
        assert len(await view.semantic.query([1.0, 0.0])) == 1
        await view.episodic.record("an episode", embedding=[1.0, 0.0])
        assert len(await view.episodic.recent()) == 1
        assert await view.publish("jobs/done", 1)
        async with view.transaction() as tx:
            assert await tx.get("open/a") == 1
            tx.set("open/c", 3)
        assert await view.paths() == ["open/a", "open/b", "open/c"]
        with pytest.raises(ccs.Forbidden) as caught:
            await view.get("hidden")
        assert caught.value.action == "read 'hidden'"
        assert caught.value.address == "/tasks/42"
        assert isinstance(caught.value, PermissionError)
        with pytest.raises(ccs.ReservedPath):
            await view.set("@claims/x", 1)
        assert "view" in repr(view)


@pytest.mark.parametrize("colour", COLOURS)
async def test_what_may_be_written_and_not_read_tells_nothing(colour: str, namespace: str) -> None:
    """Given a view that may write what it does not show, then it can set and delete, and no way of writing tells a value."""
    async with connect_in(colour, "memory://", namespace=namespace) as store:
        task = store.task("42")
        await task.set_many({"box/n": 4242, "box/list": [4242], "box/map": {"a": 4242}, "merged": {"a": 4242}})
        await task.set_policy("merged", "merge")
        view = task.view(read=(), write=["box/*", "merged"])
        before = await task.revision()
        for call in (
            lambda: view.get("box/n"),
            lambda: view.create("box/n", 1),
            lambda: view.set("box/n", 1, if_version=7),
            lambda: view.delete("box/n", if_revision=7),
            lambda: view.increment("box/n"),
            lambda: view.append("box/list", 1),
            lambda: view.merge("box/map", {"b": 1}),
            lambda: view.update("box/n", lambda value: value),
            lambda: view.set("merged", {"b": 1}),
            lambda: view.set_many({"merged": {"b": 1}}),
        ):
            with pytest.raises(ccs.Forbidden, match="read"):
                await call()
        assert await task.revision() == before
        assert (await view.set("box/n", 1)).value == 1
        assert await view.delete("box/list")
        assert await view.delete_matching("box/*") == 0
        assert await task.paths("box/*") == ["box/map", "box/n"]


PATHS = [f"{a}/{b}" for a in "ab" for b in "xyz"] + ["a", "b", "c"]
patterns = st.lists(st.sampled_from([*PATHS, "a/**", "b/*", "**/x", "*", "**", "?", "{a,b}/y", "[ab]/z"]), max_size=3)


@settings(deadline=None, max_examples=counts(12, 1_000))
@given(views=st.lists(st.tuples(patterns, patterns), min_size=1, max_size=3), path=st.sampled_from(PATHS))
def test_a_view_shows_and_lets_write_what_its_patterns_say(views: list[tuple[list[str], list[str]]], path: str) -> None:
    """Given views of views, then a path is seen if all of them show it, and is written if all of them let it be."""
    with ccs.connect("memory://", agent="test") as store:
        task = store.task("42")
        task.set_many(dict.fromkeys(PATHS, 0))
        view = task
        for read, write in views:
            view = view.view(read=read, write=write)
        shown = [each for each in sorted(PATHS) if all(_matches(read, each) for read, _ in views)]
        written = all(_matches(write, path) for _, write in views)
        assert view.paths() == shown == sorted(view.snapshot()) == [entry.path for entry in view.scan(page=2)]
        assert sorted(change.path for change in view.history()) == shown
        assert sorted(view.at(view.revision())) == shown
        assert _allowed(lambda: view.get(path)) == (path in shown)
        assert _allowed(lambda: view.exists(path)) == (path in shown)
        assert _allowed(lambda: view.set(path, 1)) == written
        assert _allowed(lambda: view.delete(path)) == written
        assert task.exists(path) == (not written)


def _matches(some: list[str], path: str) -> bool:
    return bool(some) and compile_patterns(tuple(some)).matches(path)


def _allowed(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ccs.Forbidden:
        return False
    return True


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_view_says_what_is_no_pattern(colour: str, namespace: str) -> None:
    async with connect_in(colour, "memory://", namespace=namespace) as store:
        for wrong in ({"read": ["["]}, {"write": ["/tasks/1"]}, {"read": 3}):
            with pytest.raises(ccs.InvalidPattern):
                store.task("42").view(**wrong)
