"""Leases: when each is renewed, and which context has which."""

import threading

from ccs._core.recipes.lease import Lease, Leases


def lease(ttl: float = 30.0, until: float = 130.0, **options: float) -> Lease:
    return Lease("a", 1, ttl, until, **options)


def test_a_lease_is_due_after_a_third_of_its_term() -> None:
    assert lease(until=130.0).due == 110.0


def test_leases_of_nearly_one_age_are_due_together_and_others_are_not() -> None:
    assert lease(until=130.0).is_due(108.0)
    assert not lease(until=130.0).is_due(105.0)


def test_a_short_lease_does_not_make_a_long_one_due() -> None:
    long, short = lease(ttl=300.0, until=400.0), lease(ttl=1.0, until=101.0)
    assert short.is_due(100.4)
    assert not long.is_due(100.4)


def test_a_lease_that_has_reached_its_limit_is_not_renewed() -> None:
    limited = lease(until=110.0, limit=120.0)
    limited.renewed(105.0, limited.term(105.0))
    assert limited.due == 120.0


def test_each_context_knows_its_own_leases() -> None:
    leases = Leases(threading.RLock())
    ours, theirs = lease(), lease()
    leases.add("/tasks/ours", ours)
    leases.add("/tasks/theirs", theirs)
    assert leases.of("/tasks/ours") == [ours]
    assert len(leases) == 2


def test_a_context_without_leases_is_forgotten() -> None:
    leases = Leases(threading.RLock())
    held = lease()
    leases.add("/tasks/x", held)
    leases.prune("/tasks/x")
    assert leases.of("/tasks/x") == [held]
    leases.remove("/tasks/x", held)
    leases.prune("/tasks/x")
    assert repr(leases) == "<Leases in 0 contexts>"
