"""G15: a store refuses to lie about servers that are unsafe, full, locked, strange, slow or not there."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

import ccs
import ccs.aio
from tests.faults.chaos import Ledger
from tests.support.journal import check_consistent, records
from tests.support.servers import PrivateServer, binary_of, free_port
from tests.support.waiting import aeventually, bounded, eventually, scaled

PASSWORD = "tops3cret"


class Strange:
    """Something that listens on a port and answers each chunk with the same bytes, or with nothing."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()
        for each in self.connections:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while chunk := connection.recv(65536):
                connection.sendall(self.answer(chunk))
        except OSError:
            pass


@pytest.fixture
def strange() -> Iterator[Callable[[Callable[[bytes], bytes]], Strange]]:
    made: list[Strange] = []

    def make(answer: Callable[[bytes], bytes]) -> Strange:
        made.append(Strange(answer))
        return made[-1]

    yield make
    for each in made:
        each.close()


def bulk(text: str) -> bytes:
    return f"${len(text)}\r\n{text}\r\n".encode()


async def both(url: str, error: type[Exception], **options: object) -> list[Exception]:
    """Returns what entering a store raises, in either colour; checks its type, and that it shows no password."""
    caught = []
    for attempt in (
        lambda: ccs.aio.connect(url, **options).__aenter__(),  # type: ignore[arg-type]
        lambda: asyncio.to_thread(ccs.connect(url, **options).__enter__),  # type: ignore[arg-type]
    ):
        with pytest.raises(error) as found:
            await bounded(attempt(), 20)
        assert PASSWORD not in str(found.value) + repr(found.value)
        caught.append(found.value)
    return caught


async def blocking(url: str, work: Callable[[ccs.Store], object], **options: object) -> object:
    """What `work` gets of an entered blocking store, in a thread."""

    def run() -> object:
        with ccs.connect(url, **options) as store:  # type: ignore[arg-type]
            return work(store)

    return await asyncio.to_thread(run)


# --- Unsafe ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_server_that_may_evict_is_refused(own_server: PrivateServer, policy: str) -> None:
    """Given a maxmemory-policy that evicts, when a store is entered, then `UnsafeServer` names the policy."""
    with own_server.client() as client:
        client.config_set("maxmemory-policy", policy)
    for error in await both(own_server.url, ccs.UnsafeServer):
        assert policy in str(error)
        assert own_server.url in str(error)


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ("redis_version:6.2.0", "6.2.0"),
        ("redis_version:7.2.4\r\nvalkey_version:7.0.1", "7.0.1"),
        ("redis_version:7.2.4\r\narch_bits:32", "32 bits"),
    ],
)
async def test_a_server_that_is_too_old_or_too_narrow_is_refused(
    strange: Callable[..., Strange], facts: str, named: str
) -> None:
    """Given a server of an old version or of 32 bits, when a store is entered, then `UnsafeServer` says so."""
    server = strange(lambda chunk: bulk(f"# Server\r\n{facts}\r\nmaxmemory_policy:noeviction\r\n"))
    for error in await both(server.url, ccs.UnsafeServer):
        assert named in str(error)


# --- Full -----------------------------------------------------------------------------------------------------------


def fill(server: PrivateServer, full: bool) -> None:
    with server.client() as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 300_000 if full else 0)


def test_a_full_server_takes_nothing_half_and_recovers(own_server: PrivateServer, namespace: str) -> None:
    """Given a server that fills up, when writers go on, then each gets all or `StoreFull`; reads and deletes work."""
    with ccs.connect(own_server.url, namespace=namespace) as store:
        task = store.task("42")
        task.set("list", [])
        fill(own_server, True)
        ledger, refused = Ledger(), 0
        for turn in range(200):
            values = {f"big/{turn}": "x" * 5000, f"small/{turn}": turn}
            try:
                ledger.note(0, task.set_many(values), values)
            except ccs.StoreFull:
                refused += 1
        assert 0 < refused < 200
        with own_server.client() as client:
            client.config_set("maxmemory", 1)
        for call in (
            lambda: task.set("a", 1),
            lambda: task.increment("n"),
            lambda: task.append("list", 1),
            lambda: task.renew("list", 100),
            lambda: task.merge("map", {"a": 1}),
            lambda: store.task("new").set("a", 1),
            lambda: task.finish("over"),
        ):
            with pytest.raises(ccs.StoreFull):
                call()
        check_consistent(own_server.url, namespace, "/tasks/42")
        assert task.get("list") == []
        assert len(task.snapshot("big/*")) == len(ledger.acknowledged[0])
        assert store.task("new").revision() == 0
        before = task.revision()
        assert task.delete("big/0")
        assert task.delete_matching("big/*", "small/*") > 0
        assert task.revision() > before
        check_consistent(own_server.url, namespace, "/tasks/42")
        fill(own_server, False)
        assert task.increment("n") == 1
        check_consistent(own_server.url, namespace, "/tasks/42")
        found = records(own_server.url, namespace, "/tasks/42")
        assert {revision for revision, _ in ledger.acknowledged[0]} <= {record.revision for record in found}


async def test_in_a_full_server_a_transaction_and_a_gathered_batch_are_refused_whole(
    own_server: PrivateServer, namespace: str
) -> None:
    """Given a full server, when fifty tasks commit at once, then each is `StoreFull` and nothing is written."""
    async with ccs.aio.connect(own_server.url, namespace=namespace) as store:
        task = store.task("42")
        await task.set("old", "x" * 100_000, ttl=scaled(0.3))
        with own_server.client() as client:
            client.config_set("maxmemory", 1)
        before = records(own_server.url, namespace, "/tasks/42")

        async def write(index: int) -> None:
            async with task.transaction() as tx:
                tx.set("shared", index)
                tx.set(f"own/{index}", index)

        results = await asyncio.gather(*(write(index) for index in range(50)), return_exceptions=True)
        assert [type(result) for result in results] == [ccs.StoreFull] * 50
        assert records(own_server.url, namespace, "/tasks/42")[: len(before)] == before
        check_consistent(own_server.url, namespace, "/tasks/42")
        # What is due goes all the same: that frees memory.
        await aeventually(lambda: len(records(own_server.url, namespace, "/tasks/42")) == 2)
        check_consistent(own_server.url, namespace, "/tasks/42")
        await task.drop()
        assert await task.revision() == 0


# --- Locked ---------------------------------------------------------------------------------------------------------


async def test_a_password_opens_its_server_and_is_never_shown(start: Callable[..., PrivateServer]) -> None:
    """Given a server with a password, when the URL has it, then it works; else `Unavailable` at once, without it."""
    server = await asyncio.to_thread(start, "--requirepass", PASSWORD)
    right = server.url.replace("://", f"://:{PASSWORD}@")
    async with ccs.aio.connect(right) as store:
        assert (await store.task("42").set("a", 1)).version == 1
        assert PASSWORD not in repr(store) + repr(store._engine) + repr(store.task("42")) + store.address
    asked = f"{server.url}?password={PASSWORD}"
    assert await blocking(asked, lambda store: store.task("42").get("a")) == 1
    assert PASSWORD not in str(await blocking(asked, lambda store: repr(store) + store.address))
    began = time.monotonic()
    for url in (server.url, server.url.replace("://", f"://:{PASSWORD}wrong@")):
        for error in await both(url, ccs.Unavailable):
            assert isinstance(error, ccs.Unavailable)
            assert not error.maybe_applied
            assert str(server.port) in error.address
    assert time.monotonic() - began < scaled(5), "it does not pass by itself: nobody waits for it"


async def test_a_user_without_rights_gets_forbidden(own_server: PrivateServer, namespace: str) -> None:
    """Given ACL users without some rights, when they connect or write, then `Forbidden` at once says what is missing."""
    with own_server.client() as client:
        client.execute_command("ACL", "SETUSER", "blind", "on", f">{PASSWORD}", "~*", "&*", "+@all", "-info")
        client.execute_command("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "%R~*", "&*", "+@all")
        client.execute_command("ACL", "SETUSER", "stranger", "on", f">{PASSWORD}", "~other*", "&*", "+@all")
    await both(own_server.url.replace("://", f"://blind:{PASSWORD}@"), ccs.Forbidden)
    for user in ("reader", "stranger"):
        url = own_server.url.replace("://", f"://{user}:{PASSWORD}@")
        async with ccs.aio.connect(url, namespace=namespace) as store:
            with pytest.raises(ccs.Forbidden) as caught:
                await bounded(store.task("42").set("a", 1), 5)
            assert PASSWORD not in str(caught.value)
            assert caught.value.user == user


async def test_a_password_that_appears_while_we_are_connected_is_unavailable(
    own_server: PrivateServer, namespace: str
) -> None:
    """Given a store, when the server restarts with a password, then calls are `Unavailable` at once, not for ever."""
    async with ccs.aio.connect(own_server.url, namespace=namespace) as store:
        await store.task("42").set("a", 1)
        await asyncio.to_thread(own_server.kill)
        own_server.options = ("--requirepass", PASSWORD)
        await asyncio.to_thread(own_server.start)
        with pytest.raises(ccs.Unavailable):
            await bounded(store.task("42").set("a", 2), 10)


# --- Not a server of ours -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28" * 3,
        b"+OK\r\n",
        b":1\r\n",
        b"*1\r\n$2\r\nhi\r\n",
        b"$-1\r\n",
        b"-ERR unknown command\r\n",
        bulk("hello").strip() + b"\r\n",
    ],
    ids=["HTTP", "TLS", "OK", "integer", "array", "nil", "error", "text"],
)
async def test_what_is_not_redis_is_unavailable_at_once(strange: Callable[..., Strange], answer: bytes) -> None:
    """Given something else behind the port, when a store is entered, then `Unavailable` at once, not after 30 seconds."""
    server = strange(lambda chunk: answer)
    began = time.monotonic()
    for error in await both(server.url, ccs.Unavailable):
        assert server.url in str(error)
    assert time.monotonic() - began < scaled(5)


async def test_one_that_accepts_and_says_nothing_is_unavailable_after_retry_for(
    strange: Callable[..., Strange],
) -> None:
    """Given a port that accepts and is silent, when a store is entered, then `Unavailable` after `retry_for`."""
    server = strange(lambda chunk: b"")
    for url in (server.url, server.url.replace("://", f"://:{PASSWORD}@")):
        began = time.monotonic()
        await both(url, ccs.Unavailable, retry_for=0.5)
        assert 0.9 <= time.monotonic() - began <= scaled(4)


async def test_where_nobody_listens_it_is_unavailable_after_retry_for() -> None:
    """Given a port without a listener, when a store is entered, then `Unavailable` after `retry_for`, with the address."""
    port = free_port()
    began = time.monotonic()
    for error in await both(f"redis://user:{PASSWORD}@127.0.0.1:{port}/0", ccs.Unavailable, retry_for=0.5):
        assert f"redis://127.0.0.1:{port}/0" in str(error)
        assert isinstance(error, ccs.Unavailable)
        assert error.address == f"redis://127.0.0.1:{port}/0"
        assert not error.maybe_applied
    assert 0.9 <= time.monotonic() - began <= scaled(4)


async def test_a_host_that_has_no_address_is_unavailable() -> None:
    """Given a name that does not resolve, when a store is entered, then `Unavailable` after `retry_for`."""
    await both("redis://no-such-host.invalid:6379", ccs.Unavailable, retry_for=0.5)


# --- Busy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entered", [False, True])
async def test_a_server_that_is_busy_with_a_script_is_waited_for(
    own_server: PrivateServer, namespace: str, entered: bool
) -> None:
    """Given a server that answers BUSY, when calls are made, then they wait until it is free, and happen once."""
    with own_server.client() as client:
        client.config_set("busy-reply-threshold", 10)
    store = ccs.aio.connect(own_server.url, namespace=namespace)
    other = ccs.connect(own_server.url, namespace=namespace)
    if entered:
        await store.task("42").set("warm", 1)
        await asyncio.to_thread(other.task("42").set, "warm", 1)

    def block() -> None:
        with own_server.client() as client, pytest.raises(redis.ResponseError):
            client.eval("while true do end", 0)

    blocker = threading.Thread(target=block)
    blocker.start()
    await asyncio.to_thread(eventually, lambda: busy(own_server))
    calls = [
        asyncio.ensure_future(store.task("42").increment("n")),
        asyncio.ensure_future(asyncio.to_thread(other.task("42").increment, "n")),
    ]
    await aeventually(lambda: store.stats().retries and other.stats().retries)
    with own_server.client() as client:
        client.script_kill()
    assert sorted(await bounded(asyncio.gather(*calls))) == [1, 2]
    await asyncio.to_thread(blocker.join)
    await store.aclose()
    await asyncio.to_thread(other.close)


def busy(server: PrivateServer) -> bool:
    try:
        with server.client() as client:
            client.ping()
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


async def test_a_server_that_is_loading_is_waited_for(own_server: PrivateServer, namespace: str) -> None:
    """Given a server that answers LOADING, when calls are made, then they wait until it has its data back."""
    with own_server.client() as client:
        pipe = client.pipeline(transaction=False)
        for index in range(20_000):
            pipe.set(f"filler:{index}", "x")
        pipe.execute()
    async with ccs.aio.connect(own_server.url, namespace=namespace) as store:
        await store.task("42").set("n", 1)
        with own_server.client() as client:
            client.set("mark", "x")
            # On disk, with all before: what is killed in a slow fsync may lose what it has acknowledged.
            assert client.execute_command("WAITAOF", 1, 0, 20_000)[0] == 1
        await asyncio.to_thread(own_server.kill)
        own_server.options = ("--key-load-delay", "200")
        starting = asyncio.ensure_future(asyncio.to_thread(own_server.start))
        await aeventually(lambda: asyncio.to_thread(loading, own_server))
        values = asyncio.gather(
            store.task("42").increment("n"),
            blocking(own_server.url, lambda other: other.task("42").increment("n"), namespace=namespace),
        )
        # Again: it is loading still, though one connection or other may not come about meanwhile.
        await aeventually(lambda: asyncio.to_thread(loading, own_server))
        assert sorted(await bounded(values, 30)) == [2, 3]
        await starting


def loading(server: PrivateServer) -> bool:
    try:
        with redis.Redis.from_url(server.url) as client:
            client.ping()
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        pass
    return False


async def test_scripts_that_the_server_forgot_are_sent_again(valkey: str, namespace: str) -> None:
    """Given a SCRIPT FLUSH in between, when calls go on, then they heal by themselves, in both colours."""
    with redis.Redis.from_url(valkey) as client:
        other = ccs.connect(valkey, namespace=namespace)
        async with ccs.aio.connect(valkey, namespace=namespace) as store:
            for turn in range(5):
                client.script_flush()
                values = await asyncio.gather(*(store.task("42").increment("n") for _ in range(20)))
                assert sorted(values) == list(range(turn * 21 + 1, turn * 21 + 21))
                client.script_flush()
                assert await asyncio.to_thread(other.task("42").increment, "n") == turn * 21 + 21
                client.script_flush()
                assert set((await store.task("42").snapshot()).keys()) == {"n"}
        await asyncio.to_thread(other.close)


# --- URLs -----------------------------------------------------------------------------------------------------------


async def test_unix_sockets_work(start: Callable[..., PrivateServer], tmp_path: Path) -> None:
    """Given a server on a socket, when its `unix://` URL is used, then it works in both colours, in the database asked."""
    path = tmp_path / "s"
    await asyncio.to_thread(start, "--unixsocket", str(path))
    for url in (f"unix://{path}", f"unix://{path}?db=3"):
        async with ccs.aio.connect(url) as store:
            await store.task("42").set("a", url)
        assert await blocking(url, lambda other: other.task("42").get("a")) == url
    with redis.Redis(unix_socket_path=str(path), db=3) as client:
        assert client.dbsize() > 0


async def test_url_options_of_redis_py_are_used(own_server: PrivateServer, namespace: str) -> None:
    """Given a database, a client name and pool options in the URL, then they apply."""
    url = f"{own_server.url}/5?client_name=agent-7&socket_keepalive=true&max_connections=10&protocol=3&socket_timeout=1"
    async with ccs.aio.connect(url, namespace=namespace) as store:
        await store.task("42").set("a", 1)
        with own_server.client() as client:

            def look(other: ccs.Store) -> list[dict[str, str]]:
                assert other.task("42").get("a") == 1
                return [each for each in client.client_list() if each["name"] == "agent-7"]

            named = await blocking(url, look, namespace=namespace)
            assert isinstance(named, list)
            assert len(named) >= 2
            assert {each["db"] for each in named} == {"5"}
            assert client.dbsize() == 0


@pytest.mark.parametrize("scheme", ["redis", "valkey", "VALKEY"])
async def test_valkey_is_another_name_for_redis(valkey: str, namespace: str, scheme: str) -> None:
    """Given the schemes of either name, when they are used, then they mean the same."""
    async with ccs.aio.connect(valkey.replace("redis", scheme), namespace=namespace) as store:
        await store.task("42").set("a", 1)
        assert store.address.startswith(scheme.lower())


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{PASSWORD}@host",
        f"redis://user:{PASSWORD}@host:notaport",
        f"redis://user:{PASSWORD}@host:99999",
        f"redis://user:{PASSWORD}@[::1",
        f"redis://user:{PASSWORD}@host/0?db=x",
        f"redis://user:{PASSWORD}@host/0?nonsense=1",
        f"redis://user:{PASSWORD}@host/zero",
        f"redis://user:{PASSWORD}℀@host",
        f"redis://user:a/{PASSWORD}@host",
        f"redis://user:12/{PASSWORD}@host",
        f"redis://:{PASSWORD}/x@host",
        f"redis://:{PASSWORD}#x@host",
        f"redis://:a#{PASSWORD}@host",
        f"redis://:a?{PASSWORD}@host",
        f"redis://:{PASSWORD}?x@host",
        f"redis://:{PASSWORD}",
        f"rediss://:{PASSWORD}@host?ssl_cert_reqs=nonsense",
        f"unix://:{PASSWORD}@",
    ],
)
def test_a_url_that_makes_no_sense_is_refused_without_telling_its_password(url: str) -> None:
    """Given a URL that does not parse, when it is given to connect, then `InvalidValue`, at once, without the password."""
    for connect in (ccs.connect, ccs.aio.connect):
        with pytest.raises(ccs.InvalidValue) as caught:
            connect(url)
        error: BaseException | None = caught.value
        assert PASSWORD not in str(error) + repr(error)
        assert caught.value.__cause__ is None or PASSWORD not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{PASSWORD}@host:1234/2",
        f"redis://host:1234/2?username=x&password={PASSWORD}",
        f"rediss://host:1234/2?ssl_password={PASSWORD}",
        f"redis://host:1234/2?pass%77ord={PASSWORD}",
        f"unix://user:{PASSWORD}@/tmp/s?db=1",
    ],
)
def test_the_address_of_a_store_tells_no_secret(url: str) -> None:
    """Given a URL with secrets, when the address or the repr is shown, then they are not in it."""
    for store in (ccs.connect(url), ccs.aio.connect(url)):
        assert PASSWORD not in store.address + repr(store) + repr(store._engine)
        assert store.address.startswith(url.split("://")[0])


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody has signed but itself."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl on the PATH")
    folder = tmp_path_factory.mktemp("tls")
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *request.split(), *files], check=True, capture_output=True)
    return folder


@pytest.fixture
def tls(certificate: Path, start: Callable[..., PrivateServer]) -> int:
    """The port of a server that speaks TLS; skips where none of the binaries can."""
    for kind in ("valkey", "redis"):
        found = subprocess.run(["ldd", binary_of(kind)], capture_output=True, text=True, check=False).stdout
        if "libssl" in found:
            port = free_port()
            files = [f"--tls-cert-file {certificate}/cert.pem", f"--tls-key-file {certificate}/key.pem"]
            files += [f"--tls-ca-cert-file {certificate}/cert.pem", "--tls-auth-clients no", f"--tls-port {port}"]
            start(*" ".join(files).split(), kind=kind)
            return port
    pytest.skip("neither server was built with TLS")


async def test_tls_works_and_a_certificate_that_nobody_trusts_is_refused(tls: int, certificate: Path) -> None:
    """Given a server that speaks TLS, when the certificate is trusted, then it works; else `Unavailable` says why."""
    trusted = f"localhost:{tls}?ssl_ca_certs={certificate}/cert.pem"
    for scheme in ("rediss", "valkeys"):
        async with ccs.aio.connect(f"{scheme}://{trusted}") as store:
            async with store.task("42").watch("**") as changes:
                await store.task("42").set("a", scheme)
                assert (await changes.receive(timeout=5)).value == scheme
            await asyncio.gather(*(store.task("42").set(f"many/{index}", "x" * 10_000) for index in range(50)))
        assert await blocking(f"{scheme}://{trusted}", lambda other: other.task("42").get("a")) == scheme
    async with ccs.aio.connect(f"rediss://localhost:{tls}?ssl_cert_reqs=none") as store:
        assert await store.task("42").get("a") == "valkeys"
    began = time.monotonic()
    for error in await both(f"rediss://localhost:{tls}", ccs.Unavailable):
        assert "certificate" in str(error)
    assert time.monotonic() - began < scaled(10), "it does not pass by itself: nobody waits for it"
    # The wrong door, either way round.
    await both(f"redis://localhost:{tls}", ccs.Unavailable, retry_for=0.5)


def test_over_tls_the_dispatcher_reads_for_waiting_threads(tls: int, certificate: Path) -> None:
    """Given a server that speaks TLS, when a thread waits, then no other reads what the transport has to decipher."""
    with ccs.connect(f"rediss://localhost:{tls}?ssl_ca_certs={certificate}/cert.pem") as store:
        with store.task("42").watch() as changes:
            for number in range(20):
                setter = threading.Timer(0.005, store.task("42").set, ("a", number))
                setter.start()
                assert changes.receive(timeout=scaled(5)).value == number
                setter.join()
        assert store._engine.opening.dispatcher._connection is None
