"""All rules, by what they promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.torture.checks.acknowledged import applied_though_refused, missing
from tests.torture.checks.bounds import crossed_policies, crossed_rights, crossed_views
from tests.torture.checks.callbacks import untold_errors
from tests.torture.checks.chain import broken_chains
from tests.torture.checks.claims import wrong_claims
from tests.torture.checks.computed import miscomputed
from tests.torture.checks.identities import applied_twice
from tests.torture.checks.inboxes import wrong_inboxes
from tests.torture.checks.lives import unseen_lives, wrong_lives
from tests.torture.checks.meetings import wrong_agreements, wrong_barriers
from tests.torture.checks.memories import forgotten, uncounted
from tests.torture.checks.reads import wrong_mirrors, wrong_reads
from tests.torture.checks.runs import wrong_runs
from tests.torture.checks.timeline import Timelines
from tests.torture.checks.unexpected import unexpected
from tests.torture.checks.violation import Violation
from tests.torture.checks.watches import wrong_watches
from tests.torture.history import History

__all__ = ["RULES", "check"]

RULES: dict[str, Callable[[Timelines], Iterator[Violation]]] = {
    "the chain of revisions is unbroken, and its replay gives the entries": broken_chains,
    "every identity is applied at most once": applied_twice,
    "every acknowledged commit stands, as far as a failover may not lose it": missing,
    "nothing of a refused call was applied": applied_though_refused,
    "what is computed is applied once, and not if it was refused": miscomputed,
    "reads equal the replay at their revision, and are fresh": wrong_reads,
    "watches and callbacks are ordered, unique, complete, atomic, resumable, filtered": wrong_watches,
    "a callback that raises is told of it and goes on": untold_errors,
    "a watch of the store tells of new contexts and of their end": unseen_lives,
    "mirrors equal snapshots, and never go back": wrong_mirrors,
    "claims have one holder, rising tokens, no stale write": wrong_claims,
    "a key of once has one run a lease and one result": wrong_runs,
    "no acknowledged message comes again, none to two": wrong_inboxes,
    "an agreement is one decision": wrong_agreements,
    "a barrier opens for all or none": wrong_barriers,
    "what is finished or dropped has ended": wrong_lives,
    "a policy binds everybody": crossed_policies,
    "a view hides what it does not show": crossed_views,
    "a user has the rights that were granted, and no others": crossed_rights,
    "a query sees every memory stored before, and none forgotten": forgotten,
    "every reinforcement of a procedure counts": uncounted,
    "nothing ends in an undocumented way": unexpected,
}


def check(history: History) -> dict[str, list[Violation]]:
    """The violations of each rule."""
    timelines = Timelines(history)
    return {promise: list(rule(timelines)) for promise, rule in RULES.items()}
