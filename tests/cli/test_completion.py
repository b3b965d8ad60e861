"""Completion: the scripts are current and work in their shells; addresses and paths come from the store, or nothing does."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

import ccs
from ccs.cli.commands.completion import FILES
from ccs.cli.completing import PLACES, words_in
from ccs.cli.completion_scripts import script
from ccs.cli.table import SUMMARIES, command
from tests.cli.conftest import Run
from tests.cli.programs import CCS
from tests.support.servers import free_port
from tests.support.waiting import scaled


@pytest.mark.parametrize("shell", FILES)
def test_the_committed_scripts_are_current(shell: str, run: Run) -> None:
    """Given a command that has changed, `scripts/completion` was run."""
    committed = (files("ccs.cli") / "completions" / FILES[shell]).read_text("utf-8")
    assert committed == script(shell)
    assert run("completion", shell).out == committed
    assert all(name in committed for name in SUMMARIES)


def test_an_unknown_shell_is_a_usage_error(run: Run) -> None:
    assert run("completion", "tcsh").code == 2


class _Positionals(argparse.ArgumentParser):
    """Notes which positional arguments a command takes."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.places: list[str] = []
        command(name).arguments(self)

    def add_argument(self, *names: str, **how: object) -> argparse.Action:  # type: ignore[override]
        if not names[0].startswith("-"):
            self.places.append(names[0])
        return super().add_argument(*names, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(SUMMARIES))
def test_what_is_completed_at_each_place_is_what_the_command_takes_there(name: str) -> None:
    taken = {"address": "address", "path": "path", "patterns": "paths", "pattern": "address"}
    expected = [taken.get(place, "") for place in _Positionals(name).places]
    while expected and not expected[-1]:
        expected.pop()
    assert list(PLACES.get(name, ())) == expected


def test_addresses_and_paths_are_completed(task: ccs.Context, store: ccs.Store, run: Run) -> None:
    store.task("43").set("a", 1)
    store.global_context().set("settings/x", 1)
    task.set("odd [name]/x", 1)
    assert run("_complete", "ls", "/t").lines == ["/tasks/"]
    assert run("_complete", "ls", "").lines == ["/tasks/", "/sessions/", "/actors/", "/global"]
    assert run("_complete", "ls", "/tasks/4").lines == ["/tasks/42", "/tasks/43"]
    assert run("_complete", "get", "/tasks/4").lines == ["/tasks/42/", "/tasks/43/"]
    assert run("_complete", "get", "/tasks/42/").lines == [
        "/tasks/42/odd [name]/",
        "/tasks/42/sources/",
        "/tasks/42/status",
    ]
    assert run("_complete", "get", "/tasks/42/sources/").lines == ["/tasks/42/sources/a", "/tasks/42/sources/b"]
    assert run("_complete", "get", "/tasks/42/odd [").lines == ["/tasks/42/odd [name]/"]
    assert run("_complete", "get", "/global/s").lines == ["/global/settings/"]
    assert run("_complete", "ls", "/tasks/42", "so").lines == ["sources/"]
    assert run("_complete", "diff", "/tasks/42", "15m", "--json", "st").lines == ["status"]
    assert run("_complete", "rm", "/tasks/42", "sources/a", "sources/").lines == ["sources/a", "sources/b"]
    assert run("_complete", "grant", "ann", "--read", "/tasks/4").lines == ["/tasks/42", "/tasks/43"]


def test_nothing_is_completed_where_there_is_nothing_to_complete(task: ccs.Context, run: Run, tmp_path: Path) -> None:
    for words in (["get"], ["get", "/tasks/42/status", ""], ["send", "/tasks/42", ""], ["nosuch", "/"], ["diff", "/tasks/42", ""],
                  ["get", "tasks/42"], ["get", "/tasks/nosuch/"], ["ls", "--agent", "/"], []):  # fmt: skip
        assert run("_complete", *words) == (0, "", "")
    dead = f"redis://127.0.0.1:{free_port()}"
    for target in (dead, str(tmp_path / "nosuch"), "redis:oops", "redis://["):
        assert run("_complete", "get", "--store", target, "/tasks/4") == (0, "", "")
    assert os.listdir(tmp_path) == []


def test_a_folder_whose_server_does_not_run_completes_nothing_and_starts_none(tmp_path: Path, run: Run) -> None:
    (tmp_path / ".ccs").mkdir(mode=0o700)
    assert run("_complete", "get", "--store", str(tmp_path), "/tasks/4") == (0, "", "")
    assert os.listdir(tmp_path / ".ccs") == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ccs get /tasks/4", ["get", "/tasks/4"]),
        ("ccs get ", ["get", ""]),
        ("ccs ls /tasks/42 'sources/", ["ls", "/tasks/42", "sources/"]),
        ('ccs --store "a b', ["--store", "a b"]),
        (r"ccs get /tasks/a\ b", ["get", "/tasks/a b"]),
    ],
)
def test_a_line_of_bash_is_split_as_bash_does(line: str, words: list[str]) -> None:
    assert words_in(line) == words


BASH = """
. {script}
complete_line() {{
    COMP_LINE=$1 COMP_POINT=${{#1}}
    read -ra COMP_WORDS <<<"$1"
    [[ $1 == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    COMPREPLY=()
    _ccs 2>/dev/null
    (IFS='|'; echo "${{COMPREPLY[*]}}")
}}
PATH={folder}:$PATH
complete_line 'ccs hist'
complete_line 'ccs get --retry'
complete_line 'ccs completion z'
complete_line 'ccs --json get /tasks/42/sources/'
"""


def test_bash_completes(task: ccs.Context, valkey: str, namespace: str) -> None:
    bash = shutil.which("bash")
    if not bash:
        pytest.skip("no bash on the PATH")
    program = BASH.format(script=_committed("bash"), folder=Path(CCS).parent)
    done = subprocess.run(
        [bash, "--norc", "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "CCS_URL": valkey, "CCS_NAMESPACE": namespace},
        timeout=scaled(60),
    )
    assert done.stdout.splitlines() == [
        "history",
        "--retry-for",
        "zsh",
        "/tasks/42/sources/a|/tasks/42/sources/b",
    ], done.stderr


def test_fish_completes(task: ccs.Context, valkey: str, namespace: str) -> None:
    fish = shutil.which("fish")
    if not fish:
        pytest.skip("no fish on the PATH")
    lines = ("ccs hist", "ccs get --retry", "ccs get /tasks/42/sources/")
    program = f"source {_committed('fish')}; " + "; ".join(f"complete -C '{line}'; echo ." for line in lines)
    done = subprocess.run(
        [fish, "--no-config", "-c", program],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "CCS_URL": valkey,
            "CCS_NAMESPACE": namespace,
            "PATH": f"{Path(CCS).parent}:{os.environ['PATH']}",
        },
        timeout=scaled(60),
    )
    first, second, third, _ = done.stdout.split(".\n")
    assert first.startswith("history\t")
    assert second.startswith("--retry-for")
    assert third.split() == ["/tasks/42/sources/a", "/tasks/42/sources/b"], done.stderr


def test_the_script_for_zsh_is_one(task: ccs.Context) -> None:
    zsh = shutil.which("zsh")
    if not zsh:
        pytest.skip("no zsh on the PATH")
    program = f"autoload -U compinit; compinit -u -D; source {_committed('zsh')}; print $_comps[ccs]"
    done = subprocess.run([zsh, "-f", "-c", program], capture_output=True, text=True, timeout=scaled(60))
    assert (done.stdout, done.stderr) == ("_ccs\n", "")


def _committed(shell: str) -> Path:
    return Path(str(files("ccs.cli") / "completions" / FILES[shell]))
