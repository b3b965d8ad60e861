"""A program as users write it, in both colours: `scripts/check` holds it against mypy and pyright, both strict.

It is checked from another folder, so its types are those that the installed package shows. Nothing runs it. What a type
checker has to refuse is marked with `type: ignore`; a mark that nothing needs fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import assert_type

import ccs
import ccs.aio
import ccs.testing


@dataclass
class Source:
    title: str
    pages: int


def blocking(folder: Path) -> None:
    with ccs.connect(folder, agent="reader", retry_for=5) as store:
        task = assert_type(store.task("q2", ttl=timedelta(hours=1)), ccs.Context)
        assert_type(task.get("sources/a", type=Source), Source | None)
        assert_type(task.get("pages", 0, type=int), int)
        assert_type(task.get_many(["a", "b"], type=Source), dict[str, Source])
        assert_type(store.get("/tasks/q2/pages", 0, type=int), int)
        assert_type(store.memory(workflow="q2").get("source", type=Source), Source | None)
        assert_type(task.entry("sources/a"), ccs.Entry | None)
        assert_type(task.paths("sources/*"), list[str])
        assert_type(task.set("status", "open", if_version=0).revision, int)
        assert_type(task.set_many({"a": 1, "b": None}), int)
        assert_type(task.delete("a"), bool)
        assert_type(task.snapshot("**").revision, int)
        assert_type(task.history("**", limit=3, newest_first=True), list[ccs.Change])
        assert_type(task.wait_for("status", "done", timeout=1), ccs.Entry)
        with task.transaction() as tx:
            tx.set("b", 2)
            assert_type(tx.get("sources/a", type=Source), Source | None)
        assert_type(task.transact(lambda tx: len(str(tx.get("b")))), int)
        with task.watch("sources/**", initial=True) as changes:
            assert_type(changes.revision, int | None)
            assert_type(changes.receive(timeout=1), ccs.Change)
            assert_type(first_path(changes), str)
            for change in changes:
                assert_type(change, ccs.Change)
        with store.watch("/tasks/*/status") as everywhere:
            assert_type(everywhere.receive(timeout=1), ccs.Change)
        with task.mirror("sources/**") as view:
            assert_type(view.entry("sources/a"), ccs.Entry | None)

        @task.on_change("sources/*")
        def react(change: ccs.Change) -> None:
            assert_type(change.previous is None, bool)

        react(task.history()[0])

        @task.on_change("sources/*")  # type: ignore[type-var]
        def takes_no_change(number: int) -> None: ...

        takes_no_change(1)
        task.get("a", typ=int)  # type: ignore[call-overload]
        task.set(b"a", 1)  # type: ignore[arg-type]
        task.set("a", 1, ttl="soon")  # type: ignore[arg-type]
        task.set("b", task.entry("a").value)  # type: ignore[union-attr]


def first_path(changes: ccs.Watch) -> str:
    return next(changes).path


def coordinating(task: ccs.Context) -> None:
    with task.claim("sources/a", ttl=10, note="reading") as claim:
        assert_type(claim, ccs.Claim)
        assert_type(claim.context, ccs.Context)
        assert_type(claim.token, int)
    assert_type(task.claim_any(["a", "b"]), ccs.Claim | None)
    assert_type(task.claims(), list[ccs.ClaimInfo])
    with task.inbox("reader") as inbox:
        assert_type(inbox.receive(timeout=1), ccs.Message)
    assert_type(task.once("read/a", lambda: Source("a", 1), type=Source), Source)
    assert_type(next(task.inbox("reader")), ccs.Message)
    with task.events("data/*") as events:
        assert_type(events.receive(timeout=1), ccs.Event)
        for event in events:
            assert_type(event, ccs.Event)

    @task.idempotent("read/{name}", type=Source)
    def read(name: str) -> Source:
        return Source(name, 1)

    assert_type(read("a"), Source)

    @task.on_event("data/*")
    def arrived(event: ccs.Event) -> None:
        assert_type(event.topic, str)

    arrived(next(task.events("data/*")))
    assert_type(task.agree("publish", parties=["a"]).committed, bool)
    with task.join("reader") as presence:
        assert_type(presence.joined, bool)
    assert_type(task.members(), list[ccs.Member])
    assert_type(task.semantic.query([1.0, 0.0], top_k=3), list[ccs.Match])
    task.claim("a", ttl="soon")  # type: ignore[arg-type]


async def count(tx: ccs.aio.Transaction) -> int:
    return len(str(await tx.get("a")))


async def with_asyncio(url: str) -> None:
    async with ccs.aio.connect(url) as store:
        task = assert_type(store.task("q2"), ccs.aio.Context)
        assert_type(await task.get("sources/a", type=Source), Source | None)
        assert_type(await task.set("status", "open"), ccs.Entry)
        assert_type(await store.contexts("/tasks/*"), list[ccs.ContextInfo])
        assert_type(await task.get_many(["a"], type=int), dict[str, int])
        assert_type(await task.once("read/a", lambda: Source("a", 1), type=Source), Source)
        assert_type(await task.transact(count), int)
        assert_type(await task.transact(lambda tx: 1), int)
        async with task.watch("sources/**") as changes:
            assert_type(await changes.receive(timeout=1), ccs.Change)
            async for change in changes:
                assert_type(change, ccs.Change)
        async with task.events("data/*") as events:
            assert_type(await anext(events), ccs.Event)
        async with task.claim("sources/a") as claim:
            assert_type(claim.context, ccs.aio.Context)
        async with task.transaction() as tx:
            await tx.get("a")
            tx.set("a", 1)

        @task.on_change("sources/*")
        async def react(change: ccs.Change) -> None:
            await task.increment(f"seen/{change.path}")

        await react((await task.history())[0])
        with task.watch("**"):  # type: ignore[attr-defined]
            pass


def errors(task: ccs.Context) -> Mapping[str, object]:
    try:
        task.create("a", 1)
    except ccs.Conflict as conflict:
        return {"path": conflict.path, "by": conflict.agent, "revision": assert_type(conflict.revision, int)}
    except ccs.Unavailable as error:
        return {"maybe": assert_type(error.maybe_applied, bool)}
    return {}


def test_of_a_user(ccs_store: ccs.Store) -> None:
    with ccs.testing.record(ccs_store.task("q2"), "status") as changes:
        assert_type(changes, ccs.testing.Recorder)
        assert_type(changes.wait(1), list[ccs.Change])
