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

from ccs._core.commits.commit import Batch, Commit, Settings, commit_arguments, confirm_arguments
from ccs._core.commits.field_layout import COUNTS, ENTRY, EXTRAS, KEPT, LABEL, RECORD, STATE, TERMS
from ccs._core.commits.operations import set_op, version_guard
from ccs._core.commits.queries import info_keys, journal_arguments, journal_keys, read_arguments
from ccs._core.names.keys import Keys, keys_of
from ccs._core.names.pattern import Below
from ccs._protocol.lua_source import SourceError, assemble
from ccs._protocol.scripts import COMMIT, CONFIRM, INFO, JOURNAL, READ, Script

SCRIPTS = {script.name: script for script in (COMMIT, READ, JOURNAL, INFO, CONFIRM)}
FOLDER = files("ccs").joinpath("lua")
PARTS = {file.name[:-4]: file.read_text() for file in FOLDER.joinpath("parts").iterdir() if file.name.endswith(".lua")}
SOURCES = {name: FOLDER.joinpath(f"{name}.lua").read_text() for name in SCRIPTS}
LITERAL_OFFSETS = (
    r"\bsub\([^()]*,\s*-?\d",  # an offset in a text
    r"\bmatch\([^()]*'[^']*',\s*\d",
    r"%0\d",  # how many digits a number has
    r"\b0000|----|\*\*\*\*",  # a number that is spelled in all its digits, or what stands for it
    r"%S\+ %S\+ %S\+ %S\+",  # a word by its number
    r"KEYS\[\d",
)
"""What no source holds: offsets have names, and their numbers are in `field_layout.py`."""
FORBIDDEN = ("cmsgpack", "struct", "bit", "cjson", "sha1hex", "loadstring", "setfenv", "rawset", "pcall")
"""What fakeredis lacks, or what would hide an error or a global."""
ASKING = "pcall(may, "
"""Where an error only says that the server has no such command; fakeredis has no rights to ask for."""


def calls(keys: Keys) -> dict[str, tuple[tuple[str, ...], list[Any]]]:
    """One ordinary call of each script, as `_core` builds it."""
    commits = [Commit("agent", [set_op("a", b"\x01", 60_000)]), Commit("agent", [set_op("b", b"\x02")])]
    return {
        "commit": (keys.all, commit_arguments(Batch(commits, "client", 2), keys, Settings(60_000, 10, 10_000))),
        "read": (keys.all, read_arguments("entries", [Below("")])),
        "journal": (journal_keys(keys), journal_arguments(0, 10)),
        "info": (info_keys(keys), []),
        "confirm": ((keys.journal, keys.meta), confirm_arguments(Batch(commits, "client", 2), 1)),
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


def test_every_file_is_a_script_that_the_library_loads_or_a_part_of_one() -> None:
    names = {file.name for file in FOLDER.iterdir() if file.name.endswith(".lua")}
    assert names == {f"{name}.lua" for name in SCRIPTS}
    for name, part in PARTS.items():
        assert any(part.splitlines()[0] in script.text for script in SCRIPTS.values()), name


@pytest.mark.parametrize(("name", "source"), [*SOURCES.items(), *PARTS.items()])
def test_no_source_holds_a_literal_offset_or_more_than_400_lines(name: str, source: str) -> None:
    bare = re.sub(r"(^|\s)--.*", "", source)
    for pattern in LITERAL_OFFSETS:
        found = re.search(pattern, bare)
        assert not found, (name, found)
    assert source.count("\n") <= 400


def test_the_offsets_of_format_1_are_those_of_its_data() -> None:
    """Given data of format 1 anywhere, then these numbers are right, whatever the templates become."""
    assert ENTRY.spans == {
        "revision": (1, 16),
        "version": (18, 27),
        "created": (29, 44),
        "updated": (46, 61),
        "expiry": (63, 75),
        "agent": (77, None),
    }
    assert COUNTS.spans == {"bytes": (1, 15), "records": (17, 28)}
    head = ("last", "format", "written", "updated", "deadline", "renewed_after", "terms")
    offsets = [(1, 16), (17, 17), (18, 45), (47, 62), (64, 76), (78, 90), (91, None)]
    assert [STATE.spans[name] for name in head] == offsets
    terms = ("expiring", "limits.bytes", "limits.records", "policies", "first", "settings")
    offsets = [(1, 1), (2, 16), (18, 29), (31, 46), (48, 63), (65, None)]
    assert [TERMS.spans[name] for name in terms] == offsets
    assert [STATE.spans[f"terms.{name}"][0] for name in terms] == [start + 90 for start, _ in offsets]
    assert [KEPT.spans[name] for name in ("number", "at", "answers")] == [(1, 12), (14, 29), (31, None)]
    assert " ".join(RECORD) == "previous revision at client number index agent deadline bytes records expiry"


def test_what_a_commit_travels_with_stands_where_the_script_looks_for_it() -> None:
    keys = keys_of("ccs", "/tasks/1")
    guarded = Commit("me", [set_op("a", b"\x01")], [version_guard("b", 7)], policies=5)
    alone = Commit("ü", [set_op("a", b"\x01")])
    batch = Batch([alone, guarded], "client", 9, behind=8, latest=1_700_000_000_000_000)
    arguments = commit_arguments(batch, keys, Settings(1, 2, 3))
    assert arguments[2][-KEPT.width("number") :] == "000000000009"
    extras = {"behind": "000000000008", "latest": "1700000000000000", "settings": "- - -"}
    assert EXTRAS.parse(str(arguments[6])) == extras
    assert arguments[7:9] == ["ü", "0000 002"]
    label = {
        "index": "0001",
        "agent": "002",
        "policies": "0000000000000005",
        "guards": "000001",
        "operations": "000001",
    }
    assert LABEL.parse(str(arguments[14])) == label
    assert arguments[17] == "0000000007"
    anybody = commit_arguments(Batch([Commit("me", [], [version_guard("b", 0)])], "", 0), keys, Settings(1, 2, 3))
    assert anybody[8] == f"0000 002 {'*' * 16} 000001 000000"


PUT_TOGETHER = {
    "a part that is not there": ("-- include none\n", {}, "no part 'none'"),
    "a part that includes itself": ("-- include a\n", {"a": "-- include a\n"}, "a > a"),
    "parts that include each other": ("-- include a\n", {"a": "-- include b\n", "b": "-- include a\n"}, "a > b > a"),
    "a part that nothing uses": ("-- include a\n", {"a": "local function unused()\nend\n"}, "nothing of the part 'a'"),
    "an unknown field": ("${entry.none}", {}, "entry.none"),
    "an unknown layout": ("${none.expiry}", {}, "none.expiry"),
    "an unknown kind": ("${around entry.expiry}", {}, "around"),
    "the end of what has none": ("${after entry.agent}", {}, "after"),
    "words that do not follow each other": ("${words at agent}", {}, "words"),
    "a key that is not declared": ("-- KEYS   1 meta\n${KEYS.paths}", {}, "KEYS.paths"),
    "nothing": ("${}", {}, "nothing is called"),
}


@pytest.mark.parametrize(("source", "parts", "error"), PUT_TOGETHER.values(), ids=PUT_TOGETHER)
def test_a_script_is_not_put_together_out_of(source: str, parts: dict[str, str], error: str) -> None:
    with pytest.raises(SourceError, match=error):
        assemble(source, parts.get)


def test_a_part_is_put_in_once_before_what_uses_it() -> None:
    parts = {"one": "-- include two\nlocal function one() two() end\n", "two": "local function two() end\n"}
    source = "-- KEYS   1 journal  2 meta\n    -- include one\n-- include two\none(${KEYS.meta}, ${entry.expiry})\n"
    whole = (
        "-- KEYS   1 journal  2 meta\nlocal function two() end\nlocal function one() two() end\none(KEYS[2], 63, 75)\n"
    )
    assert assemble(source, parts.get) == whole


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
        assert command in ("TIME", "PUBLISH") or re.fullmatch(r"KEYS\[(\d|i)\]", first), (command, first)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_no_line_calls_two_commands(script: Script) -> None:
    """Redis 7.0 tells only the line of a denied command: `Forbidden` names the command that this line calls."""
    for line in script.text.splitlines():
        assert len(re.findall(r"\bcall\(", line.partition("--")[0])) <= 1, line


def loops(script: Script) -> set[int]:
    return {
        i
        for last in re.findall(r"for i = 1, (\d) do[^\n]*\n[^\n]*\n[^\n]*KEYS\[i\]", script.text)
        for i in range(1, int(last) + 1)
    }


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_uses_only_what_all_servers_have_and_prints_no_revision_as_a_double(script: Script) -> None:
    text = code(script).replace(ASKING, "(")
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
