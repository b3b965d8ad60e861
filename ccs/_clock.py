"""The server's clock, as far as a client knows it."""

from __future__ import annotations

import time
from functools import partial

__all__ = ["Moment", "ServerClock", "elapsed", "shown_at"]

# A clock that runs on while the machine is suspended, if there is one.
_ID = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) if hasattr(time, "CLOCK_MONOTONIC") else None

_SECOND = 1_000_000

# Returns seconds since some point in time, including those in which this machine slept.
elapsed = time.monotonic if _ID is None else partial(time.clock_gettime, _ID)


Sighting = tuple[int, float]
Moment = tuple[Sighting | None, float]
"""The last known server time (µs) and when it was known, and the present time; both in seconds of `elapsed`."""


def shown_at(moment: Moment) -> int | None:
    """Returns the server time at a moment, in microseconds, unless the clock was set; None if it was never known."""
    sighting, now = moment
    if sighting is None:
        return None
    micros, seen_at = sighting
    return micros + int((now - seen_at) * _SECOND)


class ServerClock:
    """The last known time of the server's clock. Any thread may use it."""

    def __init__(self) -> None:
        self._seen: Sighting | None = None
        # A caller may skip `see` for times between these two.
        self.known_from = self.known_until = 0

    def __repr__(self) -> str:
        return f"<ServerClock, at {shown_at(self.moment())}>"

    def see(self, micros: int | None) -> None:
        """Notes the present server time in microseconds; None: unknown."""
        if micros is None:
            return
        self._seen = (micros, elapsed())
        self.known_from = micros
        self.known_until = micros + _SECOND

    def moment(self) -> Moment:
        """Returns the present moment, for `shown_at`."""
        return self._seen, elapsed()
