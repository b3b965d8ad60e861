"""What one handle promises: its life, its descriptors, its children, and the keeper's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccs.embedded import Embedded, default_folder
from ccs.embedded.locks import attempt, holders
from ccs.errors import InvalidPath, StoreClosed
from tests.embedded.players import (
    PATIENCE,
    Player,
    alive,
    ccs,
    client,
    crowd,
    descriptors,
    enter,
    gone,
    keepers,
    kill,
    leave,
    run_id,
    server_pid,
    servers,
)
from tests.support.waiting import eventually

LINGER = 0.1


@pytest.fixture
def player() -> Iterator[Player]:
    with crowd(1) as (one,):
        yield one


def test_creating_a_handle_touches_nothing(folder: Path) -> None:
    handle = Embedded(folder)
    assert handle.folder == folder
    assert not folder.exists()
    assert "closed" in repr(handle)


def test_a_relative_folder_becomes_absolute(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(root)
    assert Embedded("brain").folder == root / "brain"


def test_the_default_folder_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/ccs")


def test_a_name_with_nul_is_refused() -> None:
    with pytest.raises(InvalidPath):
        Embedded("a\0b")


def test_the_representation_shows_the_live_state(folder: Path) -> None:
    handle = Embedded(folder, linger=LINGER)
    path = handle.open(PATIENCE)
    assert f"open socket={path!r} started=1" in repr(handle)
    handle.close()
    assert "closed started=1" in repr(handle)


def test_the_folder_and_the_socket_are_private(folder: Path) -> None:
    handle = Embedded(folder, linger=LINGER)
    path = handle.open(PATIENCE)
    assert os.stat(ccs(folder, "")).st_mode & 0o777 == 0o700
    assert os.stat(path).st_mode & 0o777 == 0o700
    handle.close()


def test_the_server_keeps_everything_and_listens_on_no_port(folder: Path) -> None:
    handle = Embedded(folder, linger=LINGER)
    with client(handle.open(PATIENCE)) as server:
        wanted = {
            "port": "0",
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }
        assert {name: server.config_get(name)[name] for name in wanted} == wanted
    handle.close()


def test_an_idle_server_ends_after_its_last_client_and_so_does_the_keeper(folder: Path) -> None:
    first, second = Embedded(folder, linger=LINGER), Embedded(folder, linger=LINGER)
    path = first.open(PATIENCE)
    assert second.open(PATIENCE) == path
    pid = server_pid(path)
    (keeper,) = keepers(folder)
    first.close()
    assert second.ensure(PATIENCE) == path
    assert server_pid(path) == pid
    second.close()
    eventually(lambda: gone(folder))
    assert not alive(pid)
    assert not alive(keeper)
    assert not os.path.exists(path)


def test_a_handle_may_be_closed_twice_and_opened_again(folder: Path) -> None:
    handle = Embedded(folder, linger=LINGER)
    handle.close()
    path = handle.open(PATIENCE)
    assert handle.open(PATIENCE) == path
    handle.close()
    handle.close()
    with pytest.raises(StoreClosed):
        handle.ensure(PATIENCE)
    assert run_id(handle.open(PATIENCE))
    handle.close()


def test_threads_may_share_a_handle(folder: Path) -> None:
    handle = Embedded(folder, linger=LINGER)
    found = [handle.open(PATIENCE)]
    kill(server_pid(found[0]))
    threads = [threading.Thread(target=lambda: found.append(run_id(handle.ensure(PATIENCE)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == 9
    assert len(set(found[1:])) == 1
    handle.close()


def test_nothing_is_left_of_a_closed_handle(folder: Path, player: Player) -> None:
    player.ask(open_and_close, folder)
    before = player.ask(descriptors)
    for _ in range(5):
        player.ask(open_and_close, folder)
    assert player.ask(descriptors) == before
    assert player.ask(has_no_children)


def open_and_close(folder: Path) -> None:
    enter(folder, 0.0)
    leave()
    eventually(lambda: gone(folder))


def has_no_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_programs_that_a_client_runs_inherit_nothing(folder: Path) -> None:
    handle = Embedded(folder, linger=LINGER)
    handle.open(PATIENCE)
    listing = "import os; print([os.readlink('/proc/self/fd/' + f) for f in os.listdir('/proc/self/fd') if f > '2'])"
    seen = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, close_fds=False)
    assert ".ccs" not in seen.stdout + seen.stderr.replace("FileNotFoundError", "")
    handle.close()


def test_a_forked_child_keeps_neither_server_nor_locks(folder: Path, player: Player) -> None:
    player.ask(enter, folder, LINGER)
    child = player.ask(fork_a_sleeper)
    player.ask(leave)
    eventually(lambda: gone(folder))
    assert alive(child)
    kill(child)


def fork_a_sleeper() -> int:
    held = attempt(Path("/tmp") / f"ccs-fork-{os.getpid()}")
    pid = os.fork()
    if pid == 0:
        signal.pause()
    assert held
    assert holders(held.path) == [os.getpid()]
    held.release()
    os.unlink(held.path)
    return pid


def test_a_process_without_standard_streams_can_start_the_server(folder: Path, player: Player) -> None:
    _, path = player.ask(enter_without_streams, folder)
    assert holders(ccs(folder, "server.lock")) == [server_pid(path)]
    assert holders(ccs(folder, "keeper.lock")) == keepers(folder) != []


def enter_without_streams(folder: Path) -> tuple[str, str]:
    for stream in (0, 1, 2):
        os.close(stream)
    return enter(folder, LINGER)


def test_a_killed_keeper_is_replaced(folder: Path) -> None:
    handle = Embedded(folder, linger=LINGER)
    handle.open(PATIENCE)
    (keeper,) = keepers(folder)
    kill(keeper)
    eventually(lambda: not keepers(folder))
    handle.ensure(PATIENCE)
    assert len(keepers(folder)) == 1
    handle.close()
    eventually(lambda: gone(folder))


def test_a_folder_that_is_deleted_and_made_again_gets_its_own_server(folder: Path) -> None:
    old, new = Embedded(folder, linger=LINGER), Embedded(folder, linger=LINGER)
    old_server = server_pid(old.open(PATIENCE))
    (old_keeper,) = keepers(folder)
    eventually(lambda: linked(folder))
    shutil.rmtree(folder)
    path = new.open(PATIENCE)
    run = run_id(path)
    assert run_id(old.ensure(PATIENCE)) == run
    eventually(lambda: not alive(old_server) and not alive(old_keeper))
    assert run_id(path) == run
    new.close()
    assert run_id(path) == run
    old.close()
    eventually(lambda: gone(folder))


def test_a_folder_that_is_deleted_soon_after_its_first_use_leaves_no_server(folder: Path) -> None:
    handle = Embedded(folder, linger=30.0)
    server = server_pid(handle.open(PATIENCE))
    eventually(lambda: linked(folder), 0.8)
    shutil.rmtree(folder)
    handle.close()
    eventually(lambda: not alive(server) and not keepers(folder))


def linked(folder: Path) -> bool:
    """Whether the keeper is connected, which it is one check after the server's start."""
    with client(str(ccs(folder, "server.sock"))) as server:
        return len(server.client_list()) >= 2


def test_a_folder_that_is_moved_takes_its_server_along(folder: Path) -> None:
    first = Embedded(folder, linger=LINGER)
    run = run_id(first.open(PATIENCE))
    moved = folder.with_name("moved")
    folder.rename(moved)
    second = Embedded(moved, linger=LINGER)
    assert run_id(second.open(PATIENCE)) == run
    first.close()
    second.close()
    eventually(lambda: gone(moved))


def test_a_link_to_a_folder_leads_to_the_same_server(folder: Path, root: Path) -> None:
    folder.mkdir()
    (root / "link").symlink_to(folder)
    first, second = Embedded(folder, linger=LINGER), Embedded(root / "link", linger=LINGER)
    assert first.open(PATIENCE) == second.open(PATIENCE)
    assert len(servers(folder)) == 1
    first.close()
    second.close()


def test_a_large_log_is_renamed(folder: Path) -> None:
    ccs(folder, "").mkdir(parents=True)
    ccs(folder, "server.log").write_bytes(b"x" * 2_000_000)
    handle = Embedded(folder, linger=LINGER)
    handle.open(PATIENCE)
    assert ccs(folder, "server.log").stat().st_size < 100_000 < ccs(folder, "server.log.1").stat().st_size
    handle.close()
