"""Folder names that are long or hostile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ccs.embedded import Embedded
from ccs.errors import Unavailable
from tests.embedded.players import PATIENCE, clean_up, client, crowd, enter, gone, kill, server_pid
from tests.support.waiting import eventually

LINGER = 0.1
HOSTILE = [
    "with space ",
    "ünï-côdé-名前-🧠",
    "quo'te\"s",
    "new\nline\r\ttab",
    "-dash",
    "--port 1234",
    "$HOME `id` ;& |",
    "back\\slash\\x41",
    "per%cent # [a]*?",
    os.fsdecode(b"not-utf8-\xff\xfe"),
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_is_a_name_like_any_other(root: Path, name: str) -> None:
    folder = root / name
    serve_twice(folder)
    assert [each.name for each in root.iterdir()] == [name]


@pytest.mark.parametrize("length", [70, 80, 90, 100, 110, 250, 1000])
def test_a_long_name_is_a_name_like_any_other(root: Path, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(root))
    serve_twice(long_folder(root, length))


def serve_twice(folder: Path) -> None:
    handle = Embedded(folder, linger=LINGER)
    try:
        path = handle.open(PATIENCE)
        with client(path) as server:
            server.set("a", 1)
            eventually(lambda: server.info("persistence")["aof_buffer_length"] == 0)
        kill(server_pid(path))
        with client(handle.ensure(PATIENCE)) as server:
            assert server.get("a") == b"1"
        handle.close()
        eventually(lambda: gone(folder))
    finally:
        handle.close()
        clean_up(folder)


def long_folder(root: Path, length: int) -> Path:
    path = root
    while (missing := length - len(str(path)) - 1) > 0:
        path = path / ("n" * min(200, missing))
    return path


def test_clients_with_other_environments_find_the_socket_of_a_long_name(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "run").mkdir()
    folder = long_folder(root, 150)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(root / "run"))
    handle = Embedded(folder, linger=LINGER)
    try:
        path = handle.open(PATIENCE)
        assert path.startswith(str(root / "run"))
        assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
        with crowd(1) as (player,):
            player.ask(forget, "XDG_RUNTIME_DIR")
            assert player.ask(enter, folder, LINGER)[1] == path
    finally:
        handle.close()
        eventually(lambda: gone(folder))


def forget(variable: str) -> None:
    os.environ.pop(variable, None)


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_foreign_folder_for_the_socket_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    private = root / f"ccs-{os.getuid()}"
    if kind == "open to others":
        private.mkdir(mode=0o755)
    elif kind == "a link":
        (root / "target").mkdir(mode=0o700)
        private.symlink_to(root / "target")
    else:
        private.touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(root))
    folder = long_folder(root, 150)
    with pytest.raises(Unavailable, match=r"is not a private folder of this user"):
        Embedded(folder, linger=0.0).open(PATIENCE)
    eventually(lambda: gone(folder))


@pytest.mark.parametrize(
    ("text", "means"),
    [(".", "a/b"), ("..", "a"), ("./", "a/b"), ("../c/", "a/c"), ("c/../d", "a/b/d"), ("c//d/", "a/b/c/d")],
)
def test_dots_and_slashes_mean_the_same_as_elsewhere(
    root: Path, monkeypatch: pytest.MonkeyPatch, text: str, means: str
) -> None:
    (root / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(root / "a" / "b")
    assert Embedded(text).folder == root / means


@pytest.mark.parametrize("name", ["n" * 300, "n/" * 3000])
def test_a_name_that_is_too_long_for_the_system_is_reported(root: Path, name: str) -> None:
    with pytest.raises(Unavailable, match="File name too long"):
        Embedded(root / name).open(PATIENCE)
    assert list(root.iterdir()) == []
