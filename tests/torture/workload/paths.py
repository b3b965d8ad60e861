"""Where the workload writes: few paths, so that everybody meets everybody."""

from __future__ import annotations

import random

__all__ = ["CONTEXTS", "FACTS", "WATCHED", "ledger", "path_of", "pattern_of"]

CONTEXTS = tuple(f"/tasks/c{number}" for number in range(6))
FACTS = "/tasks/facts"
WATCHED = (("s/*",), ("u/**", "m/*"), ("t/*", "n/*"), ("l/*", "ttl/*"), ("{s,n}/[01]",), ("guarded/*", "s/4"))

_MANY = {"s": 10, "n": 4, "l": 3, "m": 3, "u": 4, "t": 4, "ttl": 4}


def path_of(dice: random.Random, kind: str) -> str:
    """One of the paths of a kind."""
    return f"{kind}/{dice.randrange(_MANY[kind])}"


def pattern_of(dice: random.Random) -> tuple[str, ...]:
    """Some patterns that match several of them."""
    return dice.choice((("s/*",), ("t/*",), ("n/*", "m/*"), ("s/[0-4]", "u/*"), ("{l,u}/**",)))


def ledger(dice: random.Random) -> str:
    """A path that is written once."""
    return f"ledger/{dice.randrange(200)}"
