"""Which tests run on a Cluster and with Sentinels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.targets import BEHAVIOUR, KINDS, SELECTION, TOPOLOGIES, kinds_of, raw_client
from tests.support.topologies import Cluster, Sentinels

TESTS = Path(__file__).parents[1]
SELECTED = "tests/context/test_transactions.py::test_a_transaction_writes_all_at_once"
OTHER = "tests/context/test_transactions.py::test_set_many_is_one_commit"
FAULT = "tests/faults/test_forks.py::test_x"


@pytest.mark.parametrize("file", SELECTION)
def test_each_test_of_the_short_selection_exists(file: str) -> None:
    text = (TESTS / file).read_text()
    defined = dict(re.findall(r"^(?:async )?def test_(\w+)\((.*?)\)(?: ->|:)", text, re.MULTILINE | re.DOTALL))
    assert file.partition("/")[0] in BEHAVIOUR
    assert SELECTION[file]
    assert set(SELECTION[file]) <= set(defined)


@pytest.mark.parametrize("test", [SELECTED, OTHER, FAULT])
def test_a_test_runs_on_valkey_and_one_more_kind_of_server_and_in_long_rounds_on_all(test: str) -> None:
    short = [kind for kind in kinds_of(test, everywhere=False, long=False, asked=()) if kind in KINDS]
    assert (short[0], len(short)) == ("valkey", 2)
    assert set(kinds_of(test, everywhere=True, long=False, asked=())) - set(TOPOLOGIES) == {*KINDS}


def test_the_selection_runs_on_topologies_too_and_in_long_rounds_all_behaviour_does() -> None:
    def on(test: str, *, long: bool) -> set[str]:
        return set(kinds_of(test, everywhere=long, long=long, asked=())) & set(TOPOLOGIES)

    assert on(SELECTED, long=False) == on(SELECTED, long=True) == on(OTHER, long=True) == set(TOPOLOGIES)
    assert on(OTHER, long=False) == on(FAULT, long=False) == on(FAULT, long=True) == set()


@pytest.mark.parametrize("asked", [("cluster",), ("sentinel", "cluster"), ("valkey", "sentinel"), ("memory",)])
def test_behaviour_runs_on_what_is_asked_for_alone(asked: tuple[str, ...]) -> None:
    for test in (SELECTED, OTHER):
        found = kinds_of(test, everywhere=False, long=False, asked=asked)
        assert (set(found), len(found)) == (set(asked), len(asked))
    assert set(kinds_of(FAULT, everywhere=False, long=False, asked=asked)) == set(asked) & {*KINDS}


def test_a_cluster_is_looked_at_from_outside_whichever_node_has_a_key(cluster: Cluster) -> None:
    for number in range(20):
        with raw_client(cluster.seeds_url, f"k{number}") as client:
            assert client.set(f"k{number}", number)
    assert all(node.ask("DBSIZE") for node in cluster.primaries)


def test_the_primary_of_sentinels_is_looked_at_from_outside(sentinels: Sentinels) -> None:
    with raw_client(sentinels.url, "a") as client:
        client.set("a", 1)
    assert sentinels.primary().ask("GET", "a") == b"1"
