"""Commands on whole contexts: listing, finishing, dropping, forking, exporting and importing."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

import ccs
from ccs.cli.commands import import_
from tests.cli.conftest import Run


class Source(BaseModel):
    url: str
    seen: datetime


def test_contexts_and_info(task: ccs.Context, store: ccs.Store, run: Run) -> None:
    store.session("s").set("a", 1)
    store.session("s").finish({"ok": True})
    rows = [line.split("\t") for line in run("contexts").lines]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("/sessions/s", "1", 'finished: {"ok": true}'),
        ("/tasks/42", "3", "open"),
    ]
    (told,) = run("contexts", "/tasks/**", "--json").objects
    assert (told["address"], told["entries"], told["ttl"], told["finished"]) == ("/tasks/42", 3, 86_400.0, False)
    assert run("contexts", "--limit", "1", "--json").objects[0]["address"] == "/sessions/s"
    assert run("contexts", "/actors/*") == (0, "", "")
    assert "revision" in run("info", "/tasks/42").out
    assert run("info", "/sessions/s", "--json").objects[0]["outcome"] == {"ok": True}


def test_drop_needs_yes(task: ccs.Context, run: Run) -> None:
    refused = run("drop", "/tasks/42")
    assert (refused.code, refused.out) == (2, "")
    assert "3 entries" in refused.err
    assert "--yes" in refused.err
    assert run("get", "/tasks/42/status").code == 0
    assert run("drop", "/tasks/42", "--yes") == (0, "", "")
    assert run("drop", "/tasks/42", "--yes").code == 3
    assert run("finish", "/tasks/42").code == 3


def test_a_fork_is_a_task_of_its_own(task: ccs.Context, store: ccs.Store, run: Run) -> None:
    assert run("fork", "/tasks/42", "43", "sources/*") == (0, "/tasks/43\n", "")
    assert store.task("43").paths() == ["sources/a", "sources/b"]
    assert run("fork", "/tasks/42", "43").code == 4
    assert run("fork", "/tasks/nosuch", "44").code == 3
    assert run("fork", "/tasks/42", "45", "--ttl", "1h", "--json").objects[0]["ttl"] == 3_600.0


VALUES: list[Any] = [
    None, True, 0, -(2**53), 2**53 + 1, -(2**80), 1.0, -0.0, 1e300, float("inf"), "", "ü\n\u2028\x00", b"", b"\x00\xff",
    [], [[{"x": {1.5: b"z"}}]], {}, {"a": {"$b": 1}}, {"$set": [1]}, {1: 2, None: 3, b"k": 4, False: 6}, set(),
    {1, "a", b"b", Decimal("1.5")}, datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), date(2026, 1, 2), time(1, 2, fold=1), time(1, 2, 3, tzinfo=UTC),
    timedelta(days=-5, microseconds=3), timedelta.max, UUID(int=7), Decimal("1.50"), Decimal("-Infinity"), (1, 2),
    Source(url="x", seen=datetime(2026, 1, 2, tzinfo=UTC)),
]  # fmt: skip


def test_what_is_exported_comes_back_with_every_type(store: ccs.Store, run: Run) -> None:
    task = store.task("types")
    for number, value in enumerate(VALUES):
        task.set(f"values/{number}", value)
    task.set("short", "lived", ttl=3_600)
    exported = run("export", "/tasks/types")
    assert exported.code == 0
    assert len(exported.objects) == len(VALUES) + 1
    assert run("import", "/tasks/copy", stdin=exported.out) == (0, f"{len(VALUES) + 1}\n", "")
    before = task.snapshot()
    after = store.task("copy").snapshot()
    for path, entry in before.items():
        assert after[path].value == entry.value
        assert _kinds(after[path].value) == _kinds(entry.value)
    assert store.task("copy").get(f"values/{len(VALUES) - 1}", type=Source) == VALUES[-1]
    one, other = before["short"].expires_at, after["short"].expires_at
    assert one
    assert other
    assert abs(one - other) < timedelta(seconds=5)
    assert after["short"].agent == "ann"
    assert run("export", "/tasks/copy").out == exported.out.replace(one.isoformat(), other.isoformat())


def _kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return [(type(key), _kinds(each)) for key, each in value.items()]
    if isinstance(value, list):
        return list(map(_kinds, value))
    return getattr(value, "tzinfo", None), type(value), str(value) if isinstance(value, float) else ""


def test_export_chooses_and_import_leaves_out_what_has_expired(task: ccs.Context, store: ccs.Store, run: Run) -> None:
    lines = run("export", "/tasks/42", "sources/*").lines
    assert [json.loads(line)["path"] for line in lines] == ["sources/a", "sources/b"]
    late = json.dumps({"path": "late", "value": 1, "expires_at": "2020-01-01T00:00:00+00:00"})
    ran = run("import", "/tasks/43", "--json", stdin="\n".join([lines[0], "", late]))
    assert ran.objects == [{"imported": 1, "expired": 1}]
    assert "1 entries have expired" in ran.err
    assert store.task("43").paths() == ["sources/a"]
    assert run("export", "/tasks/nosuch").code == 3


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", '{"path": "a"}', '{"path": "a", "value": {"$nosuch": 1}}',
             '{"path": "a", "value": {"$decimal": "x"}}', '{"path": "a", "value": {"$set": 1}}',
             '{"path": "a", "value": {"$bytes": "?"}}', '{"path": "a", "value": 1, "expires_at": "2026-01-01"}',
             '{"path": "a", "value": {"$map": [1]}}', '{"path": "a", "value": {"$set": [[1]]}}']
)  # fmt: skip
def test_a_line_that_is_no_entry_is_told_with_its_number(run: Run, line: str) -> None:
    ran = run("import", "/tasks/43", stdin=f'{{"path": "good", "value": 1}}\n{line}\n')
    assert (ran.code, ran.out) == (2, "")
    assert "line 2" in ran.err


def test_import_takes_many_to_a_commit_and_splits_what_is_too_large(
    store: ccs.Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(f'{{"path": "p/{number}", "value": {number}}}\n' for number in range(2_500))
    assert run("import", "/tasks/43", stdin=lines).out == "2500\n"
    assert len({entry.revision for entry in store.task("43").scan()}) == 3
    # Each commit would hold what is there too, so one that fits by itself does not.
    large = "".join(json.dumps({"path": f"l/{number}", "value": "x" * 900_000}) + "\n" for number in range(12))
    monkeypatch.setattr(import_, "_CHARACTERS", 100_000_000)
    assert [run("import", "/tasks/44", stdin=large).out for _ in range(2)] == ["12\n", "12\n"]
    assert len({entry.revision for entry in store.task("44").scan()}) > 1
