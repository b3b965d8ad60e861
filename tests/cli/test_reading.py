"""Commands that read: what they print, for people and as JSON, and their exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

import ccs
from tests.cli.conftest import Run


def test_get_prints_text_bare_and_all_else_as_json(task: ccs.Context, run: Run) -> None:
    task.set("text", "two\nlines")
    task.set("at", datetime(2026, 1, 2, tzinfo=UTC))
    assert run("get", "/tasks/42/status") == (0, "open\n", "")
    assert run("get", "/tasks/42/text").out == "two\nlines\n"
    assert run("get", "/tasks/42/sources/a").out == '{"url": "x", "n": 1}\n'
    assert run("get", "/tasks/42/sources/b").out == "null\n"
    assert run("get", "/tasks/42/at").out == '"2026-01-02T00:00:00+00:00"\n'


def test_get_with_json_prints_the_entry(task: ccs.Context, run: Run) -> None:
    (told,) = run("get", "/tasks/42/status", "--json").objects
    entry = task.entry("status")
    assert entry
    assert set(told) == {"context", *entry.__dataclass_fields__}
    assert (told["context"], told["path"], told["value"], told["agent"]) == ("/tasks/42", "status", "open", "bob")
    assert (told["version"], told["revision"], told["expires_at"]) == (1, entry.revision, None)
    assert datetime.fromisoformat(told["updated_at"]) == entry.updated_at


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["get", "/tasks/42/nosuch"], 3, "/tasks/42/nosuch"),
        (["get", "/tasks/other/status"], 3, "/tasks/other/status"),
        (["get", "tasks/42/status"], 2, "absolute"),
        (["get", "/tasks/42"], 2, "names no path"),
        (["get", "/tasks/42/a//b"], 2, "empty"),
        (["get"], 2, "PATH"),
        (["ls", "/tasks/other"], 3, "/tasks/other"),
        (["ls", "/tasks/42", "a[b"], 2, "a[b"),
        (["tree", "/tasks/other"], 3, "/tasks/other"),
        (["history", "/tasks/other"], 3, "/tasks/other"),
        (["history", "/tasks/42", "--since", "5"], 3, "/tasks/42"),
        (["at", "/tasks/42", "yesterday"], 2, "15m"),
        (["at", "/tasks/other", "15m"], 3, "/tasks/other"),
        (["diff", "/tasks/other", "1h"], 3, "/tasks/other"),
        (["info", "/tasks/other"], 3, "/tasks/other"),
        (["briefing", "/tasks/42", "--max-tokens", "3"], 2, "max_tokens"),
    ],
)
def test_what_is_not_there_and_what_is_no_address_have_codes_of_their_own(
    task: ccs.Context, run: Run, arguments: list[str], code: int, says: str
) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert ran.err.splitlines()[-1].startswith("ccs")


def test_history_that_is_gone_is_seven(store: ccs.Store, run: Run) -> None:
    task = store.task("42", keep_commits=100)
    first = task.set("a", 0).revision
    for number in range(600):
        task.set("a", number)
    for command in ("history", "/tasks/42", "--since", str(first)), ("at", "/tasks/42", str(first)):
        ran = run(*command)
        assert (ran.code, ran.out) == (7, "")
        assert "journal" in ran.err


def test_ls_lists_what_matches(task: ccs.Context, run: Run) -> None:
    task.set("new\nline", 1)
    assert run("ls", "/tasks/42").lines == ["new\\nline", "sources/a", "sources/b", "status"]
    assert run("ls", "/tasks/42", "sources/*", "status").lines == ["sources/a", "sources/b", "status"]
    assert run("ls", "/tasks/42", "nothing/*") == (0, "", "")
    found = run("ls", "/tasks/42", "--json", "sources/*").objects
    assert [(each["path"], each["value"]) for each in found] == [
        ("sources/a", {"url": "x", "n": 1}),
        ("sources/b", None),
    ]
    (row,) = run("ls", "-l", "/tasks/42", "status").lines
    assert row.split("\t")[:3] == ["status", "1", "bob"]
    assert row.endswith('\t"open"')


def test_tree_draws_what_is_below_what(task: ccs.Context, run: Run) -> None:
    task.set("sources", "both a value and more below")
    assert [line.rstrip() for line in run("tree", "/tasks/42").lines] == [
        "/tasks/42",
        '├── sources  "both a value and more below"  bob',
        '│   ├── a    {"url": "x", "n": 1}  bob',
        "│   └── b    null  bob",
        '└── status   "open"  bob',
    ]
    (told,) = run("tree", "/tasks/42", "--json", "sources/**", "sources").objects
    assert told == {"sources": {"": "both a value and more below", "a": {"url": "x", "n": 1}, "b": None}}
    assert told["sources"] == task.tree()["sources"]


def test_at_diff_and_history_look_back(task: ccs.Context, run: Run) -> None:
    entry = task.entry("sources/b")
    assert entry
    then = entry.revision
    task.set("status", "done")
    task.delete("sources/a")
    task.set("new", 1)
    before = run("at", "/tasks/42", str(then), "--json").objects
    assert {each["path"]: each["value"] for each in before} == {
        "status": "open",
        "sources/a": {"url": "x", "n": 1},
        "sources/b": None,
    }
    assert [line[0] + line.split()[1] for line in run("diff", "/tasks/42", str(then)).lines] == [
        "~status",
        "-sources/a",
        "+new",
    ]
    assert '"open" → "done"' in run("diff", "/tasks/42", str(then), "status").out
    (net,) = run("diff", "/tasks/42", str(then), "--json", "status").objects
    assert (net["op"], net["previous"], net["value"]) == ("set", "open", "done")
    assert len(run("history", "/tasks/42").lines) == 6
    newest = run("history", "/tasks/42", "--newest-first", "-n", "1", "--json").objects
    assert [(each["op"], each["path"]) for each in newest] == [("set", "new")]
    assert run("history", "/tasks/42", "status", "--since", "1h").lines[1].endswith('status = "done"  (was "open")')


def test_wait_prints_the_value_that_comes_and_gives_up_after_its_timeout(task: ccs.Context, run: Run) -> None:
    assert run("wait", "/tasks/42/status").out == "open\n"
    assert run("wait", "/tasks/42/sources/a", '{"n": 1, "url": "x"}', "--json").objects[0]["version"] == 1
    assert run("wait", "/tasks/42/sources/b", "null").out == "null\n"
    assert run("wait", "/tasks/42/status", "open", "--text").code == 0
    ran = run("wait", "/tasks/42/status", '"done"', "--timeout", "50ms")
    assert (ran.code, ran.out, ran.err) == (6, "", 'ccs: waited 0.05 s for /tasks/42/status: it is "open"\n')
    task.set("one", 1)
    assert run("wait", "/tasks/42/one", "true", "--timeout", "50ms").code == 6
    assert "there is nothing" in run("wait", "/tasks/42/nosuch", "--timeout", "50ms").err


def test_briefing_tells_what_is_new(task: ccs.Context, run: Run) -> None:
    told = run("briefing", "/tasks/42")
    assert told.code == 0
    assert "# Briefing on /tasks/42" in told.out
    (page,) = run("briefing", "/tasks/42", "--json").objects
    assert page["text"].startswith("# Briefing")
    task.set("news", 1)
    (after,) = run("briefing", "/tasks/42", "--json", "--since", page["cursor"]).objects
    assert [item["path"] for item in after["items"]] == ["news"]
    assert "news" in run("briefing", "/tasks/42", "--reader", "night").out
    assert "news" not in run("briefing", "/tasks/42", "--reader", "night").out
    assert run("briefing", "/tasks/42", "--reader", "x", "--since", "y").code == 2


def test_json_is_json_whatever_the_value(task: ccs.Context, run: Run) -> None:
    values = [b"\x00\xff", {1: {b"k": None}}, {1, 2}, float("inf"), 2**80, "\u2028\x85\x1b", [[{"a": (1,)}]]]
    for number, value in enumerate(values):
        task.set(f"v/{number}", value)
    told = run("ls", "/tasks/42", "v/*", "--json").objects
    expected = ["hex 00ff", {"1": {"b'k'": None}}, [1, 2], "inf", 2**80, "\u2028\x85\x1b", [[{"a": [1]}]]]
    assert [each["value"] for each in told] == expected
    assert json.loads(run("get", "/tasks/42/v/5", "--json").out)["value"] == "\u2028\x85\x1b"
