"""Which kinds of targets a test may run on that asks for `target`. `rounds.py` says on which of them it runs.

Each test may run on servers and in memory. The behaviour of contexts, watches, recipes, memory and mirrors is the same on a
Cluster and with Sentinels: a selection of its tests runs there too, in long rounds all of them. `scripts/test --targets
cluster sentinel` runs what is behaviour on these, and nothing else.
"""

from __future__ import annotations

import os
from zlib import crc32

import redis
import redis.sentinel

from ccs._core.names.target import parse_target
from tests.support.waiting import LONG

__all__ = ["ASKED", "KINDS", "SELECTION", "TOPOLOGIES", "kinds_of", "raw_client"]

KINDS = ("valkey", "redis", "memory")
TOPOLOGIES = ("cluster", "sentinel")
ASKED = tuple(os.environ.get("CCS_TEST_TARGETS", "").split())
"""The only kinds to run on, if there are any."""

BEHAVIOUR = ("context", "watches", "recipes", "memory", "mirrors")
"""The folders of tests that hold on every kind of target."""

SELECTION = {
    "context/test_history.py": (
        "history_reads_page_after_page",
        "history_that_is_trimmed_while_it_is_read_has_no_hole",
    ),
    "context/test_items.py": ("batches_are_items_and_whole_items_are_trimmed",),
    "context/test_large.py": ("a_large_commit_is_whole_on_every_server",),
    "context/test_life.py": (
        "a_dropped_context_is_gone_at_once_and_comes_back_new",
        "a_finished_context_refuses_every_write_but_can_be_read",
        "an_idle_context_is_gone_whole_and_comes_back_new",
    ),
    "context/test_reading.py": ("the_store_takes_absolute_paths",),
    "context/test_reopening.py": ("callbacks_start_again_with_what_comes_then",),
    "context/test_set.py": (
        "a_guard_that_does_not_hold_is_a_conflict_that_names_who_was_first",
        "a_ttl_is_a_deadline_and_a_set_without_one_clears_it",
    ),
    "context/test_transactions.py": ("a_transaction_writes_all_at_once", "transact_tries_again_until_it_wins"),
    "context/test_update.py": ("increments_that_race_all_count", "updates_that_race_all_count"),
    "memory/test_episodic.py": ("a_bound_holds_under_many_concurrent_records",),
    "memory/test_scopes.py": ("the_most_specific_scope_that_has_the_key_answers",),
    "memory/test_semantic.py": ("a_query_sees_every_fact_stored_before",),
    "mirrors/test_mirror.py": ("half_of_a_commit_is_never_seen", "it_holds_what_is_there_and_what_comes"),
    "recipes/test_agreement.py": ("it_commits_when_all_have_voted_yes",),
    "recipes/test_barrier.py": ("it_opens_when_all_have_arrived_and_not_before",),
    "recipes/test_claim.py": (
        "the_commit_checks_the_fence_whatever_the_holder_believes",
        "waiters_get_the_claim_in_the_order_in_which_they_came",
    ),
    "recipes/test_events.py": ("events_are_in_order_with_the_commits_around_them",),
    "recipes/test_inbox.py": (
        "a_waiting_receiver_gets_a_message_when_its_lease_expires_and_not_before",
        "receivers_that_race_get_each_message_once",
    ),
    "recipes/test_once.py": ("callers_during_a_run_wait_and_get_its_result",),
    "recipes/test_presence.py": ("an_agent_that_dies_leaves_when_its_ttl_is_over",),
    "watches/test_beside.py": ("a_watch_that_resumes_beside_another_one_begins_right_after_its_cursor",),
    "watches/test_store_watch.py": (
        "changes_of_all_contexts_come_new_ones_from_their_beginning",
        "its_cursor_resumes_where_it_was_left_and_finds_what_is_new",
        "the_end_of_a_context_is_delivered_within_a_second_and_the_watch_goes_on",
    ),
    "watches/test_watch.py": (
        "a_drop_ends_watches_with_context_gone_at_once",
        "a_watch_delivers_everything_that_several_writers_do",
        "the_present_and_the_live_feed_have_no_gap_and_no_duplicate_between",
    ),
}
"""The tests that run on a Cluster and with Sentinels in short rounds too, without their `test_`."""


def kinds_of(nodeid: str, *, everywhere: bool, long: bool = LONG, asked: tuple[str, ...] = ASKED) -> list[str]:
    """The kinds of targets for a test: in short rounds Valkey and, as its name decides, one other kind.

    `everywhere`, it runs on each kind of server.
    """
    left_out = ("redis", "memory")[crc32(nodeid.encode()) % 2]
    kinds = [kind for kind in KINDS if everywhere or kind != left_out]
    if _is_behaviour(nodeid) if asked or long else _is_selected(nodeid):
        kinds += TOPOLOGIES
    if asked:
        return [kind for kind in (*KINDS, *TOPOLOGIES) if kind in asked and (kind in KINDS or kind in kinds)]
    return kinds


def _is_behaviour(nodeid: str) -> bool:
    return nodeid.startswith(tuple(f"tests/{folder}/" for folder in BEHAVIOUR))


def _is_selected(nodeid: str) -> bool:
    file, _, name = nodeid.removeprefix("tests/").partition("::test_")
    return name in SELECTION.get(file, ())


def raw_client(target: str, key: str) -> redis.Redis:
    """A client of the server behind a target that holds this key, to look at it from outside."""
    parsed = parse_target(target)
    if parsed.kind == "cluster":
        with redis.RedisCluster(host=parsed.endpoint.host, port=parsed.endpoint.port) as cluster:
            node = cluster.get_node_from_key(key)
        return redis.Redis(host=node.host, port=node.port)
    if parsed.kind == "sentinel":
        places = [(seed.host, seed.port) for seed in parsed.seeds]
        return redis.sentinel.Sentinel(places).master_for(parsed.primary)
    return redis.Redis.from_url(target)
