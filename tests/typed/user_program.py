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
        with task.watch("sources/**", initial=True) as changes:
            assert_type(changes.revision, int)
        with task.mirror("sources/**") as view:
            assert_type(view.entry("sources/a"), ccs.Entry | None)

        @task.on_change("sources/*")
        def react(change: ccs.Change) -> None:
            assert_type(change.previous is None, bool)

        react(task.history()[0])

        task.get("a", typ=int)  # type: ignore[call-overload]
        task.set(b"a", 1)  # type: ignore[arg-type]
        task.set("a", 1, ttl="soon")  # type: ignore[arg-type]
        task.set("b", task.entry("a").value)  # type: ignore[union-attr]


def coordinating(task: ccs.Context) -> None:
    with task.claim("sources/a", ttl=10, note="reading") as claim:
        assert_type(claim, ccs.Claim)
        assert_type(claim.context, ccs.Context)
        assert_type(claim.token, int)
    assert_type(task.claim_any(["a", "b"]), ccs.Claim | None)
    assert_type(task.claims(), list[ccs.ClaimInfo])
    with task.inbox("reader") as inbox:
        assert_type(inbox.receive(timeout=1), ccs.Message)
    assert_type(task.agree("publish", parties=["a"]).committed, bool)
    with task.join("reader") as presence:
        assert_type(presence.joined, bool)
    assert_type(task.members(), list[ccs.Member])
    assert_type(task.semantic.query([1.0, 0.0], top_k=3), list[ccs.Match])
    task.claim("a", ttl="soon")  # type: ignore[arg-type]


async def with_asyncio(url: str) -> None:
    async with ccs.aio.connect(url) as store:
        task = assert_type(store.task("q2"), ccs.aio.Context)
        assert_type(await task.get("sources/a", type=Source), Source | None)
        assert_type(await task.set("status", "open"), ccs.Entry)
        assert_type(await store.contexts("/tasks/*"), list[ccs.ContextInfo])
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
