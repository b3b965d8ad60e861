"""The data of a format as files: the commands that make its keys, and what must be read from them.

`commands.jsonl` has one command a line, a list of texts whose characters are bytes: every server can load it. Each key is
written whole, by the command for its type, and gets its deadline, if it has one. `expected.json` has the numbers and times
that differ whenever the data are made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

NAMESPACE = "format"
FOLDER = Path(__file__).parent.parent / "data"
_FAR = 365 * 86_400_000

Command = tuple[bytes, ...]


def folder_of(format: int) -> Path:
    return FOLDER / f"format-{format}"


def dumped(client: redis.Redis) -> Iterator[Command]:
    """The commands that make the keys of the namespace anew."""
    now = int(client.time()[0]) * 1000
    for key in sorted(client.scan_iter(match="{" + NAMESPACE + ":*")):
        yield from _KINDS[client.type(key)](client, key)
        when = int(client.pexpiretime(key))
        if when > now + _FAR:
            yield b"PEXPIREAT", key, b"%d" % when
        elif when > 0:  # meta, that a context has left behind for ten minutes
            yield b"PEXPIRE", key, b"600000"


def _hash(client: redis.Redis, key: bytes) -> Iterator[Command]:
    for field, value in sorted(client.hgetall(key).items()):
        yield b"HSET", key, field, value


def _sorted_set(client: redis.Redis, key: bytes) -> Iterator[Command]:
    for member, score in client.zrange(key, 0, -1, withscores=True):
        yield b"ZADD", key, b"%d" % score, member


def _stream(client: redis.Redis, key: bytes) -> Iterator[Command]:
    # redis-py would make a dictionary of the fields, which all have one name.
    client.set_response_callback("XRANGE", lambda reply, **_: reply)
    for item, fields in client.xrange(key):
        yield b"XADD", key, item, *fields


_KINDS: dict[bytes, Callable[[redis.Redis, bytes], Iterator[Command]]] = {
    b"hash": _hash,
    b"zset": _sorted_set,
    b"stream": _stream,
}


def save(folder: Path, commands: Iterator[Command], expected: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps([word.decode("latin-1") for word in command]) for command in commands]
    folder.joinpath("commands.jsonl").write_text("\n".join(lines) + "\n")
    folder.joinpath("expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def commands_of(format: int, namespace: str) -> Iterator[Command]:
    """The commands that make the data of a format in a namespace."""
    old, new = ("{" + name + ":" for name in (NAMESPACE, namespace))
    for line in folder_of(format).joinpath("commands.jsonl").read_text().splitlines():
        name, key, *words = (word.encode("latin-1") for word in json.loads(line))
        yield name, key.replace(old.encode(), new.encode(), 1), *words


def expected_of(format: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(folder_of(format).joinpath("expected.json").read_text())
    return found
