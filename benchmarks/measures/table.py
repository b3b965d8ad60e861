"""All measures, by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.measures.calls import gets, puts
from benchmarks.measures.claims import claims
from benchmarks.measures.durability import durability
from benchmarks.measures.fanout import deliveries, fanouts
from benchmarks.measures.growth import growth
from benchmarks.measures.handover import handovers
from benchmarks.measures.latency import latencies
from benchmarks.measures.memory import memory
from benchmarks.measures.mirrors import mirrors
from benchmarks.measures.resume import resumes
from benchmarks.setting import Setting
from benchmarks.trial import Trial

__all__ = ["MEASURES", "Measure"]


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that can be asked for by name."""

    name: str
    about: str
    trials: Callable[[Setting], list[Trial]]
    most_rounds: int = 1_000  # fewer where a round is long; one, without a warm-up, where nothing varies


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("put", "writes, one at a time and by many callers at once; CPU time of client and server", puts),
        Measure("get", "reads, likewise", gets),
        Measure("claim", "a claim taken and released, beside a set", claims),
        Measure("durability", "writes that wait for the disk, or for a replica, beside ordinary ones", durability),
        Measure("latency", "from the call of put to the callback in another client", latencies),
        Measure(
            "handover", "from the call of set, or send, to a watch, or a receiver, in another process", handovers, 5
        ),
        Measure("fanout", "one writer, many subscribers: deliveries a second", fanouts),
        Measure("delivery", "the most subscribers and commits: all delivered, in order, each once?", deliveries, 1),
        Measure("resume", "catching up after having been away", resumes, 3),
        Measure("mirror", "a look-up in a live mirror, beside a GET", mirrors),
        Measure("memory", "of the server, an entry, with and without history", memory, 1),
        Measure("growth", "cost of calls as entries, contexts, watches elsewhere and history grow", growth),
    )
}
