"""Writers that note what was acknowledged, faults drawn from a seed, and checks of both together."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ccs
import ccs.aio
from ccs._core.codec import decode
from ccs._core.commits.entry import parse_entry
from ccs._core.commits.journal import Record
from tests.support.journal import check_consistent, check_continuous, records


def seed() -> int:
    """Returns the seed of this run: `CCS_TEST_SEED`, or a new one. Tests print it, so a failure shows it."""
    chosen = int(os.environ.get("CCS_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"CCS_TEST_SEED={chosen}")  # noqa: T201  # pytest shows it with a failure
    return chosen


@dataclass
class Ledger:
    """The acknowledgements of a round: revisions in order, for each writer."""

    acknowledged: dict[int, list[tuple[int, dict[str, Any]]]] = field(default_factory=lambda: defaultdict(list))
    increments: int = 0
    appended: list[str] = field(default_factory=list)

    @classmethod
    def of_all(cls, ledgers: Iterable[Ledger]) -> Ledger:
        """Returns the ledger of several writers that each have one of their own."""
        whole = cls()
        for each in ledgers:
            whole.acknowledged.update(each.acknowledged)
            whole.increments += each.increments
            whole.appended += each.appended
        return whole

    def note(self, writer: int, revision: int, values: dict[str, Any]) -> None:
        self.acknowledged[writer].append((revision, values))

    def check(self, found: list[Record], *, complete: bool = True) -> None:
        """Holds the journal against what was acknowledged."""
        check_continuous(found)
        by_revision = {record.revision: record for record in found}
        for commits in self.acknowledged.values():
            revisions = [revision for revision, _ in commits]
            assert revisions == sorted(set(revisions)), "a writer's commits are not in the order in which it made them"
            for revision, values in commits:
                assert revision in by_revision, "an acknowledged commit is not in the journal"
                assert written(by_revision[revision]).items() >= values.items()
        if complete:
            told = sum(map(len, self.acknowledged.values())) + self.increments
            assert len(found) == told, "the journal holds commits that nobody was told of"


def written(record: Record) -> dict[str, Any]:
    return {step.path: decode(parse_entry(step.after).value) for step in record.operations if step.after}


def moves(dice: random.Random, writer: int, rounds: int) -> Iterator[tuple[str, str, str]]:
    """What a writer does, one after the other: kind, path, and a value that occurs once."""
    kinds = ("set", "increment", "append", "transaction", "set_many")
    for turn in range(rounds):
        yield dice.choice(kinds), f"writers/{writer}/{dice.randrange(3)}", f"{writer}.{turn}"


async def awrite(task: ccs.aio.Context, ledger: Ledger, dice: random.Random, writer: int, rounds: int) -> None:
    """One asyncio writer."""
    for kind, path, value in moves(dice, writer, rounds):
        if kind == "set":
            ledger.note(writer, (await task.set(path, value)).revision, {path: value})
        elif kind == "set_many":
            values = {path: value, f"many/{writer}": value}
            ledger.note(writer, await task.set_many(values), values)
        elif kind == "append":
            ledger.note(writer, (await task.append("shared/list", value)).revision, {})
            ledger.appended.append(value)
        elif kind == "increment":
            await task.increment("shared/count")
            ledger.increments += 1
        else:
            async with task.transaction() as tx:
                await tx.get(path)
                tx.set(path, value)
                tx.set(f"transactions/{writer}", value)
            ledger.note(writer, tx.revision, {path: value, f"transactions/{writer}": value})


def write(task: ccs.Context, ledger: Ledger, dice: random.Random, writer: int, rounds: int) -> None:
    """One blocking writer."""
    for kind, path, value in moves(dice, writer, rounds):
        if kind == "set":
            ledger.note(writer, task.set(path, value).revision, {path: value})
        elif kind == "set_many":
            values = {path: value, f"many/{writer}": value}
            ledger.note(writer, task.set_many(values), values)
        elif kind == "append":
            ledger.note(writer, task.append("shared/list", value).revision, {})
            ledger.appended.append(value)
        elif kind == "increment":
            task.increment("shared/count")
            ledger.increments += 1
        else:
            with task.transaction() as tx:
                tx.get(path)
                tx.set(path, value)
                tx.set(f"transactions/{writer}", value)
            ledger.note(writer, tx.revision, {path: value, f"transactions/{writer}": value})


def check_round(ledger: Ledger, url: str, namespace: str, address: str) -> None:
    """The journal, the entries and the sums agree with what was acknowledged."""
    found = records(url, namespace, address)
    ledger.check(found)
    check_consistent(url, namespace, address)
    final: dict[str, Any] = {}
    for record in found:
        final.update(written(record))
    assert final.get("shared/count", 0) == ledger.increments, "increments were lost or applied twice"
    assert sorted(final.get("shared/list", [])) == sorted(ledger.appended), "items were lost or appended twice"


def faults(dice: random.Random, rate: float, kinds: tuple[str, ...]) -> Callable[[int, bytes], str]:
    """A fault of the proxy, now and then."""
    return lambda count, chunk: dice.choice(kinds) if dice.random() < rate else "pass"
