"""Threads beside each other, whose errors reach the test."""

import threading
import time
from collections.abc import Callable

from tests.support.waiting import scaled


def run_threads(work: Callable[[int], object], count: int, timeout: float = 60) -> None:
    """Calls `work(0)`, `work(1)`… in threads beside each other; raises what they raise."""
    failures: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001  # handed to the test
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + scaled(timeout)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not [thread for thread in threads if thread.is_alive()], "a thread hangs"
    if failures:
        raise failures[0]
