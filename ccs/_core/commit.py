"""Commits as data: what the commit script takes and what it answers, paired with `ccs/lua/commit.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from ccs._core.codec import decode
from ccs._core.keys import Keys
from ccs.errors import CCSError, Conflict, ContextFinished, ValueTooLarge

__all__ = [
    "COMMIT_LIMIT",
    "Applied",
    "Argument",
    "Batch",
    "Commit",
    "Guard",
    "NotComputable",
    "Settings",
    "append_op",
    "commit_arguments",
    "delete_op",
    "drop_op",
    "finish_op",
    "increment_op",
    "parse_answers",
    "renew_op",
    "revision_guard",
    "set_op",
    "sweep_op",
    "version_guard",
]

COMMIT_LIMIT = 16 * 1024 * 1024
KEEP = "keep"

# Never a number: hiredis prints those itself, and a signal at that moment (Ctrl-C) ends the process in it.
Argument = str | bytes
Operation = tuple[Argument, ...]


class Guard(NamedTuple):
    """A condition checked inside the commit: `v`ersion, `r`evision (0: missing), or `n`othing below a prefix."""

    kind: str
    path: str
    expected: int


class Settings(NamedTuple):
    """How long a context lives idle (ms, 0 = for ever) and how much history it keeps; None: not given."""

    ttl: int | None
    keep_commits: int | None
    keep_bytes: int | None

    def text(self) -> str:
        """As the script reads it."""
        return " ".join("-" if value is None else str(value) for value in self)


_NOTHING = Settings(None, None, None)


class Commit(NamedTuple):
    """One atomic change: all of its operations, on distinct paths, or none, if its guards hold."""

    agent: str
    operations: Sequence[Operation]
    guards: Sequence[Guard] = ()
    given: Settings = _NOTHING
    size: int = 0

    def arguments(self) -> list[Argument]:
        """Its part of the script's ARGV."""
        flat: list[Argument] = [self.agent, str(len(self.guards))]
        for guard in self.guards:
            flat.extend((guard.kind, guard.path, str(guard.expected)))
        flat.append(str(len(self.operations)))
        for operation in self.operations:
            flat.extend(operation)
        return flat


class Batch(NamedTuple):
    """Independent commits of one context that travel in one script call, under one identity.

    With `behind`, it is applied only right after the batch of that number.
    """

    commits: Sequence[Commit]
    client: str
    number: int
    behind: int | None = None


class NotComputable(CCSError):
    """The script cannot compute the operation on this value without touching its type: the client has to."""


class Applied(NamedTuple):
    """What became of a commit: its revision (0 where nothing changed), when, and a single operation's result."""

    revision: int
    at: int
    result: tuple[int, ...] = ()


def version_guard(path: str, version: int) -> Guard:
    """The path must be at this version; 0: must not exist."""
    return Guard("v", path, version)


def revision_guard(path: str, revision: int) -> Guard:
    """The path's entry must be of this revision; 0: must not exist."""
    return Guard("r", path, revision)


def set_op(path: str, value: bytes, ttl: int | None = None, *, keep_ttl: bool = False) -> Operation:
    """Writes an encoded value, with a ttl in milliseconds; result: version, created, expiry."""
    return "s", path, KEEP if keep_ttl and ttl is None else "" if ttl is None else str(ttl), value


def delete_op(path: str) -> Operation:
    """Removes an entry; result: whether it was there."""
    return "d", path


def increment_op(path: str, by: int) -> Operation:
    """Adds to a small integer; result: version, created, expiry, value."""
    return "i", path, str(by)


def append_op(path: str, count: int, items: bytes, limit: int) -> Operation:
    """Appends so many packed items to a list of at most `limit` bytes; result: version, created, expiry."""
    return "a", path, str(count), items, str(limit)


def renew_op(path: str, ttl: int | None) -> Operation:
    """Moves a deadline, without a commit; result: whether the entry was there."""
    return "k", path, "" if ttl is None else str(ttl)


def finish_op(outcome: bytes, keep: int) -> Operation:
    """Ends the context: no more writes, readable for `keep` milliseconds. Alone in its commit."""
    return "f", outcome, str(keep)


def drop_op() -> Operation:
    """Removes the context. Alone in its commit."""
    return ("D",)


def sweep_op(limit: int = 100) -> Operation:
    """Expires what is due; result: the next deadline in server milliseconds, 0 for none. Alone in its commit."""
    return "w", str(limit)


def commit_arguments(batch: Batch, keys: Keys, defaults: Settings, publish: str = "PUBLISH") -> list[Argument]:
    """The script's ARGV for a batch; the last settings given in it win."""
    given = _given(batch.commits)
    head = keys.channel, publish, batch.client, str(batch.number), given.text(), defaults.text()
    flat: list[Argument] = [*head, "" if batch.behind is None else str(batch.behind)]
    for commit in batch.commits:
        flat.extend(commit.arguments())
    return flat


def _given(commits: Sequence[Commit]) -> Settings:
    merged = _NOTHING
    for commit in commits:
        if commit.given is not merged and commit.given != _NOTHING:
            newest = (new if new is not None else old for new, old in zip(commit.given, merged, strict=True))
            merged = Settings(*newest)
    return merged


def parse_answers(batch: Batch, address: str, reply: Sequence[bytes]) -> list[Applied | CCSError]:
    """What became of each commit of a batch, in order."""
    lines = reply[1].decode().split("\n")
    return [_parse_answer(line, commit, address, reply[2]) for line, commit in zip(lines, batch.commits, strict=True)]


def _parse_answer(line: str, commit: Commit, address: str, outcome: bytes) -> Applied | CCSError:
    kind, rest = line[0], line[1:]
    if kind == "+":
        numbers = tuple(map(int, rest.split()))
        return Applied(numbers[0], numbers[1], numbers[2:])
    if kind == "!":
        return _conflict(commit, rest)
    if kind == "F":
        return ContextFinished(address, decode(outcome) if outcome else None)
    if kind == "L":
        return ValueTooLarge(int(rest), COMMIT_LIMIT, "commit")
    if kind == "V":
        size, limit = map(int, rest.split())
        return ValueTooLarge(size, limit)
    if kind == "N":
        return NotComputable(address)
    _unknown(line)


def _conflict(commit: Commit, rest: str) -> Conflict:
    index, version, revision, agent = rest.split(" ", 3)
    guard = commit.guards[int(index)]
    return Conflict(guard.path, guard.expected, int(version), int(revision), agent or None)


def _unknown(line: str) -> NoReturn:
    raise CCSError(f"the commit script answered {line!r}, which this version of ccs does not know")
