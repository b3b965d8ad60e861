"""Jobs, decided: which entries a pool sees, which job it offers, and how far it has come. No server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import ccs
from ccs._core.names.pattern import compile_patterns
from ccs._core.recipes.claim import site_of
from ccs._core.recipes.jobs import Board, can_be_job, job_path, pool_of, text_of
from ccs.types import Entry, JobProgress

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ODD = ["queue/a", "queue/50%", "queue/%25", "queue/*?", "queue/[a]", "queue/é\U0001f980", "queue/ ", "queue/%"]


def entry(path: str, revision: int = 1, value: Any = None) -> Entry:
    return Entry(path, value, 1, revision, "agent", NOW, NOW)


def offered(board: Board, index: int = 0) -> str | None:
    found = board.pick(index)
    return found.job.path if found else None


@pytest.mark.parametrize("patterns", [("queue/*",), ("**",), ("que*/*",), ("queue/a", "other"), ("{queue,x}/**",)])
def test_a_worker_sees_all_that_concerns_the_jobs_that_match(patterns: tuple[str, ...]) -> None:
    pool = pool_of(patterns)
    seen = compile_patterns(pool.patterns).matches
    assert seen(pool.done)
    assert seen(pool.progress)
    for path in [*ODD, "other"]:
        if pool.matcher.matches(path):
            kinds = (job_path(kind, path) for kind in ("attempts", "later", "dead"))
            for each in (path, *kinds, site_of(path).path, f"{site_of(path).slots}0"):
                assert seen(each), each
        assert not seen(job_path("results", path))


def test_a_worker_sees_little_else() -> None:
    seen = compile_patterns(pool_of(("queue/*",)).patterns).matches
    others = [job_path("attempts", "other/a"), site_of("other/a").path, site_of("a").path, "other/a"]
    assert not any(map(seen, others))


def test_pools_are_known_by_their_patterns_in_any_order() -> None:
    assert pool_of(("b", "a", "b")).name == pool_of(("a", "b")).name != pool_of(("a",)).name


def test_no_other_patterns_have_the_name_of_a_pool() -> None:
    pools = [("a b",), ("a", "b"), ("a%20b",), ("a  b",), ("a ", "b"), ("a", " b"), ("a%", "20b"), ("a %2520b",)]
    assert len({pool_of(patterns).name for patterns in pools}) == len(pools)


@pytest.mark.parametrize(
    ("patterns", "error"),
    [
        ((), ccs.InvalidPattern),
        ((7,), ccs.InvalidPattern),
        (("[a",), ccs.InvalidPattern),
        (("@jobs/**",), ccs.ReservedPath),
    ],
)
def test_patterns_that_name_no_jobs_are_refused(patterns: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        pool_of(patterns)


def test_the_oldest_job_comes_first_and_one_that_comes_back_last() -> None:
    board = Board(pool_of(("queue/*",)))
    for revision, path in enumerate(("queue/b", "queue/a", "queue/c"), 1):
        board.put(path, entry(path, revision))
    assert offered(board) == "queue/b"
    board.put_back("queue/b")
    assert [offered(board), offered(board), offered(board), offered(board)] == ["queue/a", "queue/c", "queue/b", None]


def test_a_younger_job_is_offered_where_others_reach_for_the_oldest() -> None:
    board = Board(pool_of(("queue/*",)))
    for path in ("queue/a", "queue/b"):
        board.put(path, entry(path))
    assert [offered(board, 7), offered(board, 7), offered(board, 7)] == ["queue/b", "queue/a", None]


@pytest.mark.parametrize("path", ODD)
def test_a_job_is_free_unless_it_is_claimed_or_is_to_be_tried_later(path: str) -> None:
    board = Board(pool_of(("queue/*",)))
    later = job_path("later", path)
    claim = site_of(path).path
    slot = f"{site_of(path).slots}1"
    board.put(claim, entry(claim))
    board.put(path, entry(path))
    assert offered(board) is None
    assert board.progress == JobProgress(0, 1, 0, 0)
    board.put(slot, entry(slot))
    board.put(claim, None)
    assert offered(board) is None
    board.put(later, entry(later, 1, 1))
    board.put(slot, None)
    assert offered(board) is None
    assert board.progress == JobProgress(1, 0, 0, 0)
    board.put(path, entry(path, 2))
    assert offered(board) == path, "it was set again, and is a new job"
    board.put(later, entry(later, 3, 2))
    assert offered(board) is None
    board.put(later, None)
    assert offered(board) == path
    assert offered(board) is None, "it was offered, and is set aside"
    board.put(claim, entry(claim, 2))
    board.put(claim, None)
    assert offered(board) == path


def test_attempts_count_for_one_revision_of_a_job() -> None:
    board = Board(pool_of(("queue/*",)))
    path, record = "queue/a", job_path("attempts", "queue/a")
    board.put(path, entry(path, 5))
    board.put(record, entry(record, 6, {"job": 5, "count": 2, "error": "why"}))
    found = board.pick(0)
    assert found
    assert (found.attempts, found.error) == (2, "why")
    board.put(path, entry(path, 9))
    found = board.pick(0)
    assert found
    assert found.attempts == 0


def test_progress_counts_what_the_entries_say() -> None:
    pool = pool_of(("queue/*",))
    board = Board(pool)
    assert board.is_reported, "there is nothing to say yet"
    board.put(pool.done, entry(pool.done, 1, 4))
    assert not board.is_reported
    dead = job_path("dead", "queue/x")
    board.put(dead, entry(dead))
    other = job_path("dead", "queue/x/y")
    board.put(other, entry(other))
    assert board.progress == JobProgress(0, 0, 4, 1)
    board.put("queue/x", entry("queue/x"))
    assert board.progress == JobProgress(1, 0, 4, 0), "its path was set again"
    board.put("queue/x", None)
    board.put(pool.progress, entry(pool.progress, 2, {"waiting": 0, "taken": 0, "done": 4, "dead": 1}))
    assert board.is_reported


def test_a_path_without_room_for_its_entries_is_no_job() -> None:
    assert can_be_job("queue/" + "x" * 700)
    for path in ("queue/" + "x" * 1000, "queue/" + "x/" * 60 + "x"):
        assert not can_be_job(path)
    board = Board(pool_of(("queue/**",)))
    board.put("queue/" + "x" * 1000, entry("queue/" + "x" * 1000))
    assert offered(board) is None


def test_an_error_is_some_text_or_an_exception() -> None:
    assert text_of("broken") == "broken"
    assert text_of(ValueError("broken")) == "ValueError: broken"
    assert text_of("x" * 5_000) == "x" * 1_000
    assert text_of("lone \ud800") == r"lone \ud800"
    assert len(text_of("\ud800" * 5_000)) == 1_000
    for wrong in ("", None, 7):
        with pytest.raises(ccs.InvalidValue, match="error"):
            text_of(wrong)
