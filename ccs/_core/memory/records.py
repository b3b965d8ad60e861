"""Memories as entries: the paths of each kind, what its values hold, and how one is made.

Values are maps with short keys, which other programs can read:

    @semantic/<id>              content metadata dimension vector, and superseded_by once another fact replaces it
    @episodes/<time>/<id>       description metadata (dimension vector)
    @episode-ids/<id>           path of the episode with that given id, so that each id exists once
    @procedures/<id>            name steps confidence successes failures agent dimension vector
    @embeddings                 dimension: that of all vectors of the context; closed while it is being changed

A vector is packed as float32, little-endian. A value that was written again, as it was superseded or embedded anew, also
holds the agent that first stored it, and when: stored_at, in µs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ccs._core.codec import decode
from ccs._core.commits.entry import RawEntry
from ccs._core.memory.vectors import FLOAT_BYTES
from ccs._core.names.system_paths import name_of, system_path
from ccs._core.number_checks import real
from ccs._core.quoted_values import shown
from ccs._core.times import from_micros, from_millis, to_micros
from ccs.errors import InvalidValue
from ccs.types import Episode, Fact, Match, Procedure

__all__ = [
    "EMBEDDED",
    "EMBEDDINGS",
    "EPISODES",
    "EPISODE_IDS",
    "PROCEDURES",
    "SEMANTIC",
    "SIGNATURE",
    "Kept",
    "episode_id",
    "episode_of",
    "episode_path",
    "fact_of",
    "fresh",
    "is_ours",
    "kept_in",
    "map_of",
    "match_of",
    "named",
    "procedure_of",
    "reembedded",
    "reinforced",
    "share",
    "signed",
    "stamp",
    "steps_of",
    "text_in",
    "text_of",
    "text_of_procedure",
    "with_vector",
]

SEMANTIC = "@semantic"
EPISODES = "@episodes"
EPISODE_IDS = "@episode-ids"
PROCEDURES = "@procedures"
EMBEDDINGS = "@embeddings"
EMBEDDED = (SEMANTIC, EPISODES, PROCEDURES)
"""The roots of memories with a vector."""
SIGNATURE = ("agent", "stored_at")
"""What a value says of who stored it and when, once the header of the entry names another write."""


class Kept(NamedTuple):
    """A memory: its value without the vector, its author, when it was stored (µs), its expiry (ms, 0: none).

    `at` is when an episode happened, None for other kinds.
    """

    id: str
    value: dict[str, Any]
    agent: str
    stored: int
    expiry: int
    at: datetime | None

    def due(self, now: int) -> bool:
        """Returns whether its deadline has passed at the server time `now`, in milliseconds."""
        return 0 < self.expiry <= now


def kept_in(path: str, raw: RawEntry) -> tuple[Kept, bytes]:
    """Returns a stored memory and its vector, which is empty if it has none or is superseded."""
    value = decode(raw.value)
    vector = b"" if "superseded_by" in value else value.get("vector", b"")
    value.pop("vector", None)
    name, at = named(path)
    agent = value.get("agent", raw.agent)
    stored = value.get("stored_at", raw.updated)
    return Kept(name, value, agent, stored, raw.expiry, at), vector


def named(path: str) -> tuple[str, datetime | None]:
    """Returns the id of the memory at a path and, for an episode, when it happened."""
    root, first, *_ = path.split("/", 2)
    if root != EPISODES:
        return name_of(root, path), None
    return name_of(f"{root}/{first}", path), datetime.fromisoformat(first)


def stamp(at: datetime) -> str:
    """Returns a datetime as text that sorts like the datetime. Raises `InvalidValue` unless it is an aware datetime."""
    to_micros(at)
    try:
        return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        raise InvalidValue(f"{shown(at)} is outside of the years 1 to 9999 in UTC") from None


def episode_id(moment: int, noise: str, *, first: bool = False) -> str:
    """Returns a generated id, from a time in ns and eight hex digits. Ids sort by time, those with `first` before all."""
    return f"{'!' * first}{moment:016x}{noise}"


def is_ours(id: object) -> bool:
    """Returns whether the id of an episode has the form of a generated one."""
    return isinstance(id, str) and re.fullmatch("!?[0-9a-f]{24}", id) is not None


def episode_path(at: datetime, id: str) -> str:
    """Returns the path of the episode with this time and id."""
    return system_path(f"{EPISODES}/{stamp(at)}", id)


def text_of(value: object, what: str) -> str:
    """Returns the value. Raises `InvalidValue` unless it is a str."""
    if not isinstance(value, str):
        raise InvalidValue(f"the {what} is text, not {type(value).__name__}")
    return value


def map_of(value: object, what: str) -> dict[Any, Any]:
    """Returns the value as a dict, empty for None. Raises `InvalidValue` unless it is a map."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidValue(f"{what} is a map, not {type(value).__name__}")
    return dict(value)


def with_vector(value: dict[str, Any], vector: bytes) -> dict[str, Any]:
    """Returns the value with its embedding, if it has one."""
    return {**value, "dimension": len(vector) // FLOAT_BYTES, "vector": vector} if vector else value


def signed(value: Mapping[str, Any], agent: str, stored: int) -> dict[str, Any]:
    """Returns a stored value that is about to be written again, with the agent that stored it, and when (µs)."""
    return {**dict(zip(SIGNATURE, (agent, stored), strict=True)), **value}


def text_in(path: str, value: Mapping[str, Any]) -> str:
    """Returns the text of a memory that is embedded."""
    root = path.split("/", 1)[0]
    if root == PROCEDURES:
        return text_of_procedure(value["name"], value["steps"])
    return str(value["content" if root == SEMANTIC else "description"])


def text_of_procedure(name: str, steps: Iterable[Any]) -> str:
    """Returns the text of a procedure that is embedded: its name and its steps, one a line."""
    return "\n".join(map(str, (name, *steps)))


def reembedded(raw: RawEntry, vector: bytes) -> dict[str, Any]:
    """Returns the value of a memory with another vector."""
    return with_vector(signed(decode(raw.value), raw.agent, raw.updated), vector)


def fresh(value: Any) -> Any:
    """Returns a copy of a decoded value, so that no two callers share a mutable one."""
    if type(value) is dict:
        return {key: fresh(each) for key, each in value.items()}
    if type(value) is list:
        return [fresh(each) for each in value]
    return set(value) if type(value) is set else value


def fact_of(memory: Kept) -> Fact:
    """Returns the fact that users see."""
    value = memory.value
    return Fact(
        memory.id,
        value["content"],
        fresh(value["metadata"]),
        memory.agent,
        from_micros(memory.stored),
        from_millis(memory.expiry) if memory.expiry else None,
        value.get("superseded_by"),
    )


def match_of(memory: Kept, score: float, context: str) -> Match:
    """Returns a fact or an episode of a context as a search finds it."""
    text = memory.value["content" if memory.at is None else "description"]
    metadata = fresh(memory.value["metadata"])
    return Match(memory.id, text, score, metadata, memory.agent, from_micros(memory.stored), memory.at, context)


def procedure_of(memory: Kept, score: float | None = None) -> Procedure:
    """Returns the procedure that users see."""
    value = memory.value
    return Procedure(
        memory.id,
        value["name"],
        fresh(value["steps"]),
        value["confidence"],
        memory.agent,
        score,
        value["successes"],
        value["failures"],
    )


def episode_of(memory: Kept) -> Episode:
    """Returns the episode that users see."""
    value = memory.value
    assert memory.at is not None
    return Episode(memory.id, value["description"], memory.at, memory.agent, fresh(value["metadata"]))


def steps_of(steps: Iterable[Any]) -> list[Any]:
    """Returns the steps of a procedure as a list. Raises `InvalidValue` for a single text, or what has no order."""
    if isinstance(steps, (str, bytes, Mapping, Set)) or not isinstance(steps, Iterable):
        raise InvalidValue(f"the steps are a list of them, not {type(steps).__name__}")
    return list(steps)


def share(name: str, value: float) -> float:
    """Returns a number from 0 to 1. Raises `InvalidValue` for anything else."""
    return real(name, value, "a number from 0 to 1", 0.0, 1.0)


def reinforced(procedure: dict[str, Any], success: bool) -> dict[str, Any]:
    """Returns a stored procedure after one more success or failure."""
    count = "successes" if success else "failures"
    change = 0.1 if success else -0.05
    # Rounded, so that ten times a tenth is one.
    confidence = round(min(1.0, max(0.0, procedure["confidence"] + change)), 10)
    return {**procedure, "confidence": confidence, count: procedure[count] + 1}
