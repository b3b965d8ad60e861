"""The generator of the blocking twin, on small trees of its own, and the twin that is committed."""

import subprocess
import sys
import token
from contextlib import redirect_stderr, redirect_stdout
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parent.parent
SCRIPT = PROJECT / "scripts/twin"


@pytest.fixture(scope="module")
def twin() -> ModuleType:
    spec = spec_from_loader("twin", SourceFileLoader("twin", str(SCRIPT)))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Done(NamedTuple):
    """What a run of the generator came to."""

    returncode: int
    stderr: str


class Tree:
    """A project with an asynchronous source and its twin."""

    def __init__(self, root: Path, generator: ModuleType) -> None:
        self.root, self.generator = root, generator
        for folder in ("ccs/_async", "ccs/_sync"):
            (root / folder).mkdir(parents=True)

    def write(self, name: str, text: str) -> None:
        (self.root / "ccs" / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / "ccs" / name).write_text(text)

    def read(self, name: str) -> str:
        return (self.root / "ccs" / name).read_text()

    def twin(self, *options: str) -> Done:
        said = StringIO()
        with redirect_stderr(said), redirect_stdout(None):
            try:
                returned = self.generator.main(["--root", str(self.root), *options])
            except SystemExit as refused:  # with what Python would print
                return Done(1, str(refused))
        return Done(returned, said.getvalue())

    def complaints(self) -> list[str]:
        """What a check says, but for the rules that so small a tree cannot all use."""
        lines = self.twin("--check").stderr.splitlines()
        return [line for line in lines if "rule never used" not in line]


@pytest.fixture
def tree(tmp_path: Path, twin: ModuleType) -> Tree:
    return Tree(tmp_path, twin)


def test_the_committed_twin_is_current() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("async def f():\n    await g()\n", "def f():\n    g()\n"),
        ("async with a as b, c:\n    pass\n", "with a as b, c:\n    pass\n"),
        ("x = [await y async for y in z if await y]\n", "x = [y for y in z if y]\n"),
        ("x = (await f(a, (b))).c\n", "x = f(a, (b)).c\n"),
        ("x = (await f(a) or b).c\n", "x = (f(a) or b).c\n"),
        ("x = f(await g)\n", "x = f(g)\n"),
        ("x = [i for i in f] or (await f, 1)\n", "x = [i for i in f] or (f, 1)\n"),
        ("class A:\n    def __aenter__(self): ...\n", "class A:\n    def __enter__(self): ...\n"),
        ("await x.aclose()\n", "x.close()\n"),
        ("from ccs._compat import AsyncEvent, async_sleep\n", "from ccs._compat import Event, sleep\n"),
        ("from ccs._async.changes.watch import Watch\n", "from ccs._sync.changes.watch import Watch\n"),
        ("f: Callable[[int], Awaitable[dict[str, T]]]\n", "f: Callable[[int], dict[str, T]]\n"),
        ("def f() -> int | Awaitable[\n    int\n]: ...\n", "def f() -> int | (\n    int\n): ...\n"),
        ("def f() -> AsyncIterator[int]: ...\n", "def f() -> Iterator[int]: ...\n"),
        (
            "'import ccs.aio as ccs; await a; async with c.aclose()'\n",
            "'import ccs; a; with c.close()'\n",
        ),
        (
            "'(await a.b(c)).d, (await a(b).c(d))[e], (await f), (await f(g(h))).i'\n",
            "'a.b(c).d, a(b).c(d)[e], (f), (f(g(h))).i'\n",
        ),
        (
            "x = f'{await y!r:>{await z}} {{await}} {[i async for i in j]}' f'{await k}'\n",
            "x = f'{y!r:>{z}} {{await}} {[i for i in j]}' f'{k}'\n",
        ),
        ("# async for x in y: await z; but what awaits you stays\n", "# for x in y: z; but what awaits you stays\n"),
        ("x = 'é', await f('日本')  # 👍 await g\n", "x = 'é', f('日本')  # 👍 g\n"),
    ],
)
def test_the_rules(twin: ModuleType, source: str, expected: str) -> None:
    assert twin.twin_of(source, set()) == expected


def test_an_f_string_is_one_token_on_every_python(twin: ModuleType) -> None:
    source = "a = f'{f\"{await b}\"} {{c}}' + 'd'\n"

    strings = [each.text for each in twin.tokens_of(source) if each.kind == token.STRING]

    assert strings == ["f'{f\"{await b}\"} {{c}}'", "'d'"]


def test_sections_for_one_colour(twin: ModuleType) -> None:
    source = """\
class A:
    # [async-only]
    def __await__(self):
        return 1
    # [/async-only]
    #| def wait(self):
    #|     return 2
    b = 3
"""
    assert twin.twin_of(source, set()) == "class A:\n    def wait(self):\n        return 2\n    b = 3\n"


def test_given_a_source_then_its_twin_is_written_marked_and_formatted(tree: Tree) -> None:
    tree.write("_async/recipes/once.py", "from ccs._compat import AsyncLock, a\n\nx = [a,AsyncLock]\n")

    done = tree.twin()

    assert done.returncode == 0, done.stderr
    assert tree.read("_sync/recipes/once.py") == (
        "# Generated from ccs/_async/recipes/once.py by scripts/twin. Do not edit.\n"
        "from ccs._compat import Lock, a\n\nx = [a, Lock]\n"
    )
    assert tree.complaints() == []


def test_what_is_handmade_is_left_alone(tree: Tree) -> None:
    tree.write("_async/__init__.py", "async def f(): ...\n")
    tree.write("_async/group_commit.py", "async def f(): ...\n")
    tree.write("_sync/group_commit.py", "mine = 1\n")

    tree.twin()

    assert tree.read("_sync/group_commit.py") == "mine = 1\n"
    assert not (tree.root / "ccs/_sync/__init__.py").exists()
    assert tree.complaints() == []


def test_a_package_below_is_generated(tree: Tree) -> None:
    tree.write("_async/recipes/__init__.py", "from ccs._async.recipes.once import f\n\n__all__ = ['f']\n")

    tree.twin()

    assert "from ccs._sync.recipes.once import f" in tree.read("_sync/recipes/__init__.py")


def test_a_check_changes_nothing_and_names_every_difference(tree: Tree) -> None:
    tree.write("_async/same.py", "x = 1\n")
    tree.write("_async/changed.py", "x = 1\n")
    tree.twin()
    tree.write("_async/changed.py", "x = 2\n")
    tree.write("_async/new.py", "x = 1\n")

    text = "\n".join(tree.complaints())

    assert "_sync/changed.py: differs" in text
    assert "-x = 1" in text
    assert "+x = 2" in text
    assert "_sync/new.py: missing" in text
    assert "same.py" not in text
    assert tree.twin("--check").returncode == 1
    assert "x = 1" in tree.read("_sync/changed.py")
    assert not (tree.root / "ccs/_sync/new.py").exists()


@pytest.mark.parametrize("change", ["\n", "\n\n\n", "# more\n", "x = 1"])
def test_a_trailing_difference_is_a_difference(tree: Tree, change: str) -> None:
    tree.write("_async/a.py", "x = 1\n")
    tree.twin()

    tree.write("_sync/a.py", tree.read("_sync/a.py") + change)

    assert "_sync/a.py: differs" in "\n".join(tree.complaints())


def test_an_orphan_fails_the_check_and_is_removed_by_the_next_run(tree: Tree) -> None:
    tree.write("_async/a.py", "x = 1\n")
    tree.twin()
    (tree.root / "ccs/_async/a.py").unlink()

    assert tree.complaints() == ["ccs/_sync/a.py: orphaned, nothing in ccs/_async makes it"]

    tree.twin()

    assert not (tree.root / "ccs/_sync/a.py").exists()


def test_a_file_written_by_hand_is_never_lost(tree: Tree) -> None:
    tree.write("_async/a.py", "x = 1\n")
    tree.write("_sync/a.py", "x = 'by hand'\n")
    tree.write("_sync/b.py", "x = 'by hand'\n")

    done = tree.twin()

    assert done.returncode == 1
    assert "a.py: written by hand" in done.stderr
    assert tree.read("_sync/a.py") == tree.read("_sync/b.py") == "x = 'by hand'\n"


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\n",
        "from anyio import sleep\n",
        "x = anext(y)\n",
        "x = asyncio.Event()\n",
        "def __await__(self): ...\n",
        "class _AsyncThing: ...\n",
        "x = f'{asyncio.run(y)}'\n",
        "# [async-only]\nx = 1\n",
        "# In ccs.aio it waits.\nx = 1\n",
        "x = 'in `ccs.aio` it waits'\n",
    ],
)
def test_leftover_asyncio_fails(tree: Tree, source: str) -> None:
    tree.write("_async/a.py", source + "\nprint(asyncio, sleep)\n")

    assert tree.twin().returncode == 1
    assert "_sync/a.py: coloured" in "\n".join(tree.complaints())


def test_a_rule_that_nothing_uses_fails_the_check_only(tree: Tree) -> None:
    tree.write("_async/a.py", "async def f():\n    await g()\n")

    assert tree.twin().returncode == 0

    done = tree.twin("--check")
    assert done.returncode == 1
    assert "rule never used: aclose" in done.stderr
    assert "rule never used: await" not in done.stderr


def test_what_ruff_cannot_read_changes_nothing(tree: Tree) -> None:
    tree.write("_async/a.py", "x = 1\n")
    tree.write("_async/b.py", "def f() = 2\n")

    done = tree.twin()

    assert done.returncode == 1
    assert "nothing was written" in done.stderr
    assert not (tree.root / "ccs/_sync/a.py").exists()
