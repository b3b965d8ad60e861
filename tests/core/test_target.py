"""Targets of connect: folders, URLs, and slips that would have been folders with a password in their name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import ccs
import ccs.aio
from ccs._core.names.target import parse_target
from ccs.errors import InvalidValue

SECRET = "hunter2"
SLIPS = [
    "redis//:hunter2@host",
    "rediss//:hunter2@host:6379/0",
    "REDIS//host",
    "Redis:/:hunter2@host",
    "redis:/host",
    "redis:host",
    "redis:",
    "redis :/host",
    "redis;//:hunter2@host",
    "redis.//:hunter2@host",
    "valkey//host",
    "valkeys:/host",
    "unix:/tmp/redis.sock",
    "unix//tmp/redis.sock",
    "memory:x",
    "redis+cluster:/host",
    "redis+cluster//:hunter2@host:6379",
    "rediss+sentinel//host:26379/main",
    "http:/host",
    "https//host:6379",
    "tcp:host",
    "file:/tmp/brain",
    " redis://:hunter2@host",
    "\nredis://host",
    "'redis://:hunter2@host'",
    "CCS_URL=redis://:hunter2@host",
    "1redis://host",
    "://host",
    "//host:6379",
    "//:hunter2@host",
    "//user:hunter2@host/0",
    ":hunter2@host",
    "user:hunter2@host:6379/0",
    "user:hun/ter2@host",
    "redis/:hunter2@host",
    "hunter2@host:6379",
    "host:6379",
    "host:6379/0",
    "host:6379 ",
    "host:6379,host2:6379",
    "127.0.0.1:6379?db=1",
    ":6379",
    "[::1]",
    "[::1]:6379",
    "[::1]:6379/0",
]
OTHER_SCHEMES = [
    "http://:hunter2@host",
    "postgres://u:hunter2@h",
    "redis-sentinel://:hunter2@host",
    "redos://:hunter2@h",
]
FOLDERS = [
    "brain",
    "./brain",
    "../brain/",
    ".",
    "..",
    "/data/brain",
    "//data/brain",
    "~/brain",
    "redis",
    "redis/brain",
    "memory/brain",
    "unix-brain",
    "redis.d/brain",
    "localhost",
    "me@work",
    "a:b",
    "10:30 notes",
    "./redis://:hunter2@host",
    "./host:6379",
    "/srv/host:6379",
    "new\nline",
    "[draft]",
    os.fsdecode(b"\xff\xfe"),
]


@pytest.mark.parametrize("text", SLIPS + OTHER_SCHEMES)
def test_a_slip_of_a_url_is_refused_and_its_secret_not_shown(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a slip, in the call or in the environment, then `InvalidValue` is raised at once, and no folder is made."""
    monkeypatch.chdir(tmp_path)
    for connect in (ccs.connect, ccs.aio.connect):
        for target in (text, None):
            monkeypatch.setenv("CCS_URL", text)
            with pytest.raises(
                InvalidValue, match=r"write rediss?(\+\w+)?://user:password@host:port.*, or ./|not a scheme"
            ) as caught:
                connect(target)
            assert SECRET not in str(caught.value) + repr(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", FOLDERS)
def test_any_other_name_is_a_folder(text: str) -> None:
    assert (parse_target(text).kind, parse_target(text).location) == ("folder", text)


def test_a_path_is_a_folder_whatever_its_name() -> None:
    assert parse_target(Path("host:6379")).kind == "folder"
    assert parse_target(Path("redis://host")).location == "redis:/host"


class Bytes(os.PathLike[bytes]):
    def __fspath__(self) -> bytes:
        return b"/tmp/\xff"


def test_a_path_of_bytes_is_that_path() -> None:
    assert parse_target(Bytes()).location == os.fsdecode(b"/tmp/\xff")  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [6379, ["redis://:hunter2@host"], b"redis://:hunter2@host", {"p": SECRET}])
def test_an_invalid_target_is_not_shown(target: object) -> None:
    with pytest.raises(InvalidValue, match="a target is a URL, a folder or nothing") as caught:
        parse_target(target)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


class Empty(os.PathLike[bytes]):
    def __fspath__(self) -> bytes:
        return b""


@pytest.mark.parametrize("target", ["", Empty()])
def test_the_error_for_an_empty_target_says_what_to_give_instead(target: str) -> None:
    for connect in (ccs.connect, ccs.aio.connect):
        with pytest.raises(InvalidValue, match=r"target is empty: give a URL, .* or None"):
            connect(target)
