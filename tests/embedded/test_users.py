"""Other users, no home, no rights: a clear error at once, and nothing that blocks the owner of a folder."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import ccs
from ccs.embedded import Embedded, default_folder
from ccs.embedded import locks as file_locks
from ccs.errors import CCSError, Unavailable
from tests.embedded.players import PATIENCE, Player, crowd, gone, mounted, run_id
from tests.embedded.players import ccs as inside
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import eventually, scaled

LINGER = 0.1
OWNER, OTHER = 12345, 12346  # known to no list of users
AT_ONCE = scaled(3.0)

as_others = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def owner() -> Iterator[Player]:
    with crowd(1) as (player,):
        player.ask(become, OWNER)
        yield player


def become(uid: int) -> None:
    """Another user, who may not be able to read this interpreter's files: this module is loaded by then."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def outcome(folder: str | Path | None, environment: Mapping[str, str | None] | None = None) -> tuple[str, float]:
    """The error of a store that opens `folder`, and after how many seconds."""
    for name, value in (environment or {}).items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    began = time.monotonic()
    try:
        with ccs.connect(folder) as store:
            store.task("t").set("x", 1)
        said = "opened"
    except CCSError as error:
        said = str(error)
    return said, time.monotonic() - began


def shared(folder: Path, uid: int = 0) -> Path:
    """A folder that every user may write, and that belongs to `uid`."""
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    folder.parent.chmod(0o755)
    os.chown(folder, uid, uid)
    return folder


def check_one_user_a_folder(said: str, seconds: float) -> None:
    assert "one user a folder" in said
    assert "redis://" in said
    assert seconds < AT_ONCE


@as_others
@pytest.mark.parametrize("while_open", [True, False])
@pytest.mark.parametrize("uid", [0, OWNER])
def test_a_folder_that_root_opened_first_is_refused_at_once_as_that_of_root(
    folder: Path, owner: Player, uid: int, while_open: bool
) -> None:
    handle = Embedded(shared(folder, uid), linger=LINGER)
    handle.open(PATIENCE)
    if not while_open:
        handle.close()
        eventually(lambda: gone(folder))
    said, seconds = owner.ask(outcome, folder)
    check_one_user_a_folder(said, seconds)
    assert str(folder) in said
    handle.close()


@as_others
@pytest.mark.parametrize("while_open", [True, False])
def test_root_does_not_open_the_folder_of_another_user(folder: Path, owner: Player, while_open: bool) -> None:
    shared(folder, OWNER)
    owner.ask(come, folder)
    run = run_id(str(inside(folder, "server.sock")))
    if not while_open:
        owner.ask(leave)
        eventually(lambda: gone(folder))
    said, seconds = outcome(folder)
    check_one_user_a_folder(said, seconds)
    assert f"belongs to user {OWNER}" in said
    assert {found.stat().st_uid for found in inside(folder, "").rglob("*")} == {OWNER}
    owner.ask(come, folder)
    assert (run_id(str(inside(folder, "server.sock"))) == run) is while_open
    owner.ask(leave)


kept: list[Embedded] = []


def come(folder: Path) -> None:
    """Open `folder`, also a second time."""
    kept.append(Embedded(folder, linger=LINGER))
    kept[-1].open(PATIENCE)


def leave() -> None:
    while kept:
        kept.pop().close()


@as_others
@pytest.mark.parametrize("colour", COLOURS)
async def test_both_colours_name_the_owner_of_the_folder(folder: Path, colour: str) -> None:
    inside(shared(folder), "").mkdir(mode=0o700)
    os.chown(inside(folder, ""), OTHER, OTHER)
    with pytest.raises(Unavailable, match=f"belongs to user {OTHER}, and this is user 0; one user a folder"):
        async with connect_in(colour, str(folder)):
            pass


@as_others
def test_a_second_user_is_refused_at_once(folder: Path, owner: Player) -> None:
    shared(folder, OTHER)
    with crowd(1) as (other,):
        other.ask(become, OTHER)
        other.ask(come, folder)
        check_one_user_a_folder(*owner.ask(outcome, folder))
        other.ask(leave)
    eventually(lambda: gone(folder))


@as_others
def test_a_file_of_root_inside_the_folder_is_named_at_once(folder: Path, owner: Player) -> None:
    owner.ask(come, shared(folder, OWNER))
    owner.ask(leave)
    eventually(lambda: gone(folder))
    os.chown(inside(folder, "keeper.lock"), 0, 0)
    said, seconds = owner.ask(outcome, folder)
    check_one_user_a_folder(said, seconds)
    assert "keeper.lock" in said


@as_others
@pytest.mark.parametrize(
    ("home", "says"),
    [
        (None, "no home folder is known: set $HOME, or $CCS_URL"),
        ("", "no home folder is known: set $HOME, or $CCS_URL"),
        ("not/absolute", "no home folder is known: set $HOME, or $CCS_URL"),
        ("/", "Permission denied"),
        ("/nonexistent", "the home folder /nonexistent does not exist"),
        ("/proc", "/proc/.local"),
        ("/root", "Permission denied"),
    ],
)
@pytest.mark.parametrize("target", [None, "~/brain"])
def test_a_user_without_a_usable_home_gets_advice(
    owner: Player, home: str | None, says: str, target: str | None
) -> None:
    environment = {"HOME": home, "XDG_DATA_HOME": None, "CCS_URL": None}
    said, seconds = owner.ask(outcome, target, environment)
    assert says in said or (target and home == "/proc")
    assert "unavailable" in said
    assert seconds < AT_ONCE


def test_a_home_that_does_not_exist_is_not_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root / "nowhere"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for target in (default_folder(), "~/brain"):
        with pytest.raises(Unavailable, match=r"the home folder .*nowhere does not exist"):
            Embedded(target).open(PATIENCE)
    assert list(root.iterdir()) == []


def test_a_home_of_an_unknown_user_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(Unavailable, match="no home folder is known"):
        Embedded("~no-such-user-here/brain")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("how", ["text", "path", "environment"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_tilde_stands_for_the_home_folder(
    field: Path, monkeypatch: pytest.MonkeyPatch, colour: str, how: str
) -> None:
    monkeypatch.setenv("HOME", str(field))
    monkeypatch.chdir(field)
    if how == "environment":
        monkeypatch.setenv("CCS_URL", "~/brain")
    targets = {"text": "~/brain", "path": Path("~/brain"), "environment": None}
    async with connect_in(colour, targets[how]) as store:
        await store.task("t").set("x", 1)
    assert os.listdir(field) == ["brain"]
    async with connect_in(colour, str(field / "brain")) as store:
        assert await store.task("t").get("x") == 1


@as_others
def test_a_read_only_folder_is_reported(folder: Path, owner: Player) -> None:
    shared(folder).chmod(0o555)
    said, seconds = owner.ask(outcome, folder)
    assert "Permission denied" in said
    check_one_user_a_folder(said, seconds)


def test_a_read_only_file_system_is_reported(root: Path) -> None:
    with mounted(root / "disk", "ro"):
        said, seconds = outcome(root / "disk" / "brain")
    assert "Read-only file system" in said
    assert "give a folder that can be written, or a URL" in said
    assert seconds < AT_ONCE


def test_a_file_system_without_execution_is_usable(root: Path) -> None:
    with mounted(root / "disk", "noexec,size=16m"):
        handle = Embedded(root / "disk" / "brain", linger=LINGER)
        assert run_id(handle.open(PATIENCE))
        handle.close()
        eventually(lambda: gone(handle.folder))


@pytest.mark.parametrize("number", ["ENOLCK", "ENOTSUP", "ENOSYS"])
def test_a_file_system_without_locks_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr(file_locks.fcntl, "flock", refuse)
    with pytest.raises(Unavailable, match=r"its file system has no file locks \(flock\): use a folder on a local disk"):
        Embedded(folder).open(PATIENCE)
