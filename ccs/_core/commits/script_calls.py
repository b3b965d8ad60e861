"""The calls of the scripts: one function a script says what it takes and how its reply is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from ccs._core.commits.commit import (
    Applied,
    Argument,
    Batch,
    Settings,
    commit_arguments,
    confirm_arguments,
    parse_answers,
    refused_action,
)
from ccs._core.commits.journal import JournalPage, parse_page
from ccs._core.commits.queries import (
    Found,
    Listed,
    PathTest,
    info_keys,
    journal_arguments,
    journal_keys,
    page_arguments,
    parse_found,
    parse_info,
    parse_listed,
    read_arguments,
)
from ccs._core.names.keys import Keys
from ccs._core.names.pattern import Below, Exact
from ccs.errors import CCSError
from ccs.types import ContextInfo

__all__ = [
    "Call",
    "answers_of",
    "anything",
    "commit_call",
    "confirm_call",
    "entries_call",
    "info_call",
    "journal_call",
    "page_call",
    "paths_call",
]

T = TypeVar("T")

_NO_SETTINGS = Settings(0, 1, 1)


class Call(NamedTuple, Generic[T]):
    """A call of a script: its name, the keys that it works on, its arguments, and how its reply is read."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[Argument]
    parse: Callable[[Any], T]


def anything(_: str) -> bool:
    """Matches every path."""
    return True


def entries_call(
    keys: Keys, selectors: Iterable[Exact | Below], matches: PathTest = anything, *, due: bool = False
) -> Call[Found]:
    """Reads the entries that the selectors cover and that match; those past their deadline only with `due`."""
    arguments = read_arguments("entries", selectors)
    return Call("read", keys.all, arguments, lambda reply: parse_found(reply, matches, due=due))


def page_call(keys: Keys, selector: Exact | Below, after: str, limit: int, matches: PathTest = anything) -> Call[Found]:
    """Reads the next `limit` entries that a selector covers, in the order of their paths."""
    arguments = page_arguments(selector, after, limit)
    return Call("read", keys.all, arguments, lambda reply: parse_found(reply, matches))


def paths_call(keys: Keys, selectors: Iterable[Exact | Below], matches: PathTest = anything) -> Call[Listed]:
    """Reads the paths that the selectors cover and that match."""
    arguments = read_arguments("paths", selectors)
    return Call("read", keys.all, arguments, lambda reply: parse_listed(reply, matches))


def info_call(keys: Keys, address: str) -> Call[ContextInfo]:
    """Reads what is known of a context as a whole."""
    return Call("info", info_keys(keys), (), lambda reply: parse_info(address, reply))


def journal_call(keys: Keys, since: int, count: int) -> Call[JournalPage]:
    """Reads at most `count` records of the journal after a revision, and what tells whether they follow it."""
    return Call("journal", journal_keys(keys), journal_arguments(since, count), parse_page)


def commit_call(
    batch: Batch, keys: Keys, address: str, forbid: Callable[[str], CCSError], publish: str
) -> Call[list[Applied | CCSError]]:
    """Makes the commits of a batch without an identity, in a context that exists.

    `forbid` is as for `answers_of`; `publish` is the command that publishes a commit.
    """
    arguments = commit_arguments(batch, keys, _NO_SETTINGS, publish)
    return Call("commit", keys.all, arguments, lambda reply: answers_of(batch, keys, address, reply, forbid))


def confirm_call(batch: Batch, keys: Keys, revision: int) -> Call[bool]:
    """Asks whether a batch still stands, whose last commit has this revision (0: not known). If so, it writes."""
    return Call("confirm", (keys.journal, keys.meta), confirm_arguments(batch, revision), lambda reply: reply == 1)


def answers_of(
    batch: Batch, keys: Keys, address: str, reply: bytes, forbid: Callable[[str], CCSError]
) -> list[Applied | CCSError]:
    """Returns the outcome of each commit of a batch. `forbid` makes the error for an action that the user may not do."""
    return parse_answers(batch, address, reply, lambda refused: forbid(refused_action(refused, keys)))
