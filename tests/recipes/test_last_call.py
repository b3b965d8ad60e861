"""What a close of the store waits for, met while it is being started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ccs._compat import Worker
from ccs._sync import last_call
from ccs._sync.last_call import LastCall
from tests.support.waiting import eventually


class SlowToBeNamed(Worker):
    """A thread that runs for a while before whoever started it can name it."""

    def __init__(self, name: str, fn: Callable[[], object]) -> None:
        super().__init__(name, fn)
        time.sleep(0.2)


def test_a_call_that_is_being_started_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_call, "Worker", SlowToBeNamed)
    calls: dict[LastCall, None] = {}
    ended: list[bool] = []

    def work() -> None:
        time.sleep(0.5)
        ended.append(True)

    starter = threading.Thread(target=LastCall, args=(calls, "a call", work))
    starter.start()
    eventually(lambda: bool(calls), what="the call")
    next(iter(calls)).finished(10)
    assert ended
    assert not calls
    starter.join()


def test_a_call_that_cannot_be_started_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(last_call, "Worker", no_thread)
    calls: dict[LastCall, None] = {}
    with pytest.raises(RuntimeError):
        LastCall(calls, "a call", lambda: None)
    assert not calls


def test_a_call_that_closes_its_store_does_not_wait_for_itself() -> None:
    calls: dict[LastCall, None] = {}
    took: list[float] = []

    def work() -> None:
        began = time.monotonic()
        next(iter(calls)).finished(5)
        took.append(time.monotonic() - began)

    LastCall(calls, "a call", work)
    eventually(lambda: bool(took), what="its end")
    assert took[0] < 4
