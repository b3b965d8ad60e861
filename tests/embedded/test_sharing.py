"""Many processes, one folder: exactly one server, whichever process comes, goes or is killed."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from ccs.embedded import Embedded
from ccs.embedded.locks import holders
from tests.embedded.players import (
    PATIENCE,
    Player,
    ccs,
    client,
    crowd,
    ensure,
    enter,
    gone,
    kill,
    leave,
    run_id,
    server_pid,
    servers,
)
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import counts, eventually

LINGER = 0.1


def enter_all(players: list[Player], folder: Path) -> set[tuple[str, str]]:
    for player in players:
        player.begin(enter, folder, LINGER)
    return {player.result() for player in players}


def leave_all(players: list[Player]) -> None:
    for player in players:
        player.ask(leave)


def pause(longest: float) -> None:
    """Spreads the kills over all the moments of a start. It waits for nothing."""
    time.sleep(random.uniform(0, longest))


def test_ten_processes_that_open_at_once_share_one_server(folder: Path) -> None:
    with crowd(10) as players:
        for _ in range(counts(3, 100)):
            assert len(enter_all(players, folder)) == 1
            eventually(lambda: len(servers(folder)) == 1)
            leave_all(players)


def test_a_server_comes_back_for_ten_processes_after_it_was_idle_and_gone(folder: Path) -> None:
    seen = set()
    with crowd(10) as players:
        for _ in range(counts(2, 50)):
            (found,) = enter_all(players, folder)
            assert found not in seen
            seen.add(found)
            leave_all(players)
            eventually(lambda: gone(folder))


def test_when_the_starting_client_is_killed_the_others_start_the_server(folder: Path) -> None:
    for _ in range(counts(3, 100)):
        with crowd(10) as players:
            for player in players:
                player.begin(enter, folder, LINGER)
            victim = eventually(lambda: starter(folder, players))
            pause(0.06)
            victim.kill()
            assert len({player.result() for player in players if player is not victim}) == 1
            eventually(lambda: len(servers(folder)) == 1)
        eventually(lambda: gone(folder))


def starter(folder: Path, players: list[Player]) -> Player | None:
    """The holder of the lock to start the server; any process, if the server already runs."""
    busy = holders(ccs(folder, "server.lock"))
    found = [player for player in players if player.pid in busy]
    return found[0] if found else players[0] if servers(folder) else None


def test_when_all_are_killed_the_next_ones_share_one_server(folder: Path) -> None:
    for _ in range(counts(3, 100)):
        with crowd(10) as players, crowd(10) as successors:
            for player in players:
                player.begin(enter, folder, LINGER)
            pause(0.12)
            for player in players:
                kill(player.pid)
            assert len(enter_all(successors, folder)) == 1
            eventually(lambda: len(servers(folder)) == 1)
            leave_all(successors)


def test_when_all_are_killed_and_no_client_comes_the_server_ends(folder: Path) -> None:
    for _ in range(counts(2, 50)):
        with crowd(4) as players:
            for player in players:
                player.begin(enter, folder, LINGER)
            pause(0.12)
            for player in players:
                kill(player.pid)
        eventually(lambda: gone(folder))


def test_a_killed_server_is_restarted_once_by_a_client_that_needs_it(folder: Path) -> None:
    with crowd(10) as players:
        ((before, path),) = enter_all(players, folder)
        for _ in range(counts(4, 100)):
            kill(server_pid(path))
            for player in players:
                player.begin(ensure)
            (after,) = {player.result() for player in players}
            eventually(lambda: len(servers(folder)) == 1)
            assert before != after
            before = after


@pytest.mark.parametrize("linger", [0.0, 0.02])
def test_a_client_that_comes_while_the_server_is_being_shut_down_gets_a_server_that_stays(
    folder: Path, linger: float
) -> None:
    for _ in range(counts(15, 200)):
        handle = Embedded(folder, linger=linger)
        path = handle.open(PATIENCE)
        with client(path) as server:
            before = run_id(path)
            for _ in range(5):
                assert server.incr("opens")
            assert run_id(path) == before
        handle.close()
        pause(linger + 0.04)


def test_a_client_that_comes_while_the_server_is_being_shut_down_gets_a_keeper_too(folder: Path) -> None:
    for _ in range(counts(8, 100)):
        for _ in range(2):
            handle = Embedded(folder, linger=0.0)
            handle.open(PATIENCE)
            handle.close()
            pause(0.04)
        eventually(lambda: gone(folder))


def test_many_processes_come_and_go_around_the_shutdown(folder: Path) -> None:
    with crowd(5) as players:
        for player in players:
            player.begin(come_and_go, folder, counts(6, 60), player.pid)
        for player in players:
            player.result()
    eventually(lambda: gone(folder))


def come_and_go(folder: Path, times: int, seed: int) -> None:
    delays = random.Random(seed)
    for _ in range(times):
        handle = Embedded(folder, linger=0.01)
        path = handle.open(PATIENCE)
        assert run_id(path) == run_id(handle.ensure(PATIENCE)) == run_id(path)
        handle.close()
        time.sleep(delays.uniform(0, 0.08))


def test_acknowledged_writes_survive_a_killed_server(folder: Path) -> None:
    """While an fsync runs, the server holds writes back for up to 2 s although it acknowledges them: a kill loses
    those. So this waits until the last write has been handed to the kernel."""
    handle = Embedded(folder, linger=LINGER)
    path = handle.open(PATIENCE)
    written = 0
    for _ in range(counts(3, 30)):
        with client(path) as server:
            for _ in range(500):
                written = server.incr("written")
            eventually(lambda: server.info("persistence")["aof_buffer_length"] == 0)
        kill(server_pid(path))
        path = handle.ensure(PATIENCE)
        with client(path) as server:
            assert int(server.get("written")) == written
    handle.close()


def test_data_is_kept_after_the_server_was_idle_and_gone(folder: Path) -> None:
    for expected in (1, 2, 3):
        handle = Embedded(folder, linger=0.0)
        with client(handle.open(PATIENCE)) as server:
            assert server.incr("lives") == expected
        handle.close()
        eventually(lambda: gone(folder))


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_closed_store_that_has_watched_lets_go_of_its_folder(colour: str, folder: Path) -> None:
    async with connect_in(colour, folder) as store:
        async with store.task("t").watch():
            pass
        assert await asyncio.to_thread(holders, ccs(folder, "clients.lock"))
    assert not await asyncio.to_thread(holders, ccs(folder, "clients.lock"))
