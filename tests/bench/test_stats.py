"""The statistics of the benchmark: what counts as a difference, and what as noise."""

from __future__ import annotations

import doctest
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmarks.stats
from benchmarks.stats import percentile, ratio, spread

numbers = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=30)


def test_the_examples_in_its_docstrings_hold() -> None:
    results = doctest.testmod(benchmarks.stats)
    assert (results.failed, results.attempted > 0) == (0, True)


@given(numbers)
def test_the_median_lies_within_its_spread_and_both_within_the_rounds(rounds: list[float]) -> None:
    one = spread(rounds)
    assert one.median == median(rounds)
    assert min(rounds) <= one.low <= one.median <= one.high <= max(rounds)
    assert one.rounds == len(rounds)


def test_one_outlier_of_five_rounds_widens_nothing() -> None:
    assert spread([10, 11, 12, 13, 1_000]).high == 13


def test_a_ratio_is_taken_round_by_round_so_that_a_slow_machine_cancels_out() -> None:
    naive = [100.0, 400.0, 200.0, 1_000.0, 50.0]
    twice_as_fast = [each / 2 for each in naive]
    gain = ratio(naive, twice_as_fast)
    assert (gain.median, gain.low, gain.high) == (2.0, 2.0, 2.0)


def test_rounds_that_do_not_belong_together_are_not_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("rounds", "at_least", "verdict"),
    [
        ([1.4, 1.5, 1.6], True, "met"),
        ([1.4, 1.5, 1.6], False, "missed"),
        ([1.0, 1.1, 1.2], True, "missed"),
        ([1.0, 1.1, 1.2], False, "met"),
        ([1.1, 1.3, 1.5], True, "within noise"),
        ([1.1, 1.3, 1.5], False, "within noise"),
        ([1.3, 1.3, 1.3], True, "met"),
        ([1.3, 1.3, 1.3], False, "met"),
    ],
)
def test_a_bar_within_the_spread_is_neither_met_nor_missed(rounds: list[float], at_least: bool, verdict: str) -> None:
    assert spread(rounds).verdict(1.3, at_least=at_least) == verdict


def test_a_difference_counts_only_beyond_the_spread() -> None:
    assert not spread([0.9, 1.0, 1.2]).differs(1.0)
    assert spread([1.1, 1.15, 1.2]).differs(1.0)


@given(st.lists(st.integers(), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_sample_that_that_share_does_not_exceed(samples: list[int], share: float) -> None:
    found = percentile(samples, share)
    assert found in samples
    assert sum(each <= found for each in samples) >= share * len(samples)
    assert sum(each < found for each in samples) < max(1, share * len(samples))
