"""Commands that write: values as JSON, text and stdin; guards; what is refused."""

from __future__ import annotations

import pytest

import ccs
from tests.cli.conftest import Run


def test_set_takes_json_text_and_stdin(store: ccs.Store, run: Run) -> None:
    task = store.task("42")
    ran = run("set", "/tasks/42/a", '{"n": [1, 2.5, null]}')
    entry = task.entry("a")
    assert entry
    assert ran == (0, f"{entry.revision}\n", "")
    assert (entry.value, entry.agent) == ({"n": [1, 2.5, None]}, "ann")
    for given, stored in (("-5", -5), ("true", True), ('"open"', "open"), ("[]", [])):
        assert run("set", "/tasks/42/a", given).code == 0
        assert task.get("a") == stored
    run("set", "--text", "/tasks/42/a", "42")
    assert task.get("a") == "42"
    run("set", "/tasks/42/a", "-", stdin='{"from": "stdin"}\n')
    assert task.get("a") == {"from": "stdin"}
    run("set", "/tasks/42/a", "-", "--text", stdin="ü as it stands\n")
    assert task.get("a") == "ü as it stands\n"
    run("set", "/tasks/42/a", "--text", "--", "--agent")
    assert task.get("a") == "--agent"
    (told,) = run("set", "/tasks/42/a", "1", "--ttl", "2h", "--json", "--agent", "carl").objects
    assert (told["value"], told["agent"]) == (1, "carl")
    assert told["expires_at"] is not None


@pytest.mark.parametrize("given", ["open", "{'a': 1}", "", "NaN", "[1,]", "[" * 100_000, "1 2"])
def test_what_is_no_json_is_a_usage_error_that_says_so(run: Run, store: ccs.Store, given: str) -> None:
    ran = run("set", "/tasks/42/a", given)
    assert (ran.code, ran.out) == (2, "")
    assert "not JSON" in ran.err
    assert "--text" in ran.err
    assert len(ran.err) < 400
    assert not store.task("42").exists("a")


def test_stdin_that_is_no_text_is_refused(run: Run) -> None:
    ran = run("set", "/tasks/42/a", "-", stdin=b"\xff\x00")
    assert (ran.code, "UTF-8" in ran.err) == (2, True)


def test_guards_and_policies_refuse_with_four(task: ccs.Context, run: Run) -> None:
    entry = task.entry("status")
    assert entry
    for guard in ("--if-revision", "7"), ("--if-version", "9"), ("--if-version", "0"):
        ran = run("set", "/tasks/42/status", "1", *guard)
        assert (ran.code, ran.out) == (4, "")
        assert "written by 'bob'" in ran.err
    assert run("rm", "/tasks/42/status", "--if-revision", "7").code == 4
    assert run("set", "/tasks/42/status", '"won"', "--if-revision", str(entry.revision)).code == 0
    assert run("set", "/tasks/42/new", "1", "--if-revision", "0").code == 0
    assert run("policies", "/tasks/42", "set", "ledger/**", "write-once").code == 0
    assert [run("set", "/tasks/42/ledger/1", "1").code for _ in range(2)] == [0, 4]
    assert run("policies", "/tasks/42").out == "ledger/**\twrite-once\n"
    assert run("policies", "/tasks/42", "set", "x").code == 2
    assert run("policies", "/tasks/42", "set", "x", "nonsense").code == 2


def test_system_paths_are_not_written(run: Run) -> None:
    ran = run("set", "/tasks/42/@claims/x", "1")
    assert (ran.code, "@" in ran.err) == (2, True)


def test_merge_merges_guarded_and_with_a_deadline(task: ccs.Context, run: Run) -> None:
    assert run("merge", "/tasks/42/sources/a", '{"n": null, "m": 2}').code == 0
    entry = task.entry("sources/a")
    assert entry
    assert entry.value == {"url": "x", "m": 2}
    assert run("merge", "/tasks/42/sources/a", '{"m": 3}', "--if-revision", "5").code == 4
    told = run(
        "merge", "/tasks/42/sources/a", '{"m": 3}', "--if-revision", str(entry.revision), "--ttl", "1h", "--json"
    )
    assert told.objects[0]["value"] == {"url": "x", "m": 3}
    assert told.objects[0]["expires_at"] is not None
    assert run("merge", "/tasks/42/sources/a", "[1]").code == 2
    assert run("merge", "/tasks/42/status", "{}").code == 1
    assert run("merge", "/tasks/42/fresh", '{"a": 1}', "--if-revision", "0").code == 0


def test_rm_removes_one_and_with_patterns_needs_yes(task: ccs.Context, run: Run) -> None:
    assert run("rm", "/tasks/42/status") == (0, "1\n", "")
    assert run("rm", "/tasks/42/status").code == 3
    refused = run("rm", "/tasks/42", "sources/*")
    assert (refused.code, "2" in refused.err, "--yes" in refused.err) == (2, True, True)
    assert len(task.paths()) == 2
    assert run("rm", "/tasks/42", "sources/*", "--yes", "--json").objects == [{"removed": 2}]
    assert run("rm", "/tasks/42").code == 2
    assert run("rm", "/tasks/42", "x", "--if-version", "1").code == 2


def test_publish_and_send(task: ccs.Context, run: Run) -> None:
    before = task.last_revision
    revision = int(run("publish", "/tasks/42", "data/ready", '{"rows": 3}').out)
    with task.events("data/*", since=before) as events:
        event = events.receive(timeout=10)
    assert (event.revision, event.data, event.agent) == (revision, {"rows": 3}, "ann")
    assert run("publish", "/tasks/42", "bare", "--json").objects[0]["topic"] == "bare"
    id_ = run("send", "/tasks/42", "analyst", '{"read": "a"}', "--type", "task", "--priority", "2").out.strip()
    (message,) = task.inbox("analyst").unread()
    assert (message.id, message.content, message.type, message.sender) == (id_, {"read": "a"}, "task", "ann")
    again = [run("send", "/tasks/42", "analyst", "1", "--id", "mine", "--json").objects[0]["id"] for _ in range(2)]
    assert again[0] == again[1]
    assert task.inbox("analyst").count() == 2


def test_a_finished_context_takes_no_writes(task: ccs.Context, run: Run) -> None:
    assert run("finish", "/tasks/42", '"reported"', "--json").objects[0]["outcome"] == "reported"
    ran = run("set", "/tasks/42/a", "1")
    assert (ran.code, "finished" in ran.err) == (1, True)
