"""Jobs, decided: what a pool of workers sees of its jobs, which one to take, and the commits that move it along.

A job is an ordinary entry that matches the patterns of a pool. It is known by its path and its revision, so setting the
path again makes a new job. Whoever works on it holds the claim on its path. Below `@jobs/` a job has an entry of each kind
that applies to it, under its path, and a pool two under its patterns:

    attempts     how often the job of a revision was taken, and why it failed last
    later        exists while the job of a revision is not to be tried again, and expires
    results      what it was done with, for a day
    dead         the value of a job that was taken too often, and why it failed, until its path is set again
    done         how many jobs the pool has done; one of its workers adds to it in the commit that ends a job
    progress     how many are waiting, taken, done and dead, written now and then by one of the workers

Taking is guarded by the revisions of the job and of its attempts, and ending by that of the claim: so of all workers one
has the job, each attempt counts, and one result is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from typing import Any, NamedTuple

from ccs._core.codec import encode
from ccs._core.commits.operations import delete_op, increment_op, revision_guard, set_op, version_guard
from ccs._core.names.pattern import Exact, Matcher, compile_patterns, escape
from ccs._core.names.system_paths import name_of, system_path
from ccs._core.quoted_values import shown
from ccs._core.recipes.claim import CLAIMS, resource_of
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._core.recipes.once import contained, reason
from ccs.errors import InvalidPath, InvalidPattern, InvalidValue, ReservedPath
from ccs.types import DeadJob, Entry, JobProgress

__all__ = [
    "Board",
    "Offer",
    "Pool",
    "abandoned",
    "beginning",
    "burying",
    "dead_job",
    "dropping",
    "failing",
    "finishing",
    "job_path",
    "pool_of",
    "says",
    "text_of",
]

_ROOT = "@jobs"
_KINDS = ("attempts", "later", "dead")
# Milliseconds that results are kept, and the count of attempts beyond the time for which a job waits.
_DAY = 86_400_000


class Pool(NamedTuple):
    """The jobs that match some patterns."""

    name: str
    given: tuple[str, ...]
    matcher: Matcher

    @property
    def done(self) -> str:
        """The path of the number of jobs that were done."""
        return job_path("done", self.name)

    @property
    def progress(self) -> str:
        """The path of the entry that shows the progress."""
        return job_path("progress", self.name)

    @property
    def claims(self) -> tuple[str, ...]:
        """Patterns that match the claims on all jobs, and perhaps on others."""
        return tuple(self._below(CLAIMS))

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns that match all that a worker sees."""
        own = (pattern for kind in _KINDS for pattern in self.of(kind))
        return (*self.given, *self.claims, *own, escape(self.done), escape(self.progress))

    def of(self, kind: str) -> tuple[str, ...]:
        """Returns patterns that match the entries of a kind of all jobs, and perhaps of others."""
        return tuple(self._below(f"{_ROOT}/{kind}"))

    def _below(self, root: str) -> Iterable[str]:
        # Names below a root are encoded, patterns are not: so all is read below what is literal in a pattern.
        for selector in self.matcher.selectors:
            if isinstance(selector, Exact):
                path = escape(system_path(root, selector.path))
                yield from (path, f"{path}/%slots/*")
            else:
                start = selector.prefix.rpartition("/")[0]
                yield f"{escape(system_path(root, start)) if start else root}/**"


def pool_of(patterns: tuple[str, ...]) -> Pool:
    """Returns the pool of the jobs that match any of the patterns.

    Raises `InvalidPattern` if there is none, or one is not valid, and `ReservedPath` if one matches paths of the system.
    """
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise InvalidPattern(f"the patterns of jobs are {shown(patterns)}: give one or more, each as an argument")
    given = tuple(sorted(set(patterns)))
    matcher = compile_patterns(given)
    starts = [each.path if isinstance(each, Exact) else each.prefix for each in matcher.selectors]
    if any(start.startswith("@") for start in starts):
        raise ReservedPath(f"{shown(given)}: paths that begin with @ belong to the system, and are no jobs")
    return Pool(" ".join(map(_spelled, given)), given, matcher)


def _spelled(pattern: str) -> str:
    # So that no other patterns make the same name: a space stands between two of them.
    return pattern.replace("%", "%25").replace(" ", "%20")


def job_path(kind: str, name: str) -> str:
    """Returns the path of the entry of a kind. Raises `InvalidPath` for a name that is too long."""
    return system_path(f"{_ROOT}/{kind}", name)


class Offer(NamedTuple):
    """A job that may be taken, the entry of its attempts, and the paths that earlier jobs of its path have left."""

    job: Entry
    record: Entry | None
    remains: tuple[str, ...] = ()

    @property
    def attempts(self) -> int:
        """How often the job was taken so far."""
        record = self.record
        return int(record.value["count"]) if record and record.value["job"] == self.job.revision else 0

    @property
    def error(self) -> str:
        """Why it failed the last time."""
        record = self.record
        lost = f"its worker {record.agent!r} was lost" if record else "nobody has tried it"
        return (record and record.value.get("error")) or lost


class Board:
    """The jobs of a pool as the workers of one store see them, updated entry by entry."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.clear()

    def clear(self) -> None:
        """Forgets all, to be told of it anew."""
        self._jobs: dict[str, Entry] = {}
        self._claims: dict[str, set[str]] = {}
        self._known: dict[str, dict[str, Entry]] = {kind: {} for kind in _KINDS}
        self._taken: set[str] = set()
        self._dead: set[str] = set()
        self._aside: set[str] = set()
        # Those that may be taken; one that comes back is the last.
        self._free: dict[str, None] = {}
        self._done = 0
        self.reported: Entry | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def progress(self) -> JobProgress:
        """How far the pool has come."""
        taken = len(self._taken)
        return JobProgress(len(self._jobs) - taken, taken, self._done, len(self._dead))

    @property
    def is_reported(self) -> bool:
        """Whether the entry of the progress says so. Without that, there is nothing to say before there are jobs."""
        return says(self.reported, self.progress)

    def put(self, path: str, entry: Entry | None) -> None:
        """Notes that an entry was written; None: removed."""
        if not path.startswith("@"):
            self._put_job(path, entry)
        elif path.startswith(f"{CLAIMS}/"):
            self._put_claim(resource_of(path), path, entry)
        elif path == self._pool.done:
            self._done = entry.value if entry else 0
        elif path == self._pool.progress:
            self.reported = entry
        else:
            kind = path.split("/", 2)[1]
            self._put_known(kind, name_of(f"{_ROOT}/{kind}", path), entry)

    def _put_job(self, path: str, entry: Entry | None) -> None:
        if entry is None:
            self._jobs.pop(path, None)
        elif can_be_job(path):
            self._jobs[path] = entry
        self._sort(path)

    def _put_claim(self, name: str, path: str, entry: Entry | None) -> None:
        held = self._claims.setdefault(name, set())
        if entry:
            held.add(path)
        else:
            held.discard(path)
            if not held:
                del self._claims[name]
        self._sort(name)

    def _put_known(self, kind: str, name: str, entry: Entry | None) -> None:
        if not self._pool.matcher.matches(name):
            return
        if entry:
            self._known[kind][name] = entry
        else:
            self._known[kind].pop(name, None)
        self._sort(name)

    def _sort(self, path: str) -> None:
        self._aside.discard(path)
        is_job = path in self._jobs
        taken = is_job and path in self._claims
        _put(self._taken, path, taken)
        _put(self._dead, path, not is_job and path in self._known["dead"])
        if is_job and not taken and not self._waits(path):
            self._free.setdefault(path)
        else:
            self._free.pop(path, None)

    def _waits(self, path: str) -> bool:
        later = self._known["later"].get(path)
        return later is not None and later.value == self._jobs[path].revision

    def pick(self, index: int) -> Offer | None:
        """Returns a job that may be taken, or None; it is set aside until it changes or is put back.

        It is the oldest one for the index 0, a younger one for a larger index.
        """
        oldest = list(islice(self._free, index + 1))
        if not oldest:
            return None
        path = oldest[-1]
        del self._free[path]
        self._aside.add(path)
        remains = tuple(job_path(kind, path) for kind in ("later", "dead") if path in self._known[kind])
        return Offer(self._jobs[path], self._known["attempts"].get(path), remains)

    def put_back(self, path: str) -> None:
        """Notes that a job that was set aside has perhaps not changed, so it is offered again."""
        if path in self._aside:
            self._sort(path)


def _put(some: set[str], path: str, wanted: bool) -> None:
    if wanted:
        some.add(path)
    else:
        some.discard(path)


def says(reported: Entry | None, progress: JobProgress) -> bool:
    """Returns whether the entry of a progress needs no other value."""
    return asdict(progress) == reported.value if reported else not any(asdict(progress).values())


def can_be_job(path: str) -> bool:
    """Returns whether there is room for the entries of a job with this path."""
    try:
        job_path("attempts", path)
    except InvalidPath:
        return False
    return True


def beginning(offer: Offer) -> GuardedCommit:
    """Returns what the commit that takes a job needs beside the claim."""
    job = offer.job
    path = job_path("attempts", job.path)
    guards = [
        revision_guard(job.path, job.revision),
        revision_guard(path, offer.record.revision if offer.record else 0),
    ]
    operations = [set_op(path, encode({"job": job.revision, "count": offer.attempts + 1}), _DAY)]
    return GuardedCommit([*operations, *map(delete_op, offer.remains)], guards)


def finishing(job: Entry, pool: Pool, result: bytes, *, replaced: bool) -> GuardedCommit:
    """Returns the commit that ends a job with a result. One that was `replaced` meanwhile leaves the new job alone."""
    operations = [
        set_op(job_path("results", job.path), result, _DAY),
        delete_op(job_path("attempts", job.path)),
        increment_op(pool.done, 1),
    ]
    if replaced:
        return GuardedCommit(operations, [])
    return GuardedCommit([delete_op(job.path), *operations], [revision_guard(job.path, job.revision)])


def dropping(job: Entry) -> GuardedCommit:
    """Returns the commit that ends a failed attempt at a job whose path was set again: that job is no more."""
    return GuardedCommit([delete_op(job_path("attempts", job.path))], [])


def failing(job: Entry, attempts: int, error: str, wait: int) -> GuardedCommit:
    """Returns the commit that lets a job be tried again, after `wait` milliseconds."""
    record = encode({"job": job.revision, "count": attempts, "error": error})
    operations = [set_op(job_path("attempts", job.path), record, _DAY + wait)]
    if wait:
        operations.append(set_op(job_path("later", job.path), encode(job.revision), wait))
    return GuardedCommit(operations, [revision_guard(job.path, job.revision)])


def burying(job: Entry, attempts: int, error: str) -> GuardedCommit:
    """Returns the commit that moves a job to the dead ones."""
    dead = encode({"value": job.value, "attempts": attempts, "error": error, "agent": job.agent})
    operations = [
        delete_op(job.path),
        set_op(job_path("dead", job.path), dead),
        delete_op(job_path("attempts", job.path)),
    ]
    return GuardedCommit(operations, [revision_guard(job.path, job.revision)])


def abandoned(offer: Offer) -> GuardedCommit:
    """Returns the commit that buries a job that nobody holds any more, and that was taken often enough."""
    move = burying(offer.job, offer.attempts, offer.error)
    record = offer.record.revision if offer.record else 0
    more = [
        revision_guard(job_path("attempts", offer.job.path), record),
        version_guard(system_path(CLAIMS, offer.job.path), 0),
    ]
    return GuardedCommit(move.operations, [*move.guards, *more])


def dead_job(entry: Entry) -> DeadJob:
    """Returns what users see of a dead job."""
    value: dict[str, Any] = entry.value
    path = name_of(f"{_ROOT}/dead", entry.path)
    return DeadJob(path, value["value"], value["attempts"], value["error"], value["agent"], entry.updated_at)


def text_of(error: object) -> str:
    """Returns an error, given as text or as an exception, as text that can be stored, cut if it is long.

    Raises `InvalidValue` for anything else.
    """
    if isinstance(error, BaseException):
        return reason(error)
    if not isinstance(error, str) or not error:
        raise InvalidValue(f"error is {shown(error)}: give an exception, or some text that says what went wrong")
    return contained(error)
