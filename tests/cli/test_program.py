"""The conventions that all commands share, in this process, in a pipe, and in a terminal."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ccs
from ccs.cli import opened
from ccs.cli.program import parser_of
from ccs.cli.table import GROUPS, SUMMARIES, command
from tests.cli.conftest import Run
from tests.cli.programs import CCS, InTerminal, in_pipe, in_terminal
from tests.support.servers import PrivateServer, free_port
from tests.support.waiting import counts, eventually, scaled

COMMANDS = {
    "read": ["ls", "tree", "get", "at", "diff", "history", "tail", "wait", "briefing"],
    "write": ["set", "merge", "rm", "publish", "send"],
    "together": ["claims", "inbox", "members", "policies"],
    "whole": ["contexts", "info", "finish", "drop", "fork", "export", "import"],
    "operate": ["top", "doctor", "stats", "grant", "revoke", "grants", "completion"],
}


def test_all_commands_are_there() -> None:
    for group, names in COMMANDS.items():
        assert set(names) <= set(GROUPS[group])


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_help_of_each_command_has_an_example_that_parses(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = run(name, "--help")
    example = command(name).EXAMPLE
    assert ran.code == 0
    assert f"example:\n  {example}" in ran.out
    assert "options of every command" in ran.out
    assert all(len(line) <= 130 for line in ran.lines)
    spelled = re.search(rf"ccs {name}(.*?)(?: [<>].*|\)\"|$)", example)
    assert spelled
    parser_of(name)[1].parse_intermixed_args(shlex.split(spelled[1]))


def test_the_help_of_all_lists_each_command(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    assert all(f"  {name}" in ran.out and summary in ran.out for name, summary in SUMMARIES.items())
    assert run("--version").out.strip().count(".") == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["nosuch"], "'nosuch'"),
        (["gte", "/tasks/42/a"], "did you mean 'get'?"),
        (["get", "/tasks/42/a", "--nosuch"], "--nosuch"),
        (["get", "/tasks/42/a", "--retry-for", "soon"], "15m"),
        (["get", "/tasks/42/a", "--stor", "x"], "--stor"),
        (["get", "/tasks/42/a", "more"], "more"),
        (["ls", "/tasks/42", "--store", "redis:oops"], "looks like a server"),
        (["ls", "/tasks/42", "--namespace", ""], "namespace"),
    ],
)
def test_wrong_use_is_two_and_says_what_is_wrong(run: Run, arguments: list[str], says: str) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


def test_common_options_stand_before_or_after_the_command_and_win_over_the_environment(
    task: ccs.Context, run: Run, namespace: str, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("CCS_NAMESPACE", "other")
    where = ("--store", valkey, "--namespace", namespace)
    assert run(*where, "get", "/tasks/42/status").out == "open\n"
    assert run("--json", "get", *where, "/tasks/42/status").objects[0]["value"] == "open"
    assert run("ls", "/tasks/42", *where, "sources/*").lines == ["sources/a", "sources/b"]
    run("set", "/tasks/42/by", "1", *where, "--agent", "carl")
    assert task.entry("by").agent == "carl"  # type: ignore[union-attr]


def test_a_server_that_does_not_answer_is_five_on_one_line(run: Run) -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}"
    for command_line in (["get", "/tasks/42/a"], ["set", "/tasks/42/a", "1"], ["contexts"]):
        ran = run(*command_line, "--store", url, "--retry-for", "50ms")
        assert (ran.code, ran.out, ran.err.count("\n")) == (5, "", 1)
        assert "127.0.0.1" in ran.err
        assert "secret" not in ran.err


def test_a_timeout_shortens_the_patience_with_a_server_that_does_not_answer(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "_SHORTEST", 0.05)
    began = time.monotonic()
    assert run("get", "/tasks/42/a", "--store", f"redis://127.0.0.1:{free_port()}", "--timeout", "50ms").code == 5
    assert time.monotonic() - began < 4.5  # not the five seconds of --retry-for


def test_looking_at_a_folder_makes_no_store_and_writing_makes_one(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "brain"
    looking = (["ls", "/tasks/42"], ["contexts"], ["export", "/tasks/42"], ["rm", "/tasks/42/a"], ["stats"], ["ui"])
    for reading in looking:
        ran = run(*reading, "--store", str(folder))
        assert (ran.code, ran.out) == (3, "")
        assert f"no store in {folder}" in ran.err
    assert not folder.exists()
    assert run("set", "/tasks/42/a", "1", "--store", str(folder)).code == 0
    assert run("get", "/tasks/42/a", "--store", str(folder)).out == "1\n"


def test_forbidden_is_one_and_says_who_may(own_server: PrivateServer, run: Run) -> None:
    with own_server.client() as client:
        client.execute_command("ACL", "SETUSER", "nobody", "on", ">secret", "+ping", "+info", "+client|setname")
    ran = run("set", "/tasks/42/a", "1", "--store", own_server.url.replace("://", "://nobody:secret@"))
    assert (ran.code, ran.out) == (1, "")
    assert "nobody" in ran.err
    assert "secret" not in ran.err


# The real program


def test_in_a_pipe_data_is_on_stdout_and_all_else_on_stderr(task: ccs.Context, valkey: str, namespace: str) -> None:
    env = {"CCS_URL": valkey, "CCS_NAMESPACE": namespace}
    done = in_pipe("ls", "-l", "/tasks/42", **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert done.stdout.count("\t") == 3 * 4
    missing = in_pipe("get", "/tasks/42/nosuch", **env)
    assert (missing.returncode, missing.stdout) == (3, "")
    assert missing.stderr == "ccs: there is nothing at /tasks/42/nosuch\n"


def test_in_a_terminal_lines_fit_and_are_coloured_unless_no_color(
    task: ccs.Context, valkey: str, namespace: str
) -> None:
    task.set("long", "x" * 500)
    env = {"CCS_URL": valkey, "CCS_NAMESPACE": namespace}
    shown = in_terminal("tree", "/tasks/42", columns=60, **env)
    assert shown.code == 0
    assert "\x1b[" in shown.text
    plain = in_terminal("tree", "/tasks/42", columns=60, NO_COLOR="1", **env)
    assert "\x1b" not in plain.text
    assert max(map(len, plain.text.splitlines())) <= 60
    assert "…" in plain.text


def test_what_an_agent_wrote_does_not_reach_the_terminal_as_a_command(
    task: ccs.Context, valkey: str, namespace: str
) -> None:
    task.set("evil", "\x1b]0;title\x07\x9b31mred\nsecond line")
    env = {"CCS_URL": valkey, "CCS_NAMESPACE": namespace, "NO_COLOR": "1"}
    shown = in_terminal("get", "/tasks/42/evil", **env)
    assert shown.text == "\\x1b]0;title\\x07\\x9b31mred\nsecond line\n"


def test_ctrl_c_in_a_terminal_ends_with_130_and_no_word(valkey: str, namespace: str) -> None:
    env = {"CCS_URL": valkey, "CCS_NAMESPACE": namespace}
    with ccs.connect(valkey, namespace=namespace) as store:
        store.task("42").set("a", 1)
        running = InTerminal([CCS, "tail", "/tasks/42", "--since", "0"], **env)
        running.read_until(lambda text: "a = 1" in text)
        before = running.text
        running.type("\x03")
        shown = running.end()
    assert (shown.code, shown.text.removeprefix(before).strip()) == (130, "^C")


def test_ctrl_c_ends_a_wait_with_130(valkey: str, namespace: str) -> None:
    process = subprocess.Popen(
        [CCS, "wait", "/tasks/42/never", "--store", valkey, "--namespace", namespace],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with ccs.connect(valkey, namespace=namespace) as store:
        store.task("42").set("a", 1)
        _wait_for_a_client(store, 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=scaled(20))
    assert (process.returncode, out, err) == (130, b"", b"")


def _wait_for_a_client(store: ccs.Store, count: int) -> None:
    opening = store.global_context().handle.engine.opening
    channel = store.task("42").handle.keys.channel
    eventually(lambda: opening.run(("PUBSUB", "NUMSUB", channel))[1] >= count - 1, 20, "a subscriber")


def test_a_reader_that_goes_away_is_no_error(task: ccs.Context, valkey: str, namespace: str) -> None:
    task.set_many({f"many/{number:05}": "x" * 100 for number in range(3_000)})
    with subprocess.Popen(
        [CCS, "export", "/tasks/42", "--store", valkey, "--namespace", namespace],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())
        process.stdout.close()
        assert (process.stderr.read(), process.wait(scaled(20))) == (b"", 0)


def test_progress_of_long_work_is_shown_on_a_terminal_alone(
    store: ccs.Store, valkey: str, namespace: str, tmp_path: Path
) -> None:
    task = store.task("42")
    for part in range(10):
        task.set_many({f"many/{part}/{number}": number for number in range(2_000)})
    env = {"CCS_URL": valkey, "CCS_NAMESPACE": namespace}
    target = tmp_path / "out.jsonl"
    shown = InTerminal(["/bin/sh", "-c", f"exec {CCS} export /tasks/42 > {target}"], **env).end()
    assert shown.code == 0
    assert len(target.read_text().splitlines()) == 20_000
    assert re.fullmatch(r"(\r[\d,]+ entries)+\r\x1b\[K|\r\x1b\[K", shown.text)


def test_a_command_imports_only_what_it_needs(task: ccs.Context, valkey: str, namespace: str) -> None:
    program = (
        "import sys; from ccs.cli import main;"
        f"code = main(['get', '/tasks/42/status', '--store', {valkey!r}, '--namespace', {namespace!r}]);"
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=scaled(60))
    loaded = set(done.stderr.split())
    assert (done.returncode, done.stdout) == (0, "open\n")
    assert not loaded & {"pydantic", "redis", "rich", "numpy", "importlib.metadata", "difflib", "fakeredis", "mcp"}
    assert [name for name in loaded if name.startswith("ccs.cli.commands.")] == ["ccs.cli.commands.get"]


def test_version_get_and_completion_take_less_than_twice_as_long_as_import_redis(tmp_path: Path) -> None:
    """By CPU time, on which other work on the machine has less of an influence."""
    folder = str(tmp_path / "brain")
    lines = {
        "redis": [sys.executable, "-c", "import redis"],
        "version": [CCS, "--version"],
        "get": [CCS, "get", "/tasks/42/status", "--store", folder],
        "complete": [CCS, "_complete", "get", "--store", folder, "/tasks/42/s"],
    }
    lines = counts({name: lines[name] for name in ("redis", "get")}, lines)
    took: dict[str, list[float]] = {name: [] for name in lines}
    with ccs.connect(folder) as store:
        store.task("42").set("status", "open")
        for _ in range(counts(2, 15)):
            for name, line in lines.items():
                took[name].append(_cpu_time(line))
    times = {name: min(each) / min(took["redis"]) for name, each in took.items()}
    assert max(times.values()) < 2, times


def _cpu_time(line: list[str]) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
