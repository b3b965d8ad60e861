"""`ccs tail`, run as users run it: what it prints, when it ends, and how it reports an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

import ccs
from ccs import cli
from ccs._sync.changes.watch_kinds import StoreTail
from ccs.cli.change_lines import as_fields, as_text
from ccs.cli.output import as_json
from ccs.types import Change
from tests.support.servers import PrivateServer, free_port
from tests.support.waiting import eventually, scaled


class Tail:
    """A running `ccs tail`, its lines as they come."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "ccs.cli", "--retry-for", "1", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONUTF8": "1", **environment},
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True)
            for pipe, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: Iterator[str], lines: list[str]) -> None:
        for line in pipe:
            lines.append(line.rstrip("\n"))  # noqa: PERF401  # as they come

    def wait(self, count: int) -> list[str]:
        eventually(lambda: len(self.lines) >= count or self.process.poll() is not None, 20, f"{count} lines")
        assert len(self.lines) >= count, (self.lines, self.errors)
        return self.lines[:count]

    def live(self, ctx: ccs.Context) -> Tail:
        """Writes to a path of its own until the first line shows that it receives."""
        for number in range(2_000):
            ctx.set("live", number)
            if self.lines:
                break
            assert self.process.poll() is None, self.errors
            time.sleep(0.01)
        last = ctx.set("live", "it is").revision
        eventually(lambda: any(str(last) in line for line in self.lines), 10, "the last of them")
        self.lines.clear()
        return self

    def end(self, timeout: float = 20.0) -> int:
        code = self.process.wait(scaled(timeout))
        for reader in self._readers:
            reader.join(scaled(5))
        return code

    def close(self) -> None:
        self.process.kill()
        self.end()
        assert self.process.stdout
        assert self.process.stderr
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def tail(valkey: str, namespace: str) -> Iterator[Callable[..., Tail]]:
    with ExitStack() as stack:

        def start(*arguments: str, store: str = valkey, **environment: str) -> Tail:
            running = Tail("tail", *arguments, "--store", store, "--namespace", namespace, **environment)
            stack.callback(running.close)
            return running

        yield start


@pytest.fixture
def store(valkey: str, namespace: str) -> Iterator[ccs.Store]:
    with ccs.connect(valkey, agent="writer", namespace=namespace) as store:
        yield store


def test_it_prints_changes_as_they_come(store: ccs.Store, tail: Callable[..., Tail]) -> None:
    ctx = store.task("42")
    running = tail("/tasks/42").live(ctx)
    entry = ctx.set("status", "open")
    ctx.set("status", {"a": [1, None]})
    ctx.delete("status")
    lines = running.wait(3)
    assert all("  writer  " in line for line in lines)
    assert str(entry.revision) in lines[0]
    assert lines[0].endswith('set /tasks/42/status = "open"')
    assert lines[1].endswith('set /tasks/42/status = {"a": [1, null]}  (was "open")')
    assert lines[2].endswith('delete /tasks/42/status  (was {"a": [1, null]})')


def test_since_zero_begins_at_the_beginning_and_a_pattern_chooses(store: ccs.Store, tail: Callable[..., Tail]) -> None:
    ctx = store.task("42")
    for number in range(3):
        ctx.set_many({"a/x": number, "b": number})
    second = ctx.history("b")[1].revision
    everything = tail("/tasks/42", "--since", "0").wait(6)
    assert [line.split()[4] for line in everything] == ["/tasks/42/a/x", "/tasks/42/b"] * 3
    assert [line.split()[6] for line in tail("/tasks/42", "a/*", "--since", "0").wait(3)] == ["0", "1", "2"]
    last = tail("/tasks/42", "b", "--since", str(second)).wait(1)
    assert last[0].endswith("set /tasks/42/b = 2  (was 1)")


def test_json_is_one_object_a_line_whatever_the_value(store: ccs.Store, tail: Callable[..., Tail]) -> None:
    ctx = store.task("42")
    values = [
        "ü\n\u2028",
        b"\x00\xff",
        {1: 2, b"k": {None: 1}},
        {"set": {1}},
        Decimal("1.5"),
        float("nan"),
        2**80,
        None,
    ]
    for value in values:
        ctx.set("p", value)
    ctx.set("new\nline", 1)
    lines = [
        json.loads(line, parse_constant=pytest.fail) for line in tail("/tasks/42", "--json", "--since", "0").wait(9)
    ]
    assert [line["op"] for line in lines] == ["set"] * 9
    first, second = lines[:2]
    assert set(first) == {
        *("context", "path", "op", "value", "previous", "created", "version", "revision", "agent", "at")
    }
    assert (first["value"], first["created"], first["agent"]) == ("ü\n\u2028", True, "writer")
    assert (second["previous"], second["version"], second["context"]) == ("ü\n\u2028", 2, "/tasks/42")
    assert lines[2]["value"] == {"1": 2, "b'k'": {"None": 1}}
    assert (lines[3]["value"], lines[4]["value"], lines[6]["value"]) == ({"set": [1]}, "1.5", 2**80)
    assert lines[8]["path"] == "new\nline"


def test_it_prints_events_in_order_with_the_changes(store: ccs.Store, tail: Callable[..., Tail]) -> None:
    ctx = store.task("42")
    ctx.set("data/x", 1)
    with ctx.transaction() as tx:
        tx.set("data/y", 2)
        tx.publish("data/ready\x1b[31m", {"rows": 3})
    ctx.publish("other", None)
    expected = [
        "set /tasks/42/data/x = 1",
        "set /tasks/42/data/y = 2",
        'event /tasks/42/data/ready\\x1b[31m = {"rows": 3}',
        "event /tasks/42/other = null",
    ]
    lines = tail("/tasks/42", "--since", "0").wait(4)
    assert [line.split("  ")[3] for line in lines] == expected
    assert f"  {tx.revision}  writer  event " in lines[2]
    assert [line.split()[3] for line in tail("/tasks/42", "data/*", "--since", "0").wait(3)] == ["set", "set", "event"]
    (*_, told) = map(json.loads, tail("/tasks/42", "--since", "0", "--json").wait(4))
    assert {name: told[name] for name in ("op", "topic", "data", "agent", "context")} == {
        "op": "event",
        "topic": "other",
        "data": None,
        "agent": "writer",
        "context": "/tasks/42",
    }


def test_wildcards_in_the_address_follow_events_too(store: ccs.Store, tail: Callable[..., Tail]) -> None:
    running = tail("/tasks/*").live(store.task("42"))
    store.task("42").publish("a", 1)
    store.task("new").publish("b", 2)
    store.task("42").set("c", 3)
    store.task("42").drop()
    wanted = {"event /tasks/42/a = 1", "event /tasks/new/b = 2", "set /tasks/42/c = 3", "gone /tasks/42"}
    assert {line.split("  ")[3] for line in running.wait(4)} == wanted


def test_text_holds_no_control_characters(store: ccs.Store, tail: Callable[..., Tail]) -> None:
    ctx = store.task("42")
    ctx.set("path\nwith\x1b[31m", "value\x1b[31m\n")
    ctx.set("plain ü", 1)
    first, second = tail("/tasks/42", "--since", "0").wait(2)
    assert "\x1b" not in first
    assert "/tasks/42/path\\nwith\\x1b[31m" in first
    assert "/tasks/42/plain ü = 1" in second


def test_wildcards_in_the_address_follow_all_contexts_that_match(store: ccs.Store, tail: Callable[..., Tail]) -> None:
    running = tail("/tasks/*", "status", "live").live(store.task("first"))
    store.task("other").set("status", 1)
    store.task("other").set("unmatched", 1)
    store.session("no").set("status", 1)
    store.task("other").drop()
    lines = running.wait(2)
    assert lines[0].endswith("set /tasks/other/status = 1")
    assert lines[1].endswith("gone /tasks/other")


def test_it_ends_by_itself_with_the_context_it_follows(store: ccs.Store, tail: Callable[..., Tail]) -> None:
    finished, dropped = store.task("finished"), store.task("dropped")
    one, other = tail("/tasks/finished").live(finished), tail("/tasks/dropped").live(dropped)
    finished.set("last", 1)
    finished.finish("done")
    assert one.end() == 0
    assert [line.split("  ")[3] for line in one.lines] == ["set /tasks/finished/last = 1"]
    dropped.drop()
    assert other.end() == 3
    assert "dropped" in "".join(other.errors)


def test_ctrl_c_ends_it_quietly(store: ccs.Store, tail: Callable[..., Tail]) -> None:
    running = tail("/tasks/42").live(store.task("42"))
    running.process.send_signal(signal.SIGINT)
    assert running.end(10) == 130
    assert running.errors == []


def test_a_reader_that_goes_away_ends_it_quietly(store: ccs.Store, valkey: str, namespace: str) -> None:
    ctx = store.task("42")
    for number in range(50):
        ctx.set("p", number)
    command = f"from ccs.cli import main; raise SystemExit(main(['tail', '/tasks/42', '--since', '0', '--store', {valkey!r}, '--namespace', {namespace!r}]))"
    with subprocess.Popen(
        [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        while process.poll() is None:
            ctx.set("p", "more")
        assert (process.stderr.read(), process.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["/tasks/*", "--since", "0"], 2, "--since goes with one context"),
        (["tasks/42"], 2, "tasks/42"),
        (["/nothing/42"], 2, "/nothing/42"),
        (["/tasks/42", "a[b"], 2, "a[b"),
        (["/tasks/42", "--since", "5"], 3, "/tasks/42"),
    ],
)
def test_an_error_is_one_line(
    valkey: str, namespace: str, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert cli.main(["tail", *arguments, "--store", valkey, "--namespace", namespace]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("ccs: ")
    assert says in err


def test_a_store_that_does_not_answer_is_an_error_that_names_it_without_its_password(
    tail: Callable[..., Tail],
) -> None:
    running = tail("/tasks/42", store=f"redis://:secret@127.0.0.1:{free_port()}")
    assert running.end(30) == 5
    assert "127.0.0.1" in running.errors[-1]
    assert "unavailable" in running.errors[-1]
    assert "secret" not in "".join(running.errors)


@pytest.mark.parametrize("missing", ["nosuch", "nosuch/deep", "a-file"])
def test_a_folder_without_a_store_is_reported_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    """Given a folder that may be misspelled, then the command reports it, with an exit code of its own, and makes nothing."""
    (tmp_path / "a-file").touch()
    assert cli.main(["tail", "/tasks/42", "--store", str(tmp_path / missing)]) == 3
    assert capsys.readouterr() == ("", f"ccs: there is no store in {tmp_path / missing}\n")
    assert os.listdir(tmp_path) == ["a-file"]


def test_the_default_folder_without_a_store_is_reported_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "nosuch"))
    for url in "~/nosuch", "":
        monkeypatch.setenv("CCS_URL", url)
        assert cli.main(["tail", "/tasks/42"]) == 3
        assert capsys.readouterr().err.startswith(f"ccs: there is no store in {tmp_path / 'nosuch'}")
        assert os.listdir(tmp_path) == []


def test_a_folder_with_a_store_is_followed(tmp_path: Path, tail: Callable[..., Tail], namespace: str) -> None:
    with ccs.connect(tmp_path, namespace=namespace) as store:
        store.task("42").set("p", 1)
        assert tail("/tasks/42", "--since", "0", store=str(tmp_path)).wait(1)[0].endswith("/tasks/42/p = 1")


def test_it_prints_that_contexts_were_missed() -> None:
    """Given a gap, then a line says how many contexts came and went, and names some; or that it is not known."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    known = Change("", "", "missed", [f"/tasks/m{n}" for n in range(12)], None, False, 0, 0, "", at)
    assert "missed commits of 12 contexts that ended: /tasks/m0, " in as_text(known)
    assert as_text(known).endswith("/tasks/m9, …")
    assert "missed commits of an unknown number of contexts" in as_text(replace(known, value=[]))
    told = json.loads(as_json(as_fields(known)))
    assert (told["op"], told["context"], len(told["value"])) == ("missed", "", 12)


def test_a_gap_in_one_context_does_not_end_a_watch_of_many(
    valkey: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a watch of many contexts that raises an error of one, then the error and the other changes are printed."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    coming = iter(
        [ccs.HistoryCompacted(1, 2, "/tasks/a"), Change("/tasks/b", "p", "set", 1, None, True, 1, 1, "ann", at)]
    )

    def next_one(watch: StoreTail) -> Change:
        told = next(coming)
        if isinstance(told, ccs.CCSError):
            raise told
        return told

    monkeypatch.setattr(StoreTail, "__next__", next_one)
    assert cli.main(["tail", "/tasks/*", "--store", valkey]) == 0
    printed = capsys.readouterr()
    assert printed.out.endswith("set /tasks/b/p = 1\n")
    assert "/tasks/a" in printed.err


def test_an_outage_does_not_end_it(own_server: PrivateServer, namespace: str, tail: Callable[..., Tail]) -> None:
    with ccs.connect(own_server.url, namespace=namespace) as store:
        ctx = store.task("42")
        running = tail("/tasks/42", store=own_server.url).live(ctx)
        own_server.sync()
        own_server.kill()
        eventually(lambda: any("unavailable" in line for line in running.errors), 30, "the outage to be told")
        own_server.start()
        ctx.set("p", "after")
        assert running.wait(1)[0].endswith('= "after"')


def test_the_default_store_is_that_of_the_environment(store: ccs.Store, valkey: str, namespace: str) -> None:
    store.task("42").set("p", 1)
    running = Tail("tail", "/tasks/42", "--since", "0", "--namespace", namespace, CCS_URL=valkey)
    try:
        assert running.wait(1)[0].endswith("/tasks/42/p = 1")
    finally:
        running.close()


def test_it_prints_its_version_and_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code, says in ((["--version"], 0, "0."), ([], 2, "usage"), (["tail", "--help"], 0, "ADDRESS")):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == code
        assert says in "".join(capsys.readouterr())
