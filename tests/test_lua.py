"""The Lua scripts as files: the head of each, the keys that it uses, and that every kind of server accepts it.

Their behaviour is held against a model in `tests/model`.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import fakeredis
import pytest
import redis

from ccs._core.commits.commit import Batch, Commit, Settings, commit_arguments, set_op
from ccs._core.commits.queries import info_keys, journal_arguments, journal_keys, read_arguments
from ccs._core.names.keys import Keys, keys_of
from ccs._core.names.pattern import Below
from ccs._protocol.scripts import COMMIT, INFO, JOURNAL, READ, Script

SCRIPTS = {script.name: script for script in (COMMIT, READ, JOURNAL, INFO)}
FORBIDDEN = ("cmsgpack", "struct", "bit", "cjson", "sha1hex", "loadstring", "setfenv", "rawset", "pcall")
"""What fakeredis lacks, or what would hide an error or a global."""


def calls(keys: Keys) -> dict[str, tuple[tuple[str, ...], list[Any]]]:
    """One ordinary call of each script, as `_core` builds it."""
    commits = [Commit("agent", [set_op("a", b"\x01", 60_000)]), Commit("agent", [set_op("b", b"\x02")])]
    return {
        "commit": (keys.all, commit_arguments(Batch(commits, "client", 2), keys, Settings(60_000, 10, 10_000))),
        "read": (keys.all, read_arguments("entries", [Below("")])),
        "journal": (journal_keys(keys), journal_arguments(0, 10)),
        "info": (info_keys(keys), []),
    }


@pytest.fixture
def client(target: str) -> Any:
    if target.startswith("memory:"):
        with fakeredis.FakeRedis(server=fakeredis.FakeServer(version=(7,))) as client:
            yield client
        return
    with redis.Redis.from_url(target) as client:
        yield client


def code(script: Script) -> str:
    """The script without its comments and strings."""
    return re.sub(r"'(?:[^'\\]|\\.)*'", "''", re.sub(r"--.*", "", script.text))


def test_every_file_is_a_script_that_the_library_loads() -> None:
    names = {file.name for file in files("ccs").joinpath("lua").iterdir() if file.name.endswith(".lua")}
    assert names == {f"{name}.lua" for name in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_opens_with_its_promise_its_arguments_and_its_reply(script: Script) -> None:
    head = [line for line in script.text.split("\n\n")[0].splitlines() if line]
    assert all(line.startswith("--") for line in head)
    assert re.match(r"-- [A-Z].*", head[0])
    opened = [word for line in head if (word := line[3:].split(" ")[0]) in ("KEYS", "ARGV", "REPLY")]
    assert opened == (["KEYS", "ARGV", "REPLY"] if "ARGV" in code(script) else ["KEYS", "REPLY"])


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_names_only_the_keys_that_it_is_given(script: Script) -> None:
    """One slot of a Cluster: every key comes from KEYS, and every one that is declared is used."""
    declared = re.search(r"-- KEYS +(.*)", script.text)
    assert declared
    count = len(re.findall(r"\d [a-z]+", declared[1]))
    assert {int(index) for index in re.findall(r"KEYS\[(\d)\]", script.text)} | loops(script) == set(
        range(1, count + 1)
    )
    # What follows the name of a command is a key of KEYS, or one of the commands that take none.
    for command, first in re.findall(r"\bcall\('([A-Z]+)'(?:, ([^,)]+))?", script.text):
        assert command == "TIME" or re.fullmatch(r"KEYS\[(\d|i)\]", first), (command, first)


def loops(script: Script) -> set[int]:
    return {
        i
        for last in re.findall(r"for i = 1, (\d) do[^\n]*\n[^\n]*\n[^\n]*KEYS\[i\]", script.text)
        for i in range(1, int(last) + 1)
    }


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_uses_only_what_all_servers_have_and_prints_no_revision_as_a_double(script: Script) -> None:
    text = code(script)
    for name in FORBIDDEN:
        assert not re.search(rf"\b{name}\b", text), name
    assert not script.text.startswith("#!")
    assert not re.search(r"return unpack\(", text)
    assert "tostring" not in text


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_server_knows_a_script_by_our_digest(client: Any, name: str) -> None:
    digest = client.script_load(SCRIPTS[name].text)
    assert (digest.decode() if isinstance(digest, bytes) else digest) == SCRIPTS[name].digest


def test_no_script_sets_a_global_or_changes_a_shared_table(client: Any, namespace: str) -> None:
    """fakeredis keeps one interpreter: a global would break all later scripts. Real servers refuse to set one."""
    keys = keys_of(namespace, "/tasks/lua")
    names = """
        local names = {}
        for name in pairs(_G) do names[#names + 1] = tostring(name) end
        for _, shared in pairs({string, table, math}) do
            for name, value in pairs(shared) do names[#names + 1] = tostring(name) .. type(value) end
        end
        table.sort(names)
        return names
    """
    # The first call of all may load what later ones find.
    client.eval(names, 0)
    before = client.eval(names, 0)
    for name, (declared, arguments) in calls(keys).items():
        client.eval(SCRIPTS[name].text, len(declared), *declared, *arguments)
        assert client.eval(names, 0) == before


def test_the_scripts_run_on_every_server_and_leave_keys_of_one_slot(client: Any, namespace: str) -> None:
    keys = keys_of(namespace, "/tasks/lua{}")
    made = calls(keys)
    replies = {
        name: client.eval(SCRIPTS[name].text, len(declared), *declared, *arguments)
        for name, (declared, arguments) in made.items()
    }
    first, second = replies["commit"].split(b"\n")
    assert first.startswith(b"+")
    assert int(second[1:].split()[0]) > int(first[1:].split()[0])
    assert replies["read"][0] == replies["info"][0] == replies["journal"][2] == second[1:].split()[0]
    found = {key.decode() for key in client.scan_iter(match="{" + namespace + ":*")}
    assert found == set(keys.all)
    assert {key[: key.index("}") + 1] for key in found} == {keys.channel}
