"""Fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ccs._sync.engine
import ccs.aio.engine
from tests.support.waiting import scaled


@pytest.fixture
def answer_within(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes stores that are connected from now on give up a silent connection sooner than after five seconds."""

    def within(seconds: float) -> None:
        for engine in (ccs.aio.engine, ccs._sync.engine):
            monkeypatch.setattr(engine, "_ANSWER", scaled(seconds))

    return within
