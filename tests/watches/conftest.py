"""Fixtures of the tests of watches."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, answer_within: Callable[[float], None]) -> None:
    """Heartbeats, resyncs and the time-outs of silent connections come sooner."""
    for name in (
        "background.commit_dispatcher.SILENCE",
        "background.commit_dispatcher.RESYNC",
        "transport.subscription_connection.HEARTBEAT",
    ):
        monkeypatch.setattr(f"ccs._async.{name}", 0.3)
    answer_within(1.0)
