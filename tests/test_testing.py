"""`ccs.testing`: the fixtures and the recorder that users write their own tests with."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs.testing import AsyncRecorder, Recorder, record
from tests.support.waiting import scaled

pytest_plugins = ["pytester"]

USERS_TESTS = """
    import pytest
    import ccs, ccs.aio
    from ccs.testing import record

    seen = []

    @pytest.mark.parametrize("turn", range(3))
    def test_blocking(ccs_store, turn):
        assert isinstance(ccs_store, ccs.Store)
        assert ccs_store.contexts() == []
        task = ccs_store.task("42")
        changes = record(task, "status")
        task.set("status", turn)
        assert [change.value for change in changes.wait(1)] == [turn]
        assert task.entry("status").agent == "test"
        seen.append(repr(ccs_store).split(" as ")[0])

    @pytest.mark.parametrize("turn", range(3))
    async def test_asyncio(ccs_aio_store, turn):
        assert isinstance(ccs_aio_store, ccs.aio.Store)
        assert await ccs_aio_store.contexts() == []
        task = ccs_aio_store.task("42")
        changes = record(task)
        await task.set("status", turn)
        assert [change.value for change in await changes.wait(1)] == [turn]
        seen.append(repr(ccs_aio_store).split(" as ")[0])

    def test_the_fixture(ccs_store, ccs_record):
        with ccs_record(ccs_store.task("42")) as changes:
            ccs_store.task("42").set("a", 1)
            changes.wait(1)

    def test_one_server_for_all(ccs_server):
        assert len(set(seen)) == 1
        assert str(ccs_server) in seen[0]
"""


def test_without_pytest_it_names_the_extra() -> None:
    program = "import sys; sys.modules['pytest'] = None; import ccs.testing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=scaled(20))
    assert "ccs.testing needs pytest: pip install 'collaborative-context-store[testing]'" in done.stderr


def test_users_get_private_empty_stores_of_one_real_server(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(USERS_TESTS)
    pytester.makeini("[pytest]\nanyio_mode = auto\nfilterwarnings = error")
    pytester.makeconftest("import pytest\n@pytest.fixture(scope='session')\ndef anyio_backend(): return 'asyncio'")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=8)


def test_the_plugin_is_loaded_by_default(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--fixtures", "-q")
    for name in ("ccs_store", "ccs_aio_store", "ccs_server", "ccs_record"):
        result.stdout.re_match_lines([rf"^{name}\b.*"])
    result.stdout.fnmatch_lines(["*entered blocking store*"])


def test_a_recorder_collects_what_matches_in_order(ccs_store: ccs.Store) -> None:
    task = ccs_store.task("42")
    changes = record(task, "a/*", "b")
    assert isinstance(changes, Recorder)
    for number in range(5):
        task.set_many({"a/x": number, "b": number, "c": number})
    assert [(change.path, change.value) for change in changes.wait(10)] == [
        (path, number) for number in range(5) for path in ("a/x", "b")
    ]
    assert len(changes) == len(list(changes)) == 10
    assert changes[-1].path == "b"
    assert [change.value for change in changes[:2]] == [0, 0]
    assert changes.wait(0) == []
    assert "10 changes" in repr(changes)


def test_a_recorder_takes_the_options_of_a_subscription(ccs_store: ccs.Store) -> None:
    task = ccs_store.task("42")
    first = task.set("a", 1)
    task.set("b", 2)
    assert [change.path for change in record(task, initial=True).wait(2)] == ["a", "b"]
    assert [change.path for change in record(task, since=first.revision).wait(1)] == ["b"]
    assert [change.path for change in record(task, since=0).wait(2)] == ["a", "b"]


def test_waiting_for_more_than_comes_times_out_and_shows_what_came(ccs_store: ccs.Store) -> None:
    task = ccs_store.task("42")
    changes = record(task, "p")
    task.set("p", 1)
    changes.wait(1)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"2 changes.*1 changes of p in /tasks/42.*'set', 'p'"):
        changes.wait(2, timeout=0.1)
    assert time.monotonic() - began < scaled(2)


def test_a_stopped_recorder_stops_recording(ccs_store: ccs.Store) -> None:
    task = ccs_store.task("42")
    with record(task, "p") as stopped:
        task.set("p", 1)
        stopped.wait(1)
    other = record(task, "p")
    task.set("p", 2)
    other.wait(1)
    assert [change.value for change in stopped] == [1]


async def test_an_asyncio_recorder_collects_what_matches_in_order(ccs_aio_store: ccs.aio.Store) -> None:
    task = ccs_aio_store.task("42")
    changes = record(task, "a/*", "b")
    assert isinstance(changes, AsyncRecorder)
    for number in range(5):
        await task.set_many({"a/x": number, "b": number, "c": number})
    assert [(change.path, change.value) for change in await changes.wait(10)] == [
        (path, number) for number in range(5) for path in ("a/x", "b")
    ]
    assert len(changes) == 10
    assert [change.value for change in await record(task, "b", initial=True).wait(1)] == [4]


async def test_an_entered_asyncio_recorder_receives_the_commits_of_all_stores(
    ccs_aio_store: ccs.aio.Store, ccs_record: Callable[..., Any]
) -> None:
    namespace = ccs_aio_store._engine.namespace
    async with ccs.aio.connect(ccs_aio_store._engine.target.location, namespace=namespace) as other:
        for number in range(10):
            async with ccs_record(ccs_aio_store.task(f"t{number}")) as changes:
                await other.task(f"t{number}").set("p", number)
                assert [change.value for change in await changes.wait(1)] == [number]


async def test_an_asyncio_wait_times_out_and_shows_what_came(ccs_aio_store: ccs.aio.Store) -> None:
    changes = record(ccs_aio_store.task("42"), "p")
    with pytest.raises(TimeoutError, match=r"1 changes.*0 changes of p in /tasks/42"):
        await changes.wait(1, timeout=0.05)


async def test_several_may_wait_in_one_asyncio_recorder(ccs_aio_store: ccs.aio.Store) -> None:
    task = ccs_aio_store.task("42")
    changes = record(task, "p")
    waits = [asyncio.create_task(changes.wait(count)) for count in (1, 2, 3)]
    for number in range(3):
        await task.set("p", number)
        await asyncio.sleep(0)
    assert [len(found) for found in await asyncio.gather(*waits)] == [1, 2, 3]
