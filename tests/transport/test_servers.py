"""Connections to real servers: TCP, unix, TLS; users, databases, names; what breaks while they are opened."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import shutil
import socket
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ccs
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer, binary_of, free_port
from tests.support.waiting import aeventually, bounded, scaled

PASSWORD = "tops3cret"

pytestmark = pytest.mark.parametrize("colour", COLOURS)


async def works(colour: str, url: str, **options: Any) -> None:
    """Writes, reads and watches by this URL."""
    async with connect_in(colour, url, **options) as store:
        task = store.task("42")
        async with task.watch("**") as changes:
            await task.set("a", "x" * 100_000)
            assert len((await changes.receive(timeout=scaled(5))).value) == 100_000
        assert len(await task.get("a")) == 100_000
        await task.drop()


async def refused(colour: str, url: str, error: type[Exception] = ccs.Unavailable, **options: Any) -> str:
    """The text of the error with which entering fails. It holds no password."""
    with pytest.raises(error) as caught:
        await bounded(connect_in(colour, url, **options).__aenter__(), 20)
    assert PASSWORD not in str(caught.value) + repr(caught.value)
    return str(caught.value)


# Where.


async def test_a_server_is_reached_by_ipv6_and_by_name(colour: str, start: Callable[..., PrivateServer]) -> None:
    """Given a server at ::1 and 127.0.0.1, when it is named by either or by localhost, then it works."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    server = await asyncio.to_thread(start, "--bind", "127.0.0.1", "::1")
    for host in ("[::1]", "127.0.0.1", "localhost"):
        await works(colour, f"redis://{host}:{server.port}")


async def test_a_unix_socket_has_any_name_and_any_user(
    colour: str, start: Callable[..., PrivateServer], tmp_path: Path
) -> None:
    """Given a socket with a space, a quote and non-ASCII in its path, when its URL encodes them, then it works."""
    path = tmp_path / "a b'ü"
    await asyncio.to_thread(start, "--unixsocket", str(path), "--requirepass", PASSWORD)
    url = f"unix://:{PASSWORD}@{str(path).replace(' ', '%20')}?db=3&client_name=me"
    await works(colour, url)
    assert "refuses" in await refused(colour, url.replace(PASSWORD, "wrong"))


# Who.


async def test_an_acl_user_is_used_in_its_database_under_its_name(colour: str, own_server: PrivateServer) -> None:
    """Given a URL with a user, a database and a name, then all connections have all three."""
    with own_server.client() as client:
        client.execute_command("ACL", "SETUSER", "a@b", "on", f">{PASSWORD}/@", "~*", "&*", "+@all")
        url = own_server.url.replace("://", f"://a%40b:{PASSWORD}%2F%40@")
        async with connect_in(colour, f"{url}/2?client_name=me") as store, store.task("42").watch("**"):
            await store.task("42").set("a", 1)
            mine = [each for each in client.client_list() if each["name"] == "me"]
            assert len(mine) >= 2
            assert {(each["user"], each["db"]) for each in mine} == {("a@b", "2")}
    assert "WRONGPASS" in await refused(colour, url.replace("%2F", "%2E"))
    assert "it refuses to begin" in await refused(colour, f"{own_server.url}/99")


class Tokens:
    """A provider with the interface of redis-py's, with passwords that change."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password
        self.asked = self.failures = 0

    def get_credentials(self) -> tuple[str, str]:
        self.asked += 1
        if self.failures > 0:
            self.failures -= 1
            raise OSError(f"no token for {PASSWORD}")
        return self.user, self.password


class AsyncTokens(Tokens):
    async def get_credentials_async(self) -> tuple[str, str]:
        await asyncio.sleep(0)
        return self.get_credentials()


@pytest.mark.parametrize("kind", [Tokens, AsyncTokens])
async def test_a_credential_provider_is_asked_again_for_every_connection(
    colour: str, kind: type[Tokens], own_server: PrivateServer, namespace: str
) -> None:
    """Given a password that changes, when connections break, then the new ones log in with the new password."""
    tokens = kind("ann", f"{PASSWORD}1")
    with own_server.client() as client:
        client.execute_command("ACL", "SETUSER", "ann", "on", f">{PASSWORD}1", "~*", "&*", "+@all")
        options = {"namespace": namespace, "credential_provider": tokens}
        async with connect_in(colour, own_server.url, **options) as store:
            task = store.task("42")
            async with task.watch("**") as changes:
                await task.set("a", 1)
                before = tokens.asked
                client.execute_command("ACL", "SETUSER", "ann", "resetpass", f">{PASSWORD}2")
                tokens.password, tokens.failures = f"{PASSWORD}2", 2
                client.execute_command("CLIENT", "KILL", "USER", "ann")
                await bounded(task.set("a", 2), 20)
                assert [(await changes.receive(timeout=scaled(10))).value for _ in range(2)] == [1, 2]
                assert tokens.asked >= before + 3
    tokens.password = f"{PASSWORD}1"
    assert "WRONGPASS" in await refused(colour, own_server.url, credential_provider=tokens)


async def test_a_credential_provider_that_fails_or_returns_nonsense_is_named(colour: str, valkey: str) -> None:
    """Given a provider that fails, when a store is entered, then `Unavailable` names the error, but not its text."""
    tokens = Tokens("ann", PASSWORD)
    tokens.failures = 10**6
    assert "OSError" in await refused(colour, valkey, retry_for=0.3, credential_provider=tokens)
    tokens.failures, tokens.user = 0, 5  # type: ignore[assignment]
    assert "(password,)" in await refused(colour, valkey, ccs.InvalidValue, credential_provider=tokens)
    tokens.user, tokens.password = "ann", f"{PASSWORD}\ud800"
    assert "lone surrogate" in await refused(colour, valkey, ccs.InvalidValue, credential_provider=tokens)


async def test_a_connection_that_is_logged_out_logs_in_again(
    colour: str, own_server: PrivateServer, namespace: str
) -> None:
    """Given a server that suddenly requires a login, when a call is made, then its connection logs in again."""
    with own_server.client() as client:
        url = own_server.url.replace("://", f"://ann:{PASSWORD}@")
        client.execute_command("ACL", "SETUSER", "ann", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        async with connect_in(colour, url, namespace=namespace) as store:
            for turn in range(3):
                client.execute_command("ACL", "DELUSER", "ann")
                client.execute_command("ACL", "SETUSER", "ann", "on", f">{PASSWORD}", "~*", "&*", "+@all")
                assert await bounded(store.task("42").increment("n"), 20) == turn + 1


async def test_a_server_with_too_many_clients_is_retried(
    colour: str, own_server: PrivateServer, namespace: str
) -> None:
    """Given a server that has all the clients it takes, when a store is entered, then it waits for room."""
    with own_server.client() as client:
        client.config_set("maxclients", 1)
        store = connect_in(colour, own_server.url, namespace=namespace)
        waiting = asyncio.ensure_future(store.task("42").set("a", 1))
        await aeventually(lambda: int(client.info("stats")["rejected_connections"]) > 0)
        client.config_set("maxclients", 100)
        assert (await bounded(waiting, 20)).version == 1
        await store.__aexit__(None, None, None)


# What breaks.


@pytest.mark.parametrize("verdict", ["drop", "cut", "lose"])
async def test_a_greeting_whose_reply_is_lost_is_repeated(
    colour: str, verdict: str, proxy: Proxy, namespace: str, answer_within: Callable[[float], None]
) -> None:
    """Given lost replies to the greeting, when a store is entered, then it works with the next reply."""
    answer_within(0.3)
    proxy.fault = lambda count, chunk: verdict if count <= 2 else "pass"
    async with connect_in(colour, proxy.url, namespace=namespace) as store:
        assert (await bounded(store.task("42").set("a", 1), 20)).version == 1


async def test_a_store_that_gives_up_in_the_middle_of_connecting_leaves_nothing_open(
    colour: str, proxy: Proxy, namespace: str
) -> None:
    """Given a server that does not answer, when callers give up while they connect, then no socket is left."""
    proxy.fault = lambda count, chunk: "hang"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            store = connect_in(colour, proxy.url, namespace=namespace, retry_for=0.1)
            with contextlib.suppress(TimeoutError, ccs.Unavailable):
                async with asyncio.timeout(0.05):
                    await store.task("42").set("a", 1)
            await store.__aexit__(None, None, None)
        gc.collect()


# TLS.


def openssl(command: str, *files: str) -> None:
    subprocess.run(["openssl", *command.split(), *files], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, and what it signed: a server at localhost, and a client whose key has a password."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl on the PATH")
    folder = tmp_path_factory.mktemp("authority")
    made = {name: str(folder / name) for name in ("ca.key", "ca.pem", "client.key", "server.key")}
    new = "req -x509 -newkey rsa:2048 -days 2"
    openssl(f"{new} -nodes -subj /CN=ca", "-keyout", made["ca.key"], "-out", made["ca.pem"])
    for name, protection in (("server", "-nodes"), ("client", f"-passout pass:{PASSWORD}")):
        signed = f"-subj /CN={name} -addext subjectAltName=DNS:localhost -CA {made['ca.pem']} -CAkey {made['ca.key']}"
        files = ["-keyout", made[f"{name}.key"], "-out", str(folder / f"{name}.pem")]
        openssl(f"{new} {protection} {signed} -addext basicConstraints=critical,CA:FALSE", *files)
    return folder


@pytest.fixture
def tls(authority: Path, start: Callable[..., PrivateServer]) -> int:
    """The port of a server that wants certificates of its clients; skips where no binary can."""
    port = free_port()
    start(*tls_options(authority), "--tls-port", str(port), kind=kind_with_tls())
    return port


def kind_with_tls() -> str:
    """The kind of server that was built with TLS; skips where there is none."""
    for kind in ("valkey", "redis"):
        if "libssl" in subprocess.run(["ldd", binary_of(kind)], capture_output=True, text=True, check=False).stdout:
            return kind
    pytest.skip("neither server was built with TLS")


def tls_options(authority: Path) -> list[str]:
    """What makes a server want certificates of its clients."""
    files = f"--tls-cert-file {authority}/server.pem --tls-key-file {authority}/server.key"
    return f"{files} --tls-ca-cert-file {authority}/ca.pem --tls-auth-clients yes".split()


async def test_tls_with_certificates_on_both_sides(colour: str, tls: int, authority: Path) -> None:
    """Given a server that requires certificates, when the URL names ours, then it works; else the error says why."""
    ca, mine = f"ssl_ca_certs={authority}/ca.pem", f"ssl_certfile={authority}/client.pem"
    key = f"ssl_keyfile={authority}/client.key&ssl_password={PASSWORD}"
    await works(colour, f"rediss://localhost:{tls}?{ca}&{mine}&{key}&ssl_min_version=771")
    text = (authority / "ca.pem").read_text()
    data = text.replace("\n", "%0A").replace("+", "%2B").replace("/", "%2F")
    await works(colour, f"valkeys://localhost:{tls}?ssl_ca_data={data}&{mine}&{key}")
    # It is the server at localhost, and not at this address.
    other = f"127.0.0.1:{tls}?{ca}&{mine}&{key}"
    await works(colour, f"rediss://{other}&ssl_check_hostname=false")
    assert "certificate is not trusted" in await refused(colour, f"rediss://{other}")
    await refused(colour, f"rediss://localhost:{tls}?{ca}", retry_for=0.3)


async def test_unusable_tls_files_are_named_at_once(colour: str, tls: int, authority: Path) -> None:
    """Given files that are missing or no certificates, or a wrong password, when entering, then `Unavailable` at once."""
    (authority / "empty").touch()
    mine = f"ssl_certfile={authority}/client.pem&ssl_keyfile={authority}/client.key"
    for options in (
        "ssl_ca_certs=/no/such/file",
        f"ssl_ca_certs={authority}/empty",
        mine,
        f"{mine}&ssl_password=wrong{PASSWORD}",
        "ssl_ciphers=none-of-this",
        "ssl_include_verify_flags=VERIFY_NOTHING",
    ):
        assert "options of TLS" in await bounded(refused(colour, f"rediss://localhost:{tls}?{options}"), 5)


# Speed of a crowd.


async def test_many_stores_connect_at_once(colour: str, valkey: str, namespace: str) -> None:
    """Given twenty stores, when they are entered and left at once, then each works."""
    stores = [connect_in(colour, valkey, namespace=namespace) for _ in range(20)]

    async def use(store: Any, number: int) -> int:
        async with store:
            return int(await store.task("42").increment(f"n/{number % 4}"))

    found = await bounded(asyncio.gather(*itertools.starmap(use, zip(stores, itertools.count(), strict=False))), 30)
    assert sorted(found) == sorted([1, 2, 3, 4, 5] * 4)
