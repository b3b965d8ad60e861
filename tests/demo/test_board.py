"""What is derived from changes: the board, the account of the feed, the pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from ccs.types import Change
from demo.board import Audit, Board, progress
from demo.live import picture
from demo.measure import measure_source
from demo.view import PlainView, choose_view

Make = Callable[..., Change]

CARD = {"role": "analyst", "pid": 1}
CLAIM = "@claims/files/a.py"
DONE = "@jobs/results/files/a.py"


def taken_by(agent: str) -> dict[str, Any]:
    """The value of a claim's entry."""
    return {"holder": agent, "note": None, "id": "1"}


TAKEN = taken_by("analyst-1")


def _survey(change: Make) -> list[Change]:
    findings = measure_source("a.py", b"def f(:").model_dump()
    return [
        change("agents/analyst-1", CARD),
        change("agents/analyst-2", CARD, agent="analyst-2"),
        change("files/a.py", {"raw": b"a.py"}, agent="surveyor"),
        change("survey/listed", 1, agent="surveyor"),
        change(CLAIM, TAKEN),
        change(CLAIM, op="expire", previous=TAKEN),
        change(CLAIM, taken_by("analyst-2"), agent="analyst-2"),
        change(DONE, findings, agent="analyst-2", revision=90),
        change("files/a.py", op="delete", agent="analyst-2", revision=90),
        change(CLAIM, op="delete", agent="analyst-2", previous=taken_by("analyst-2"), revision=90),
        change("status", "reported", agent="reporter", revision=92),
    ]


def _board(changes: list[Change]) -> Board:
    board = Board()
    for one in changes:
        board.apply(one)
    return board


def test_the_board_follows_a_survey_with_a_takeover(change: Make) -> None:
    board = _board(_survey(change))
    assert (board.listed, board.found, board.done, board.unparsed, board.reported) == (1, 1, 1, 1, True)
    assert board.finished_by == {"a.py": "analyst-2"}
    assert board.lapsed_of == {"a.py": ["analyst-1"]}
    assert board.workers["analyst-2"].files == 1
    assert not board.audit.faults
    assert (board.audit.changes, board.audit.commits, board.audit.expired) == (11, 9, 1)
    assert board.audit.agents == {"analyst-1": 2, "analyst-2": 5, "surveyor": 2, "reporter": 1}


def test_the_progress_tells_of_how_many_files_as_soon_as_it_is_known(change: Make) -> None:
    changes = _survey(change)
    at_first, midway, in_the_end = (
        progress(_board(changes[:2])),
        progress(_board(changes[:3])),
        progress(_board(changes)),
    )
    assert at_first == "looking for the first file"
    assert midway.startswith("0 of 1 files found so far, ")
    assert in_the_end.startswith("1 of 1 files, ")


def test_a_file_counted_twice_is_a_fault(change: Make) -> None:
    changes = _survey(change)
    board = _board([*changes, change(DONE, changes[7].value, revision=99)])
    assert board.audit.faults == ["a.py was counted twice"]


def _audit(changes: list[Change]) -> Audit:
    audit = Audit()
    for one in changes:
        audit.add(one)
    return audit


def test_the_account_finds_what_is_out_of_order_or_there_twice(change: Make) -> None:
    first, second = change("a", 1), change("b", 1)
    assert _audit([first, second]).faults == []
    assert _audit([second, first]).faults == ["revision 1 came after 2"]
    assert _audit([first, first]).faults == ["a came twice in revision 1"]


def test_two_feeds_have_the_same_digest_only_if_they_are_the_same(change: Make) -> None:
    first, second, third = change("a", 1), change("b", 1), change("c", 1)
    digests = [_audit(feed).digest for feed in ([first, second, third], [first, third], [first, second, third])]
    assert digests[0] == digests[2] != digests[1]


def test_the_plain_view_prints_news_and_progress(change: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with PlainView() as view:
        view.draw(_board(_survey(change)))
        view.draw(_board(_survey(change)))
    said = capsys.readouterr().out
    assert said.count("the surveyor has listed 1 files") == 1
    assert said.count("the claim of analyst-1 on a.py has lapsed") == 1
    assert said.count("1 of 1 files") == 1


def test_the_live_picture_shows_names_as_they_are(change: Make) -> None:
    board = _board([*_survey(change), change("@claims/files/[red]x.py", taken_by("analyst-1"), revision=95)])
    board.note_killed("analyst-2", "a.py")
    said = _drawn(picture(board, 1.0))
    assert progress(board) in said
    for expected in ("[red]x.py", "analyst-1", "killed", "the latest changes", "files that do not parse"):
        assert expected in said


def _drawn(shown: Any) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_or_without_rich_the_view_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose_view(plain=False), PlainView)
    monkeypatch.setattr("sys.stdout", _Terminal())
    assert isinstance(choose_view(plain=True), PlainView)
    assert not isinstance(choose_view(plain=False), PlainView)
    monkeypatch.setattr("demo.view.find_spec", lambda name: None)
    assert isinstance(choose_view(plain=False), PlainView)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
