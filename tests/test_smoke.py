"""A first look at everything, in both colours, on every kind of server."""

import ccs
import ccs.aio


def test_blocking(store: ccs.Store) -> None:
    task = store.task("42")
    assert task.set("a", 1).version == 1
    assert task.get("a") == 1
    with task.watch("**", since=0) as changes:
        assert changes.receive(timeout=5).path == "a"
        task.set("b", 2)
        assert changes.receive(timeout=5).value == 2
    seen = []
    subscription = task.subscribe("c/*", seen.append)
    task.set("c/1", 1, ttl=0.2)
    entry = task.wait_for("c/1", 1, timeout=5)
    assert entry.expires_at is not None
    with task.watch("c/*") as changes:
        assert changes.receive(timeout=5).op == "expire"
    subscription.cancel()
    with store.watch() as all_changes:
        store.task("new").set("a", 1)
        assert all_changes.receive(timeout=5).context == "/tasks/new"


async def test_asyncio(astore: ccs.aio.Store) -> None:
    task = astore.task("42")
    assert (await task.set("a", 1)).version == 1
    assert await task.get("a") == 1
    async with task.watch("**", since=0) as changes:
        assert (await changes.receive(timeout=5)).path == "a"
        await task.set("b", 2)
        assert (await changes.receive(timeout=5)).value == 2
    async with astore.watch() as all_changes:
        await astore.task("new").set("a", 1)
        assert (await all_changes.receive(timeout=5)).context == "/tasks/new"
