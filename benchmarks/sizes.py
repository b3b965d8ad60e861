"""How much is measured: in full; and in short, which only shows that everything runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "SHORT", "Sizes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many rounds, operations, callers and things."""

    rounds: int
    warm_up: bool  # one round before that is not counted
    single: int  # operations, one at a time
    crowd: int  # operations of all callers together, a multiple of their number
    callers: tuple[int, ...]
    latencies: int
    subscribers: tuple[int, ...]
    fan_commits: int
    deliver_commits: int  # to the most subscribers
    away: int  # commits while a reader is away
    reads: int  # of a mirror
    stored: int  # entries whose memory is measured
    probes: int  # operations of each kind at each point of growth
    entries: tuple[int, ...]
    contexts: tuple[int, ...]
    watches: tuple[int, ...]
    history: tuple[int, ...]


FULL = Sizes(
    rounds=9,
    warm_up=True,
    single=500,
    crowd=3_000,
    callers=(50, 500),
    latencies=500,
    subscribers=(1, 10, 100),
    fan_commits=100,
    deliver_commits=10_000,
    away=10_000,
    reads=50_000,
    stored=10_000,
    probes=200,
    entries=(100, 1_000, 10_000, 100_000, 1_000_000),
    contexts=(1, 1_000, 100_000),
    watches=(1, 10, 100, 1_000),
    history=(0, 10_000),
)
SHORT = Sizes(
    rounds=1,
    warm_up=False,
    single=50,
    crowd=200,
    callers=(50,),
    latencies=30,
    subscribers=(1, 5),
    fan_commits=20,
    deliver_commits=100,
    away=100,
    reads=100,
    stored=200,
    probes=10,
    entries=(100, 1_000),
    contexts=(1, 100),
    watches=(1, 10),
    history=(0, 100),
)
