"""Commits as data: what the commit script takes and what it answers, paired with `ccs/lua/commit.lua`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ccs._core.codec import decode
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.layout import COMMIT_LIMIT, ENTRY, EXTRAS, KEPT, LABEL
from ccs._core.names.keys import KEY_NAMES, Keys
from ccs.errors import CCSError, Conflict, ContextFinished, GuardKind, ValueTooLarge

__all__ = [
    "COMMIT_LIMIT",
    "TOO_LATE",
    "Applied",
    "Argument",
    "Batch",
    "Commit",
    "Crowded",
    "Guard",
    "NotComputable",
    "OtherPolicies",
    "Settings",
    "append_op",
    "commit_arguments",
    "delete_op",
    "drop_op",
    "event_op",
    "fewer_below",
    "finish_op",
    "increment_op",
    "latest_for",
    "nothing_below",
    "parse_answers",
    "policies_op",
    "refused_action",
    "removals",
    "renew_op",
    "revision_guard",
    "set_op",
    "sweep_op",
    "version_guard",
    "was_applied",
]

# Each travels as up to four words, of which a server takes a million a command.
PARTS_LIMIT = 250_000
# As the script counts: what a record takes beside its steps, and each of them beside its path, agent and value.
_RECORD, _ENTRY = 500, 110
KEEP = "keep"
TOO_LATE = b"late"
_PLUS, _FORBIDDEN = ord("+"), ord("X")
_NUMBER, _VERSION = f"0{KEPT.width('number')}d", f"0{ENTRY.width('version')}d"
# Microseconds after it was first sent in which a batch may be applied: patience ends after five minutes, and the server's
# clock may be set by two meanwhile; the answer is kept for ten.
_RETRIED = 420_000_000

# Never a number: hiredis prints those itself, and a signal at that moment (Ctrl-C) ends the process in it.
Argument = str | bytes
Operation = tuple[str, str, str, str | bytes]


_GUARDED: dict[str, GuardKind] = {"v": "version", "r": "revision", "n": "below"}


class Guard(NamedTuple):
    """A condition checked inside the commit.

    `v`ersion or `r`evision of a path (0: missing), `n`othing below a prefix, or a `c`ount below it that is less.
    """

    kind: str
    path: str
    expected: int


class Settings(NamedTuple):
    """How long a context lives idle (ms, 0 = for ever) and how much history it keeps; None: not given."""

    ttl: int | None
    keep_commits: int | None
    keep_bytes: int | None


_NOTHING = Settings(None, None, None)
# What a guard or an operation adds to the bytes of its value.
_PART = 100


@dataclass(slots=True, init=False)
class Commit:
    """One atomic change: all of its operations, on distinct paths, or none, if its guards hold.

    `policies` is the revision of those that it obeys, 0 for none at all: if others hold by then, it is refused. `weight` is
    about how many bytes it takes on its way.
    """

    agent: str
    operations: Sequence[Operation]
    guards: Sequence[Guard]
    given: Settings
    policies: int | None
    weight: int = field(init=False)

    # Written out, as every write makes one: what the decorator makes takes a second call for the check.
    def __init__(
        self,
        agent: str,
        operations: Sequence[Operation],
        guards: Sequence[Guard] = (),
        given: Settings = _NOTHING,
        policies: int | None = None,
    ) -> None:
        self.agent = agent
        self.operations = operations
        self.guards = guards
        self.given = given
        self.policies = policies
        parts = len(operations) + len(guards)
        if parts > PARTS_LIMIT:
            raise ValueTooLarge(parts, PARTS_LIMIT, "commit", "guards and operations")
        self.weight = _PART * parts
        for operation in operations:
            self.weight += len(operation[3])


@dataclass(slots=True)
class Batch:
    """Independent commits of one context that travel in one script call, under one identity.

    With `behind`, it is applied only right after the batch of that number; with `latest`, until the context's clock
    shows that time (µs): sent again, it must not be taken for a new one because its answer is forgotten by then.
    """

    commits: Sequence[Commit]
    client: str
    number: int
    behind: int | None = None
    latest: int | None = None


class NotComputable(CCSError):
    """The script cannot compute the operation on this value without touching its type: the client has to."""


class Crowded(CCSError):
    """There are as many entries below a prefix as there may be."""

    def __init__(self, prefix: str, limit: int) -> None:
        super().__init__(f"{limit} entries or more stand below {prefix!r}")
        self.prefix, self.limit = prefix, limit


class OtherPolicies(CCSError):
    """The context has other policies by now, those of `revision`: the client has to look at them first."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"the policies are those of revision {revision} by now")
        self.revision = revision


@dataclass(slots=True)
class Applied:
    """What became of a commit: its revision (0 where nothing changed), when, and a single operation's result.

    `merged` is the encoded value that its first operation wrote, where a policy had it merged.
    """

    revision: int
    at: int
    result: tuple[int, ...] = ()
    merged: bytes | None = None


def version_guard(path: str, version: int) -> Guard:
    """The path must be at this version; 0: must not exist."""
    return Guard("v", path, version)


def revision_guard(path: str, revision: int) -> Guard:
    """The path's entry must be of this revision; 0: must not exist."""
    return Guard("r", path, revision)


def nothing_below(prefix: str) -> Guard:
    """There must be no entry below the prefix."""
    return Guard("n", prefix, 0)


def fewer_below(prefix: str, limit: int) -> Guard:
    """There must be fewer entries below the prefix than `limit`; `Crowded` otherwise."""
    return Guard("c", prefix, limit)


def set_op(
    path: str, value: bytes, ttl: int | None = None, *, keep_ttl: bool = False, lasting: bool = False
) -> Operation:
    """Writes an encoded value, with a ttl in milliseconds; result: version, created, expiry.

    The context outlasts a `lasting` ttl, but not that of what recipes write for themselves.
    """
    if ttl is None:
        return "s", path, KEEP if keep_ttl else "", value
    return "s", path, _ttl(ttl, lasting), value


def delete_op(path: str) -> Operation:
    """Removes an entry; result: whether it was there."""
    return "d", path, "", ""


def increment_op(path: str, by: int) -> Operation:
    """Adds to a small integer; result: version, created, expiry, value."""
    return "i", path, str(by), ""


def append_op(path: str, count: int, items: bytes, limit: int) -> Operation:
    """Appends so many packed items to a list of at most `limit` bytes; result: version, created, expiry."""
    return "a", path, f"{count} {limit}", items


def renew_op(path: str, ttl: int | None, *, lasting: bool = False) -> Operation:
    """Moves a deadline, without a commit; result: whether the entry was there. `lasting` as for `set_op`."""
    return "k", path, _ttl(ttl, lasting), ""


def _ttl(ttl: int | None, lasting: bool) -> str:
    if ttl is None:
        return ""
    return f"+{ttl}" if lasting else str(ttl)


def event_op(topic: str, data: bytes) -> Operation:
    """Tells something that leaves nothing behind but its journal record; no result."""
    return "e", topic, "", data


def policies_op() -> Operation:
    """Makes this commit the one whose policies hold from now on. The last operation of its commit."""
    return "p", "", "", ""


def finish_op(outcome: bytes, keep: int) -> Operation:
    """Ends the context: no more writes, readable for `keep` milliseconds. Alone in its commit."""
    return "f", "", str(keep), outcome


def drop_op() -> Operation:
    """Removes the context. Alone in its commit."""
    return "D", "", "", ""


def sweep_op(limit: int = 100) -> Operation:
    """Expires what is due; result: the next deadline in server milliseconds, 0 for none. Alone in its commit."""
    return "w", "", str(limit), ""


def removals(entries: Mapping[str, RawEntry]) -> Iterator[dict[str, RawEntry]]:
    """The entries in steps, each of which can be removed by one commit."""
    step: dict[str, RawEntry] = {}
    size = _RECORD
    for path, raw in entries.items():
        adds = len(path.encode()) + len(raw.agent.encode()) + len(raw.value) + _ENTRY
        # Each is guarded too.
        if step and (size + adds > COMMIT_LIMIT or 2 * len(step) + 2 > PARTS_LIMIT):
            yield step
            step, size = {}, _RECORD
        step[path] = raw
        size += adds
    if step:
        yield step


def commit_arguments(batch: Batch, keys: Keys, defaults: Settings, publish: str = "PUBLISH") -> list[Argument]:
    """The script's ARGV for a batch; the last settings given in it win."""
    identity = f"{batch.client or '-'} {batch.number:{_NUMBER}}"
    this, other = _slots(batch.client, batch.number % 2)
    given = _given(batch.commits)
    ordinary = batch.behind is None and batch.latest is None and given is _NOTHING
    extras = "" if ordinary else EXTRAS.text(batch.behind, batch.latest, _text(given))
    flat: list[Argument] = [keys.channel, publish, identity, this, other, _text(defaults), extras]
    for index, commit in enumerate(batch.commits):
        guards, operations = commit.guards, commit.operations
        flat += commit.agent, _head(commit.agent, commit.policies, index, len(guards), len(operations))
        for guard in guards:
            flat += guard.kind, guard.path, _expected(guard)
        for operation in operations:
            flat += operation
    return flat


@lru_cache(maxsize=256)
def _slots(client: str, parity: int) -> tuple[str, str]:
    """The fields of meta with the answers to the batches of this parity, and of the other."""
    if not client:
        return "", ""
    return f"client:{client}:{parity}", f"client:{client}:{1 - parity}"


@lru_cache(maxsize=4096)
def _head(agent: str, policies: int | None, index: int, guards: int, operations: int) -> str:
    size = len(agent.encode())
    if guards or operations != 1:
        return LABEL.text(index, size, policies, guards, operations, blank="*")
    return LABEL.text(index, size) if policies is None else LABEL.text(index, size, policies)


@lru_cache(maxsize=256)
def _text(settings: Settings) -> str:
    return " ".join("-" if value is None else str(value) for value in settings)


def _expected(guard: Guard) -> str:
    # As it is stored: a version in all its digits.
    return f"{guard.expected:{_VERSION}}" if guard.kind == "v" and guard.expected else str(guard.expected)


def _given(commits: Sequence[Commit]) -> Settings:
    merged = _NOTHING
    for commit in commits:
        if commit.given is not merged and commit.given != merged:
            newest = (new if new is not None else old for new, old in zip(commit.given, merged, strict=True))
            merged = Settings(*newest)
    return merged


def was_applied(reply: bytes) -> bool:
    """Whether the answer to a batch tells what became of its commits: it came neither too late nor too early."""
    return reply not in (b"stale", b"early", TOO_LATE)


def refused_action(refused: str, keys: Keys) -> str:
    """What the user may not do, by the script's `<command> <which key, 0 = the channel>`."""
    command, index = refused.split()
    place = int(index)
    return f"run {command} on {keys.all[place - 1]!r}" if place else f"run {command} on the channel {keys.channel!r}"


def latest_for(begun: int | None) -> int | None:
    """Until when a batch may be applied that was first sent at that time of the server: its answer is still there."""
    return None if begun is None else begun + _RETRIED


def parse_answers(
    batch: Batch, address: str, reply: bytes, forbid: Callable[[str], CCSError] = CCSError
) -> list[Applied | CCSError]:
    """What became of each commit of a batch, in order; `forbid` makes the error for a right that is missing."""
    count = len(batch.commits)
    lines = reply.split(b"\n", count)
    outcome = lines.pop() if len(lines) > count else b""
    return [
        _applied(line)
        if line[0] == _PLUS
        else forbid(line[1:].decode())
        if line[0] == _FORBIDDEN
        else _refusal(line[:1].decode(), line[1:].decode(), commit, address, outcome)
        for line, commit in zip(lines, batch.commits, strict=True)
    ]


def _applied(line: bytes) -> Applied:
    numbers = tuple(map(int, line.split()))
    return Applied(numbers[0], numbers[1], numbers[2:])


def _refusal(kind: str, rest: str, commit: Commit, address: str, outcome: bytes) -> CCSError:
    if kind == "!":
        return _conflict(commit, rest)
    if kind == "F":
        return ContextFinished(address, decode(outcome) if outcome else None)
    if kind == "P":
        return OtherPolicies(int(rest))
    if kind == "L":
        return ValueTooLarge(int(rest), COMMIT_LIMIT, "commit")
    if kind == "V":
        size, limit = map(int, rest.split())
        return ValueTooLarge(size, limit)
    if kind == "N":
        return NotComputable(address)
    if kind == "T":
        return CCSError(
            f"{address} is not as ccs left it: its key {KEY_NAMES[int(rest) - 1]!r} holds something of another type, so"
            " nothing was written; remove that key, or use a namespace of your own"
        )
    return CCSError(f"the commit script answered {kind + rest!r}, which this version of ccs does not know")


def _conflict(commit: Commit, rest: str) -> CCSError:
    index, version, revision, agent = rest.split(" ", 3)
    guard = commit.guards[int(index)]
    if guard.kind == "c":
        return Crowded(guard.path, guard.expected)
    found = int(version), int(revision), agent or None
    return Conflict(guard.path, guard.expected, *found, guard=_GUARDED[guard.kind])
