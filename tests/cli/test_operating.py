"""Commands of operators: doctor, stats, grants, and the live picture."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import ccs
from ccs.cli.activity import Activity, Counter
from ccs.cli.checks import folder as folder_checks
from ccs.cli.checks import server as server_checks
from ccs.cli.checks.folder import check_folder
from ccs.cli.checks.server import judge
from ccs.cli.overview import gathered
from ccs.cli.top_picture import picture
from ccs.types import Change
from tests.cli.conftest import Run
from tests.cli.programs import CCS, InTerminal
from tests.support.servers import PrivateServer, free_port
from tests.support.waiting import eventually


def levels(ran: Any) -> dict[str, str]:
    return {each["check"]: each["level"] for each in ran.objects}


# doctor


def test_doctor_finds_nothing_wrong_with_a_store_in_order(tmp_path: Path, run: Run) -> None:
    folder = str(tmp_path / "brain")
    with ccs.connect(folder) as store:
        store.task("42").set("a", 1)
        ran = run("doctor", "--store", folder, "--json")
    assert ran.code == 0
    assert set(levels(ran)) >= {
        *("store", "folder", "file system", "room", "socket", "locks", "program", "server", "eviction", "memory"),
        *("persistence", "replication", "clock", "latency", "update"),
    }
    assert "wrong" not in levels(ran).values()
    text = run("doctor", "--store", folder)
    assert (text.code, text.err) == (0, "")
    assert all(line[0] in "✓! " for line in text.lines[:-2])
    assert text.lines[-1].startswith("nothing is wrong")


def test_doctor_explains_that_there_is_no_server_or_no_store(tmp_path: Path, run: Run, monkeypatch: Any) -> None:
    ran = run("doctor", "--store", f"redis://:secret@127.0.0.1:{free_port()}", "--retry-for", "50ms")
    assert ran.code == 1
    assert "✗ server" in ran.out
    assert "→ is it running" in ran.out
    assert "secret" not in ran.out + ran.err
    ran = run("doctor", "--store", str(tmp_path / "nosuch"))
    assert (ran.code, "no store" in ran.out) == (1, True)
    monkeypatch.delenv("CCS_URL")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    ran = run("doctor")
    assert (ran.code, "the first program that writes there makes one" in ran.out) == (0, True)
    assert os.listdir(tmp_path) == []


def test_doctor_explains_eviction_and_what_to_do(start: Callable[..., PrivateServer], run: Run) -> None:
    ran = run("doctor", "--store", start("--maxmemory-policy", "allkeys-lru").url)
    assert ran.code == 1
    assert "allkeys-lru" in ran.out
    assert "CONFIG SET maxmemory-policy noeviction" in ran.out


def test_doctor_finds_rights_hard_links_and_a_file_instead_of_a_socket(tmp_path: Path) -> None:
    with ccs.connect(tmp_path) as store:
        store.ping()
    home = tmp_path / ".ccs"
    assert {each.level for each in check_folder(tmp_path)} == {"fine"}
    home.chmod(0o755)
    found = {each.check: each for each in check_folder(tmp_path)}
    assert (found["folder"].level, found["folder"].advice) == ("wrong", f"chmod 700 {home}")
    home.chmod(0o700)
    os.link(home / "server.lock", tmp_path / "copy")
    assert "hard-linked" in next(each for each in check_folder(tmp_path) if each.check == "folder").text


def test_doctor_finds_a_network_file_system_a_full_disk_and_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ccs").mkdir(mode=0o700)
    monkeypatch.setattr(folder_checks, "_file_system", lambda _: "nfs4")
    monkeypatch.setattr(folder_checks.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))
    monkeypatch.setenv("CCS_SERVER_BIN", str(tmp_path / "nosuch"))
    found = {each.check: each for each in check_folder(tmp_path)}
    assert {check for check, each in found.items() if each.level == "wrong"} == {"file system", "room", "program"}
    assert "nfs4" in found["file system"].text
    assert "local disk" in found["file system"].advice
    assert "CCS_SERVER_BIN" in found["program"].text


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "lustre"])
def test_network_file_systems_are_known_by_name(kind: str) -> None:
    assert folder_checks._REMOTE.fullmatch(kind)


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="only Linux tells")
def test_the_file_system_of_a_folder_is_told(tmp_path: Path) -> None:
    assert folder_checks._file_system(tmp_path) in Path("/proc/filesystems").read_text().split()
    assert folder_checks._file_system(Path("/proc/self")) == "proc"


@pytest.mark.skipif(sys.platform != "linux", reason="who holds a lock is known on Linux alone")
def test_doctor_finds_a_lock_that_was_left_over(tmp_path: Path) -> None:
    """Given a process that holds the lock of the server and serves nobody, then it is named, with what to do."""
    home = tmp_path / ".ccs"
    home.mkdir(mode=0o700)
    program = f"import fcntl, time; f = open({str(home / 'server.lock')!r}, 'w'); fcntl.flock(f, 2); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        found = next(each for each in check_folder(tmp_path) if each.check == "locks")
        holder.kill()
    assert found.level == "wrong"
    assert f"process {holder.pid} holds server.lock" in found.text
    assert found.advice.endswith(f"kill {holder.pid}")


def test_doctor_waits_for_a_server_that_is_about_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a lock that is held for a moment, as by the server of the command before, then nothing is wrong."""
    ends = time.monotonic() + 0.3
    monkeypatch.setattr(folder_checks.locks, "holders", lambda lock: [1] if time.monotonic() < ends else [])
    (tmp_path / ".ccs").mkdir(mode=0o700)
    (tmp_path / ".ccs" / "server.lock").touch()
    assert next(each for each in check_folder(tmp_path) if each.check == "locks").level == "fine"


HEALTHY = {
    "valkey_version": "9.1.2",
    "role": "master",
    "used_memory": "1000",
    "maxmemory": "0",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "connected_slaves": "0",
}


@pytest.mark.parametrize(
    ("facts", "check", "level"),
    [
        ({}, "persistence", "fine"),
        ({"maxmemory_policy": "volatile-ttl"}, "eviction", "wrong"),
        ({"maxmemory": "1100"}, "memory", "wrong"),
        ({"maxmemory": "11000"}, "memory", "fine"),
        ({"aof_enabled": "0"}, "persistence", "note"),
        ({"aof_enabled": "0", "rdb_saves": "3"}, "persistence", "note"),
        ({"aof_last_write_status": "err"}, "persistence", "wrong"),
        ({"rdb_last_bgsave_status": "err"}, "persistence", "wrong"),
        ({"connected_slaves": "1", "slave0": "ip=a,port=1,state=online,offset=1,lag=0"}, "replication", "fine"),
        ({"connected_slaves": "1", "slave0": "ip=a,port=1,state=wait_bgsave,offset=1"}, "replication", "wrong"),
        ({"role": "slave", "master_host": "a", "master_link_status": "down"}, "replication", "wrong"),
        ({"role": "slave", "master_host": "a", "master_link_status": "up"}, "replication", "fine"),
    ],
)
def test_what_a_server_says_is_judged(facts: dict[str, str], check: str, level: str) -> None:
    found = {each.check: each for each in judge("here", {**HEALTHY, **facts}, False)}
    assert found[check].level == level
    assert {each.level for name, each in found.items() if name != check} == {"fine"}
    assert found[check].advice or level == "fine"


@pytest.mark.parametrize(("skew", "level"), [(0.0, "fine"), (3.0, "note"), (-3.0, "note"), (200.0, "wrong")])
def test_a_clock_that_differs_is_told(
    store: ccs.Store, monkeypatch: pytest.MonkeyPatch, skew: float, level: str
) -> None:
    here = server_checks.time.time
    monkeypatch.setattr(server_checks, "time", SimpleNamespace(time=lambda: here() - skew))
    found = server_checks._check_clock(store)
    assert found.level == level
    assert "ahead" in found.text or skew <= 0


def test_contexts_of_a_later_version_are_told_with_the_version_that_is_needed(store: ccs.Store) -> None:
    task = store.task("42")
    task.set("a", 1)
    assert server_checks.check_contexts(store).level == "fine"

    def contexts() -> list[ccs.ContextInfo]:
        raise ccs.UnknownFormat("/tasks/42", 2, "0.4")

    found = server_checks.check_contexts(SimpleNamespace(contexts=contexts))  # type: ignore[arg-type]
    assert (found.level, ">=0.4" in found.advice) == ("wrong", True)


# stats, grants


def test_stats_count(task: ccs.Context, store: ccs.Store, run: Run) -> None:
    store.task("43").set("a", 1)
    store.task("43").finish()
    (told,) = run("stats", "--json").objects
    assert (told["contexts"], told["finished"], told["entries"]) == (2, 1, 4)
    assert told["servers"][0]["server"].startswith("Valkey ")
    text = run("stats").out
    assert "2, 1 of them finished" in text
    assert "latency" in text


def test_a_user_is_granted_listed_and_revoked(own_server: PrivateServer, run: Run, tmp_path: Path) -> None:
    where = ("--store", own_server.url)
    run("set", "/tasks/42/a", "1", *where)
    url = run("grant", "bob", "--read", "/tasks/*", "--write", "/tasks/42", *where)
    assert (url.code, url.out.count("\n")) == (0, 1)
    assert "once" in url.err
    assert run("get", "/tasks/42/a", "--store", url.out.strip()).out == "1\n"
    refused = run("set", "/tasks/43/a", "1", "--store", url.out.strip())
    assert (refused.code, "/tasks/43" in refused.err) == (1, True)
    (told,) = run("grants", "--json", *where).objects
    assert (told["user"], told["read"], told["write"]) == ("bob", ["/tasks/*"], ["/tasks/42"])
    assert run("grants", *where).out == "bob\t/tasks/*\t/tasks/42\n"
    (tmp_path / "password").write_text("of-my-own\n")
    own = run("grant", "carl", "--read", "/global", "--password-file", str(tmp_path / "password"), *where)
    assert ":of-my-own@" in own.out
    assert run("revoke", "bob", *where) == (0, "", "")
    assert run("revoke", "bob", *where).code == 3
    assert run("grant", "bob", *where).code == 2


def test_rules_are_printed_without_a_server(run: Run) -> None:
    nowhere = ("--store", f"redis://127.0.0.1:{free_port()}")
    ran = run("grant", "bob", "--read", "/tasks/*", "--print-rules", *nowhere)
    assert ran.code == 0
    assert ran.out.startswith("ACL SETUSER bob reset on >PASSWORD ")
    (told,) = run("grant", "bob", "--read", "/tasks/*", "--print-rules", "--json", *nowhere).objects
    assert ">PASSWORD" in told["rules"]
    ran = run("grant", "bob", "--write", "/global", "--print-rules", "--json", "--password-file", "-", stdin="x\n")
    assert any(re.fullmatch("#[0-9a-f]{64}", rule) for rule in ran.objects[0]["rules"])
    assert run("grant", "bob", "--print-rules").code == 2
    assert run("grant", "bob", "--read", "/global", "--print-rules", "--password-file", "/nosuch").code == 2


# top


def test_rates_are_those_of_the_last_whole_seconds() -> None:
    counter = Counter()
    for moment in (100.0, 100.9, 101.2, 104.9, 105.5):
        counter.add(moment)
    assert counter.rate(105.9) == 4 / 5
    assert list(counter.last(4, 105.9)) == [1, 0, 0, 1]
    assert counter.rate(200.0) == 0.0


def test_a_commit_counts_once_for_its_context_and_each_write_for_its_agent(task: ccs.Context) -> None:
    activity = Activity()
    revision = task.set_many({"a": 1, "b": 2})
    for change in task.history(since=None, newest_first=True, limit=2):
        assert change.revision == revision
        activity.note(change, 100.0)
    assert activity.rate("/tasks/42", 101.0) == 1 / 5
    assert activity.agents(101.0)["bob"].writes.rate(101.0) == 2 / 5
    assert list(activity.agents(300.0)) == []
    gone = Change("/tasks/42", "", "gone", None, None, False, 0, 0, "", change.at)
    activity.note(gone, 101.0)
    assert activity.rate("/tasks/42", 101.0) == 0.0


def test_top_shows_contexts_agents_claims_and_watches(task: ccs.Context, run: Run) -> None:
    with task.join("reviewer"), task.claim("sources/a"), task.watch():
        (seen,) = run("top", "--once", "--json", "--interval", "100ms").objects
        text = run("top", "--once", "--interval", "100ms")
    assert [(row["address"], row["agents"], row["claims"]) for row in seen["contexts"]] == [("/tasks/42", 1, 1)]
    assert [(row["agent"], row["role"]) for row in seen["agents"]] == [("bob", "reviewer")]
    assert [row["claim"]["resource"] for row in seen["claims"]] == ["sources/a"]
    assert seen["watches"] >= 1
    assert seen["slow_watches"] == []
    assert text.code == 0
    for word in ("/tasks/42", "reviewer", "sources/a", "none is behind"):
        assert word in text.out


def test_top_counts_what_is_written_while_it_looks(task: ccs.Context, run: Run, store: ccs.Store) -> None:
    import threading
    import time

    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            task.set("busy", 1)
            time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        (seen,) = run("top", "/tasks/*", "--once", "--json", "--interval", "1200ms").objects
    finally:
        stop.set()
        writer.join()
    assert seen["commits_per_second"] > 0
    assert seen["contexts"][0]["commits_per_second"] > 0
    (agent,) = seen["agents"]
    assert (agent["agent"], agent["where"], agent["what"]) == ("bob", "/tasks/42", "set busy")


def test_a_watch_that_does_not_keep_up_is_told(own_server: PrivateServer, run: Run) -> None:
    """Given a subscriber that reads nothing, then top names it and how much waits for it at the server."""
    with ccs.connect(own_server.url) as store:
        task = store.task("42")
        task.set("a", 1)
        with socket.create_connection(("127.0.0.1", own_server.port)) as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            lazy.sendall(f"CLIENT SETNAME lazy\r\nSUBSCRIBE {task.handle.keys.channel}\r\n".encode())
            eventually(lambda: lazy.recv(100, socket.MSG_PEEK).count(b"subscribe"), 10)
            for _ in range(12):
                task.set("a", "x" * 900_000)
            (seen,) = run("top", "--once", "--json", "--interval", "50ms", "--store", own_server.url).objects
            text = run("top", "--once", "--interval", "50ms", "--store", own_server.url).out
    assert [(each["name"], each["waiting"] > 100_000) for each in seen["slow_watches"]] == [("lazy", True)]
    assert "are behind" in text
    assert "lazy" in text


def test_top_lives_in_a_terminal_until_ctrl_c(task: ccs.Context, valkey: str, namespace: str) -> None:
    running = InTerminal([CCS, "top", "--interval", "200ms"], CCS_URL=valkey, CCS_NAMESPACE=namespace)
    running.read_until(lambda text: "WATCHES" in text)
    running.type("\x03")
    shown = running.end()
    assert shown.code == 130
    assert "Traceback" not in shown.text
    assert "\x1b[?1049l" in shown.text  # the screen is as it was before


@pytest.mark.parametrize("columns", [40, 80, 140])
@pytest.mark.parametrize("lines", [12, 24])
def test_a_picture_fits_its_terminal(task: ccs.Context, store: ccs.Store, columns: int, lines: int) -> None:
    for number in range(30):
        store.task(f"a context with a rather long name/{number}").set("a", number)
    with task.join("reviewer"), task.claim("a resource/with a rather long name", note="x" * 100):
        seen = gathered(store, Activity(), "/**")
    console = Console(width=columns, height=lines, file=io.StringIO())
    console.print(picture(seen, columns, lines))
    drawn = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, drawn)) <= columns
    assert len(drawn) <= max(lines, 18)
    assert any("/tasks/a con" in line for line in drawn)
    assert any("more contexts" in line for line in drawn)
    assert any("LAST 20 S" in line for line in drawn) == (columns == 140)


def test_top_without_rich_says_which_extra_it_needs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    ran = run("top", "--once")
    assert (ran.code, ran.out) == (1, "")
    assert "collaborative-context-store[cli]" in ran.err
