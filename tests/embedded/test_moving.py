"""A moved folder is the same folder, and a copy is another one: each has its own server."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ccs.embedded import Embedded, binary
from ccs.errors import Unavailable
from tests.embedded.players import PATIENCE, client, gone, held, kill, run_id, server_pid
from tests.embedded.players import ccs as inside
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import eventually, scaled

LINGER = 0.1
LENGTHS = {"short": 1, "long": 100}
at_any_length = pytest.mark.parametrize("length", LENGTHS)
at_great_length = pytest.mark.parametrize("length", ["long"])


@pytest.fixture
def place(field: Path, length: str) -> Path:
    """A folder whose path leaves room for a socket's path, or does not."""
    path = field / ("n" * LENGTHS[length])
    path.mkdir()
    return path


@pytest.fixture
def opened() -> Iterator[Callable[[Path], Embedded]]:
    with ExitStack() as stack:

        def open_it(folder: Path) -> Embedded:
            handle = Embedded(folder, linger=LINGER)
            stack.callback(handle.close)
            handle.open(PATIENCE)
            return handle

        yield open_it


Opened = Callable[[Path], Embedded]


def write(handle: Embedded, value: str) -> None:
    """Writes, and makes sure that a killed server would not lose it."""
    with client(handle.ensure(PATIENCE)) as server:
        server.set("x", value)
        eventually(lambda: server.info("persistence")["aof_buffer_length"] == 0)


def read(handle: Embedded) -> str:
    with client(handle.ensure(PATIENCE)) as server:
        return str((server.get("x") or b"").decode())


def run(handle: Embedded) -> str:
    return run_id(handle.ensure(PATIENCE))


def copy(source: Path, to: Path) -> None:
    """A copy with the notes, the data and, where the copier can, the socket."""
    subprocess.run(["cp", "-a", source, to], check=True)


@at_any_length
def test_a_copy_made_while_the_folder_is_in_use_has_a_server_of_its_own(place: Path, opened: Opened) -> None:
    original = opened(place / "a")
    write(original, "original")
    before = run(original)
    copy(place / "a", place / "copy")
    copied = opened(place / "copy")
    assert read(copied) == "original"
    write(copied, "for the copy")
    copied.close()
    eventually(lambda: gone(place / "copy"))
    assert read(original) == "original"
    assert run(original) == before


@pytest.mark.parametrize("colour", COLOURS)
@at_any_length
async def test_stores_of_a_folder_and_of_its_copy_are_separate(place: Path, colour: str) -> None:
    async with connect_in(colour, str(place / "a")) as original:
        await original.task("t").set("x", "original")
        shutil.copytree(place / "a", place / "copy", ignore=shutil.ignore_patterns("*.sock"))
        async with connect_in(colour, str(place / "copy")) as copied:
            await copied.task("t").set("x", "for the copy")
        assert await original.task("t").get("x") == "original"


@at_any_length
def test_a_folder_that_is_moved_while_in_use_keeps_its_server(place: Path, opened: Opened) -> None:
    first = opened(place / "a")
    write(first, "moved")
    before = run(first)
    (place / "a").rename(place / "b")
    second = opened(place / "b")
    assert read(second) == "moved"
    assert run(first) == run(second) == before
    assert not (place / "a").exists()


@at_any_length
def test_an_open_handle_follows_its_folder_when_its_server_was_killed(place: Path, opened: Opened) -> None:
    handle = opened(place / "a")
    write(handle, "moved")
    (place / "a").rename(place / "b")
    kill(server_pid(opened(place / "b").ensure(PATIENCE)))
    assert read(handle) == "moved"
    assert not (place / "a").exists()


@at_any_length
def test_the_old_path_of_a_moved_folder_is_a_new_folder(place: Path, opened: Opened) -> None:
    moved = opened(place / "a")
    write(moved, "moved")
    (place / "a").rename(place / "b")
    anew = opened(place / "a")
    assert read(anew) == ""
    write(anew, "new")
    assert read(moved) == read(opened(place / "b")) == "moved"
    anew.close()
    eventually(lambda: not held(inside(place / "a", "server.lock")))
    assert read(moved) == "moved"
    assert read(opened(place / "a")) == "new"


@pytest.mark.parametrize(("before", "after"), [("a", "n" * 120), ("n" * 120, "a"), ("n" * 120, "m" * 200)])
def test_a_folder_may_be_moved_to_where_its_path_is_long_or_short(
    field: Path, opened: Opened, before: str, after: str
) -> None:
    first = opened(field / before)
    write(first, "moved")
    server = run(first)
    (field / before).rename(field / after)
    second = opened(field / after)
    assert run(second) == run(first) == server
    kill(server_pid(second.ensure(PATIENCE)))
    assert read(first) == read(second) == "moved"
    first.close()
    second.close()
    eventually(lambda: gone(field / after))


@at_great_length
def test_folders_that_swap_paths_keep_their_data(place: Path, opened: Opened) -> None:
    a, b = opened(place / "a"), opened(place / "b")
    write(a, "a's")
    write(b, "b's")
    for source, to in (("a", "aside"), ("b", "a"), ("aside", "b")):
        (place / source).rename(place / to)
    assert (read(opened(place / "a")), read(opened(place / "b"))) == ("b's", "a's")
    assert (read(a), read(b)) == ("a's", "b's")
    kill(server_pid(a.ensure(PATIENCE)))
    assert (read(a), read(b), read(opened(place / "b"))) == ("a's", "b's", "a's")


@at_great_length
def test_a_folder_that_was_deleted_and_made_again_is_another_one(place: Path, opened: Opened) -> None:
    old = opened(place / "a")
    write(old, "old")
    old_server = server_pid(old.ensure(PATIENCE))
    shutil.rmtree(place / "a")
    new = opened(place / "a")
    assert read(new) == ""
    old.close()
    eventually(lambda: not os.path.exists(f"/proc/{old_server}"))
    write(new, "new")
    assert read(opened(place / "a")) == "new"


@at_great_length
def test_a_copy_at_the_path_of_the_deleted_original_has_a_server_of_its_own(place: Path, opened: Opened) -> None:
    """Restored from a backup, with a client of the original still open: it continues with the folder at its path."""
    old = opened(place / "a")
    write(old, "saved")
    copy(place / "a", place / "backup")
    write(old, "lost")
    before = run(old)
    shutil.rmtree(place / "a")
    (place / "backup").rename(place / "a")
    restored = opened(place / "a")
    assert read(restored) == "saved"
    assert run(restored) == run(old) != before


@at_great_length
def test_hard_linked_copies_are_refused_as_they_share_their_data(place: Path, opened: Opened) -> None:
    original = opened(place / "a")
    write(original, "original")
    subprocess.run(["cp", "-al", place / "a", place / "linked"], check=True)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="hard-linked to another folder; copy this one without hard links"):
        Embedded(place / "linked").open(PATIENCE)
    assert time.monotonic() - began < scaled(2.0)
    assert read(original) == "original"
    copy(place / "linked", place / "copy")
    assert read(opened(place / "copy")) == "original"


@at_great_length
def test_every_path_to_a_folder_leads_to_the_same_server(place: Path, opened: Opened) -> None:
    server = run(opened(place / "a"))
    (place / "link").symlink_to(place / "a")
    (place / ("deep" * 10)).symlink_to(place, target_is_directory=True)
    for path in (place / "link", place / ("deep" * 10) / "a", place / "a" / ".." / "a", f"{place}//a/"):
        assert run(opened(Path(path))) == server


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@at_great_length
def test_a_bind_mount_of_a_folder_leads_to_the_same_server(place: Path, opened: Opened) -> None:
    handle = opened(place / "a")
    (place / "mounted").mkdir()
    if subprocess.run(["mount", "--bind", place / "a", place / "mounted"], capture_output=True).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        again = opened(place / "mounted")
        assert run(again) == run(handle)
        again.close()
    finally:
        subprocess.run(["umount", "-l", place / "mounted"], check=True)


@at_great_length
def test_a_stranger_on_the_socket_is_neither_trusted_nor_ended(place: Path, opened: Opened, root: Path) -> None:
    handle = opened(place / "a")
    handle.close()
    eventually(lambda: gone(place / "a"))
    stranger = opened(root / "stranger")
    inside(place / "a", "socket").write_text(stranger.ensure(PATIENCE))
    before = run(stranger)
    again = opened(place / "a")
    assert run(again) != before
    again.close()
    eventually(lambda: gone(place / "a"))
    assert run(stranger) == before


@contextmanager
def somebodys_server(path: Path) -> Iterator[int]:
    """A server that is not ours, on the socket `path`; its process."""
    options = ["--port", "0", "--unixsocket", str(path), "--save", ""]
    process = subprocess.Popen([binary.find("here", None).path, *options], stdout=subprocess.DEVNULL, cwd=path.parent)
    try:
        eventually(lambda: path.exists())
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_a_server_that_belongs_to_no_folder_is_not_used(field: Path, opened: Opened) -> None:
    """Given another server on the folder's socket, when the folder is opened, then that server is not used."""
    folder = field / "a"
    opened(folder).close()
    eventually(lambda: gone(folder))
    other = field / "other.sock"
    with somebodys_server(other) as pid:
        inside(folder, "server.sock").symlink_to(other)
        handle = opened(folder)
        assert server_pid(handle.ensure(PATIENCE)) != pid
        handle.close()
        eventually(lambda: gone(folder))
        assert server_pid(str(other)) == pid
