# Generated from ccs/_async/recipes/claim_several.py by scripts/twin. Do not edit.
"""Claims on several resources: the first that is free, or all of them; taken in one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ccs._core.commits.operations import delete_op, revision_guard
from ccs._core.number_checks import listed
from ccs._core.recipes.claim import Wish, site_of
from ccs._core.recipes.lease import Lease
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs._sync.entries import Entries
from ccs._sync.recipes.claim import Claim
from ccs._sync.recipes.claim_taking import Taking, Terms
from ccs.errors import AlreadyClaimed, CCSError, ClaimLost, Conflict, ContextFinished, InvalidValue, Misuse

__all__ = ["ClaimGroup", "claim_any"]

MakeClaim = Callable[[str], Claim]


def claim_any(
    entries: Entries, resources: Iterable[str], make: MakeClaim, ttl: Duration, wait: Duration
) -> Claim | None:
    """Takes a claim on the first resource that is free, within `wait` seconds. Returns it; None if none is free by then."""
    wanted = listed("resources", resources, "a list of resources, or use claim for one")
    claims = {claim._wish.sites[0].path: claim for claim in map(make, wanted)}
    patience = seconds(wait, "wait")
    taking = Taking(entries, _wish(claims.values(), all=False), Terms(seconds(ttl, "ttl", least=0.01)))
    if not claims:
        return None
    taken: list[Claim] = []

    def keep(leases: list[Lease]) -> None:
        claim = claims[leases[0].path]
        claim._begin(leases[0], taking)
        claim._adopt()
        taken.append(claim)

    try:
        taking.run(taking.within(patience), keep)
    except AlreadyClaimed:
        return None
    return taken[0]


def _wish(claims: Iterable[Claim], *, all: bool) -> Wish:
    return Wish(tuple(claim._wish.sites[0] for claim in claims), all=all)


class ClaimGroup(Local):
    """Claims on several resources, all of them or none: entering takes them in one commit, leaving gives them back in one.

    The block gets the claims, in the order of the resources. Each can be used by itself, and released earlier. If one was
    lost, leaving gives back the others and raises `ClaimLost`, unless another exception leaves the block.
    """

    def __init__(
        self, entries: Entries, resources: Iterable[str], make: MakeClaim, ttl: Duration, wait: Duration
    ) -> None:
        wanted = listed("resources", resources, "a list of resources, or use claim for one")
        self._entries = entries
        self._handle = entries.handle
        self._claims = list(map(make, wanted))
        if len({site_of(resource).path for resource in wanted}) < len(wanted):
            raise InvalidValue(f"the resources {wanted!r} name one of them twice: each can be held once")
        self._terms = Terms(seconds(ttl, "ttl", least=0.01))
        self._wait = seconds(wait, "wait")
        self._taking: Taking | None = None
        self._entered = False

    def __repr__(self) -> str:
        names = ", ".join(repr(claim.resource) for claim in self._claims)
        return f"<ClaimGroup on {names} in {self._handle.address}, {'entered' if self._entered else 'not entered'}>"

    def __enter__(self) -> list[Claim]:
        if self._entered:
            raise Misuse(f"{self!r} is in use: leave it first, or make another one")
        self._entered = True
        try:
            if self._claims:
                self._obtain()
        except BaseException:
            self._entered = False
            raise
        return list(self._claims)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._entered = False
        try:
            self._release()
        except ContextFinished:
            logger.debug("%r ended with its context", self)
        except CCSError as failure:
            if kind is None:
                raise
            logger.warning("%r was not released: %s", self, failure)

    def _obtain(self) -> None:
        taking = Taking(self._entries, _wish(self._claims, all=True), self._terms)

        def keep(leases: list[Lease]) -> None:
            for claim, lease in zip(self._claims, leases, strict=True):
                claim._begin(lease, taking)
            self._taking = taking

        taking.run(taking.within(self._wait), keep)

    def _release(self) -> None:
        held = [claim for claim in self._claims if not claim._released and claim.state != "released"]
        leases = [claim._last_hold() for claim in held]
        for claim, lease in zip(held, leases, strict=True):
            claim._end_hold(lease)
        try:
            self._give_back(held, leases)
        except Misuse:
            # Refused before anything was sent, so they are still held.
            for claim, lease in zip(held, leases, strict=True):
                claim._hold_again(lease)
            raise
        except CCSError:
            raise
        except BaseException:
            if self._taking:
                self._taking.withdraw()
            raise
        finally:
            for claim in held:
                claim._end()

    def _give_back(self, claims: list[Claim], leases: list[Lease]) -> None:
        guards = [revision_guard(lease.path, lease.revision) for lease in leases]
        if not leases:
            return
        try:
            self._handle.commit([delete_op(lease.path) for lease in leases], guards)
        except Conflict:
            self._give_back_one_by_one(claims, leases)

    def _give_back_one_by_one(self, claims: list[Claim], leases: list[Lease]) -> None:
        lost: list[tuple[Any, Conflict]] = []
        for claim, lease in zip(claims, leases, strict=True):
            try:
                self._handle.commit([delete_op(lease.path)], [revision_guard(lease.path, lease.revision)])
            except Conflict as conflict:
                claim._lose()
                lost.append((claim, conflict))
        if lost:
            raise ClaimLost(lost[0][0].resource) from lost[0][1]
