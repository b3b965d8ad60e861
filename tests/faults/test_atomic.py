"""G1: wherever the commit script is made to fail, each commit is applied completely or not at all.

Every command that it uses is refused in turn, every key made read-only or of another type, the channel refused, for every
kind of operation, alone and in batches: what is left in the keys, in the journal and on the channel is compared with
what the script answered.
"""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis

from ccs._core.codec import encode
from ccs._core.commits.commit import Applied, Batch, Commit, OtherPolicies, Settings, commit_arguments, parse_answers
from ccs._core.commits.journal import parse_record
from ccs._core.commits.operations import (
    append_op,
    delete_op,
    drop_op,
    event_op,
    fewer_below,
    finish_op,
    increment_op,
    nothing_below,
    policies_op,
    renew_op,
    revision_guard,
    set_op,
    sweep_op,
    version_guard,
)
from ccs._core.names.keys import Keys, keys_of
from ccs._protocol.scripts import COMMIT
from ccs.errors import Conflict, ContextFinished
from tests.support.journal import raw_items
from tests.support.waiting import counts

ONE, LIST = encode(1), encode([1])
GIVES_NOTHING = Settings(None, None, None)
GUARDS = [version_guard("old", 1), revision_guard("none", 0), nothing_below("z/"), fewer_below("x/", 5)]


def one(*operations: Any, guards: Sequence[Any] = (), given: Settings = GIVES_NOTHING) -> Commit:
    return Commit("agent", operations, guards, given, policies=0)


SITUATIONS: dict[str, list[Commit]] = {
    "a new entry": [one(set_op("new", ONE))],
    "an overwritten entry": [one(set_op("old", ONE))],
    "a new entry with a ttl": [one(set_op("new", ONE, 60_000))],
    "an overwritten entry with a ttl": [one(set_op("old", ONE, 60_000))],
    "an entry that loses its ttl": [one(set_op("dated", ONE))],
    "an entry that keeps its ttl": [one(set_op("dated", ONE, keep_ttl=True))],
    "a due entry that is overwritten": [one(set_op("due", ONE))],
    "a deleted entry": [one(delete_op("old"))],
    "a deleted entry with a ttl": [one(delete_op("dated"))],
    "nothing to delete": [one(delete_op("none"))],
    "a renewed entry": [one(renew_op("dated", 90_000))],
    "an entry renewed for ever": [one(renew_op("dated", None))],
    "a first deadline": [one(renew_op("old", 90_000))],
    "a number": [one(increment_op("old", 2))],
    "a new number": [one(increment_op("new", 2))],
    "a list": [one(append_op("list", 1, ONE, 1_000))],
    "an event": [one(event_op("topic", ONE))],
    "policies": [one(set_op("@policies", ONE), policies_op())],
    "the end": [one(finish_op(ONE, 60_000))],
    "a drop": [one(drop_op())],
    "a sweep": [Commit("", [sweep_op()])],
    "guards": [one(set_op("new", ONE), guards=GUARDS)],
    "a guard on a due entry": [one(set_op("new", ONE), guards=[revision_guard("due", 0), nothing_below("z/")])],
    "settings": [one(set_op("old", ONE), given=Settings(7_200_000, 5, 5_000))],
    "no ttl any more": [one(set_op("old", ONE), given=Settings(0, None, None))],
    "a shorter history": [one(set_op("old", ONE), given=Settings(None, 1, None))],
    "several operations": [one(set_op("old", ONE), set_op("new", ONE, 5_000), delete_op("dated"), event_op("t", ONE))],
    "many new entries": [one(*(set_op(f"many/{i}", ONE) for i in range(30)))],
    "a batch of new entries": [one(set_op(f"new/{i}", ONE)) for i in range(4)],
    "a batch of overwritten ones": [one(set_op("old", ONE)), one(set_op("list", ONE)), one(set_op("dated", ONE))],
    "a batch that begins with an event": [one(event_op("t", ONE)), one(set_op("new", ONE)), one(delete_op("old"))],
    "a batch with guards": [one(set_op("new", ONE)), one(set_op("more", ONE), guards=GUARDS), one(delete_op("old"))],
    "a batch of everything": [
        one(set_op("new", ONE)),
        one(set_op("due", ONE, 60_000)),
        one(delete_op("new")),
        one(set_op("new", ONE)),
        one(increment_op("old", 1), guards=[nothing_below("z/")]),
        Commit("", [sweep_op()]),
        one(renew_op("dated", 90_000)),
        one(event_op("t", ONE), set_op("@policies", ONE), policies_op()),
        one(finish_op(ONE, 60_000)),
        one(set_op("late", ONE)),
        one(drop_op()),
        one(set_op("anew", ONE, 60_000)),
    ],
}
"""What is asked of a context that holds `old`, `list`, `dated` and `due`, and of one that is not there."""

COMMANDS = sorted({"PUBLISH", "TYPE"} | set(re.findall(r"(?:call|lacks|send_pieces)\('([A-Z]+)'", COMMIT.text)))
KEYS = ["entries", "paths", "deadlines", "journal", "meta"]
DENIALS = (
    [f"-{command.lower()}" for command in COMMANDS]
    + ["resetchannels"]
    + [f"read-only {key}" for key in KEYS]
    + [f"no {key}" for key in KEYS]
)


class Stage:
    """A server, a context that is created again for each case, and a user whose rights are taken away."""

    def __init__(self, kind: str, url: str, namespace: str) -> None:
        self.kind = kind
        self.admin = redis.Redis.from_url(url)
        self.user = redis.Redis.from_url(url.replace("://", "://limited:pw@"))
        self.heard = self.admin.pubsub(ignore_subscribe_messages=True)
        self.namespace = namespace
        self.heard.psubscribe("{" + namespace + ":*")
        assert self.heard.get_message(timeout=5) is None
        self.admin.script_load(COMMIT.text)
        self.number = 0

    def close(self) -> None:
        self.heard.close()
        self.admin.acl_deluser("limited")
        self.admin.close()
        self.user.close()

    def begin(self, there: bool) -> Keys:
        """A context of its own, with an entry that is due, or none."""
        self.address = f"/tasks/{secrets.token_hex(6)}"
        self.keys = keys_of(self.namespace, self.address)
        if there:
            first = [set_op("old", ONE), set_op("list", LIST), set_op("dated", ONE, 60_000), set_op("due", ONE, 1)]
            self.send(self.admin, [one(each) for each in first])
            self.let_pass()
        self.messages()
        return self.keys

    def let_pass(self) -> None:
        """Moves the deadline of `due` into the past, as if time had passed."""
        raw = self.admin.hget(self.keys.entries, "due")
        self.admin.hset(self.keys.entries, "due", raw[:62] + b"1000000000000" + raw[75:])
        self.admin.zadd(self.keys.deadlines, {"due": 1_000_000_000_000})

    def send(self, client: Any, commits: list[Commit]) -> list[Any]:
        """What became of each commit; all the same error where the script failed as a whole."""
        self.number += 1
        batch = Batch(commits, "c" * 16, self.number)
        arguments = commit_arguments(batch, self.keys, Settings(3_600_000, 1_000, 1_000_000))
        try:
            reply = client.execute_command("EVALSHA", COMMIT.digest, 5, *self.keys.all, *arguments)
        except redis.RedisError as error:
            return [error] * len(commits)
        return parse_answers(batch, self.address, reply)

    def deny(self, denial: str) -> None:
        """A user with all rights but one."""
        rules = ["reset", "on", ">pw", "+@all", "&*"]
        if " " not in denial:
            rules += ["~*", denial]
        else:
            how, name = denial.split()
            rules += [f"~{key}" for key, each in zip(self.keys.all, KEYS, strict=True) if each != name]
            rules += [f"%R~{getattr(self.keys, name)}"] if how == "read-only" else []
        self.admin.execute_command("ACL", "SETUSER", "limited", *rules)

    def state(self) -> dict[str, Any]:
        """All that the keys hold, but for the answers that are kept for retries."""
        found = {name: self.held(getattr(self.keys, name)) for name in KEYS}
        meta = found["meta"]
        if isinstance(meta, dict):
            found["meta"] = {name: value for name, value in meta.items() if not name.startswith(b"client:")} or None
        return found

    def held(self, key: str) -> Any:
        readers: dict[bytes, Callable[[], Any]] = {
            b"none": lambda: None,
            b"hash": lambda: self.admin.hgetall(key),
            b"zset": lambda: self.admin.zrange(key, 0, -1, withscores=True),
            b"stream": lambda: raw_items(self.admin, key),
        }
        kind = self.admin.type(key)
        return readers[kind]() if kind in readers else (kind, self.admin.dump(key))

    def messages(self) -> list[bytes]:
        """What was said on the channel since it was asked for the last time."""
        marker = "{" + self.namespace + ":marker"
        self.admin.publish(marker, "")
        said = []
        while (message := self.heard.get_message(timeout=5)) and message["channel"].decode() != marker:
            said.append(message["data"])
        return said


@pytest.fixture(params=["valkey", "redis"])
def stage(request: pytest.FixtureRequest, server_urls: Callable[[str], str], namespace: str) -> Iterator[Stage]:
    stage = Stage(request.param, server_urls(request.param), namespace)
    yield stage
    stage.close()


def check(stage: Stage, before: dict[str, Any], answers: list[Any]) -> None:
    """What was answered is what is there: each commit that was applied, and nothing else."""
    after, said = stage.state(), [parse_record(raw) for raw in stage.messages()]
    revisions = [answer.revision for answer in answers if isinstance(answer, Applied) and answer.revision]
    made = [record.revision for record in said if not record.identity.startswith(b"- ")]
    assert made == revisions, "not each commit that was answered was published, or another one was"
    if not said and not any(isinstance(answer, Applied) for answer in answers):
        assert after == before, "something is left of what was refused"
    items = after["journal"] if isinstance(after["journal"], list) else []
    in_journal = [parse_record(raw).revision for item in items for raw in item]
    last_drop = max(
        (i for i, record in enumerate(said) if record.operations and record.operations[0].kind == b"g"), default=-1
    )
    there = [record.revision for record in said[last_drop + 1 :]]
    assert in_journal[len(in_journal) - len(there) :] == there, "the journal does not hold what was published"


def check_together(stage: Stage) -> None:
    """Entries, paths, deadlines and the newest state of each path in the journal agree."""
    state = stage.state()
    entries = state["entries"] or {}
    assert {path for path, _ in state["paths"] or []} == set(entries)
    dated = {path for path, raw in entries.items() if int(raw[62:75])}
    assert {path for path, _ in state["deadlines"] or []} == dated
    for item in state["journal"] or []:
        for record in map(parse_record, item):
            for step in record.operations:
                held = entries.get(step.path.encode())
                if step.kind in (b"d", b"x"):
                    assert held is None or int(held[:16]) > record.revision
                elif step.kind == b"s":
                    assert held is None or int(held[:16]) >= record.revision
    assert bool(state["journal"]) == bool(stage.admin.exists(stage.keys.journal))
    expiries = {stage.admin.pexpiretime(key) for key in stage.keys.all[:4]} - {-2}
    assert len(expiries) <= 1, "keys of a context would not go at one moment"


def cases(kind: str) -> Iterator[tuple[str, bool, str]]:
    """In short rounds every seventh, others on each kind of server; and so each right, as 7 does not divide their number."""
    first = counts({"valkey": 0, "redis": 3}[kind], 0)
    for number, (name, there, denial) in enumerate(
        (name, there, denial) for name in SITUATIONS for there in (True, False) for denial in DENIALS
    ):
        if number % counts(7, 1) == first:
            yield name, there, denial


def test_a_commit_that_a_right_is_missing_for_is_applied_wholly_or_not_at_all(stage: Stage) -> None:
    """Given a user that lacks one right, when it makes any commit, then nothing is half applied, nor half published."""
    for name, there, denial in cases(stage.kind):
        stage.begin(there)
        stage.deny(denial)
        before = stage.state()
        answers = stage.send(stage.user, SITUATIONS[name])
        try:
            check(stage, before, answers)
            check_together(stage)
        except AssertionError as error:
            raise AssertionError(f"{name}, {'there' if there else 'not there'}, {denial}: {answers}") from error


def test_a_commit_that_meets_a_key_of_another_type_is_applied_wholly_or_not_at_all(stage: Stage) -> None:
    """Given a key that another program wrote, when a commit needs it, then nothing is half applied, nor half published."""
    for name in SITUATIONS:
        for there in (True, False):
            for wrong in KEYS:
                keys = stage.begin(there)
                stage.admin.delete(getattr(keys, wrong))
                stage.admin.rpush(getattr(keys, wrong), "something else")
                before = stage.state()
                answers = stage.send(stage.admin, SITUATIONS[name])
                try:
                    check(stage, before, answers)
                except AssertionError as error:
                    raise AssertionError(f"{name}, {'there' if there else 'not there'}, {wrong}: {answers}") from error


def test_a_full_server_applies_a_commit_wholly_or_not_at_all(stage: Stage) -> None:
    """Given a server without room, when anything is asked, then nothing is left half done: it is asked before all."""
    try:
        for name in SITUATIONS:
            for there in (True, False):
                stage.begin(there)
                before = stage.state()
                stage.admin.config_set("maxmemory", "1")
                answers = stage.send(stage.admin, SITUATIONS[name])
                stage.admin.config_set("maxmemory", "0")
                check(stage, before, answers)
                check_together(stage)
    finally:
        stage.admin.config_set("maxmemory", "0")


def test_every_kind_of_commit_is_applied_where_nothing_is_missing(stage: Stage) -> None:
    for name, asked in SITUATIONS.items():
        for there in (True, False):
            stage.begin(there)
            stage.deny("+@all")
            before = stage.state()
            answers = stage.send(stage.user, asked)
            assert all(
                isinstance(answer, Applied | Conflict | ContextFinished | OtherPolicies) for answer in answers
            ), name
            check(stage, before, answers)
            check_together(stage)


def test_a_batch_of_any_commits_is_applied_commit_by_commit_whatever_is_missing(stage: Stage) -> None:
    """Given any commits in one batch and any right or type that is wrong, then each is whole, and answered as it is."""
    chosen = secrets.randbits(32)
    dice = random.Random(chosen)
    for number in range(counts(40, 5_000)):
        names = dice.choices(list(SITUATIONS), k=dice.randint(2, 4))
        denial, there = dice.choice([*DENIALS, *KEYS]), dice.random() < 0.7
        try:
            send_together(stage, names, denial, there)
        except AssertionError as error:
            told = f"seed {chosen}, {number}: {names}, {'there' if there else 'not there'}, {denial}"
            raise AssertionError(told) from error


def test_what_a_batch_has_gathered_is_written_when_its_last_commit_is_refused_over_a_due_entry(stage: Stage) -> None:
    """Given a batch whose last commit comes upon a due entry that may not be removed, then the commits before it stand."""
    send_together(stage, ["a list", "a due entry that is overwritten"], "-type", True)


def send_together(stage: Stage, names: list[str], denial: str, there: bool) -> None:
    """Sends the commits of some situations in one batch, with a right or a type that is wrong, and checks what came of it."""
    keys = stage.begin(there)
    if denial in KEYS:
        stage.admin.delete(getattr(keys, denial))
        stage.admin.rpush(getattr(keys, denial), "something else")
    stage.deny("+@all" if denial in KEYS else denial)
    before = stage.state()
    answers = stage.send(stage.user, [commit for name in names for commit in SITUATIONS[name]])
    check(stage, before, answers)
    if denial not in KEYS:
        check_together(stage)
