"""Which tests belong to which rounds.

Many tests run in both colours, and on several kinds of servers. In short rounds each runs once: its name decides in which
combination, so that all combinations are met often. Whole programs are left out too. `scripts/test --others` runs what this
leaves out; `scripts/test --long` runs everything.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from zlib import crc32

from tests.support.targets import TOPOLOGIES

__all__ = ["NOT_IN_SHORT_ROUNDS", "OTHERS", "VERSIONS", "Case", "left_out"]

OTHERS = os.environ.get("CCS_TEST_OTHERS") == "1"
"""Whether what short rounds leave out is asked for."""

VERSIONS = "CCS_TEST_VERSIONS" in os.environ
"""Whether versions of dependencies are tried, so that each kind of server counts."""

COMBINED = {"colour", "open_store", "target"}
"""The arguments of a test that are a colour or a kind of server."""

EVERY = ("",)
"""All tests of a file."""

NOT_IN_SHORT_ROUNDS = {
    "tests/mcp/test_clients.py": EVERY,
    "tests/mcp/test_crowd.py": EVERY,
    "tests/mcp/test_web.py": EVERY,
    "tests/ui/test_hostile.py": EVERY,
    "tests/ui/test_page.py": EVERY,
    "tests/access/test_tls.py": ("a_grant_on_a_cluster_that_wants_certificates",),
    "tests/bench/test_bench.py": (
        "every_figure_is_a_number_for_each_round",
        "every_measure_has_figures_of_everybody_who_takes_part",
        "nothing_is_judged_by_one_round_but_what_does_not_vary",
        "nothing_is_left_behind",
        "the_circumstances_are_told",
        "the_pictures_are_drawn",
        "what_is_delivered_is_whole",
        "when_interrupted_it_ends_its_servers",
        "who_is_missing_is_said",
    ),
    "tests/examples/test_claims_and_handoffs.py": (
        "each_document_is_read_once_and_charged_once_though_three_are_killed",
    ),
    "tests/examples/test_leader_election.py": ("when_the_leader_is_killed_the_next_one_leads",),
    "tests/examples/test_market_research.py": (
        "the_report_divides_the_whole_market",
        "the_report_names_those_most_in_demand",
        "the_three_react_to_each_other_in_turn",
    ),
    "tests/examples/test_researcher_writer.py": (
        "events_are_reported_in_the_order_of_their_own_time",
        "the_events_are_found_with_the_published_scores",
        "the_facts_are_found_with_the_published_scores",
        "the_writer_takes_up_each_find_of_the_researcher_while_it_works",
    ),
    "tests/examples/test_tools.py": ("two_agents_answer_each_question_once",),
    "tests/demo/test_demo.py": (
        "a_demo_that_nobody_reads_any_more_ends",
        "a_folder_without_python_files_is_no_error",
        "a_store_of_ones_own_is_used_and_keeps_the_task",
        "a_survey_that_cannot_end_says_so",
        "an_analyst_that_is_killed_has_its_file_taken_over_and_nothing_is_counted_twice",
        "an_analyst_that_dies_on_its_own_is_reported_and_the_survey_ends_without_it",
        "an_interrupted_demo_ends_its_swarm",
        "on_a_terminal_the_view_is_live_and_the_report_stays",
        "the_swarm_does_not_outlive_a_demo_that_is_killed",
        "with_ui_the_web_view_is_opened_on_the_swarm",
    ),
    "tests/ui/test_server.py": ("the_built_wheel_serves_its_files",),
    "tests/deploying/test_backups.py": ("a_copy_of_a_folder_is_a_store_of_its_past[a copy of the closed folder]",),
    "tests/topologies/test_cluster.py": (
        "a_cluster_that_is_gone_is_unavailable_to_listings",
        "a_primary_that_hangs_is_left",
        "a_shard_that_fails_holds_up_no_other",
        "only_a_store_that_watches_asks_for_the_layout_without_a_reason",
    ),
    "tests/topologies/test_cluster_kinds.py": (
        "a_cancelled_caller_leaves_its_connection_as_it_was",
        "a_cluster_with_tls_is_spoken_to_by_tls_alone",
        "hundreds_of_threads_with_a_node_that_hangs_are_told_in_time",
        "nodes_are_found_however_they_name_each_other",
    ),
    "tests/topologies/test_coordination.py": (
        "a_claim_outlives_the_primary_and_goes_to_those_in_line_one_after_the_other",
        "each_message_is_acknowledged_by_one_receiver",
        "what_runs_once_runs_once",
    ),
    "tests/topologies/test_fixtures.py": (
        "a_cluster_may_have_one_node",
        "a_failover_changes_the_roles_and_loses_nothing",
        "a_killed_primary_is_replaced_and_comes_back_as_a_replica",
        "a_paused_primary_is_replaced_and_a_replica_once_it_goes_on",
        "a_paused_replica_is_missed_until_it_goes_on",
        "a_promoted_replica_is_followed_by_the_others",
        "a_replica_takes_the_place_of_a_killed_primary",
        "a_sentinel_that_was_killed_knows_all_others_again",
        "a_slot_moves_with_its_keys",
        "all_of_it_can_be_made_of_redis_7",
        "sentinels_make_another_server_the_primary_when_asked",
        "sentinels_replace_a_killed_primary_which_comes_back_as_a_replica",
        "sentinels_replace_a_paused_primary",
        "servers_of_sentinels_can_be_emptied",
        "whatever_a_test_broke_is_repaired",
    ),
    "tests/topologies/test_sentinels.py": ("a_sentinel_that_has_missed_a_failover_is_outvoted",),
    "tests/topologies/test_storm.py": ("a_store_watch_is_never_silent_about_a_commit",),
}
"""Tests, without their `test_`, all or with these arguments, that short rounds leave out: many others use what they test,
or they run whole programs."""


@dataclass(frozen=True, slots=True)
class Case:
    """A test with its arguments, whose names stand in its own."""

    nodeid: str
    values: Mapping[str, object]

    @property
    def too_long(self) -> bool:
        """Whether short rounds leave it out for itself."""
        file, _, name = self.nodeid.partition("::test_")
        return bool({"", name, name.partition("[")[0]} & set(NOT_IN_SHORT_ROUNDS.get(file, ())))

    def test(self, *, per_kind: bool) -> tuple[str, ...]:
        """Returns what it has in common with those of which one is enough. A Cluster and Sentinels count for themselves."""
        name, _, arguments = self.nodeid.removesuffix("]").partition("[")
        kind = self.values.get("target")
        alone = str(kind) if per_kind or kind in TOPOLOGIES else ""
        rest = arguments.split("-")
        for combined in COMBINED & self.values.keys():
            with suppress(ValueError):
                rest.remove(str(self.values[combined]))
        return name, alone, *rest


def left_out(cases: Sequence[Case], *, others: bool = OTHERS, per_kind: bool = VERSIONS) -> set[str]:
    """Returns the tests that short rounds leave out; or, of `others`, those that they have."""
    groups: dict[tuple[str, ...], list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.test(per_kind=per_kind)].append(case)
    kept = {_one_of(test, group).nodeid for test, group in groups.items()}
    short = {case.nodeid for case in cases if case.nodeid in kept and not case.too_long}
    return {case.nodeid for case in cases if (case.nodeid in short) == others}


def _one_of(test: tuple[str, ...], group: Sequence[Case]) -> Case:
    ordered = sorted(group, key=lambda case: case.nodeid)
    return ordered[crc32("-".join(test).encode()) % len(ordered)]
