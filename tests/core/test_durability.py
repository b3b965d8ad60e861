"""What is asked for, what a server can do, and which commits travel together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import ccs
from ccs._core.commits.batching import Waiting, one_durability
from ccs._core.commits.commit import Commit
from ccs._protocol.flushing import check_of, flushed, flushing_of
from ccs._protocol.replies import ServerError

SAFE = ccs.Durability()
SAFER = ccs.Durability(replicas=2)


def test_it_is_validated_and_compared_as_a_value() -> None:
    assert ccs.Durability(timeout=timedelta(seconds=2)) == ccs.Durability(True, 0, 2.0)
    assert not ccs.Durability(disk=False).waits
    assert ccs.Durability(disk=False, replicas=1).waits


@pytest.mark.parametrize(
    "wrong",
    [
        {"disk": 1},
        {"replicas": -1},
        {"replicas": True},
        {"replicas": 1.5},
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": 301},
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ccs.InvalidValue, match=next(iter(wrong))):
        ccs.Durability(**wrong)


def test_a_store_is_not_connected_with_anything_else() -> None:
    with pytest.raises(ccs.InvalidValue, match="durability"):
        ccs.connect("memory://", durability=True)  # type: ignore[arg-type]


def info(version: str, file: int = 1) -> bytes:
    return f"# Server\r\n{version}\r\n# Persistence\r\naof_enabled:{file}\r\n".encode()


VALKEY = info("redis_version:7.2.4\r\nvalkey_version:9.1.0")


def config(appendonly: bytes, appendfsync: bytes, lazy: bytes = b"no") -> list[bytes]:
    return [b"no-appendfsync-on-rewrite", lazy, b"appendonly", appendonly, b"appendfsync", appendfsync]


ALWAYS = config(b"yes", b"always")
EVERYSEC = config(b"yes", b"everysec")
DENIED = ServerError("NOPERM User agent has no permissions to run the 'config|get' command")


def test_a_server_that_flushes_first_needs_no_wait() -> None:
    assert flushing_of([VALKEY, ALWAYS], "here") == "always"
    assert check_of("always", 5000)[:2] == ("CONFIG", "GET")
    assert flushed("always", ALWAYS)
    assert not flushed("always", EVERYSEC)
    assert not flushed("always", DENIED)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (EVERYSEC, "appendfsync everysec"),
        (config(b"no", b"always"), "appendonly"),
        (config(b"yes", b"always", b"yes"), "no-appendfsync-on-rewrite"),
        (DENIED, "CONFIG GET"),
    ],
)
def test_what_keeps_a_server_from_it_is_named(settings: Any, named: str) -> None:
    keeps_file = int(not isinstance(settings, list) or settings[3] == b"yes")
    with pytest.raises(ccs.UnsafeServer, match=named):
        flushing_of([info("redis_version:7.2.4", keeps_file), settings], "here")


@pytest.mark.parametrize("config", [EVERYSEC, DENIED])
def test_only_redis_8_waits_honestly(config: Any) -> None:
    assert flushing_of([info("redis_version:8.2.1"), config], "here") == "waitaof"
    assert check_of("waitaof", 5000) == ("WAITAOF", "1", "0", "5000")
    assert flushed("waitaof", [1, 0])
    assert not flushed("waitaof", [0, 0])
    for older in (VALKEY, info("redis_version:7.4.0"), info("redis_version:8.2.1", 0)):
        with pytest.raises(ccs.UnsafeServer):
            flushing_of([older, config], "here")


def queue(*asked: ccs.Durability | None) -> list[Waiting[int]]:
    return [Waiting(Commit("agent", []), 0.0, index, each) for index, each in enumerate(asked)]


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ([None, None], 2),
        ([None, SAFE], 1),
        ([SAFE, None, SAFE, None], 4),
        ([SAFE, None, ccs.Durability(), SAFER], 3),
        ([SAFER, SAFE], 1),
        ([None, None, SAFE, None], 2),
    ],
)
def test_ordinary_commits_travel_with_a_durable_one_before_them(asked: list[Any], taken: int) -> None:
    waiting = queue(*asked)
    found, durability = one_durability(waiting)
    assert (found, durability) == (waiting[:taken], asked[0])
