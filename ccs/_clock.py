"""What is known of the server's clock, as far as a client can know it."""

from __future__ import annotations

import time
from functools import partial

__all__ = ["Moment", "ServerClock", "elapsed", "shown_at"]

# Seconds that go on while the machine is suspended, where there is such a clock.
_ID = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) if hasattr(time, "CLOCK_MONOTONIC") else None

_SECOND = 1_000_000


# Returns seconds since some moment, also those in which this machine slept.
elapsed = time.monotonic if _ID is None else partial(time.clock_gettime, _ID)


Sighting = tuple[int, float]
Moment = tuple[Sighting | None, float]
"""What was seen of the clock last, in microseconds, and when; and how late it is, in seconds as those of `elapsed`."""


def shown_at(moment: Moment) -> int | None:
    """What the clock must have shown at a moment, in microseconds, unless it was set; None where it was never seen."""
    sighting, now = moment
    if sighting is None:
        return None
    micros, seen_at = sighting
    return micros + int((now - seen_at) * _SECOND)


class ServerClock:
    """What the server's clock showed when it was last seen; from any thread."""

    def __init__(self) -> None:
        self._seen: Sighting | None = None
        # What it shows between these two is as good as known: for who wants to spare a call of `see`.
        self.known_from = self.known_until = 0

    def __repr__(self) -> str:
        return f"<ServerClock, at {shown_at(self.moment())}>"

    def see(self, micros: int | None) -> None:
        """It shows this time at the moment, in microseconds; None: it does not say."""
        if micros is not None:
            self._seen = micros, elapsed()
            self.known_from, self.known_until = micros, micros + _SECOND

    def moment(self) -> Moment:
        """This moment, for `shown_at`."""
        return self._seen, elapsed()
