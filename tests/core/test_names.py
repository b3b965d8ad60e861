"""The names that users give: any text, as long and as deep as `docs/coordination.md` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ccs
from ccs._core.names.address import check_path
from ccs._core.names.system_paths import as_segment, system_path
from ccs._core.recipes.agreement import ballot_of
from ccs._core.recipes.barrier import arrival_at
from ccs._core.recipes.claim import site_of
from ccs._core.recipes.inbox import inbox_paths
from ccs._core.recipes.once import request_of, terms_of

LONG, DEEP = "n" * 768, "/".join("n" * 57)
TERMS = terms_of(60, 60, 3, None, None)
ID = "f" * 16


def claim_paths(name: str) -> list[str]:
    return [site_of(name).path, site_of(name).ticket(ID)]


def once_paths(name: str) -> list[str]:
    request = request_of(name, None, TERMS)
    return [request.record, request.run]


def inbox_at(name: str) -> list[str]:
    return [inbox_paths(name).at("deliveries", f"{10**16}-{ID}-1000")]


def memory_at(name: str) -> list[str]:
    return [system_path(f"@episodes/{10**16}", name)]


def barrier_paths(name: str) -> list[str]:
    return [arrival_at(name, ID, 2, 15.0).path]


def agreement_paths(name: str) -> list[str]:
    ballot = ballot_of(name, ["p" * 232], "p" * 232, True, 30)
    return [ballot.decision, ballot.vote_of("p" * 232)]


PATHS = [claim_paths, once_paths, inbox_at, memory_at]
SEGMENTS = [barrier_paths, agreement_paths]


@pytest.mark.parametrize("paths", [*PATHS, *SEGMENTS])
def test_a_name_as_long_as_allowed_makes_legal_paths_and_the_error_for_a_longer_one_tells_the_limit(
    paths: Callable[[str], list[str]],
) -> None:
    for longest in LONG, "%" * 256, "ü" * 384:
        for path in paths(longest):
            check_path(path)
        with pytest.raises(ccs.InvalidPath, match="bytes, over the limit of 768: shorten it"):
            paths(f"{longest}n")


@pytest.mark.parametrize("paths", PATHS)
def test_a_name_as_deep_as_allowed_makes_legal_paths_and_the_error_for_a_deeper_one_tells_the_limit(
    paths: Callable[[str], list[str]],
) -> None:
    for path in paths(DEEP):
        check_path(path)
    with pytest.raises(ccs.InvalidPath, match="has 58 segments, over the limit of 57: use fewer slashes"):
        paths(f"{DEEP}/n")


@pytest.mark.parametrize("paths", SEGMENTS)
def test_a_name_of_one_segment_may_have_any_number_of_slashes(paths: Callable[[str], list[str]]) -> None:
    for path in paths("/" * 256):
        check_path(path)


@pytest.mark.parametrize("name", ["", None, 7, b"n", "\ud800"])
def test_an_invalid_name_is_refused(name: Any) -> None:
    for make in (lambda: system_path("@claims", name), lambda: as_segment(name)):
        with pytest.raises(ccs.InvalidPath, match=r"is not a name: give some text|lone surrogate"):
            make()
