"""A short round of everything, broken all the time; and what a round stands on. `scripts/torture` plays long ones."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.waiting import counts
from tests.torture.arenas import ARENAS
from tests.torture.checks import check
from tests.torture.diary import Diary, read_diaries
from tests.torture.history import History
from tests.torture.nemesis.nemesis import Nemesis
from tests.torture.nemesis.schedule import schedule
from tests.torture.report import judged, report
from tests.torture.rounds import Plan, Round, play

SHORT = ("kill -9 a process", "kill -9 a primary", "cut replies", "stop a process")


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files, and looks into /proc")
@pytest.mark.parametrize("topology", counts(["single"], [*ARENAS]))
def test_a_round_is_clean(topology: str, tmp_path: Path) -> None:
    """Given everything at once while processes, servers and links fail, then no promise is broken."""
    kinds = counts(SHORT, ())
    plan = Plan(
        topology, 1, counts(400, 10_000), counts(4, 20), counts(4, 10), counts(4, 8), 1, kinds, counts(0.5, 3.0)
    )
    played = play(plan, tmp_path)
    result = judged(played, check(played.history))
    assert result.clean, report([result])
    assert f"{result.operations.total():,} operations, {plan.faults} faults, 0 violations" in report([result])


def test_a_round_with_too_little_is_invalid_and_not_clean() -> None:
    played = Round(Plan("single", 1, operations=10, faults=2), operations=10, faults=Counter(kill=1))
    result = judged(played, {})
    assert not result.clean
    assert "INVALID" in report([result])
    played.faults["kill"] += 1
    assert result.clean


def test_a_seed_gives_the_same_faults_and_each_kind_its_turn() -> None:
    kinds = ARENAS["cluster"].kinds
    faults = schedule("7/cluster", kinds, 50)
    assert faults == schedule("7/cluster", kinds, 50)
    assert faults != schedule("8/cluster", kinds, 50)
    times = Counter(fault.kind for fault in faults)
    assert times.keys() == set(kinds)
    assert max(times.values()) - min(times.values()) <= 1


def test_every_fault_of_every_arena_can_be_made() -> None:
    assert {kind for arena in ARENAS.values() for kind in arena.kinds} == Nemesis.KINDS.keys()


def test_a_diary_that_was_cut_off_in_a_note_loses_only_that(tmp_path: Path) -> None:
    diary = Diary(tmp_path, "p")
    for number in (1, 2):
        assert diary.ask("ann", "set", "/tasks/a", 0, {"n": number}) == number
        diary.answer(number, "ok", 5, {"revision": 5})
    file = tmp_path / "p.notes"
    file.write_bytes(file.read_bytes()[:-1])
    history = History()
    read_diaries(tmp_path, history)
    assert [(call.args, call.outcome) for call in history.calls] == [({"n": 1}, "ok"), ({"n": 2}, "")]
