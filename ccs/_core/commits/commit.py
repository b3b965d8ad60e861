"""Commits as data: the arguments of the commit script, and its answers, paired with `ccs/lua/commit.lua`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ccs._core.codec import decode
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.field_layout import COMMIT_LIMIT, ENTRY, EXTRAS, KEPT, LABEL
from ccs._core.commits.operations import Guard, Operation
from ccs._core.names.keys import BIRTHS, KEY_NAMES, Keys
from ccs.errors import CCSError, Conflict, ContextFinished, GuardKind, UnsafeServer, ValueTooLarge

__all__ = [
    "COMMIT_LIMIT",
    "TOO_LATE",
    "Applied",
    "Argument",
    "Batch",
    "Commit",
    "Crowded",
    "NotComputable",
    "OtherPolicies",
    "Settings",
    "commit_arguments",
    "confirm_arguments",
    "latest_for",
    "parse_answers",
    "refused_action",
    "removals",
    "was_applied",
    "without_command",
]

# Each is sent as up to four words, of which a server takes a million in a command.
PARTS_LIMIT = 250_000
# As the script counts: the bytes of a record without its operations, and of each without path, agent and value.
_RECORD = 500
_ENTRY = 110
TOO_LATE = b"late"
_PLUS = ord("+")
_FORBIDDEN = ord("X")
_NUMBER = f"0{KEPT.width('number')}d"
_VERSION = f"0{ENTRY.width('version')}d"
# A batch may be applied within so many microseconds after it was first sent. Patience ends after five minutes, and the
# server's clock may be set by two meanwhile; the answer is kept for ten.
_RETRIED = 420_000_000

# Never a number: hiredis formats numbers itself, and a signal at that moment (Ctrl-C) would end the process there.
Argument = str | bytes


_GUARDED: dict[str, GuardKind] = {"v": "version", "r": "revision", "n": "below"}


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
        weight = _PART * parts
        for operation in operations:
            weight += len(operation[3])
        self.weight = weight


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
    """The script cannot compute the operation without changing the type of the value, so the client must."""


class Crowded(CCSError):
    """There are as many entries below a prefix as its limit allows."""

    def __init__(self, prefix: str, limit: int) -> None:
        super().__init__(f"{limit} entries or more exist below {prefix!r}")
        self.prefix = prefix
        self.limit = limit


class OtherPolicies(CCSError):
    """The context has other policies now, those of `revision`: the client must read them first."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"the policies are now those of revision {revision}")
        self.revision = revision


@dataclass(slots=True)
class Applied:
    """The outcome of a commit: its revision (0 if nothing changed), its time, and the result of a single operation.

    `merged` is the encoded value that its first operation wrote, if a policy merged it.
    """

    revision: int
    at: int
    result: tuple[int, ...] = ()
    merged: bytes | None = None


def removals(entries: Mapping[str, RawEntry], limit: int = COMMIT_LIMIT) -> Iterator[dict[str, RawEntry]]:
    """Yields the entries in portions, each of which one commit of at most `limit` bytes can remove."""
    step: dict[str, RawEntry] = {}
    size = _RECORD
    for path, raw in entries.items():
        adds = len(path.encode()) + len(raw.agent.encode()) + len(raw.value) + _ENTRY
        # Each is guarded too.
        if step and (size + adds > limit or 2 * len(step) + 2 > PARTS_LIMIT):
            yield step
            step = {}
            size = _RECORD
        step[path] = raw
        size += adds
    if step:
        yield step


def commit_arguments(batch: Batch, keys: Keys, defaults: Settings, publish: str = "PUBLISH") -> list[Argument]:
    """Returns the script's ARGV for a batch; the last settings given in it win."""
    identity = f"{batch.client or '-'} {batch.number:{_NUMBER}}"
    this, other = _slots(batch.client, batch.number % 2)
    given = _given(batch.commits)
    ordinary = batch.behind is None and batch.latest is None and given is _NOTHING
    extras = "" if ordinary else EXTRAS.text(batch.behind, batch.latest, _text(given))
    flat: list[Argument] = [keys.channel, publish, identity, this, other, _text(defaults), extras]
    for index, commit in enumerate(batch.commits):
        guards = commit.guards
        operations = commit.operations
        flat += commit.agent, _head(commit.agent, commit.policies, index, len(guards), len(operations))
        for guard in guards:
            flat += guard.kind, guard.path, _expected(guard)
        for operation in operations:
            flat += operation
    return flat


def confirm_arguments(batch: Batch, revision: int) -> list[Argument]:
    """Returns the ARGV of `confirm.lua` for a batch whose last commit has this revision, 0 if that is not known."""
    return [_slots(batch.client, batch.number % 2)[0], f"{batch.number:{_NUMBER}}", batch.client, str(revision)]


@lru_cache(maxsize=256)
def _slots(client: str, parity: int) -> tuple[str, str]:
    """Returns the fields of meta with the answers to the batches of this parity, and of the other."""
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
    """Returns whether the answer to a batch tells what became of its commits: it came neither too late nor too early."""
    return reply not in (b"stale", b"early", TOO_LATE)


def refused_action(refused: str, keys: Keys) -> str:
    """Returns what the user may not do, by the script's `<command> <which key, 0 and 6 are channels>`."""
    command, index = refused.split()
    key = int(index)
    if key in (0, 6):
        return f"run {command} on the channel {keys.channel + (BIRTHS if key else '')!r}"
    return f"run {command} on {keys.all[key - 1]!r}"


def latest_for(begun: int | None) -> int | None:
    """Returns until when a batch may be applied that was first sent at that time of the server: its answer is still there."""
    return None if begun is None else begun + _RETRIED


def parse_answers(
    batch: Batch, address: str, reply: bytes, forbid: Callable[[str], CCSError] = CCSError
) -> list[Applied | CCSError]:
    """Returns what became of each commit of a batch, in order; `forbid` makes the error for a right that is missing."""
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


def without_command(server: str, command: str) -> UnsafeServer:
    """Returns the error for a server that does not have a command."""
    return UnsafeServer(f"{server} has no command {command}, or calls it otherwise (rename-command); CCS needs it")


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
    if kind == "A":
        return without_command(f"the server of {address}", rest)
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
