"""The benchmark in its short mode, as a user runs it: every measure yields its numbers, and nothing stays behind."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.awake import awake
from benchmarks.cli import main
from benchmarks.contenders import CONTENDERS
from benchmarks.measures.table import MEASURES
from benchmarks.outcome import FigureOutcome, Outcome
from tests.support.servers import PrivateServer
from tests.support.waiting import counts, eventually, scaled

OURS = {"ccs", "ccs.aio", "naive", "naive.aio", "bare", "bare.aio"}  # with nothing but what the tests need


@dataclass
class Told:
    """What a run of the benchmark said, the outcome that it wrote, and what it left behind."""

    code: int
    out: str
    err: str
    outcome: Outcome
    left: list[Path]


def surroundings(folder: Path) -> dict[str, str]:
    """An environment without other servers, in which whatever stays behind can be seen."""
    folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if name != "CCS_BENCH_NATS"}
    return {**kept, "TMPDIR": str(folder), "PATH": "/nowhere"}


def bench(folder: Path, *arguments: object) -> Told:
    """Runs the short mode to its end."""
    file, scratch = folder / "outcome.json", folder / "scratch"
    command = [sys.executable, "-m", "benchmarks", "--short", "--json", str(file), *map(str, arguments)]
    environment = surroundings(scratch)
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(120), env=environment, check=False)
    assert file.exists(), done.stderr
    outcome = Outcome.model_validate(json.loads(file.read_text()))
    return Told(done.returncode, done.stdout, done.stderr, outcome, list(scratch.iterdir()))


MEASURED = counts(["get", "latency", "delivery", "mirror"], list(MEASURES))
"""The measures of the one run that most tests look at: in long rounds all."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One run of the measures."""
    return bench(tmp_path_factory.mktemp("bench"), "--only", ",".join(MEASURED))


def test_every_measure_has_figures_of_everybody_who_takes_part(whole: Told) -> None:
    there = {one.name for one in whole.outcome.contenders if one.missing is None}
    expected = {(measure, one.name) for one in CONTENDERS for measure in one.takes if one.name in there}
    expected = {(measure, name) for measure, name in expected if measure in MEASURED}
    assert {(one.key.partition("/")[0], one.contender) for one in whole.outcome.figures} == expected
    assert {measure for measure, _ in expected} == set(MEASURED)
    assert there >= OURS


def test_every_figure_is_a_number_for_each_round(whole: Told) -> None:
    assert [one for one in whole.outcome.figures if not is_sound(one)] == []


def is_sound(figure: FigureOutcome) -> bool:
    numbers = [*figure.rounds, figure.median, figure.low, figure.high]
    return len(figure.rounds) == 1 and all(math.isfinite(number) and number >= 0 for number in numbers)


def test_what_is_delivered_is_whole(whole: Told) -> None:
    delivered = {one.contender: one.rounds for one in whole.outcome.figures if one.key == "delivery/whole"}
    assert delivered == {"ccs": [100.0], "ccs.aio": [100.0]}


def test_nothing_is_judged_by_one_round_but_what_does_not_vary(whole: Told) -> None:
    verdicts = {bar.what: bar.verdict for bar in whole.outcome.bars}
    assert {what for what, verdict in verdicts.items() if verdict == "met"} == {
        "all delivered, in order, each once, %, ccs",
        "all delivered, in order, each once, %, ccs.aio",
    }
    assert set(verdicts.values()) == {"met", "too few rounds"}


def test_who_is_missing_is_said(whole: Told) -> None:
    missing = {one.name: one.missing for one in whole.outcome.contenders}
    assert missing["nats.aio"] == "no nats-server on the PATH"
    assert "missing: no nats-server on the PATH" in whole.out


def test_the_circumstances_are_told(whole: Told) -> None:
    outcome, server = whole.outcome, whole.outcome.servers["valkey"]
    assert (whole.code, outcome.short, outcome.rounds) == (0, True, 1)
    assert {"python", "collaborative-context-store", "redis", "hiredis"} <= set(outcome.versions)
    assert (server.address, server.durability) == ("a unix socket", "append-only file, fsync once a second")
    assert outcome.machine.cores >= 1
    for text in (outcome.machine.cpu, server.version, "load average", "put → callback", "short mode", "Bars"):
        assert text in whole.out


def test_nothing_is_left_behind(whole: Told) -> None:
    assert whole.left == []


def test_a_server_that_is_given_is_measured_and_keeps_only_what_was_its_own(
    tmp_path: Path, own_server: PrivateServer
) -> None:
    with own_server.client() as client:
        client.set("theirs", 1)
        told = bench(tmp_path, "--only", "latency", "--rounds", 2, "--server", own_server.url)
        assert client.keys() == [b"theirs"]
    assert told.outcome.servers["valkey"].address == "TCP"
    assert {len(one.rounds) for one in told.outcome.figures} == {2}
    assert {one.key.partition("/")[0] for one in told.outcome.figures} == {"latency"}
    assert "latency: round 2 of 2" in told.err


@pytest.mark.skipif(sys.platform != "linux", reason="needs a priority below all others")
def test_the_processors_can_be_kept_awake_until_the_end(tmp_path: Path) -> None:
    before = children()
    with awake():
        spinning = children() - before
        assert len(spinning) == len(os.sched_getaffinity(0))
        eventually(lambda: all(os.sched_getscheduler(pid) == os.SCHED_IDLE for pid in spinning), 10, "idle priority")
    assert not spinning & children()


def children() -> set[int]:
    pid = os.getpid()
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_the_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    told = bench(tmp_path, "--only", "latency", "--plots", tmp_path / "pictures")
    assert [file.name for file in (tmp_path / "pictures").iterdir()] == ["latency.png"]
    assert told.code == 0


def test_the_list_names_all_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(MEASURES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "putt"], "putt is no measure; they are put, get"),
        (["--rounds", "0"], "not a number from 1 on"),
        (["--json", "/no/such/folder/x.json"], "cannot be written"),
        (["--plots", "/dev/null/x"], "cannot be a folder"),
    ],
)
def test_wrong_usage_says_what_is_wrong(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "put", "--short", "--plain", "--server", "redis://127.0.0.1:1"]) == 2
    assert "there is no server to measure" in capsys.readouterr().err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_when_interrupted_it_ends_its_servers(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "benchmarks", "--short", "--rounds", "1000", "--only", "put"]
    environment = surroundings(tmp_path / "tmp")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert any("round 1 of 1000" in line for line in process.stderr)
        process.send_signal(how)
        said = process.stderr.read()
        assert process.wait(scaled(30)) == 130
    assert "interrupted; the servers have been ended\n" in said
    eventually(lambda: not list((tmp_path / "tmp").iterdir()), 10, "the folders to go")
