"""G6 where the consumer itself is interrupted, or forked: nothing twice, nothing skipped, and no end without end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import pytest

import ccs
from ccs._core.changes.watch_mailbox import Mailbox
from ccs._sync.changes.store_watch import StoreWatch
from ccs._sync.changes.watch import Watch
from tests.support.waiting import scaled

Watching = Callable[[ccs.Store], Any]


def one_watch(store: ccs.Store) -> Any:
    return store.task("t").watch("a")


def store_watch(store: ccs.Store) -> Any:
    return store.watch("/tasks/t/a")


def slow_watch(store: ccs.Store) -> Any:
    return store.task("t").watch("a", buffer=1)


def slow_store_watch(store: ccs.Store) -> Any:
    return store.watch("/tasks/t/a", buffer=1)


LINES = [(one_watch, Watch._expand.__code__, line) for line in range(1, 24)]
LINES += [(one_watch, Watch._take.__code__, line) for line in range(1, 12)]
LINES += [(slow_watch, Watch._expand.__code__, line) for line in range(1, 24, 3)]
LINES += [(slow_watch, Watch._catch_up.__code__, line) for line in range(1, 5)]
LINES += [(slow_watch, Watch._caught_up.__code__, line) for line in range(1, 6)]
LINES += [(slow_watch, Mailbox.begin.__code__, line) for line in range(1, 7)]
LINES += [(store_watch, StoreWatch._expand.__code__, line) for line in range(1, 17)]
LINES += [(slow_store_watch, StoreWatch._survey.__code__, line) for line in range(1, 16)]
LINES += [(slow_store_watch, StoreWatch._read_journal.__code__, line) for line in range(1, 18)]


@contextmanager
def interrupted_at(code: CodeType, line: int) -> Iterator[list[int]]:
    """Ctrl-C once, before a line of a function; where it was, if that line is ever reached."""
    at, fired = code.co_firstlineno + line, []

    def trace_lines(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and frame.f_lineno == at and not fired:
            fired.append(at)
            raise KeyboardInterrupt
        return trace_lines

    sys.settrace(lambda frame, *_: trace_lines if frame.f_code is code else None)
    try:
        yield fired
    finally:
        sys.settrace(None)


@pytest.mark.parametrize(
    ("watching", "code", "line"), LINES, ids=[f"{w.__name__}-{c.co_qualname}+{n}" for w, c, n in LINES]
)
def test_an_interrupt_while_a_commit_is_taken_in_neither_skips_nor_doubles(
    valkey: str, namespace: str, watching: Watching, code: CodeType, line: int
) -> None:
    """Given commits that wait, when taking one in is interrupted at any line, then each comes once, in order."""
    with ccs.connect(valkey, namespace=namespace) as store, watching(store) as watch:
        for number in range(4):
            store.task("t").set("a", number)
        got: list[int] = []
        with interrupted_at(code, line) as fired:
            while len(got) < 4:
                try:
                    got.append(watch.receive(timeout=scaled(10)).value)
                except KeyboardInterrupt:
                    assert fired
        assert got == [0, 1, 2, 3]
        with pytest.raises(TimeoutError):
            watch.receive(timeout=0.05)


@pytest.mark.parametrize("kind", ["watch", "store watch", "mirror"])
def test_what_a_child_has_inherited_can_be_left(connect: Any, kind: str) -> None:
    """Given a fork inside of a with block, when the child leaves the block, then it does, and the parent goes on."""
    store = connect()
    task = store.task("t")
    make = {"watch": lambda: task.watch("a"), "store watch": lambda: store.watch("/tasks/t/a"), "mirror": task.mirror}
    with make[kind]() as entered:
        child = os.fork()
        if child == 0:
            entered.close()
            os._exit(7)
        assert os.waitstatus_to_exitcode(_wait(child)) == 7
        revision = task.set("a", 1).revision
        if kind == "mirror":
            entered.caught_up(revision, timeout=scaled(10))
            assert entered["a"] == 1
        else:
            assert entered.receive(timeout=scaled(10)).value == 1


def _wait(child: int) -> int:
    # A child that hangs is ended, and that is no exit.
    killer = threading.Timer(scaled(10), os.kill, (child, signal.SIGKILL))
    killer.start()
    try:
        return os.waitpid(child, 0)[1]
    finally:
        killer.cancel()
