"""Keepers, servers and their groups are killed at any moment: no process stays for ever, and no client loses data."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from anyio import to_thread

from ccs.embedded import Embedded, binary, launch
from tests.embedded.players import (
    PATIENCE,
    Player,
    alive,
    client,
    come,
    crowd,
    ensure,
    enter,
    gone,
    keepers,
    kill,
    leave,
    run_id,
    server_pid,
    servers,
)
from tests.embedded.players import ccs as inside
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import counts, eventually

LINGER = 0.1
linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends servers without a keeper only on Linux")


def keeper_of(folder: Path) -> int:
    (found,) = eventually(lambda: keepers(folder))
    return found


def kill_keeper(folder: Path) -> None:
    """Kills it, and waits for the end of its server, which runs on for a tenth of a second."""
    server = server_pid(str(inside(folder, "server.sock")))
    kill(keeper_of(folder))
    eventually(lambda: not alive(server))


def kill_both(folder: Path) -> None:
    """Once what was written has been handed to the kernel."""
    path = str(inside(folder, "server.sock"))
    with client(path) as server:
        eventually(lambda: server.info("persistence")["aof_buffer_length"] == 0)
    for pid in (keeper_of(folder), server_pid(path)):
        kill(pid)


@linux
def test_a_server_without_a_keeper_ends_without_a_new_client(folder: Path) -> None:
    handle = Embedded(folder, linger=30.0)
    server = server_pid(handle.open(PATIENCE))
    handle.close()
    kill(keeper_of(folder))
    eventually(lambda: not alive(server) and gone(folder))


@linux
def test_a_server_lives_on_without_the_client_that_started_it_and_not_without_its_keeper(folder: Path) -> None:
    """The kernel sends its signal when the server's parent dies: that must be the keeper, not a client."""
    with crowd(1) as (player,):
        before, path = player.ask(enter, folder, 30.0)
        player.kill()
        assert run_id(path) == before
        kill(keeper_of(folder))
        eventually(lambda: gone(folder))


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_a_signal_to_the_whole_group_ends_keeper_and_server(folder: Path, number: signal.Signals) -> None:
    handle = Embedded(folder, linger=30.0)
    with client(handle.open(PATIENCE)) as server:
        written = server.incr("written")
        eventually(lambda: server.info("persistence")["aof_buffer_length"] == 0)
    os.killpg(os.getpgid(keeper_of(folder)), number)
    eventually(lambda: not keepers(folder) and not servers(folder))
    with client(handle.ensure(PATIENCE)) as server:
        assert server.incr("written") == written + 1
    handle.close()


@linux
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_client_continues_when_its_keeper_is_killed(folder: Path, colour: str) -> None:
    """Given a store in use, when its keeper is killed again and again, then no acknowledged write is lost."""
    async with connect_in(colour, str(folder)) as store:
        ctx = store.task("t")
        for expected in range(1, counts(3, 30) * 100 + 1):
            assert await ctx.increment("written") == expected
            if expected % 100 == 50:
                await to_thread.run_sync(kill_keeper, folder)
        assert await ctx.get("written") == expected
    assert len(eventually(lambda: servers(folder))) == 1


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_client_continues_when_its_keeper_and_its_server_are_killed(folder: Path, colour: str) -> None:
    async with connect_in(colour, str(folder)) as store:
        ctx = store.task("t")
        written = 0
        for _ in range(counts(3, 30)):
            written = await ctx.increment("written")
            await to_thread.run_sync(kill_both, folder)
        assert await ctx.increment("written") == written + 1


def test_a_keeper_that_is_killed_while_it_shuts_the_server_down_leaves_no_process(folder: Path) -> None:
    for _ in range(counts(5, 200)):
        handle = Embedded(folder, linger=0.0)
        handle.open(PATIENCE)
        pid = keeper_of(folder)
        handle.close()
        time.sleep(random.uniform(0, 0.03))
        kill(pid)
        if sys.platform == "linux":
            eventually(lambda: gone(folder))
        assert run_id(handle.open(PATIENCE))
        handle.close()


def test_whichever_process_is_killed_all_clients_reach_one_server(folder: Path) -> None:
    """Given clients that open, when keepers, servers and clients are killed around it, then the others share one."""
    dice = random.Random(8)
    with crowd(6) as players:
        for _ in range(counts(6, 300)):
            for player in players:
                player.begin(come, folder, LINGER)
            for _ in range(dice.randrange(4)):
                time.sleep(dice.uniform(0, 0.06))
                for pid in dice.sample(found := keepers(folder) + servers(folder), dice.randint(0, len(found))):
                    kill(pid)
            for player in players:
                player.result()
            eventually(lambda: len(runs(players)) == 1)  # a server without a keeper answers on for a tenth of a second
            eventually(lambda: len(servers(folder)) == 1 and len(keepers(folder)) == 1)
            for player in players:
                player.ask(leave)
    eventually(lambda: gone(folder))


def runs(players: list[Player]) -> set[str]:
    for player in players:
        player.begin(ensure)
    return {player.result() for player in players}


def test_if_a_server_outlives_its_keeper_the_next_client_starts_another_keeper(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on systems without a signal at the death of a parent: there the server outlives its parent."""
    found = binary.find(str(folder), None)
    wrapper = root / "server"
    wrapper.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec "{found.path}" "$@"\nexec "{found.path}" "$@" --daemonize yes\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("CCS_SERVER_BIN", str(wrapper))
    handle = Embedded(folder, linger=LINGER)
    before = run_id(handle.open(PATIENCE))
    for _ in range(3):
        kill(keeper_of(folder))
        eventually(lambda: not keepers(folder))
        assert run_id(handle.ensure(PATIENCE)) == before
        assert len(keepers(folder)) == 1
    handle.close()
    eventually(lambda: gone(folder))


def test_without_a_python_for_the_keeper_the_server_still_runs(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a frozen program on a machine without Python: no process ends the server, and a warning says so."""
    monkeypatch.setattr(launch, "_python", lambda: None)
    monkeypatch.chdir(root)
    handle = Embedded(folder, linger=LINGER)
    path = handle.open(PATIENCE)
    assert run_id(path) == run_id(handle.ensure(PATIENCE))
    assert "its server will not stop by itself" in caplog.text
    assert os.listdir(root) == ["brain"]
    handle.close()
    kill(server_pid(path))
