"""A context as the design promises it, in plain Python: what the commit script is held against.

It knows nothing of keys or of bytes on the wire beyond an entry's value. Where the design leaves room (how late an idle
deadline may be set, how much more than asked the journal keeps, when exactly old identities go) it does not compute:
`tests/model/test_engine.py` checks the room and lets the model adopt what the script chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgpack import Packer

from ccs._core.codec import decode, encode
from ccs._core.commits.commit import Batch, Commit, Settings
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import Guard, Operation
from ccs.errors import EncodingError

TOMBSTONE = 600_000
EXACT = 2**53

Answer = tuple[Any, ...]
"""("applied", revision, at, result) · ("conflict", path, expected, version, revision, agent) · ("finished", outcome) ·
("not computable",) · ("value too large", size) · ("commit too large",) · ("crowded", prefix, limit) ·
("other policies", revision) · ("forbidden",), which only the server knows"""


@dataclass(frozen=True)
class Told:
    """One commit as the journal and the channel tell it. Steps: kind, path, entry before, entry after (or outcome, or data)."""

    previous: int
    revision: int
    at: int
    identity: str
    agent: str
    expiry: int
    steps: tuple[tuple[str, str, RawEntry | None, RawEntry | bytes | None], ...]


class Refusal(NamedTuple):
    """Why an operation cannot be done."""

    answer: Answer


@dataclass
class Known:
    """A batch that was applied: when that was (ms), and its answers."""

    when: int
    answers: list[Answer]
    may_be_pruned: bool = False


@dataclass
class Model:
    """One context; it `outlasts` the latest deadline of those entries whose ttl lengthens its life. Times: `clock_us`, of the server, and `now_us`, of the context, in microseconds, everything called deadline or expiry in milliseconds."""

    commit_limit: int
    entries: dict[str, RawEntry] = field(default_factory=dict)
    journal: list[Told] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    last: int = 0
    first: int = 0
    created: int = 0
    updated: int = 0
    settings: Settings = Settings(0, 0, 0)
    deadline: int = 0
    outlasts: int = 0
    meta_deadline: int = 0
    finished: int = 0
    outcome: bytes = b""
    policies: int = 0
    clients: dict[str, dict[int, Known]] = field(default_factory=dict)
    clock_us: int = 0
    now_us: int = 0
    touched: bool = False
    identity: tuple[str, int] = ("", 0)
    _named: list[str] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.first > 0

    @property
    def now(self) -> int:
        return self.now_us // 1000

    @property
    def deadlines(self) -> dict[str, int]:
        return {path: entry.expiry for path, entry in self.entries.items() if entry.expiry}

    def visible(self) -> dict[str, RawEntry]:
        """What a reader sees."""
        return {path: entry for path, entry in self.entries.items() if not entry.due(self.now)}

    # Time.

    def pass_time(self, now_us: int) -> None:
        """Moves the clock; the keys that the server expires by itself are gone."""
        self.clock_us = now_us
        if self.alive and self.deadline and now_us // 1000 > self.deadline:
            self._forget()
        if self.meta_deadline and now_us // 1000 > self.meta_deadline:
            self.last, self.meta_deadline = 0, 0
            self.clients.clear()
        self._tell_time()
        for batches in self.clients.values():
            for known in batches.values():
                known.may_be_pruned = known.may_be_pruned or known.when < self.now - TOMBSTONE

    def _tell_time(self) -> None:
        """The time of a context never goes back: it is that of the clock or, if that is later, its last revision."""
        self.now_us = max(self.clock_us, self.last)

    def _forget(self) -> None:
        self.entries.clear()
        self.journal.clear()
        self.first = self.deadline = self.finished = self.created = self.updated = self.policies = self.outlasts = 0
        self.outcome = b""

    # Writing.

    def apply(self, batch: Batch, defaults: Settings, given: Settings, hints: list[str]) -> tuple[str, list[Answer]]:
        """The status of a batch, and its answers. A client's last two are known, an even one and an odd one."""
        known = self.clients.setdefault(batch.client, {}) if batch.client else {}
        if batch.number in known:
            return "known", known[batch.number].answers
        if max(known, default=0) > batch.number:
            return "stale", []
        if batch.behind is not None and batch.behind != max(known, default=None):
            return "early", []
        if batch.latest is not None and self.now_us > batch.latest:
            return "late", []
        self.identity, self.touched = (batch.client, batch.number), False
        self._defaults, self._given = defaults, given
        answers = [self._commit(commit, i, hints[i]) for i, commit in enumerate(batch.commits)]
        if batch.client:
            self.clients[batch.client] = {
                number: each for number, each in known.items() if number % 2 != batch.number % 2
            } | {batch.number: Known(self.now, answers)}
        if self.touched:
            self.updated = self.now_us
        if not self.alive and batch.client:
            self.meta_deadline = self.clock_us // 1000 + TOMBSTONE
        self._tell_time()
        return "ok", answers

    def _commit(self, commit: Commit, index: int, hint: str) -> Answer:
        if hint == "forbidden":
            return ("forbidden",)
        kind = commit.operations[0][0] if commit.operations else ""
        if self.finished and kind != "D":
            return self._applied(0, (0,)) if kind == "w" else ("finished", self.outcome)
        if commit.policies not in (None, self.policies):
            return "other policies", self.policies
        # Whatever is due goes with the first of it.
        self._named = [guard.path for guard in commit.guards if guard.kind in "vr"]
        self._named += [path for kind, path, *_ in commit.operations if kind not in "epwfD"]
        for guard in commit.guards:
            if (refusal := self._obstacle(guard)) is not None:
                return refusal
        if kind == "w":
            return self._sweep(int(commit.operations[0][2]))
        if kind == "D":
            return self._drop(commit.agent, index)
        if kind == "f":
            return self._finish(commit, index)
        return self._write(commit, index, hint)

    def _applied(self, revision: int, result: tuple[int, ...] = ()) -> Answer:
        return "applied", revision, self.now_us, result

    def _obstacle(self, guard: Guard) -> Answer | None:
        if guard.kind == "c":
            below = sum(path.startswith(guard.path) for path in self.entries)
            return None if below < guard.expected else ("crowded", guard.path, guard.expected)
        entry = self._nearest(guard.path) if guard.kind == "n" else self._load(guard.path)
        if guard.kind == "n":
            fits = entry is None
        else:
            actual = (entry.version if guard.kind == "v" else entry.revision) if entry else 0
            fits = actual == guard.expected
        if fits:
            return None
        found = (entry.version, entry.revision, entry.agent or None) if entry else (0, 0, None)
        return "conflict", guard.path, guard.expected, *found

    def _nearest(self, prefix: str) -> RawEntry | None:
        start = prefix.encode()
        for path in sorted(path.encode() for path in self.entries if path.encode().startswith(start)):
            if entry := self._load(path.decode()):
                return entry
        return None

    def _load(self, path: str) -> RawEntry | None:
        entry = self.entries.get(path)
        if entry is None or not entry.due(self.now):
            return entry
        self._expire(path, entry)
        for other in self._named:
            if (named := self.entries.get(other)) and named.due(self.now):
                self._expire(other, named)
        return None

    def _expire(self, path: str, entry: RawEntry) -> None:
        del self.entries[path]
        self._record(entry.agent, self._next(), -1, [("x", path, entry, None)], 0)

    def _next(self) -> int:
        return max(self.last + 1, self.now_us)

    def _configure(self) -> None:
        self.touched = True
        base = self.settings if self.alive else self._defaults
        self.settings = Settings(*(new if new is not None else old for new, old in zip(self._given, base, strict=True)))

    def _record(self, agent: str, revision: int, index: int, steps: Sequence[Any], expiry: int) -> None:
        self._configure()
        client, number = ("-", self.identity[1]) if index < 0 else (self.identity[0] or "-", self.identity[1])
        identity = f"{client} {number:012d} {max(index, 0):04d}"
        told = Told(self.last if self.alive else 0, revision, self.now_us, identity, agent, expiry, tuple(steps))
        if not self.alive:
            self.first, self.created = revision, self.now_us
        self.journal.append(told)
        self.told.append(told)
        self.last = revision

    def _sweep(self, limit: int) -> Answer:
        due = sorted((expiry, path.encode()) for path, expiry in self.deadlines.items() if expiry <= self.now)
        for _, path in due[:limit]:
            self._load(path.decode())
        return self._applied(0, (min(self.deadlines.values(), default=0),))

    def _drop(self, agent: str, index: int) -> Answer:
        if not self.alive:
            return self._applied(0)
        revision = self._next()
        identity = f"{self.identity[0]} {self.identity[1]:012d} {index:04d}"
        self.told.append(Told(self.last, revision, self.now_us, identity, agent, 0, (("g", "", None, None),)))
        self._forget()
        self.last, self.touched = revision, False
        return self._applied(revision)

    def _finish(self, commit: Commit, index: int) -> Answer:
        _, _, keep, outcome = commit.operations[0]
        revision = self._next()
        assert isinstance(outcome, bytes)
        self._record(commit.agent, revision, index, [("f", "", None, outcome)], 0)
        self.finished, self.outcome, self.deadline = self.now_us, outcome, self.now + int(keep)
        return self._applied(revision)

    def _write(self, commit: Commit, index: int, hint: str) -> Answer:
        found = [self._load(path) if kind not in "ep" else None for kind, path, *_ in commit.operations]
        revision = self._next()
        planned: list[RawEntry | str | None] = []
        for operation, entry in zip(commit.operations, found, strict=True):
            outcome = self._plan(operation, entry, commit.agent, revision)
            if isinstance(outcome, Refusal):
                return outcome.answer
            planned.append(outcome)
        steps = [
            (_told_as(operation, after), operation[1], before, after)
            for operation, before, after in zip(commit.operations, found, planned, strict=True)
            if after != "nothing" and operation[0] != "k"
        ]
        if self._too_large(commit.agent, steps, hint):
            return ("commit too large",)
        results = [self._do(*each) for each in zip(commit.operations, found, planned, strict=True)]
        if steps:
            expiries = [after.expiry for *_, after in steps if isinstance(after, RawEntry) and after.expiry]
            self._record(commit.agent, revision, index, steps, min(expiries, default=0))
            if commit.operations[-1][0] == "p":
                self.policies = revision
        return self._applied(revision if steps else 0, results[0] if len(results) == 1 else ())

    def _plan(self, operation: Operation, entry: RawEntry | None, agent: str, revision: int) -> Any:
        """The entry after, None for a deletion, the data of an event, "nothing" for no change, or a refusal."""
        kind = operation[0]
        if kind in "ep":
            return operation[3] if kind == "e" else "nothing"
        if kind == "d":
            return None if entry else "nothing"
        if kind == "k":
            return entry and entry._replace(expiry=self.now + int(operation[2]) if operation[2] != "" else 0)
        value = self._value(operation, entry)
        if isinstance(value, Refusal):
            return value
        if kind != "s" or operation[2] == "keep":
            expiry = entry.expiry if entry else 0
        else:
            expiry = self.now + int(operation[2]) if operation[2] != "" else 0
        version, created = (entry.version + 1, entry.created) if entry else (1, self.now_us)
        return RawEntry(revision, version, created, self.now_us, expiry, agent, value)

    def _value(self, operation: Operation, entry: RawEntry | None) -> bytes | Refusal:
        kind, _, *rest = operation
        if kind == "s":
            return bytes(rest[1])
        value = _decoded(entry.value) if entry else None
        if kind == "i":
            number, by = value if entry else 0, int(rest[0])
            if type(number) is not int or max(abs(number), abs(number + by)) >= EXACT:
                return Refusal(("not computable",))
            return encode(number + by)
        (count, limit), items = map(int, rest[0].split()), bytes(rest[1])
        if entry and type(value) is not list:
            return Refusal(("not computable",))
        raw = encode([*(value or []), *decode(Packer().pack_array_header(count) + items)])
        return raw if len(raw) <= limit else Refusal(("value too large", len(raw)))

    def _too_large(self, agent: str, steps: Sequence[Any], hint: str) -> bool:
        """What a header adds is the script's business: between the bounds its own verdict holds."""
        least = sum(len(path.encode()) + _size(before) + _size(after) for _, path, before, after in steps)
        most = least + len(agent) + 256 + 64 * len(steps)
        if least > self.commit_limit or most <= self.commit_limit:
            return least > self.commit_limit
        return hint == "commit too large"

    def _do(self, operation: Operation, before: RawEntry | None, after: Any) -> tuple[int, ...]:
        kind, path = operation[0], str(operation[1])
        if kind in "ep":
            return ()
        if kind == "d":
            self.entries.pop(path, None)
            return (int(after is None),)
        if kind == "k" and not before:
            return (0,)
        if str(operation[2]).startswith("+"):
            self.outlasts = max(self.outlasts, after.expiry)
        self.entries[path] = after
        if kind == "k":
            self._configure()
            return (1,)
        number = (decode(after.value),) if kind == "i" else ()
        return after.version, after.created, after.expiry, *number


def _decoded(raw: bytes) -> Any:
    try:
        return decode(raw)
    except EncodingError:
        return None


def _told_as(operation: Operation, after: Any) -> str:
    return "e" if operation[0] == "e" else "d" if after is None else "s"


def _size(entry: RawEntry | bytes | None) -> int:
    if entry is None or isinstance(entry, bytes):
        return len(entry or b"")
    numbers = " ".join(map(str, entry[:5])) + f" {len(entry.agent.encode())} "
    return len(numbers) + len(entry.agent.encode()) + len(entry.value)
