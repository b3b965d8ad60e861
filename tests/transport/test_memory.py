"""`memory://`: the installed packages are tested first, and servers deliver between threads, loops and colours."""

from __future__ import annotations

import ast
import asyncio
import re
import secrets
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._protocol import fake_server
from tests.support.threads import run_threads
from tests.support.waiting import bounded, counts, scaled

PACKAGE = Path(ccs.__file__).parent
FOREIGN = {"fakeredis", "hiredis", "redis"}


def run(program: str, *paths: Path) -> str:
    """The output of a program in a process of its own, which finds modules in these folders first."""
    path = [str(path) for path in (*paths, PACKAGE.parent)]
    code = f"import sys; sys.path[:0] = {path!r}\n{textwrap.dedent(program)}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def text_of_connecting(*paths: Path) -> str:
    return run(
        """
        import ccs, ccs.aio
        for connect in (ccs.connect, ccs.aio.connect):
            try:
                connect("memory://")
            except ccs.Unavailable as error:
                print(error)
        """,
        *paths,
    )


# What is loaded, and what is asked of it.


def test_redis_py_is_loaded_only_for_memory() -> None:
    """Given a store in a folder or by URL, when `ccs` is imported and a store made, then redis-py is not loaded."""
    loaded = run(
        """
        import sys, ccs, ccs.aio
        ccs.connect("redis://box"), ccs.aio.connect("rediss://box"), ccs.connect("./brain")
        print({"redis", "fakeredis", "lupa"} & set(sys.modules))
        """
    )
    assert loaded.strip() == "set()"


def test_nothing_private_of_a_dependency_is_touched() -> None:
    """Given the modules that import redis-py, hiredis or fakeredis, then only two do, and read no private attribute."""
    importers = {}
    for path in PACKAGE.rglob("*.py"):
        name, tree = path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text("utf-8"))
        if any(FOREIGN & set(names_in(node)) for node in ast.walk(tree)) and not name.startswith("bench/"):
            importers[name] = tree
    assert set(importers) == {"_protocol/fake_server.py", "_protocol/replies.py"}
    for tree in importers.values():
        attributes = [
            node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr)
        ]
        assert all(isinstance(node.value, ast.Name) and node.value.id == "self" for node in attributes)


def names_in(node: ast.AST) -> list[str]:
    """The modules that a statement imports, or that a call of `import_module` does."""
    found: list[str | None] = []
    if isinstance(node, ast.Import):
        found = [each.name for each in node.names]
    elif isinstance(node, ast.ImportFrom):
        found = [node.module]
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        found = [ast.literal_eval(node.args[0])] if isinstance(node.args[0], ast.Constant) else []
    return [name.partition(".")[0] for name in found if name]


# What is missing or broken.


def test_without_fakeredis_it_says_what_to_install(tmp_path: Path) -> None:
    """Given no fakeredis, when `memory://` is used, then the error names the extra."""
    (tmp_path / "fakeredis.py").write_text("raise ModuleNotFoundError('no', name='fakeredis')")
    said = text_of_connecting(tmp_path).splitlines()
    assert len(said) == 2
    assert all("not installed" in line and "collaborative-context-store[testing]" in line for line in said)


@pytest.mark.parametrize(
    "broken",
    [
        "raise ModuleNotFoundError('No module named lupa', name='lupa')",
        "class FakeServer:\n    def __init__(self, version): pass\nclass FakeRedis:\n    def __init__(self, **_): pass",
        """
        class FakeServer:
            def __init__(self, version): pass
        class FakeRedis:
            def __init__(self, **_): self.connection_pool = self
            def make_connection(self): return self
            def connect(self): pass
            def send_packed_command(self, packed, check_health): pass
            def can_read(self, timeout): return False
            def disconnect(self): pass
        """,
    ],
    ids=["no lupa", "no pool", "no answer"],
)
def test_a_fakeredis_that_does_not_work_is_named_at_once(tmp_path: Path, broken: str) -> None:
    """Given a fakeredis that fails, when `memory://` is used, then the error names versions and what to install."""
    (tmp_path / "fakeredis.py").write_text(textwrap.dedent(broken))
    said = text_of_connecting(tmp_path).splitlines()
    assert len(said) == 2
    for line in said:
        assert "redis " in line
        assert "lupa " in line
        assert "pip install 'collaborative-context-store[testing]'" in line


# Who hears whom.


def test_a_name_is_shared_between_threads_loops_and_colours() -> None:
    """Given stores of one name on several threads and loops, when all write, then a watch of each colour sees all."""
    target = f"memory://{secrets.token_hex(4)}"
    rounds, writers = counts(10, 200), 3

    def write(number: int) -> None:
        with ccs.connect(target) as store:
            for turn in range(rounds):
                store.task("42").set(f"{number}/{turn}", turn)

    async def see() -> list[str]:
        async with ccs.aio.connect(target) as store, store.task("42").watch("*/*") as changes:
            seeing.wait()
            return [(await changes.receive(timeout=scaled(30))).path for _ in range(rounds * writers)]

    def see_blocking() -> None:
        with ccs.connect(target) as store, store.task("42").watch("*/*") as changes:
            seeing.wait()
            seen.append([changes.receive(timeout=scaled(30)).path for _ in range(rounds * writers)])

    seen: list[list[str]] = []
    seeing = threading.Barrier(4)
    watchers = [threading.Thread(target=see_blocking)]
    watchers += [threading.Thread(target=lambda: seen.append(asyncio.run(see()))) for _ in range(2)]
    for thread in watchers:
        thread.start()
    seeing.wait(scaled(10))
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in [*threads, *watchers]:
        thread.join()
    assert len(seen) == 3
    assert seen[0] == seen[1] == seen[2]
    assert sorted(seen[0]) == sorted(f"{number}/{turn}" for number in range(writers) for turn in range(rounds))


def test_a_store_whose_loop_ended_blocks_no_other() -> None:
    """Given a store that was not closed before its loop was, when another one writes, then it goes through."""
    target = f"memory://{secrets.token_hex(4)}"

    async def leave_open() -> ccs.aio.Store:
        store = ccs.aio.connect(target)
        await store.task("42").watch("**").__aenter__()
        await store.task("42").set("a", 1)
        return store

    left = asyncio.run(leave_open())
    with ccs.connect(target) as store:
        assert store.task("42").set("a", 2).version == 2
    assert left.address == target


async def test_a_cancelled_call_leaves_the_connection_usable() -> None:
    """Given calls of which every other one is cancelled at once, then the others get their own replies."""
    async with ccs.aio.connect("memory://") as store:
        task = store.task("42")
        await task.set_many({f"n/{number}": number for number in range(100)})

        async def ask(number: int) -> int | None:
            asking = asyncio.ensure_future(task.get(f"n/{number}"))
            await asyncio.sleep(0)
            if number % 2:
                asking.cancel()
            return (await asyncio.gather(asking, return_exceptions=True))[0]

        found = await bounded(asyncio.gather(*map(ask, range(100))))
        assert found[::2] == list(range(0, 100, 2))


def test_threads_that_use_a_new_name_at_once_share_one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given threads that open stores of a new name at the same moment, then all use the same server."""
    made = fake_server._Server

    def slowly() -> Any:
        time.sleep(0.01)  # as long as others need to come upon the same gap
        return made()

    monkeypatch.setattr(fake_server, "_Server", slowly)
    target = f"memory://{secrets.token_hex(4)}"
    together, written = threading.Barrier(4), threading.Barrier(4)
    found: list[dict[str, int]] = []

    def work(number: int) -> None:
        together.wait(scaled(10))
        with ccs.connect(target) as store:
            store.task("42").set(f"from/{number}", number)
            written.wait(scaled(10))
            found.append({path: entry.value for path, entry in store.task("42").snapshot().items()})

    run_threads(work, 4)
    assert found == [{f"from/{number}": number for number in range(4)}] * 4


async def test_a_connection_can_be_woken_as_soon_as_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a thread that sends a command just as another connection begins to listen, then both work."""
    listen = fake_server.FakeConnection.listen

    def woken_at_once(self: Any, on_ready: Any) -> None:
        listen(self, on_ready)
        on_ready()

    monkeypatch.setattr(fake_server.FakeConnection, "listen", woken_at_once)
    async with ccs.aio.connect("memory://") as store, store.task("42").watch("a") as changes:
        await store.task("42").set("a", 1)
        assert (await changes.receive(timeout=scaled(10))).value == 1


async def test_an_error_of_one_connection_does_not_affect_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a connection whose `ready_when_woken` fails, then the command of another connection is answered."""
    target = f"memory://{secrets.token_hex(4)}"
    async with ccs.aio.connect(target) as broken, ccs.aio.connect(target) as store:
        await broken.task("42").get("a")
        await store.task("42").get("a")

        def ready(self: Any) -> bool:
            if self is broken._engine.opening.commands.topology.only._pipeline.connection._connection:
                raise ccs.Unavailable("memory://", reason="broken")
            return True

        with monkeypatch.context() as patched:
            patched.setattr(fake_server.FakeConnection, "ready_when_woken", property(ready))
            sending = store._engine.opening.commands.topology.only._pipeline.connection
            sending._connection.send(b"*1\r\n$4\r\nPING\r\n")
            assert sending._connection.receive() == b"PONG"
