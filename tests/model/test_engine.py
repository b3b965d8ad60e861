"""The commit script against the model: any request, in any order, at any time.

G1 (whole commits, each with its event), G2 (revisions only grow, also when the clock goes back), G4 (guards), G5 (a
batch sent again is answered, not applied), G8 (previous values), G9 (what is due is expired as a commit, once, before
anything else sees it), G10 (the keys go at one moment), G12 (agents and times).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ccs._core.codec import decode, encode
from ccs._core.commits.commit import Batch, Commit, Settings, latest_for
from ccs._core.commits.journal import parse_record
from ccs._core.commits.operations import (
    Guard,
    Operation,
    append_op,
    delete_op,
    drop_op,
    event_op,
    finish_op,
    increment_op,
    nothing_below,
    policies_op,
    renew_op,
    revision_guard,
    set_op,
    sweep_op,
)
from ccs._core.times import from_micros
from tests.model.engine import COMMIT_LIMIT, EPOCH, Engine, told
from tests.model.model import TOMBSTONE, Model
from tests.support.waiting import counts

PATHS = ["a", "a/b", "a/b/c", "a/c", "ab", "x{}*?", "é/ü", "nul\x00/x"]
PREFIXES = ["", "a/", "a/b/", "ab", "é/"]
EDGES = [-(2**53), 2**53, -(2**31), 2**32, 65_535, 65_536, -129, -128, -33, -32, -1, 0, 1, 127, 128, 255]
JUMPS = [1, 999, 1_000, 10_000, 500_000, 5_000_000, 61_000_000, 299_000_000, 601_000_000, 10**10]

# What who sends may lack. Not XTRIM and XRANGE: history is then left to others to trim, as long as nobody else comes.
DENIALS = ["-publish", "-hset", "-hdel", "-hget", "-hmget", "-zadd", "-zrem", "-xadd", "-xlen", "-type", "-pexpireat"]
DENIALS += ["-persist", "-unlink", "-zrangebylex", "-zlexcount", "-zrangebyscore", "resetchannels"]

numbers = st.sampled_from(EDGES).flatmap(lambda edge: st.integers(edge - 2, edge + 2))
small = st.integers(-(2**53) + 1, 2**53 - 1)
values = st.one_of(
    numbers,
    st.lists(st.one_of(numbers, st.text(max_size=3)), max_size=17),
    st.sampled_from([None, True, 0.5, "", "text", b"\x00\xff", {"a": 1}, 2**70]),
    st.binary(min_size=300, max_size=1_500),
).map(encode)
ttls = st.sampled_from([None, None, 1, 10, 1_000, 60_000, 10**7])
agents = st.sampled_from(["", "x", "agent with spaces", "ágent"])


@st.composite
def writes(draw: Any, path: str) -> Any:
    kind = draw(st.sampled_from("sssSdiiaake"))
    if kind in "sS":
        return set_op(path, draw(values), draw(ttls), keep_ttl=kind == "S", lasting=draw(st.booleans()))
    if kind == "i":
        return increment_op(path, draw(st.one_of(st.integers(-300, 300), numbers.filter(_fits), small)))
    if kind == "a":
        items = [encode(item) for item in draw(st.lists(numbers, max_size=17))]
        return append_op(path, len(items), b"".join(items), draw(st.sampled_from([60, 3_000])))
    if kind == "e":
        return event_op(path, draw(values))
    return delete_op(path) if kind == "d" else renew_op(path, draw(ttls), lasting=draw(st.booleans()))


def _fits(number: int) -> bool:
    return abs(number) < 2**53


@st.composite
def operations(draw: Any) -> Any:
    special = draw(st.sampled_from([None] * 12 + ["w", "w", "p", "p", "f", "D"]))
    if special == "w":
        return [sweep_op(draw(st.sampled_from([1, 100])))]
    if special == "f":
        return [finish_op(draw(values), draw(st.sampled_from([10, 10_000])))]
    if special == "D":
        return [drop_op()]
    if special == "p":
        return [set_op(draw(st.sampled_from(PATHS)), draw(values)), policies_op()]
    return [draw(writes(path)) for path in draw(st.lists(st.sampled_from(PATHS), max_size=4, unique=True))]


guards = st.one_of(
    st.tuples(st.sampled_from("vr"), st.sampled_from(PATHS), st.sampled_from(["now", "now", "now", "now", 0, 1, 2])),
    st.tuples(st.just("n"), st.sampled_from(PREFIXES), st.just(0)),
    st.tuples(st.just("c"), st.sampled_from(PREFIXES), st.integers(0, 4)),
)
given_settings = st.builds(
    Settings,
    st.sampled_from([None, None, None, 0, 5_000, 10**6]),
    st.sampled_from([None, None, None, 1, 2, 5, 20]),
    st.sampled_from([None, None, None, 1, 500, 3_000]),
)
plain = st.sampled_from(PATHS).flatmap(writes)
heeded = st.sampled_from([None, None, "now", "now", "now", 0, 1])
commits = st.tuples(agents, operations(), st.lists(guards, max_size=2), given_settings, heeded)


class Machine(RuleBasedStateMachine):
    """Everything is done twice, by the script and by the model, and compared after each step."""

    url: str
    commit_limit = COMMIT_LIMIT

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(self.url, self.commit_limit)
        self.model = Model(self.commit_limit)
        self.now = EPOCH
        self.numbers = {"one": 0, "two": 0}
        self.sent: list[Batch] = []
        self.begun: dict[tuple[str, int], int] = {}
        # The first revision in the journal, and of each of its items how many records it has.
        self.items: tuple[int, list[int]] = 0, []
        self.applied: set[tuple[str, int]] = set()
        self.highest = 0
        self.set_clock()

    def teardown(self) -> None:
        self.engine.close()

    def set_clock(self) -> None:
        self.engine.pass_time(self.now)
        self.model.pass_time(self.now)
        if self.model.last == 0:
            self.highest = 0
            self.applied.clear()
        self.compare()

    @initialize(
        ttl=st.sampled_from([0, 50_000, 10**7]),
        commits=st.sampled_from([3, 100]),
        size=st.sampled_from([800, 10**6]),
        paths=st.sampled_from([1, 2, 3, len(PATHS)]),
    )
    def begin(self, ttl: int, commits: int, size: int, paths: int) -> None:
        """Few paths meet often what was done to them before."""
        self.defaults = Settings(ttl, commits, size)
        self.names = {path: PATHS[i % paths] for i, path in enumerate(PATHS)}

    @rule(
        which=st.integers(0, 3),
        asked=st.lists(commits, min_size=1, max_size=4),
        step=st.sampled_from([1, 1, 1, 2, 3]),
        behind=st.sampled_from([None, None, 0, 1]),
    )
    def send(self, which: int, asked: list[Any], step: int, behind: int | None) -> None:
        client = list(self.numbers)[which % len(self.numbers)]
        previous = self.numbers[client]
        after = None if behind is None else previous - behind
        self.check(self.batch(client, asked, step, after))

    def batch(self, client: str, asked: list[Any], step: int = 1, after: int | None = None) -> Batch:
        self.numbers[client] += step
        batch = Batch([self.commit(*each) for each in asked], client, self.numbers[client], after)
        self.sent.append(batch)
        return batch

    @precondition(lambda self: len(self.numbers) < 4)
    @rule(which=st.integers(0, 1))
    def fork(self, which: int) -> None:
        """A process with a store that was used before goes on under a name of its own, at the number where it was."""
        parent = list(self.numbers)[which]
        self.numbers[f"{parent}-{len(self.numbers)}"] = self.numbers[parent]

    @rule(asked=st.lists(commits, min_size=1, max_size=4), rule=st.sampled_from(DENIALS))
    def send_without_a_right(self, asked: list[Any], rule: str) -> None:
        """What is due is expired before: else it would depend on the order of the script's looks whether it is."""
        self.check(Batch([Commit("", [sweep_op(1_000)])], "", 0))
        self.check(self.batch("one", asked), rule)
        lacking = "PUBLISH" if rule == "resetchannels" else rule[1:].upper()
        assert self.engine.missed <= {lacking}

    @rule(asked=st.lists(plain, min_size=1, max_size=4))
    def write(self, asked: list[Any]) -> None:
        self.send(0, [("x", [operation], [], Settings(None, None, None), None) for operation in asked], 1, None)

    @rule(asked=st.lists(plain, min_size=1, max_size=4))
    def write_again(self, asked: list[Any]) -> None:
        self.write(asked)

    @rule(operation=plain)
    def begin_anew(self, operation: Any) -> None:
        """In one batch: policies, the end of their context, and one who heeds none in the next."""
        asked = [([set_op("a", encode(1)), policies_op()], None), ([drop_op()], None), ([operation], 0)]
        given = Settings(None, None, None)
        self.send(0, [("x", operations, [], given, heeded) for operations, heeded in asked], 1, None)

    @rule(limit=st.sampled_from([1, 100]))
    def sweep(self, limit: int) -> None:
        self.check(Batch([Commit("", [sweep_op(limit)])], "", 0))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        back = data.draw(st.integers(1, min(4, len(self.sent))))
        sent = self.sent[-back]
        # As a client does that has not heard what became of it, or any other who has nothing to lose.
        begun = self.begun[sent.client, sent.number] if data.draw(st.booleans()) else None
        self.check(Batch(sent.commits, sent.client, sent.number, latest=latest_for(begun)))

    @precondition(lambda self: self.sent and self.numbers[self.sent[-1].client] > 1)
    @rule(data=st.data(), asked=commits)
    def send_too_late(self, data: st.DataObject, asked: Any) -> None:
        client = self.sent[-1].client
        number = data.draw(st.integers(1, self.numbers[client] - 1))
        if (client, number) not in self.begun:
            self.sent.append(Batch([self.commit(*asked)], client, number))
            self.check(self.sent[-1])

    @rule(jump=st.sampled_from(JUMPS), fraction=st.sampled_from([0, 0, 1]))
    def wait(self, jump: int, fraction: int) -> None:
        # Identities are pruned now and then: where the clock is a multiple of 64.
        self.now = (self.now + jump) // 64 * 64 + fraction
        self.set_clock()

    @precondition(lambda self: self.model.deadlines)
    @rule(offset=st.sampled_from([-1, 0, 1]))
    def wait_for_a_deadline(self, offset: int) -> None:
        self.now = max(self.now, (min(self.model.deadlines.values()) + offset) * 1_000)
        self.set_clock()

    @rule(jump=st.sampled_from(JUMPS))
    def go_back(self, jump: int) -> None:
        self.now = max(EPOCH, self.now - jump)
        self.set_clock()

    def commit(self, agent: str, operations: Any, asked: list[Any], given: Settings, heeded: Any) -> Commit:
        renamed = {path: self.named(operation) for operation in operations for path in [self.named(operation)[1:2]]}
        guards = [Guard(kind, self.names.get(path, path), expected) for kind, path, expected in asked]
        exact = [guard._replace(expected=self.expected(*guard)) for guard in guards]
        policies = self.model.policies if heeded == "now" else heeded
        return Commit(agent, list(renamed.values()), exact, given, policies=policies)

    def named(self, operation: Any) -> Any:
        """The operation on one of the paths that this history has; each occurs once in a commit."""
        kind, *rest = operation
        return operation if kind in "wfDp" else (kind, self.names[rest[0]], *rest[1:])

    def expected(self, kind: str, path: str, expected: Any) -> int:
        entry = self.model.visible().get(path)
        if kind in "nc" or expected != "now":
            return int(expected)
        return (entry.version if kind == "v" else entry.revision) if entry else 0

    # Comparing.

    def check(self, batch: Batch, without: str = "") -> None:
        engine, model, identity = self.engine, self.model, (batch.client, batch.number)
        self.begun.setdefault(identity, self.now)
        self.adopt_identities(batch.client)
        before, said = (model.deadline if model.alive else 0, model.settings.ttl), len(model.told)
        meta = engine.meta()
        status, answers = engine.send(batch, self.defaults, without)
        hints = [answer[0] for answer in answers]
        refused = status == "refused"
        wanted_status, wanted = (status, []) if refused else model.apply(batch, self.defaults, given_in(batch), hints)
        assert status == ("ok" if wanted_status == "known" else wanted_status)
        # There is one outcome a reply: the last one, of a context that finishes and is dropped and finishes again.
        outcomes = [answer[1] for answer in wanted if answer[0] == "finished"]
        for found, right in zip(answers, wanted, strict=True):
            assert found == (right if right[0] != "finished" else ("finished", decode(outcomes[-1])))
        if wanted_status != "ok":
            assert engine.meta() == meta
            return self.compare()
        assert batch.latest is None or identity not in self.applied, "a retry was applied a second time"
        self.applied |= {identity} if batch.client else set()
        engine.tombstone_from = model.clock_us // 1000 if batch.client else engine.tombstone_from
        if model.touched:
            self.adopt_deadline(*before)
        heard = [told(record) for record in engine.heard(len(model.told) - said)]
        assert heard == model.told[said:]
        for record in heard:
            assert record.revision > self.highest
            self.highest = record.revision
        self.adopt_history()
        return self.compare()

    def adopt_identities(self, client: str) -> None:
        """Old identities may be forgotten, but not within ten minutes."""
        if not client:
            return
        held, known = self.engine.knows(client), self.model.clients.setdefault(client, {})
        assert held <= set(known)
        for number in set(known) - held:
            assert known.pop(number).may_be_pruned

    def adopt_deadline(self, before: int, ttl_before: int) -> None:
        """The idle deadline may be set a little late, and then stays a while. What the context outlasts comes before it."""
        model, deadline = self.model, int(self.engine.meta()["deadline"])
        ttl = model.settings.ttl
        assert ttl is not None
        if model.finished:
            assert deadline == model.deadline
        elif ttl == 0:
            assert deadline == 0
        else:
            latest = max(model.now + ttl + ttl // 32, model.outlasts + 2_000 if model.outlasts else 0)
            assert max(model.now + ttl, model.outlasts) <= deadline
            assert deadline <= (max(latest, before) if ttl == ttl_before else latest)
        model.deadline = deadline
        model.meta_deadline = deadline + TOMBSTONE if deadline else 0

    def adopt_history(self) -> None:
        """The journal is bounded, keeps the newest, and drops nothing without need."""
        items, model = self.engine.journal(), self.model
        raws = [raw for item in items for raw in item]
        if not model.touched:
            return
        most, most_bytes = model.settings.keep_commits, model.settings.keep_bytes
        assert most is not None
        assert most_bytes is not None
        assert raws
        # Whole items go, which are batches.
        assert len(raws) <= most + max(1, most // 8) or len(raws) - len(items[0]) < most
        assert sum(map(len, raws)) <= most_bytes or len(items) == 1
        dropped = len(model.journal) - len(raws)
        assert dropped >= 0
        if dropped and len(raws) < most:
            # With the item that was the last to go, it was too large.
            assert self.size(model.journal[self.start_of_item(dropped) :], raws) > most_bytes
        model.journal = model.journal[dropped:]
        self.items = model.journal[0].revision, [len(item) for item in items]

    def start_of_item(self, end: int) -> int:
        """Where the item begins of which the last record is before `end`, as far as it stood there before this batch."""
        first, lengths = self.items
        known = lengths if self.model.journal[0].revision == first else []
        return max(start for start in [0, *accumulate(known)] if start < end)

    def size(self, journal: list[Any], held: list[bytes]) -> int:
        """About the bytes of some records, of which the last are held."""
        unheld = journal[: len(journal) - len(held)]
        steps = [step for record in unheld for step in record.steps]
        return sum(map(len, held)) + 300 * len(unheld) + sum(400 + 2 * len(repr(step)) for step in steps)

    def compare(self) -> None:
        engine, model = self.engine, self.model
        assert engine.entries() == model.entries
        assert engine.paths() == [path.decode() for path in sorted(path.encode() for path in model.entries)]
        assert engine.deadlines() == model.deadlines
        items = engine.journal()
        raws = [raw for item in items for raw in item]
        assert [told(parse_record(raw)) for raw in raws] == model.journal
        self.compare_meta(items)
        self.compare_expiries()
        self.compare_reads()

    def compare_meta(self, items: list[list[bytes]]) -> None:
        raws = [raw for item in items for raw in item]
        meta, model = self.engine.meta(), self.model
        assert int(meta.get("last", 0)) == model.last
        if not model.alive:
            return
        assert int(meta["first"]) == model.first
        assert int(meta["created"]) == model.created
        assert int(meta["updated"]) == model.updated
        assert Settings(*(int(meta[name]) for name in ("ttl", "keep_commits", "keep_bytes"))) == model.settings
        offset, number = int(meta["most_bytes"]) - int(meta["keep_bytes"]), int(meta["records"]) - len(raws)
        assert int(meta["bytes"]) - offset == sum(map(len, raws))
        keep = int(meta["keep_commits"])
        assert int(meta["most_records"]) == number + keep + max(1, keep // 8)
        for item in items:
            before = [b" ".join(raw.split(b" ", 10)[8:10]) for raw in item]
            assert before == [b"%015d %012d" % (offset, number)] + [b"- -"] * (len(item) - 1)
            offset, number = offset + sum(map(len, item)), number + len(item)
        assert int(meta["policies"]) == model.policies
        assert int(meta.get("finished", 0)) == model.finished
        assert meta.get("outcome", b"") == model.outcome

    def compare_expiries(self) -> None:
        model, keys = self.model, self.engine.keys
        expiries = self.engine.expiries()
        assert expiries.pop(keys.meta, 0) == model.meta_deadline
        assert bool(expiries) == model.alive
        assert set(expiries.values()) <= {model.deadline}

    def compare_reads(self) -> None:
        model, visible = self.model, self.model.visible()
        assert self.engine.visible() == (model.last if model.alive else 0, visible)
        assert self.engine.listed() == sorted(visible)
        info = self.engine.info()
        if not model.alive:
            assert (info.revision, info.created_at) == (0, None)
            return
        assert (info.revision, info.entries, info.finished) == (model.last, len(visible), model.finished > 0)
        assert (info.created_at, info.updated_at) == (from_micros(model.created), from_micros(model.updated))


def plain(path: str) -> Operation:
    return set_op(path, encode(len(path)))


MIXED: dict[str, Callable[[str], Operation]] = {
    "dated": lambda path: set_op(path, encode(2), 1_500),
    "kept": lambda path: set_op(path, encode(3), keep_ttl=True),
    "counted": lambda path: increment_op(path, 1),
    "told": lambda path: event_op(path, b"told"),
    "renewed": lambda path: renew_op(path, 900),
    "deleted": delete_op,
}


class Large(Machine):
    """Commits and batches of sizes around every limit: what Lua unpacks, half and a third of it, a group of one client."""

    commit_limit = 16 * 1024 * 1024

    @rule(
        count=st.sampled_from([7_998, 3_998, 2_665, 1_998]).flatmap(lambda size: st.integers(size, size + 3)),
        ttl=st.sampled_from([None, 1_000]),
        given=given_settings,
    )
    def write_many(self, count: int, ttl: int | None, given: Settings) -> None:
        """New, overwritten under as many guards, counted up, deleted."""
        paths = [f"many/{index}" for index in range(count)]
        self.commit_of(given, [set_op(path, encode(0), ttl) for path in paths], [nothing_below("many/")])
        held = self.model.visible()
        guards = [revision_guard(path, held[path].revision if path in held else 0) for path in paths]
        self.commit_of(given, [set_op(path, encode(1), keep_ttl=True) for path in paths], guards)
        self.commit_of(given, [renew_op(path, 2_000) for path in paths])
        self.commit_of(
            given, [*(increment_op(path, 1) for path in paths[::2]), *(event_op(path, b"") for path in paths)]
        )
        self.commit_of(given, [delete_op(path) for path in paths])

    @rule(count=st.sampled_from([63, 64, 65, 200, 4_001]), seed=st.integers(0, 1_000_000))
    def write_mixed(self, count: int, seed: int) -> None:
        """Plain sets, and among them something else here and there, over entries with and without a deadline."""
        draw = random.Random(seed)
        paths = draw.sample(range(4_500), count)
        kinds = draw.choices(["plain", *MIXED], weights=[draw.choice([20, 400, 9_000])] + [1] * len(MIXED), k=count)
        operations = [MIXED.get(kind, plain)(f"many/{path}") for kind, path in zip(kinds, paths, strict=True)]
        self.commit_of(Settings(None, None, None), operations)

    @rule(count=st.sampled_from([255, 256, 511, 512]), each=st.sampled_from([1, 8, 16]))
    def send_many(self, count: int, each: int) -> None:
        """A batch as large as a client makes them."""
        given = Settings(None, None, None)
        asked = [
            Commit("x", [set_op(f"many/{(index * each + n) % 3_000}", encode(n)) for n in range(each)], [], given)
            for index in range(count)
        ]
        self.numbers["one"] += 1
        self.check(Batch(asked, "one", self.numbers["one"]))

    def commit_of(self, given: Settings, operations: list[Any], guards: Sequence[Guard] = ()) -> None:
        self.numbers["one"] += 1
        self.check(Batch([Commit("x", operations, guards, given)], "one", self.numbers["one"]))


def given_in(batch: Batch) -> Settings:
    """The settings that a batch gives: of each, the last."""
    columns = zip(*(commit.given for commit in batch.commits), strict=True)
    return Settings(*(next((value for value in reversed(column) if value is not None), None) for column in columns))


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_the_script_does_what_the_model_does(kind: str, server_urls: Any) -> None:
    """Given any history, when anything is asked, then the model and the script agree on all that is left of it."""
    run(Machine, server_urls(kind), counts(18, 3_000) if kind == "valkey" else counts(8, 500), counts(30, 60))


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_the_script_does_what_the_model_does_with_thousands_of_entries(kind: str, server_urls: Any) -> None:
    """Given any history, when commits are as large as anything that the script has to take in pieces, then likewise."""
    run(Large, server_urls(kind), counts(2, 60), counts(8, 30))


def run(machine: type[Machine], url: str, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        type("Bound", (machine,), {"url": url}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
