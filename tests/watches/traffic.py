"""The writes that watches are tested under: sets, deletes, recreations, several operations in a commit."""

from __future__ import annotations

import random
from typing import Any

import ccs

PATHS = ("a", "a/b", "a/c", "b/x", "b/y", "c")


def write(ctx: ccs.Context, commits: int, seed: int = 0) -> int:
    """Makes commits of all kinds; the last revision."""
    dice = random.Random(seed)
    for number in range(commits):
        commit_one(ctx, dice, number)
    return ctx.revision()


def commit_one(ctx: ccs.Context, dice: random.Random, number: Any) -> None:
    """One commit that changes something."""
    kind = dice.random()
    if kind < 0.5:
        ctx.set(dice.choice(PATHS), number)
    elif kind < 0.7:
        ctx.set_many({path: [number, path] for path in dice.sample(PATHS, 3)})
    elif kind < 0.85:
        if not ctx.delete(dice.choice(PATHS)):
            ctx.set("c", number)
    else:
        with ctx.transaction() as tx:
            tx.delete(dice.choice(PATHS))
            tx.set("tx/last", number)
