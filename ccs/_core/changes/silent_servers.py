"""Servers that do not answer at present, so that they hold up what they have and nothing else.

Each is asked for a moment only, and then left alone while others have their turn. As long as it goes on it is asked for
longer each time, as it may only be slow.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SilentServers"]

# Seconds for which a server is asked at first, and for which part of its silence later on; for which it is left alone at
# least; and after which its silence is forgotten.
_BRIEF = 0.15
_PART = 0.25
_REST = 0.25
_FORGOTTEN = 10.0


class _Silence(NamedTuple):
    since: float
    rests_until: float


class SilentServers:
    """Since when servers have been silent. A server is anything by which the caller knows it."""

    def __init__(self) -> None:
        self._silent: dict[object, _Silence] = {}

    def __repr__(self) -> str:
        return f"<SilentServers: {list(self._silent)}>"

    def __bool__(self) -> bool:
        return bool(self._silent)

    def rests(self, server: object, now: float) -> bool:
        """Returns whether a server is left alone."""
        silence = self._silent.get(server)
        return silence is not None and silence.rests_until > now

    def next_at(self) -> float | None:
        """Returns when the first of those that are left alone may be asked again."""
        return min((silence.rests_until for silence in self._silent.values()), default=None)

    def seconds(self, server: object, now: float) -> float:
        """Returns for how long to ask a server."""
        silence = self._silent.get(server)
        return max(_BRIEF, (now - silence.since) * _PART) if silence else _BRIEF

    def answered(self, server: object) -> None:
        """Notes that a server answers, or that its silence was told."""
        if self._silent:
            self._silent.pop(server, None)

    def silent(self, server: object, asked_at: float, now: float) -> float:
        """Notes that a server has not answered. Returns for how many seconds it has not by now."""
        known = {each: silence for each, silence in self._silent.items() if now < silence.rests_until + _FORGOTTEN}
        since = known[server].since if server in known else asked_at
        self._silent = {**known, server: _Silence(since, now + max(_REST, now - asked_at))}
        return now - since
