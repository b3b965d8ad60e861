"""A subscription that the server refuses: an error at once with the reason, retried without haste, and no effect on others."""

import time
from collections.abc import Callable
from typing import Any

import pytest

import ccs
from ccs._core.names.keys import keys_of
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import scaled

Start = Callable[..., PrivateServer]


def grant(server: PrivateServer, *addresses: str) -> None:
    """Lets the user `app` subscribe to the channels of these contexts only."""
    channels = ["resetchannels", *(f"&{keys_of('ccs', address).channel}" for address in addresses)]
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", *channels)


def as_app(colour: str, server: PrivateServer, **options: Any) -> Any:
    return connect_in(colour, server.url.replace("://", "://app:pw@"), **options)


def connections(server: PrivateServer) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_connections_received"])


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_missing_right_to_a_channel_is_raised_at_once_and_disturbs_no_other(
    own_server: PrivateServer, colour: str
) -> None:
    grant(own_server, "/tasks/mine")
    async with as_app(colour, own_server, retry_for=20) as store, store.task("mine").watch() as changes:
        began, connected = time.monotonic(), connections(own_server)
        with pytest.raises(ccs.Forbidden, match="subscribe to the channel"):
            await store.task("theirs").watch().__aenter__()
        assert time.monotonic() - began < scaled(2)
        await store.task("mine").set("a", 1)
        assert (await changes.receive(timeout=scaled(5))).value == 1
        assert connections(own_server) - connected <= 2, "the connection is kept"


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_server_that_does_not_know_the_command_is_an_error_at_once(start: Start, colour: str) -> None:
    server = start("--rename-command", "SUBSCRIBE", "LISTEN", kind="redis")
    async with connect_in(colour, server.url, retry_for=20) as store:
        began, connected = time.monotonic(), connections(server)
        with pytest.raises(ccs.Unavailable, match="SUBSCRIBE"):
            await store.task("x").watch().__aenter__()
        assert time.monotonic() - began < scaled(2)
        assert connections(server) - connected <= 4


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_server_that_hangs_up_on_every_subscription_is_asked_less_and_less_often(
    proxy: Proxy, namespace: str, colour: str
) -> None:
    asked = 0

    def cut(count: int, chunk: bytes) -> str:
        nonlocal asked
        asked += b"SUBSCRIBE" in chunk
        return "cut" if b"SUBSCRIBE" in chunk else "pass"

    proxy.filter = cut
    async with connect_in(colour, proxy.url, namespace=namespace, retry_for=2) as store:
        with pytest.raises(ccs.Unavailable, match=r"closed the connection|reset by peer"):
            await store.task("x").watch().__aenter__()
    assert asked < 20


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_right_that_comes_back_revives_the_watch_that_lost_it(own_server: PrivateServer, colour: str) -> None:
    """Given a live watch, when its channel is forbidden, then it raises, and goes on once the right is back."""
    grant(own_server, "/tasks/x", "/tasks/y")
    async with as_app(colour, own_server, retry_for=20) as store:
        revoked, untouched = store.task("x").watch(), store.task("y").watch()
        async with revoked, untouched:
            await store.task("x").set("a", 1)
            assert (await revoked.receive(timeout=scaled(5))).value == 1
            grant(own_server, "/tasks/y")
            with pytest.raises(ccs.Forbidden):
                await revoked.receive(timeout=scaled(10))
            grant(own_server, "/tasks/x", "/tasks/y")
            await store.task("x").set("a", 2)
            await store.task("y").set("a", 3)
            assert (await revoked.receive(timeout=scaled(10))).value == 2
            assert (await untouched.receive(timeout=scaled(10))).value == 3
