"""Policies bind every client, inside the commit: G1, G3, G4, and that no write that one forbids is journaled after it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

import pytest

import ccs
import ccs.aio
from ccs._core.codec import decode
from ccs._core.commits.entry import parse_entry
from ccs._core.commits.journal import Record, RecordOperation
from ccs._core.names.pattern import compile_patterns
from ccs._core.recipes.lease import Lease
from ccs._sync.context_handle import Fence
from ccs._sync.entries import Entries
from tests.context.probes import WRITES, Open, gone, unchanged
from tests.support.journal import check_consistent, records
from tests.support.proxy import Proxy, once
from tests.support.servers import PrivateServer
from tests.support.threads import run_threads
from tests.support.waiting import aeventually, bounded, counts

FITTING = {"increment": 1, "append": [1], "merge": {"a": 1}}
"""What has to stand at a path for a write of that kind to be possible."""

BLIND = ("set", "set_many", "delete")
GUARDED = ("update", "merge", "increment", "append")


# What they forbid.


@pytest.mark.parametrize("policy", ["last-write-wins", "reject", "merge", "write-once"])
async def test_policies_do_not_apply_to_a_transaction_that_only_reads(task: Any, policy: str) -> None:
    """G4: its reads are still checked at its end."""
    await task.set("a/1", {"x": 1})
    await task.set_policy("**", policy)
    async with task.transaction() as tx:
        assert await tx.get("a/1") == {"x": 1}


@pytest.mark.parametrize("kind", [*BLIND, *GUARDED])
async def test_write_once_lets_no_agent_change_an_entry(task: Any, kind: str) -> None:
    """G1: of a commit that it forbids nothing is applied."""
    entry = await task.set("a/1", FITTING.get(kind, "first"))
    await task.set_policy("a/*", "write-once")
    error = await unchanged(task, bounded(WRITES[kind](task, "a/1")), ccs.Conflict)
    assert (error.policy, error.path, error.version, error.agent) == ("write-once", "a/1", 1, "test")
    for guard in {"if_version": 1}, {"if_revision": entry.revision}:
        assert (await unchanged(task, task.set("a/1", 2, **guard), ccs.Conflict)).policy == "write-once"
        assert (await unchanged(task, task.delete("a/1", **guard), ccs.Conflict)).policy == "write-once"
    assert (await task.set("elsewhere", 1)).version == 1
    assert (await task.set("elsewhere", 2)).version == 2


@pytest.mark.parametrize("kind", ["create", *(kind for kind in WRITES if kind not in ("delete", "renew", "create"))])
@pytest.mark.parametrize("policy", ["write-once", "reject"])
async def test_creating_is_always_allowed(task: Any, kind: str, policy: str) -> None:
    await task.set_policy("**", policy)
    await WRITES[kind](task, "a")
    assert await task.exists("a")
    assert await task.delete("nothing") is False


@pytest.mark.parametrize("kind", BLIND)
async def test_reject_requires_a_guard_to_overwrite_or_delete(task: Any, kind: str) -> None:
    entry = await task.set("a", 1)
    await task.set_policy("*", "reject")
    error = await unchanged(task, WRITES[kind](task, "a"), ccs.Conflict)
    assert (error.policy, error.path, error.revision) == ("reject", "a", entry.revision)
    again = await task.set("a", 2, if_version=1)
    assert (await task.set("a", 3, if_revision=again.revision)).version == 3
    assert await task.delete("a", if_version=3) is True


@pytest.mark.parametrize("kind", GUARDED)
async def test_reject_allows_writes_that_are_guarded_by_their_own_read(task: Any, kind: str) -> None:
    await task.set("a", FITTING.get(kind, "first"))
    await task.set_policy("*", "reject")
    await bounded(WRITES[kind](task, "a"))
    assert (await task.entry("a")).version == 2
    assert await task.delete_matching("a") == 1


@pytest.mark.parametrize("policy", ["write-once", "reject", "merge"])
async def test_a_failed_guard_is_a_conflict_of_that_guard(task: Any, policy: str) -> None:
    """G4: the conflict names the guard, not the policy."""
    await task.set("a", {"x": 1})
    await task.set_policy("*", policy)
    for attempt in (
        task.create("a", {"y": 1}),
        task.set("a", {"y": 1}, if_version=7),
        task.set("a", {"y": 1}, if_revision=7),
        task.delete("a", if_version=7),
        task.set("missing", {"y": 1}, if_version=1),
    ):
        assert (await unchanged(task, bounded(attempt), ccs.Conflict)).policy is None


async def test_a_transaction_may_write_what_it_has_read_where_the_policy_is_reject(task: Any) -> None:
    await task.set_many({"read": 1, "unread": 1})
    await task.set_policy("**", "reject")
    async with task.transaction() as tx:
        assert await tx.get("read") == 1
        tx.set("read", 2)
        tx.set("new", 1)
    assert await task.get("read") == 2

    async def blind() -> None:
        async with task.transaction() as tx:
            await tx.get("read")
            tx.set("unread", 2)

    assert (await unchanged(task, blind(), ccs.Conflict)).policy == "reject"


async def test_transact_does_not_retry_a_policy_conflict(task: Any) -> None:
    await task.set("a", 1)
    await task.set_policy("a", "write-once")
    attempts = []

    async def overwrite(tx: Any) -> None:
        attempts.append(await tx.get("a"))
        await asyncio.sleep(0)
        tx.set("a", 2)

    with pytest.raises(ccs.Conflict):
        await task.transact(overwrite)
    assert attempts == [1]


async def test_one_path_that_is_forbidden_refuses_the_whole_commit(task: Any) -> None:
    """G1."""
    await task.set_many({"free": 1, "fixed": 1})
    await task.set_policy("fixed", "write-once")
    error = await unchanged(task, task.set_many({"free": 2, "new": 2, "fixed": 2}), ccs.Conflict)
    assert error.path == "fixed"
    assert (await unchanged(task, task.delete_matching("**"), ccs.Conflict)).path == "fixed"


async def test_policies_do_not_apply_to_renewals_expiry_events_and_the_end_of_the_context(task: Any) -> None:
    await task.set_policy("**", "write-once")
    await task.set("a", 1, ttl=60)
    assert await task.renew("a", 0.01) is True
    await aeventually(lambda: gone(task, "a"))
    assert (await task.set("a", 2)).version == 1
    await task.publish("a", 1)
    await task.publish("a", 2)
    await task.finish("done", keep=60)
    await task.drop()
    assert (await task.set("a", 1)).version == 1
    assert (await task.set("a", 2)).version == 2


async def test_policies_do_not_apply_to_entries_of_the_system(task: Any) -> None:
    """For example to the entries of the policies themselves."""
    for policy in "write-once", "reject", "merge", "write-once":
        await task.set_policy("**", policy)
    assert (await task.entry("@policies/**")).version == 4


def test_the_holder_of_a_claim_that_is_lost_learns_that_first(store: ccs.Store) -> None:
    task = store.task("t")
    task.set("a", {"x": 1})
    fence = Fence("r", Lease("@claims/r", 5, ttl=30, until=float("inf")), task.handle.opening)
    fenced = Entries(replace(task.handle, fences=(fence,)))
    for policy in "last-write-wins", "reject", "merge", "write-once":
        task.set_policy("**", policy)
        with pytest.raises(ccs.ClaimLost):
            fenced.set("a", {"y": 1})
        with pytest.raises(ccs.ClaimLost):
            fenced.delete("a")
    assert task.get("a") == {"x": 1}


# Merging.


async def test_merge_merges_maps_key_by_key_and_returns_the_result(task: Any) -> None:
    await task.set("m", {"model": {"name": "m1", "seed": 7}, "lang": "en"})
    await task.set_policy("m", "merge")
    entry = await task.set("m", {"model": {"seed": None}, "new": [1]}, ttl=60)
    merged = {"model": {"name": "m1", "seed": None}, "lang": "en", "new": [1]}
    assert (entry.value, entry.version) == (merged, 2)
    assert entry == await task.entry("m")
    assert [change.value for change in await task.history("m")][-1] == merged


async def test_merge_replaces_unless_both_values_are_maps(task: Any) -> None:
    await task.set_policy("**", "merge")
    for value in {"a": 1}, [1], {"b": 1}, "text", {"c": 1}, None, {"d": 1}:
        assert (await task.set("m", value)).value == value
    assert (await task.set("m", {"e": 1})).value == {"d": 1, "e": 1}


async def test_merge_applies_to_every_kind_of_set_and_to_nothing_else(task: Any) -> None:
    await task.set_many({"many": {"a": 1}, "tx": {"a": 1}, "updated": {"a": 1}, "patched": {"a": 1}})
    await task.set_policy("**", "merge")
    await task.set_many({"many": {"b": 2}, "fresh": {"b": 2}})
    async with task.transaction() as tx:
        tx.set("tx", {"b": 2})
    await task.update("updated", lambda value: {"only": "this"})
    await task.merge("patched", {"a": None, "b": 2})
    values = {path: entry.value for path, entry in (await task.snapshot()).items()}
    assert values == {
        "many": {"a": 1, "b": 2},
        "fresh": {"b": 2},
        "tx": {"a": 1, "b": 2},
        "updated": {"only": "this"},
        "patched": {"b": 2},
    }
    assert await task.delete("many") is True


async def test_merge_respects_a_guard_that_holds(task: Any) -> None:
    entry = await task.set("m", {"a": 1})
    await task.set_policy("m", "merge")
    entry = await task.set("m", {"b": 1}, if_revision=entry.revision)
    assert (await task.set("m", {"c": 1}, if_version=2)).value == {"a": 1, "b": 1, "c": 1}
    assert (await unchanged(task, task.set("m", {"d": 1}, if_revision=entry.revision), ccs.Conflict)).policy is None


async def test_a_map_that_merging_makes_too_large_is_refused(open_store: Open) -> None:
    task = (await open_store(max_value_bytes=1_000)).task("t")
    await task.set("m", {"a": "x" * 600})
    await task.set_policy("m", "merge")
    await unchanged(task, task.set("m", {"b": "x" * 600}), ccs.ValueTooLarge)


async def test_many_concurrent_merges_lose_no_key(open_store: Open) -> None:
    """G4: with and without the key at first; one store knows the policy, the other does not yet."""
    stores = [await open_store("one"), await open_store("two")]
    tasks = [store.task("t") for store in stores]
    await tasks[1].set("before", 1)
    await tasks[0].set_policy("m/*", "merge")
    names = [f"k{number}" for number in range(20)]
    for path in "m/1", "m/2":
        writes = (tasks[number % 2].set(path, {name: number}) for number, name in enumerate(names))
        entries = await bounded(asyncio.gather(*writes), 30)
        assert await tasks[0].get(path) == {name: number for number, name in enumerate(names)}
        assert sorted(len(entry.value) for entry in entries) == [*range(1, 21)]


# Which of them holds, and for whom.


async def test_of_several_matching_policies_the_one_set_last_applies_to_all(task: Any) -> None:
    await task.set_many({"a/1": 1, "a/2": 1})
    revisions = [
        await task.set_policy("a/1", "write-once"),
        await task.set_policy("**", "reject"),
        await task.set_policy("a/*", "last-write-wins"),
    ]
    assert revisions == sorted(revisions)
    assert [*(await task.policies()).items()] == [("a/1", "write-once"), ("**", "reject"), ("a/*", "last-write-wins")]
    assert (await task.set("a/1", 2)).version == 2
    await task.set_policy("a/1", "write-once")
    assert [*await task.policies()] == ["**", "a/*", "a/1"]
    assert (await unchanged(task, task.set("a/1", 3), ccs.Conflict)).policy == "write-once"
    assert (await task.set("a/2", 2)).version == 2


async def test_a_policy_binds_clients_that_connected_before_it_or_know_older_ones(open_store: Open) -> None:
    """G3: the first write after the policy's revision is bound."""
    early, knowing, late = [(await open_store(name)).task("t") for name in ("early", "knowing", "late")]
    await early.set("a", 1)
    await knowing.set_policy("other", "merge")
    await knowing.set("b", 1)
    await late.set_policy("*", "write-once")
    for task in early, knowing, late:
        for path in "a", "b":
            assert (await unchanged(task, task.set(path, 2), ccs.Conflict)).policy == "write-once"
    await early.set_policy("*", "last-write-wins")
    assert [(await task.set("a", 2)).version for task in (knowing, late, early)] == [2, 3, 4]


async def test_a_context_that_is_created_again_has_no_policies_also_for_clients_that_knew_them(
    open_store: Open,
) -> None:
    knowing, other = (await open_store("knowing")).task("t"), (await open_store("other")).task("t")
    await knowing.set_policy("**", "write-once")
    await knowing.set("a", 1)
    await other.drop()
    await other.set("a", 1)
    assert (await knowing.set("a", 2)).version == 2
    assert (await knowing.policies(), await other.policies()) == ({}, {})
    await knowing.drop()
    assert await knowing.policies() == {}


async def test_a_policy_creates_its_context(task: Any) -> None:
    revision = await task.set_policy("**", "reject")
    assert await task.revision() == revision
    assert await task.paths() == []
    assert (await task.get("@policies/**")) == {"pattern": "**", "policy": "reject"}


async def test_every_way_to_a_context_is_bound(shared: Any) -> None:
    await shared.task("t").set_policy("**", "write-once")
    await shared.set("/tasks/t/a", 1)
    for attempt in (
        shared.set("/tasks/t/a", 2),
        shared.delete("/tasks/t/a"),
        shared.context("/tasks/t", agent="other").set("a", 2),
    ):
        with pytest.raises(ccs.Conflict) as caught:
            await attempt
        assert caught.value.policy == "write-once"


@pytest.mark.parametrize(
    ("pattern", "policy", "error"),
    [
        ("a", "overwrite", ccs.InvalidValue),
        ("a", "", ccs.InvalidValue),
        ("a", None, ccs.InvalidValue),
        ("[", "reject", ccs.InvalidPattern),
        ("/a", "reject", ccs.InvalidPattern),
        (5, "reject", ccs.InvalidPattern),
        ("@claims/**", "reject", ccs.ReservedPath),
        ("{a,@b}/c", "reject", ccs.ReservedPath),
        ("[@]a/*", "reject", ccs.ReservedPath),
        ("@policies", "last-write-wins", ccs.ReservedPath),
    ],
)
async def test_an_unknown_policy_is_refused(task: Any, pattern: Any, policy: Any, error: type[Exception]) -> None:
    await task.set("a", 1)
    await unchanged(task, task.set_policy(pattern, policy), error)


@pytest.mark.parametrize("pattern", ["a b/**", "ä/*.{md,txt}", "x/", "[[]x[]]", "a%2Fb", "?", "*\x01"])
async def test_any_pattern_can_have_a_policy(task: Any, pattern: str) -> None:
    await task.set_policy(pattern, "write-once")
    await task.set_policy(pattern, "reject")
    assert await task.policies() == {pattern: "reject"}


# What they cost.


def scripts_run(server: PrivateServer) -> int:
    with server.client() as client:
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_a_write_costs_one_command_without_policies_and_with_those_that_are_known(
    own_server: PrivateServer, namespace: str
) -> None:
    with ccs.connect(own_server.url, namespace=namespace) as store:
        task = store.task("t")
        for policy in "none", "last-write-wins", "reject", "write-once":
            if policy != "none":
                task.set_policy("*", policy)
            task.set(policy, 0)
            before = scripts_run(own_server)
            for number in range(10):
                task.set(f"{policy} {number}", number)
            assert scripts_run(own_server) - before == 10


# Faults and races.


def test_a_policy_whose_reply_was_lost_was_set_once(valkey: str, namespace: str, proxy: Proxy) -> None:
    """G5."""
    with ccs.connect(proxy.url, namespace=namespace) as store:
        task = store.task("t")
        task.set("a", 1)
        proxy.fault = once(b"+", "drop")
        revision = task.set_policy("*", "write-once")
        assert store.stats().retries > 0
        assert (task.entry("@policies/*").revision, task.entry("@policies/*").version) == (revision, 1)  # type: ignore[union-attr]  # it is there
        with pytest.raises(ccs.Conflict):
            task.set("a", 2)


def test_a_policy_outlives_its_server(own_server: PrivateServer, namespace: str) -> None:
    with ccs.connect(own_server.url, namespace=namespace) as store:
        task = store.task("t")
        task.set("a", 1)
        task.set_policy("*", "write-once")
        own_server.sync()
        own_server.kill()
        own_server.start()
        with pytest.raises(ccs.Conflict), ccs.connect(own_server.url, namespace=namespace) as other:
            other.task("t").set("a", 2)
        with pytest.raises(ccs.Conflict):
            task.set("a", 2)


class Broken(NamedTuple):
    """A write that was journaled though a policy forbade it."""

    policy: str
    step: RecordOperation
    record: Record


def broken(journal: list[Record]) -> Iterator[Broken]:
    """Returns the journaled writes that the policies of their moment forbade."""
    rules: dict[str, str] = {}
    for record in journal:
        for step in record.operations:
            policy = policy_of(rules, step.path)
            if forbids(policy, step, record.agent):
                yield Broken(policy, step, record)
        for step in record.operations:
            if step.path.startswith("@policies/"):
                rule = decode(parse_entry(step.after).value)
                rules.pop(rule["pattern"], None)
                rules[rule["pattern"]] = rule["policy"]


def policy_of(rules: dict[str, str], path: str) -> str:
    held = [policy for pattern, policy in rules.items() if compile_patterns((pattern,)).matches(path)]
    return held[-1] if held and path[0] != "@" else "last-write-wins"


def forbids(policy: str, step: RecordOperation, agent: str) -> bool:
    """The agent's name says how it writes: `blind`, `guarded`, or `maps`, each with one key."""
    if not step.before or policy == "last-write-wins":
        return False
    if policy == "merge" and agent == "maps":
        return not decode(parse_entry(step.before).value).keys() <= decode(parse_entry(step.after).value).keys()
    return policy == "write-once" or (policy == "reject" and agent != "guarded")


PATHS = ["a", "b", "c/1"]
CHOICES = ("last-write-wins", "reject", "merge", "write-once")
numbers = count()


def write_blindly(task: ccs.Context, dice: random.Random) -> None:
    path = dice.choice(PATHS)
    if dice.random() < 0.3:
        task.delete(path)
    else:
        task.set_many({path: {}, f"{path}/side": {}})


def write_guarded(task: ccs.Context, dice: random.Random) -> None:
    path = dice.choice(PATHS)
    if dice.random() < 0.5:
        task.update(path, lambda value: {**value, "guarded": 1}, default={})
    elif entry := task.entry(path):
        task.set(path, entry.value, if_revision=entry.revision)


def write_maps(task: ccs.Context, dice: random.Random) -> None:
    task.set(dice.choice(PATHS), {f"k{next(numbers) % 50}": 1})


WRITERS: dict[str, Callable[[ccs.Context, random.Random], None]] = {
    "blind": write_blindly,
    "guarded": write_guarded,
    "maps": write_maps,
}


def test_no_write_that_a_policy_forbids_is_journaled_after_it(
    valkey: str, namespace: str, connect_many: Callable[[int], list[ccs.Store]]
) -> None:
    """G4: twenty setters of policies race with writers, each from a store with policies known from before."""
    stores, rounds, refused = connect_many(4), counts(12, 120), []

    def work(index: int) -> None:
        dice, name = random.Random(index), [*WRITERS][index % 3]
        task = stores[index % 4].task("t", agent=name, keep_commits=100_000)
        for _ in range(rounds):
            if index < 20:
                task.set_policy(dice.choice(["a", "b", "**", "c/*", "{a,b}"]), dice.choice(CHOICES))
                continue
            for _ in range(5):
                try:
                    WRITERS[name](task, dice)
                except ccs.Conflict as conflict:
                    refused.append(conflict)

    run_threads(work, 32)
    journal = records(valkey, namespace, "/tasks/t")
    assert list(broken(journal)) == []
    assert {conflict.policy for conflict in refused} >= {"reject", "write-once"}
    check_consistent(valkey, namespace, "/tasks/t")
    # In the order in which they were set, to everybody.
    held = stores[0].task("t").policies()
    assert (
        sum(len(record.operations) for record in journal if record.operations[0].path.startswith("@policies/"))
        == 20 * rounds
    )
    assert all([*store.task("t").policies().items()] == [*held.items()] for store in stores)


@pytest.fixture
def connect_many(valkey: str, namespace: str) -> Iterator[Callable[[int], list[ccs.Store]]]:
    """Returns that many blocking stores on one server."""
    stores: list[ccs.Store] = []

    def connect(number: int) -> list[ccs.Store]:
        stores.extend(ccs.connect(valkey, namespace=namespace) for _ in range(number))
        return stores

    yield connect
    for store in stores:
        store.close()


async def test_tasks_of_one_store_race_with_twenty_setters_of_policies(valkey: str, namespace: str) -> None:
    """G4, in asyncio: the commits of a batch respect the policies known when they were requested, or are requested again."""
    refused: list[ccs.Conflict] = []

    async def write(task: ccs.aio.Context, index: int) -> None:
        dice = random.Random(index)
        for number in range(counts(20, 200)):
            try:
                await task.set(dice.choice(PATHS), number)
            except ccs.Conflict as conflict:
                refused.append(conflict)

    async def set_policies(task: ccs.aio.Context, index: int) -> None:
        dice = random.Random(index)
        for _ in range(counts(4, 40)):
            await task.set_policy(dice.choice(["a", "**"]), dice.choice(["last-write-wins", "reject", "write-once"]))

    async with (
        ccs.aio.connect(valkey, namespace=namespace, agent="blind") as one,
        ccs.aio.connect(valkey, namespace=namespace, agent="guarded") as two,
    ):
        tasks = one.task("t"), two.task("t")
        writing = [write(tasks[0], index) for index in range(20)]
        setting = [set_policies(tasks[index % 2], index) for index in range(20)]
        await bounded(asyncio.gather(*writing, *setting), 60)
    assert list(broken(await asyncio.to_thread(records, valkey, namespace, "/tasks/t"))) == []
    assert refused
