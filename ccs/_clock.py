"""What is known of the server's clock, as far as a client can know it."""

from __future__ import annotations

import time

__all__ = ["ServerClock", "elapsed"]

# Seconds that go on while the machine is suspended, where there is such a clock.
_ID = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) if hasattr(time, "CLOCK_MONOTONIC") else None


def elapsed() -> float:
    """Seconds since some moment, also those in which this machine slept."""
    return time.monotonic() if _ID is None else time.clock_gettime(_ID)


class ServerClock:
    """What the server's clock showed when it was last seen; from any thread."""

    def __init__(self) -> None:
        self._seen: tuple[int, float] | None = None

    def __repr__(self) -> str:
        return f"<ServerClock, at {self.now()}>"

    def see(self, micros: int | None) -> None:
        """It shows this time at the moment, in microseconds; None: it does not say."""
        if micros is not None:
            self._seen = micros, elapsed()

    def now(self) -> int | None:
        """What it must show by now, in microseconds, unless it was set; None where it was never seen."""
        if self._seen is None:
            return None
        micros, when = self._seen
        return micros + int((elapsed() - when) * 1_000_000)
