"""The real scripts on a real server, driven by a clock of the test, and the keys that they leave."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

import redis

from ccs._core.commits.commit import (
    Applied,
    Batch,
    Crowded,
    OtherPolicies,
    Settings,
    commit_arguments,
    parse_answers,
    was_applied,
)
from ccs._core.commits.entry import RawEntry, parse_entry
from ccs._core.commits.field_layout import STATE
from ccs._core.commits.journal import Record, parse_record
from ccs._core.commits.queries import info_keys, parse_found, parse_info, parse_listed, read_arguments
from ccs._core.names.keys import keys_of
from ccs._core.names.pattern import Below
from ccs._protocol.scripts import COMMIT, INFO, READ
from ccs.errors import CCSError, Conflict, ContextFinished, ValueTooLarge
from ccs.types import ContextInfo
from tests.model.model import TOMBSTONE, Answer, Told
from tests.support.journal import raw_items

EPOCH = 4_000_000_000_000_000
"""Where the test's clock starts, in µs: so far ahead that the server itself never expires a key meanwhile."""

COMMIT_LIMIT = 4_000
"""Instead of 16 MiB: so that commits can be too large."""


class Denied(CCSError):
    """A right was missing for a commit."""


class Engine:
    """One context, spoken to as `ccs` does, but with a clock in a key of its own, which the scripts read as TIME."""

    def __init__(self, url: str, commit_limit: int) -> None:
        self.client = client = redis.Redis.from_url(url)
        # Another user, whose rights are those that a test leaves it.
        self.user = secrets.token_hex(6)
        self.limited = redis.Redis.from_url(url.replace("://", f"://{self.user}:pw@"))
        self.missed: set[str] = set()
        self.address = f"/tasks/{secrets.token_hex(6)}"
        self.keys = keys_of("model", self.address)
        self.clock = self.keys.meta.removesuffix("meta") + "clock"
        self.commit_text = _with(_clocked(COMMIT.text), "16777216", str(commit_limit))
        self.scripts = {
            name: client.script_load(text)
            for name, text in (
                ("commit", self.commit_text),
                ("read", _clocked(READ.text)),
                ("info", _clocked(INFO.text)),
            )
        }
        self.subscription = client.pubsub()
        self.subscription.subscribe(self.keys.channel)
        assert self.subscription.get_message(timeout=5)["type"] == "subscribe"
        self.tombstone_from = 0

    def close(self) -> None:
        self.subscription.close()
        self.client.delete(*self.keys.all, self.clock)
        self.client.acl_deluser(self.user)
        self.client.close()
        self.limited.close()

    def _run(self, script: str, keys: Any, arguments: Any, client: Any = None) -> Any:
        client = client or self.client
        return client.evalsha(self.scripts[script], len(keys) + 1, *keys, self.clock, *arguments)

    def pass_time(self, now_us: int) -> None:
        """Sets the clock, and expires the keys as the server would; the server's own clock is not moved."""
        self.client.delete(self.clock)
        self.client.rpush(self.clock, now_us // 1_000_000, now_us % 1_000_000)
        for key, when in self.expiries().items():
            if when and now_us // 1000 > when:
                self.client.delete(key)

    def expiries(self) -> dict[str, int]:
        """When each key that exists expires, in ms; 0 = never. A tombstone's time is relative: to its last batch."""
        found = {}
        for key in self.keys.all:
            when = int(self.client.pexpiretime(key))
            if when != -2:
                found[key] = max(when, 0)
        meta = found.get(self.keys.meta, 0)
        if meta and meta < EPOCH // 1000:
            assert key == self.keys.meta
            left = int(self.client.pttl(key))
            assert TOMBSTONE - 60_000 < left <= TOMBSTONE
            found[key] = self.tombstone_from + TOMBSTONE
        return found

    def send(self, batch: Batch, defaults: Settings, without: str = "") -> tuple[str, list[Answer]]:
        """The status of a batch, and its answers as the model gives them.

        `without` is a rule that takes a right away from who sends it: "refused" where the server lets nothing of it run,
        and `missed` holds the commands that the script named.
        """
        client = self._user_without(without) if without else self.client
        try:
            reply = self._run("commit", self.keys.all, commit_arguments(batch, self.keys, defaults), client)
        except redis.ResponseError:
            if without:
                return "refused", []
            raise
        if not was_applied(reply):
            return reply.decode(), []
        return "ok", [_shown(answer) for answer in parse_answers(batch, self.address, reply, self._miss)]

    def _user_without(self, rule: str) -> Any:
        self.missed.clear()
        self.client.execute_command("ACL", "SETUSER", self.user, "reset", "on", ">pw", "+@all", "&*", "~*", rule)
        return self.limited

    def _miss(self, refused: str) -> CCSError:
        self.missed.add(refused.split()[0])
        return Denied(refused)

    # What is stored.

    def entries(self) -> dict[str, RawEntry]:
        return {path.decode(): parse_entry(raw) for path, raw in self.client.hgetall(self.keys.entries).items()}

    def paths(self) -> list[str]:
        found = self.client.zrange(self.keys.paths, 0, -1, withscores=True)
        assert all(score == 0 for _, score in found)
        return [path.decode() for path, _ in found]

    def deadlines(self) -> dict[str, int]:
        return {
            path.decode(): int(due) for path, due in self.client.zrange(self.keys.deadlines, 0, -1, withscores=True)
        }

    def journal(self) -> list[list[bytes]]:
        """Its records, item by item."""
        return raw_items(self.client, self.keys.journal)

    def meta(self) -> dict[str, bytes]:
        """All that meta holds, its state taken apart."""
        fields = {name.decode(): value for name, value in self.client.hgetall(self.keys.meta).items()}
        return {**fields, **_parsed(fields.get("state", b"").decode())}

    def knows(self, client: str) -> set[int]:
        """The numbers of the batches of a client whose answers are held."""
        held = self.client.hmget(self.keys.meta, f"client:{client}:0", f"client:{client}:1")
        return {int(known.split(b" ", 1)[0]) for known in held if known}

    def heard(self, count: int) -> list[Record]:
        """The next messages of the channel, and that there are no more."""
        raws = []
        while len(raws) < count and (message := self.subscription.get_message(timeout=5)):
            raws.append(message["data"])
        assert self.subscription.get_message(timeout=0) is None
        return [parse_record(raw) for raw in raws]

    # What readers see.

    def visible(self) -> tuple[int, dict[str, RawEntry]]:
        reply = self._run("read", self.keys.all, read_arguments("entries", [Below("")]))
        found = parse_found(reply, lambda path: True)
        return found.revision, found.entries

    def listed(self) -> list[str]:
        reply = self._run("read", self.keys.all, read_arguments("paths", [Below("")]))
        return parse_listed(reply, lambda path: True).paths

    def info(self) -> ContextInfo:
        return parse_info(self.address, self._run("info", info_keys(self.keys), ()))


def _parsed(state: str) -> dict[str, bytes]:
    """The fields of a state by their last names; those of its limits begin with `most_`."""
    fields = {name.replace("limits.", "most_").rpartition(".")[2]: text for name, text in STATE.parse(state).items()}
    settings = re.split(r"[ |]", fields["settings"])
    named = dict(zip(("ttl", "keep_commits", "keep_bytes"), settings, strict=False))
    return {name: text.encode() for name, text in {**fields, **named}.items() if text}


def told(record: Record) -> Told:
    """A record, in the model's terms."""
    steps = tuple(
        (
            step.kind.decode(),
            step.path,
            parse_entry(step.before) if step.before else None,
            step.after if step.kind in b"fe" else parse_entry(step.after) if step.after else None,
        )
        for step in record.operations
    )
    identity = record.identity.decode()
    return Told(record.previous, record.revision, record.at, identity, record.agent, record.expiry, steps)


def _clocked(text: str) -> str:
    return _with(text, "call('TIME')", "call('LRANGE', KEYS[#KEYS], 0, 1)")


def _with(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {hashlib.sha1(text.encode()).hexdigest()}"
    return text.replace(old, new)


def _shown(answer: Applied | CCSError) -> Answer:
    if isinstance(answer, Applied):
        return "applied", answer.revision, answer.at, answer.result
    if isinstance(answer, Denied):
        return ("forbidden",)
    if isinstance(answer, Crowded):
        return "crowded", answer.prefix, answer.limit
    if isinstance(answer, OtherPolicies):
        return "other policies", answer.revision
    if isinstance(answer, Conflict):
        return "conflict", answer.path, answer.expected, answer.version, answer.revision, answer.agent
    if isinstance(answer, ContextFinished):
        return "finished", answer.outcome
    if isinstance(answer, ValueTooLarge):
        return ("commit too large",) if answer.limit == 16 * 1024 * 1024 else ("value too large", answer.size)
    return ("not computable",)
