"""Claims as entries: the paths of a claim and its queue, whose turn it is, and what is free.

`@claims/<resource>` is the claim: the agent that creates it holds it, and its revision is the fencing token. An agent
that has to wait leaves a ticket at `@waiting/<resource>/%queue/<id>`. Names are percent-encoded, so that no name makes a
segment `%queue`, and the queue of `a` holds no ticket for `a/b`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple, cast

from ccs._core.names.pattern import Below, Exact, escape
from ccs._core.names.system_paths import name_of, system_path
from ccs.types import ClaimInfo, Entry

__all__ = ["CLAIMS", "Site", "first_of", "free_of", "info_of", "site_of"]

CLAIMS = "@claims"
WAITING = "@waiting"


class Site(NamedTuple):
    """The path of the claim on a resource, and the prefix of the tickets in its queue."""

    resource: str
    path: str
    queue: str

    def ticket(self, attempt: str) -> str:
        """Returns the path of the ticket of an attempt to acquire the claim."""
        return self.queue + attempt

    @property
    def patterns(self) -> tuple[str, str]:
        """The patterns that match the claim and the tickets."""
        return escape(self.path), f"{escape(self.queue)}**"

    @property
    def selectors(self) -> tuple[Exact, Below]:
        """The selectors that read the claim and the tickets."""
        return Exact(self.path), Below(self.queue)


def site_of(resource: str) -> Site:
    """Returns the site of a resource, which may be any text. Raises `InvalidPath` if it is empty or too long."""
    path = system_path(CLAIMS, resource)
    return Site(resource, path, f"{WAITING}{path.removeprefix(CLAIMS)}/%queue/")


def first_of(entries: Mapping[str, Entry], site: Site) -> str | None:
    """Returns the ticket whose turn it is, given the entries of a site in the order of their revisions; None if none's.

    Tickets older than a given one may go but never come: entries that are out of date only make their reader wait longer.
    """
    if site.path in entries:
        return None
    return next(iter(entries), None)


def free_of(sites: Iterable[Site], paths: Iterable[str]) -> list[Site]:
    """Returns the sites without a claim or a ticket, given the paths of all claims and tickets."""
    taken = set(paths)
    queues = {path.rpartition("/")[0] for path in taken}
    return [site for site in sites if site.path not in taken and site.queue.removesuffix("/") not in queues]


def info_of(entry: Entry) -> ClaimInfo:
    """Returns what users see of a claim."""
    resource = name_of(CLAIMS, entry.path)
    expires = cast(datetime, entry.expires_at)  # a claim always has a deadline
    return ClaimInfo(resource, entry.value["holder"], entry.revision, entry.created_at, expires, entry.value["note"])
