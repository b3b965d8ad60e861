"""Claims as entries: where a claim and its queue stand, whose turn it is, and what is free.

`@claims/<resource>` is the claim: whoever creates it holds it, and its revision is the fencing token. Who has to wait
leaves a ticket at `@waiting/<resource>/%queue/<id>`. A name is percent-encoded, so that none makes a segment `%queue`,
and the queue of `a` has nothing of `a/b` in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple, cast

from ccs._core.names.pattern import Below, Exact, escape
from ccs._core.names.system_paths import name_of, system_path
from ccs.types import ClaimInfo, Entry

__all__ = ["CLAIMS", "Site", "first_of", "free_of", "info_of", "site_of"]

CLAIMS, WAITING = "@claims", "@waiting"


class Site(NamedTuple):
    """Where the claim on a resource stands, and below which prefix the tickets of those who wait for it."""

    resource: str
    path: str
    queue: str

    def ticket(self, attempt: str) -> str:
        """The path of the ticket of an attempt to acquire the claim."""
        return self.queue + attempt

    @property
    def patterns(self) -> tuple[str, str]:
        """What matches the claim and the tickets."""
        return escape(self.path), f"{escape(self.queue)}**"

    @property
    def selectors(self) -> tuple[Exact, Below]:
        """What to read to see the claim and the tickets."""
        return Exact(self.path), Below(self.queue)


def site_of(resource: str) -> Site:
    """The site of a resource, which may be any text; `InvalidPath` if it is empty or too long."""
    path = system_path(CLAIMS, resource)
    return Site(resource, path, f"{WAITING}{path.removeprefix(CLAIMS)}/%queue/")


def first_of(entries: Mapping[str, Entry], site: Site) -> str | None:
    """The ticket whose turn it is, given the entries of a site in the order in which they were written; None if none's.

    Tickets that are older than one's own may go but never come: a picture that is behind only makes one wait longer.
    """
    if site.path in entries:
        return None
    return next(iter(entries), None)


def free_of(sites: Iterable[Site], paths: Iterable[str]) -> list[Site]:
    """The sites that nobody holds or waits for, given the paths of all claims and tickets there."""
    taken = set(paths)
    queues = {path.rpartition("/")[0] for path in taken}
    return [site for site in sites if site.path not in taken and site.queue.removesuffix("/") not in queues]


def info_of(entry: Entry) -> ClaimInfo:
    """What everybody may know of a claim."""
    resource, holder, note = name_of(CLAIMS, entry.path), entry.value["holder"], entry.value["note"]
    expires = cast(datetime, entry.expires_at)  # a claim without a deadline is never written
    return ClaimInfo(resource, holder, entry.revision, entry.created_at, expires, note)
