"""Checks of a server that answers: version, eviction, persistence, replication, clock, latency, formats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import ccs
from ccs.cli.checks.finding import Finding
from ccs.cli.server_info import Facts, engine_of, server_name, servers, size

__all__ = ["check_contexts", "check_server", "judge"]

# Seconds by which the server's clock may differ from ours before it is worth a word, and before it is wrong.
_SKEW = 2.0
_LARGE_SKEW = 120.0
_PINGS = 20
# Seconds of a round trip that are worth a word.
_SLOW = 0.02
_FULL = 0.8


def check_server(store: ccs.Store, embedded: bool) -> Iterator[Finding]:
    """Looks at all servers of a store, its clock and how fast it answers."""
    for where, facts in servers(store).items():
        yield from judge(where, facts, embedded)
    yield _check_clock(store)
    yield _check_latency(store)


def judge(where: str, facts: Facts, embedded: bool) -> Iterator[Finding]:
    """Judges what one server says of itself."""
    yield Finding("server", "fine", f"{server_name(facts)} at {where}")
    checks: tuple[Callable[[Facts, bool], Finding], ...] = (_eviction, _memory, _persistence, _replication)
    for check in checks:
        yield check(facts, embedded)


def _eviction(facts: Facts, _: bool) -> Finding:
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: the server may drop keys that others rely on"
        return Finding(
            "eviction", "wrong", text, "CONFIG SET maxmemory-policy noeviction, and in its configuration file"
        )
    return Finding("eviction", "fine", "never: maxmemory-policy noeviction")


def _memory(facts: Facts, _: bool) -> Finding:
    used = int(facts.get("used_memory", "0"))
    limit = int(facts.get("maxmemory", "0"))
    text = f"{size(used)} used of {size(limit)}" if limit else f"{size(used)} used, no limit"
    if limit and used >= _FULL * limit:
        return Finding("memory", "wrong", text, "raise maxmemory, or drop contexts: at the limit, writes are StoreFull")
    return Finding("memory", "fine", text)


def _persistence(facts: Facts, embedded: bool) -> Finding:
    for name, what in (
        ("aof_last_write_status", "the last write to its file"),
        ("rdb_last_bgsave_status", "the last save"),
    ):
        if facts.get(name, "ok") != "ok":
            text = f"{what} failed ({facts[name]})"
            return Finding(
                "persistence", "wrong", text, "look at the disk and at the server's log; writes may be refused"
            )
    if facts.get("aof_enabled") == "1":
        return Finding("persistence", "fine", "an append-only file")
    if embedded:
        return Finding(
            "persistence",
            "wrong",
            "this embedded server has no append-only file",
            "restart it: close the store everywhere",
        )
    if int(facts.get("rdb_saves", "0")) or facts.get("rdb_last_bgsave_time_sec", "-1") != "-1":
        text = "snapshots only: what was written since the last one is lost with the server"
        return Finding("persistence", "note", text, "appendonly yes keeps all but the last second")
    text = "none that shows: a restart of the server may lose everything"
    return Finding("persistence", "note", text, "CONFIG SET appendonly yes, and in its configuration file")


def _replication(facts: Facts, embedded: bool) -> Finding:
    if facts.get("role") == "slave":
        up = facts.get("master_link_status") == "up"
        text = f"a replica of {facts.get('master_host')}:{facts.get('master_port')}, link {facts.get('master_link_status')}"
        return Finding(
            "replication", "fine" if up else "wrong", text, "" if up else "it gets no commits: look at its log"
        )
    count = int(facts.get("connected_slaves", "0"))
    if not count:
        return Finding("replication", "fine", "none: an embedded server is alone" if embedded else "no replicas")
    behind = [
        line
        for name, line in facts.items()
        if name.startswith("slave") and "state=online" not in line and "ip=" in line
    ]
    if behind:
        return Finding(
            "replication",
            "wrong",
            f"{len(behind)} of {count} replicas are not online: {behind[0]}",
            "look at their logs",
        )
    return Finding("replication", "fine", f"{count} replicas, all online")


def _check_clock(store: ccs.Store) -> Finding:
    engine = engine_of(store)
    sent = time.time()
    seconds, micros = engine.opening.run(("TIME",))
    received = time.time()
    skew = int(seconds) + int(micros) / 1e6 - (sent + received) / 2
    text = f"the server's is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    advice = "deadlines and revisions go by the server's clock; have both follow NTP"
    if abs(skew) >= _LARGE_SKEW:
        return Finding("clock", "wrong", text, advice)
    if abs(skew) >= _SKEW:
        return Finding("clock", "note", text, advice)
    return Finding("clock", "fine", f"within {max(abs(skew), 0.001):.3f} s of this machine's")


def _check_latency(store: ccs.Store) -> Finding:
    pings = sorted(store.ping() for _ in range(_PINGS))
    median = pings[_PINGS // 2]
    text = f"{median * 1_000:.1f} ms, the slowest of {_PINGS} pings {pings[-1] * 1_000:.1f} ms"
    if median >= _SLOW:
        return Finding("latency", "note", text, "the network or the server is slow: SLOWLOG GET 10 shows long commands")
    return Finding("latency", "fine", text)


def check_contexts(store: ccs.Store) -> Finding:
    """Looks whether all contexts can be read by this version, and so what an update would need."""
    try:
        count = len(store.contexts())
    except ccs.Forbidden:
        return Finding("update", "note", "this user may not list contexts, so their formats are not known", "")
    except ccs.UnknownFormat as error:
        return Finding("update", "wrong", str(error), f"pip install -U 'collaborative-context-store>={error.needs}'")
    held = "the one context is" if count == 1 else f"all {count:,} contexts are"
    return Finding("update", "fine", f"{held} in format 1, which every version reads: an update needs nothing")
