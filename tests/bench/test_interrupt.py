"""An interrupt ends the servers: not in the middle of their start or end, and also if it gets lost."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from benchmarks.interrupt import INTERRUPTED, SAID, held, interruptible
from tests.support.waiting import scaled

DEAF = """
import time
from benchmarks.interrupt import interruptible

with interruptible(lambda: print("ended", flush=True)):
    while True:
        try:
            print("under way", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            pass
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_comes_after_what_is_held_together(how: signal.Signals) -> None:
    done: list[str] = []

    def starts_a_server() -> None:
        with held():
            with held():
                signal.raise_signal(how)
                done.append("inner")
            done.append("outer")
        done.append("too late")

    with pytest.raises(KeyboardInterrupt), interruptible(lambda: done.append("given up")):
        starts_a_server()
    assert done == ["inner", "outer"]


def test_without_an_interrupt_nothing_comes_and_the_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible(lambda: None), held():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_who_does_not_heed_an_interrupt_is_ended_with_its_servers(how: signal.Signals) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        process.send_signal(how)
        said, error = process.communicate(timeout=scaled(30))
    assert (process.returncode, said.splitlines()[-1:], error) == (INTERRUPTED, ["ended"], f"{SAID}\n")
