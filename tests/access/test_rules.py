"""The commands that a grant lists are those that the scripts and the client use: none is missing, none is too many."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import redis

import ccs
from ccs._protocol.access_rules import READERS, WRITERS
from ccs._protocol.scripts import COMMIT, SCRIPTS

PACKAGE = Path(ccs.__file__).parent
SOURCES = ("_async", "_protocol", "_core/commits/field_layout.py")
# Those that name commands to speak of rights.
RIGHTS = {"access_rules.py", "rights.py"}

# What the library sends for those who may do everything; and what needs no right.
NOT_GRANTED = {
    "ACL|DELUSER": "removes users",
    "ACL|LIST": "shows users",
    "ACL|SAVE": "keeps users",
    "ACL|SETUSER": "makes users",
    "AUTH": "needs no right",
    "CLUSTER|NODES": "is for a listing of contexts, which needs SCAN",
    "CLUSTER|SHARDS": "is for who makes users",
    "COMMAND|LIST": "is for who makes users",
    "CONFIG|GET": "shows the passwords of the server too",
    "CONFIG|SET": "is for the server of a folder",
    "PSUBSCRIBE": "hears every context",
    "PUNSUBSCRIBE": "as above",
    "SCAN": "shows the names of all keys",
}
# Words that are names of commands too, and mean something else where they stand.
WORDS = {"ASK", "GET", "KEYS", "READONLY", "SAVE", "SET"}


def commands_named(known: set[str]) -> set[str]:
    """The commands that the sources name: as a word alone, or with what follows in the same tuple."""
    return {name for node in _constants() for name in _named(node, known)}


@cache
def _constants() -> list[ast.AST]:
    """The texts and tuples in all sources."""
    files = [file for source in SOURCES for file in _files(PACKAGE / source) if file.name not in RIGHTS]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return [node for node in nodes if isinstance(node, ast.Tuple | ast.Constant)]


def _files(source: Path) -> list[Path]:
    return sorted(source.rglob("*.py")) if source.is_dir() else [source]


def _named(node: ast.AST, known: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Tuple):
        texts = [each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        yield from {"|".join(texts[:2]).upper(), *texts[:1]} & known - WORDS
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from {node.value} & known - WORDS


def known_to(url: str) -> set[str]:
    """All commands of a server, also those of two words."""
    with redis.Redis.from_url(url) as client:
        client.response_callbacks.clear()
        return {name.decode().upper() for name in client.execute_command("COMMAND", "LIST")}


def test_whatever_the_client_sends_is_granted(valkey: str) -> None:
    """Given all commands that the server knows, when one is named in the sources, then a grant lists it, or says why not."""
    known = known_to(valkey)
    containers = {name.partition("|")[0] for name in known if "|" in name}
    named = commands_named(known) - containers
    assert named - WRITERS == set(NOT_GRANTED)
    assert {"HGET", "XREVRANGE", "SSUBSCRIBE", "INFO", "SPUBLISH", "WAIT", "CLUSTER|SLOTS", "CLIENT|SETNAME"} <= named


def test_nothing_is_granted_that_nobody_uses(valkey: str) -> None:
    known = known_to(valkey)
    named = commands_named(known)
    called = set().union(*(script.commands for script in SCRIPTS.values()))
    # The client makes the names of these from others.
    assert WRITERS - named - called == {"EVAL_RO", "EVALSHA_RO"}


def test_whatever_a_script_calls_is_granted(valkey: str) -> None:
    """Given the text of every script, when it names a command in any way, then a grant lists it."""
    known = known_to(valkey)
    for script in SCRIPTS.values():
        quoted = {word for word in script.text.replace('"', "'").split("'") if word in known}
        code = {word for word in quoted if f"'{word}'" in script.text}
        assert script.commands <= known
        assert code - script.commands <= {"SPUBLISH"}, script.name
        assert script.commands <= (READERS if script.reads else WRITERS)


def test_a_reader_has_no_command_that_writes(valkey: str) -> None:
    """Given what a reader is granted, then the server counts none of it as a write, and publishing is not among it."""
    with redis.Redis.from_url(valkey) as client:
        flags = {name.upper(): info["flags"] for name, info in client.command().items()}
    assert not [command for command in READERS if "write" in flags[command.partition("|")[0]]]
    assert not READERS & {"PUBLISH", "SPUBLISH", "EVAL", "EVALSHA"}
    assert COMMIT.commands & {"HSET", "XADD"} <= WRITERS - READERS
