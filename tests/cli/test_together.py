"""Claims, inboxes and members from a shell."""

from __future__ import annotations

import pytest

import ccs
from tests.cli.conftest import Run


def test_a_claim_is_listed_and_broken(task: ccs.Context, run: Run) -> None:
    claim = task.claim("sources/a", ttl=300, note={"why": "parsing"}).acquire()
    (row,) = run("claims", "/tasks/42").lines
    assert row.split("\t")[:2] == ["sources/a", "bob"]
    (told,) = run("claims", "/tasks/42", "--json", "sources/*").objects
    assert (told["resource"], told["holder"], told["token"]) == ("sources/a", "bob", claim.token)
    assert told["note"] == {"why": "parsing"}
    assert run("claims", "/tasks/42", "other/*").out == ""
    ran = run("claims", "/tasks/42", "break", "sources/a")
    assert (ran.code, ran.out) == (0, "")
    with pytest.raises(ccs.ClaimLost):
        claim.context.set("sources/a", "too late")
    assert run("claims", "/tasks/42", "break", "sources/a").code == 3
    assert run("claims", "/tasks/42", "break").code == 2


def test_what_was_received_keeps_its_lease_until_another_command_acknowledges_it(task: ccs.Context, run: Run) -> None:
    for content in ("one", "two"):
        task.send("analyst", content)
    listed = run("inbox", "/tasks/42", "analyst")
    assert [line.split("\t")[-1] for line in listed.lines] == ['"one"', '"two"']
    first, token, content = run("inbox", "/tasks/42", "analyst", "receive").out.strip().split("\t")
    assert content == '"one"'
    (second,) = run("inbox", "/tasks/42", "analyst", "receive", "--json").objects
    assert second["content"] == "two"
    ran = run("inbox", "/tasks/42", "analyst", "receive", "--timeout", "50ms")
    assert (ran.code, ran.out) == (6, "")
    assert run("inbox", "/tasks/42", "analyst", "ack", first, token) == (0, "", "")
    again = run("inbox", "/tasks/42", "analyst", "ack", first, token)
    assert (again.code, again.out) == (4, "")
    assert run("inbox", "/tasks/42", "analyst", "ack", second["id"], str(second["token"])).code == 0
    assert run("inbox", "/tasks/42", "analyst", "count").out == "0\n"
    assert run("inbox", "/tasks/42", "analyst", "count", "--json").objects == [{"count": 0}]


def test_a_lease_that_ends_brings_the_message_back_and_after_its_attempts_it_is_dead(
    task: ccs.Context, run: Run
) -> None:
    task.send("analyst", "poison")
    how = ("--lease", "100ms", "--attempts", "2", "--timeout", "10s", "--json")
    told = [run("inbox", "/tasks/42", "analyst", "receive", *how).objects[0]["attempts"] for _ in range(2)]
    assert told == [1, 2]
    assert run("inbox", "/tasks/42", "analyst", "receive", *how[:4], "--timeout", "300ms").code == 6
    (dead,) = run("inbox", "/tasks/42", "analyst", "dead", "--attempts", "2").lines
    assert dead.endswith('"poison"')


@pytest.mark.parametrize("wrong", [["ack"], ["ack", "id"], ["receive", "id", "1"], ["burn"], ["ack", "id", "x"]])
def test_a_wrong_use_of_an_inbox_is_a_usage_error(run: Run, wrong: list[str]) -> None:
    assert run("inbox", "/tasks/42", "analyst", *wrong).code == 2


def test_members_are_listed(task: ccs.Context, run: Run) -> None:
    assert run("members", "/tasks/42") == (0, "", "")
    with task.join("reviewer", meta={"model": "m1"}):
        (row,) = run("members", "/tasks/42").lines
        assert row.split("\t")[:2] == ["bob", "reviewer"]
        (told,) = run("members", "/tasks/42", "--json").objects
        assert (told["agent"], told["role"], told["meta"]) == ("bob", "reviewer", {"model": "m1"})
