"""Checks of the journal of a context in which agents did everything at once, and of the results that they got."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import ccs
from ccs._core.recipes.inbox import in_order
from tests.recipes.chaos_players import LIMIT, TRIES

Notes = dict[str, list[dict[str, Any]]]


def by_kind(notes: Iterable[dict[str, Any]]) -> Notes:
    """The notes of the diaries, by kind."""
    sorted_out: Notes = defaultdict(list)
    for note in notes:
        sorted_out[note["kind"]].append(note)
    return sorted_out


def commits(changes: Iterable[ccs.Change]) -> Iterator[dict[str, ccs.Change]]:
    """The changes of each commit, by path."""
    for _, group in groupby(changes, key=lambda change: change.revision):
        yield {change.path: change for change in group}


def below(root: str, changes: Iterable[ccs.Change]) -> list[ccs.Change]:
    return [change for change in changes if change.path.startswith(f"{root}/")]


@dataclass
class Claims:
    """Which agent held which claim and when, and what it wrote."""

    standing: dict[str, int] = field(default_factory=dict)
    newest: Counter[str] = field(default_factory=Counter)
    ended: dict[int, datetime] = field(default_factory=dict)
    accepted: set[tuple[str, int, int]] = field(default_factory=set)

    def replay(self, changes: Iterable[ccs.Change]) -> None:
        for change in changes:
            root, _, resource = change.path.partition("/")
            if root == "work":
                self._write(resource, change)
            elif root == "@claims":
                self._move(resource, change)

    def _move(self, resource: str, change: ccs.Change) -> None:
        if change.op != "set":
            self.ended[self.standing.pop(resource)] = change.at
            return
        assert resource not in self.standing, f"two hold {resource}: {change}"
        assert change.revision > self.newest[resource], f"a token came back: {change}"
        self.standing[resource] = self.newest[resource] = change.revision

    def _write(self, resource: str, change: ccs.Change) -> None:
        token = change.value["token"]
        assert token == self.standing.get(resource), f"a stale write was accepted: {change}"
        self.accepted.add((resource, token, change.revision))

    def check(self, notes: Notes) -> None:
        for note in notes["wrote"]:
            assert (note["resource"], note["token"], note["revision"]) in self.accepted, f"a write was lost: {note}"
        for note in notes["believed"]:
            end = self.ended.get(note["token"])
            assert end is None or datetime.fromtimestamp(note["now"], UTC) < end, f"ended {end}, but {note}"


@dataclass
class Runs:
    """The runs of each key, and its result."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: dict[tuple[str, int], str] = field(default_factory=dict)
    current: dict[str, int] = field(default_factory=dict)

    def replay(self, changes: Iterable[ccs.Change]) -> None:
        for commit in commits([*changes]):
            for path, change in commit.items():
                root, _, key = path.partition("/")
                if root == "@once":
                    assert change.op == "set", f"a record is gone: {change}"
                    self._move(key, change, commit)
                    self.records[key] = change.value

    def _move(self, key: str, change: ccs.Change, commit: dict[str, ccs.Change]) -> None:
        before, after = self.records.get(key, {"state": "new", "attempts": 0}), change.value
        if after["state"] == "running":
            assert before["state"] != "done", f"run again though there is a result: {change}"
            assert after["attempts"] == before["attempts"] + 1 <= TRIES, f"{before} became {change}"
            assert commit[f"@runs/{key}"].created, f"begun while another run's lease stood: {change}"
            self.current[key], self.begun[key, change.revision] = change.revision, change.agent
            return
        assert (before["state"], before["attempts"]) == ("running", after["attempts"]), f"{before} became {change}"
        if after["state"] == "done":
            assert after["result"] == {"by": self.begun[key, self.current[key]], "token": self.current[key]}

    def check(self, notes: Notes) -> None:
        began = [(note["key"], note["token"]) for note in notes["began"]]
        assert len(began) == len(set(began)), "one attempt was run twice"
        assert set(began) <= self.begun.keys(), "something was run that nobody has begun"
        for note in notes["result"]:
            assert note["result"] == self.records[note["key"]].get("result"), f"not what is stored: {note}"
        for note in notes["exhausted"]:
            record = self.records[note["key"]]
            assert (record["state"], record["attempts"]) == ("failed", TRIES), f"{record}, but {note}"


@dataclass
class Post:
    """The history of one message."""

    role: str
    content: str
    order: tuple[int, int]
    sent: int
    deliveries: list[str] = field(default_factory=list)
    holder: str = ""
    ended: str = ""


@dataclass
class Mail:
    """The history of all messages."""

    posts: dict[str, Post] = field(default_factory=dict)
    first: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    unread: Counter[str] = field(default_factory=Counter)

    def replay(self, changes: Iterable[ccs.Change]) -> None:
        for commit in commits(changes):
            for path, change in commit.items():
                root, kind, name = path.rsplit("/", 2)
                if kind == "messages":
                    self._move(root, name, change, commit)
                elif kind == "deliveries" and change.op == "set":
                    self._deliver(name, change, commit[f"{root}/leases/{name}"] if _taken(change) else None)

    def _move(self, root: str, name: str, change: ccs.Change, commit: dict[str, ccs.Change]) -> None:
        if change.op == "set":
            assert name not in self.posts, f"sent twice: {change}"
            order = in_order(change.revision, name)
            post = self.posts[name] = Post(root.split("/")[1], change.value["content"], order, change.revision)
            self.unread[post.role] += 1
            assert self.unread[post.role] <= LIMIT, f"sent to a full inbox: {change}"
            return
        post = self.posts[name]
        self.unread[post.role] -= 1
        assert post.deliveries, f"gone without a delivery: {change}"
        buried = f"{root}/dead/{name}" in commit
        assert not buried or len(post.deliveries) == TRIES, f"given up too early: {change}"
        assert buried or change.agent == post.holder, f"acknowledged by who did not have it any more: {change}"
        post.ended = "dead" if buried else change.agent

    def _deliver(self, name: str, change: ccs.Change, lease: ccs.Change | None) -> None:
        post = self.posts[name]
        assert not post.ended, f"delivered after its end: {change}"
        post.holder = "" if lease is None else change.agent
        if lease is None:
            return
        assert lease.created, f"delivered while somebody held it: {change}"
        if not post.deliveries:
            self.first[post.role].append(post.order)
        post.deliveries.append(change.agent)
        assert change.value["count"] == len(post.deliveries) <= TRIES, f"miscounted: {change}"

    def check(self, notes: Notes, unread: set[str], dead: set[str]) -> None:
        by_content = {post.content: post for post in self.posts.values()}
        assert len(by_content) == len(self.posts), "a message was sent twice"
        for note in notes["sent"]:
            assert by_content[note["content"]].sent == note["revision"], f"not what was told: {note}"
        assert unread == {post.content for post in self.posts.values() if not post.ended}
        assert dead == {post.content for post in self.posts.values() if post.ended == "dead"}
        for orders in self.first.values():
            assert orders == sorted(orders), "not delivered in the order of sending"
        self._check_receivers(notes)

    def _check_receivers(self, notes: Notes) -> None:
        received = [(note["id"], note["attempts"]) for note in notes["received"]]
        assert len(received) == len(set(received)), "one delivery was handed out twice"
        for note in notes["received"]:
            assert self.posts[note["id"]].deliveries[note["attempts"] - 1] == note["agent"], f"not its own: {note}"
        for note in notes["acknowledged"]:
            assert self.posts[note["id"]].ended == note["agent"], f"not acknowledged: {note}"


def _taken(change: ccs.Change) -> bool:
    """Returns whether this is a delivery; a release leaves the count as it is."""
    return bool(change.value["count"] != (change.previous or {"count": 0})["count"])
