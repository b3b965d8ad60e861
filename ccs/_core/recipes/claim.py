"""Claims as entries: the paths of a claim and its queue, whose turn it is, what is free, and how it may be taken.

`@claims/<resource>` is the claim: the agent that creates it holds it, and its revision is the fencing token. Of a claim
with several slots each one that is held is an entry `@claims/<resource>/%slots/<number>`, whose value says how many there
are. An agent that has to wait leaves a ticket at `@waiting/<resource>/%queue/<id>`. Names are percent-encoded, so that no
name makes a segment `%queue` or `%slots`, and the queue of `a` holds no ticket for `a/b`.

All slots that are held agree on their number, since every hold is guarded: the first one by the absence of all others, a
later one by one that is held with the same number. And an agent with a ticket is first in line only if no older ticket
exists, so nobody with another number comes in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, TypeVar, cast

from ccs._core.commits.operations import Guard, nothing_below, revision_guard, version_guard
from ccs._core.names.pattern import Below, Exact, escape
from ccs._core.names.system_paths import name_of, system_path
from ccs.errors import AlreadyClaimed, InvalidValue
from ccs.types import ClaimInfo, Entry

T = TypeVar("T")

__all__ = [
    "CLAIMS",
    "WAITING",
    "Chance",
    "Lines",
    "Site",
    "Wish",
    "info_of",
    "infos_of",
    "resource_of",
    "site_of",
    "waited_for",
]

CLAIMS = "@claims"
WAITING = "@waiting"
_QUEUE = "/%queue/"
_SLOTS = "/%slots/"


class Site(NamedTuple):
    """The path of the claim on a resource, the prefix of the tickets in its queue, and that of its slots."""

    resource: str
    path: str
    queue: str
    slots: str

    def ticket(self, attempt: str) -> str:
        """Returns the path of the ticket of an attempt to acquire the claim."""
        return self.queue + attempt

    @property
    def patterns(self) -> tuple[str, str, str]:
        """The patterns that match the claim, the tickets and the slots."""
        return escape(self.path), f"{escape(self.queue)}**", f"{escape(self.slots)}**"

    @property
    def selectors(self) -> tuple[Exact, Below, Below]:
        """The selectors that read the claim, the tickets and the slots."""
        return Exact(self.path), Below(self.queue), Below(self.slots)


def site_of(resource: str) -> Site:
    """Returns the site of a resource, which may be any text. Raises `InvalidPath` if it is empty or too long."""
    path = system_path(CLAIMS, resource)
    return Site(resource, path, f"{WAITING}{path.removeprefix(CLAIMS)}{_QUEUE}", f"{path}{_SLOTS}")


class Chance(NamedTuple):
    """The path at which a claim may be taken, and the guards under which it is free. The queue is not guarded."""

    site: Site
    path: str
    guards: list[Guard]


class Lines:
    """The holds and the tickets of some resources, each in the order in which they were written.

    Tickets older than a given one may go but never come: what is out of date only makes its reader wait longer.
    """

    def __init__(self, sites: Iterable[Site], entries: Iterable[Entry] = ()) -> None:
        self._held: dict[str, dict[str, Entry]] = {}
        self._queues: dict[str, dict[str, bool]] = {}
        for site in sites:
            self._held[site.path] = self._held[site.slots] = {}
            self._queues[site.queue] = {}
        for entry in sorted(entries, key=lambda entry: entry.revision):
            self.put(entry.path, entry)

    def put(self, path: str, entry: Entry | None) -> None:
        """Notes that an entry of one of the sites was written; None: removed."""
        room = path[: path.rfind("/") + 1]
        queue = self._queues.get(room)
        if queue is None:
            _put(self._held[path if path in self._held else room], path, entry)
        else:
            _put(queue, path, None if entry is None else True)

    def held(self, site: Site) -> Mapping[str, Entry]:
        """Returns the holds on a resource, the oldest first."""
        return self._held[site.path]

    def first(self, site: Site) -> str | None:
        """Returns the path of the oldest ticket for a resource, None if there is none."""
        return next(iter(self._queues[site.queue]), None)

    def waits(self, site: Site, attempt: str) -> bool:
        """Returns whether the attempt has a ticket for a resource."""
        return site.ticket(attempt) in self._queues[site.queue]

    def is_open(self, site: Site) -> bool:
        """Returns whether the resource, or one of its slots, is free."""
        held = self._held[site.path]
        return not held or len(held) < _slots_in(held)

    def next_in(self, site: Site) -> str | None:
        """Returns the attempt whose turn it is, if the resource is free; None if it is nobody's."""
        first = self.first(site) if self.is_open(site) else None
        return None if first is None else first.rpartition("/")[2]


def _put(some: dict[str, T], path: str, value: T | None) -> None:
    # Removed first, so that the order is that in which they were written.
    some.pop(path, None)
    if value is not None:
        some[path] = value


def _slots_in(held: Mapping[str, Entry]) -> int:
    return int(next(iter(held.values())).value.get("slots", 1))


class Wish(NamedTuple):
    """What an acquisition wants: one of the resources, the first that is free, or `all` of them at once."""

    sites: tuple[Site, ...]
    slots: int = 1
    all: bool = True

    def choose(self, lines: Lines, attempt: str | None = None, dice: float = 0.0) -> list[Chance] | None:
        """Returns where to take what is wanted, given the present holds and tickets; None if that is not possible now.

        Without an `attempt` nobody may wait in line; with it, its tickets must be the first. `dice` (below 1) chooses
        among the free slots, so that callers seldom reach for the same. Raises `InvalidValue` if one of `all` is held with
        another number of slots, or any of several while none is free.
        """
        found = [self._chance(site, lines, attempt, dice) for site in self.sites]
        free = [chance for chance in found if chance]
        enough = all(found) if self.all else any(found)
        if not enough or self.all:
            self._check_slots(lines)
        return (free if self.all else free[:1]) if enough else None

    def _check_slots(self, lines: Lines) -> None:
        for site in self.sites:
            held = lines.held(site)
            if held and _slots_in(held) != self.slots:
                raise _other_slots(site, self.slots, _slots_in(held))

    def _chance(self, site: Site, lines: Lines, attempt: str | None, dice: float) -> Chance | None:
        held = lines.held(site)
        if held and _slots_in(held) != self.slots:
            return None
        first = lines.first(site)
        if len(held) >= self.slots or first != (None if attempt is None else site.ticket(attempt)):
            return None
        if self.slots == 1:
            return Chance(site, site.path, [version_guard(site.path, 0), nothing_below(site.slots)])
        return _slot(site, held, self.slots, dice)

    def refusal(self, lines: Lines) -> AlreadyClaimed:
        """Returns the error for a caller that did not get what it wants: the first resource that was in its way."""
        for site in self.sites:
            held = lines.held(site)
            if len(held) >= self.slots:
                soonest = min(held.values(), key=lambda entry: cast(datetime, entry.expires_at))
                return AlreadyClaimed(site.resource, soonest.agent, soonest.expires_at, self.slots)
        in_line = (site for site in self.sites if lines.first(site))
        return AlreadyClaimed(next(in_line, self.sites[0]).resource, None, None)


def _other_slots(site: Site, wanted: int, found: int) -> InvalidValue:
    return InvalidValue(
        f"{site.resource!r} is held with slots={found}, so it cannot be claimed with slots={wanted}: give the same number"
        " everywhere, or claim it once nobody holds it"
    )


def _slot(site: Site, held: Mapping[str, Entry], slots: int, dice: float) -> Chance:
    paths = (f"{site.slots}{number}" for number in range(slots))
    free = [path for path in paths if path not in held]
    path = free[int(dice * len(free))]
    if not held:
        return Chance(site, path, [version_guard(site.path, 0), nothing_below(site.slots)])
    oldest = next(iter(held.values()))
    return Chance(site, path, [revision_guard(oldest.path, oldest.revision), version_guard(path, 0)])


def resource_of(path: str) -> str:
    """Returns the resource that a claim at this path holds, or one of its slots."""
    return name_of(CLAIMS, path.rpartition(_SLOTS)[0] or path)


def waited_for(path: str) -> str:
    """Returns the resource for which a ticket at this path waits."""
    return name_of(WAITING, path.rpartition(_QUEUE)[0])


def infos_of(entries: Mapping[str, Entry]) -> list[ClaimInfo]:
    """Returns the claims among some entries, with who waits for them, sorted by resource and token."""
    lines: dict[str, list[str]] = {}
    for entry in sorted(entries.values(), key=lambda entry: entry.revision):
        if entry.path.startswith(f"{WAITING}/"):
            lines.setdefault(waited_for(entry.path), []).append(entry.agent)
    claims = (info_of(entry) for path, entry in entries.items() if path.startswith(f"{CLAIMS}/"))
    waited = (replace(claim, waiting=tuple(lines.get(claim.resource, ()))) for claim in claims)
    return sorted(waited, key=lambda claim: (claim.resource, claim.token))


def info_of(entry: Entry) -> ClaimInfo:
    """Returns what users see of a claim, but for who waits for it."""
    resource = resource_of(entry.path)
    expires = cast(datetime, entry.expires_at)  # a claim always has a deadline
    value = entry.value
    slots = value.get("slots", 1)
    return ClaimInfo(resource, value["holder"], entry.revision, entry.created_at, expires, value["note"], slots)
