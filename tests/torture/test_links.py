"""A link passes everything on, and each of its directions can be cut and delayed for itself."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.waiting import scaled
from tests.torture.nemesis.links import Link, Links


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says everything again."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=again, args=(connection,), daemon=True).start()

    def again(connection: socket.socket) -> None:
        with connection:
            while chunk := connection.recv(1 << 16):
                connection.sendall(chunk)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def links(echo: int) -> Iterator[Links]:
    links = Links()
    links.before(echo)
    yield links
    links.close()


@pytest.fixture
def link(links: Links, echo: int) -> Link:
    return links.to(echo)


@pytest.fixture
def client(link: Link) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), timeout=scaled(5)) as client:
        yield client


def heard(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (chunk := client.recv(1 << 16)):
        found += chunk
    return found


def test_everything_passes_in_order(client: socket.socket) -> None:
    sent = bytes(range(256)) * 4096
    threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
    assert heard(client, len(sent)) == sent


@pytest.mark.parametrize("direction", ["requests", "replies"])
def test_what_is_sent_into_a_cut_arrives_when_it_is_mended(link: Link, client: socket.socket, direction: str) -> None:
    client.sendall(b"before")
    assert heard(client, 6) == b"before"
    link.cut = {direction}
    client.sendall(b"meanwhile")
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.recv(100)
    link.mend()
    client.settimeout(scaled(5))
    assert heard(client, 9) == b"meanwhile"


def test_a_delay_is_waited_for(link: Link, client: socket.socket) -> None:
    link.delay = {"replies": 0.1}
    began = time.monotonic()
    client.sendall(b"late")
    assert heard(client, 4) == b"late"
    assert time.monotonic() - began >= 0.1


def test_severed_connections_end_and_new_ones_are_made(links: Links, link: Link, client: socket.socket) -> None:
    client.sendall(b"a")
    assert heard(client, 1) == b"a"
    links.sever(link)
    assert client.recv(1) == b""
    with socket.create_connection(("127.0.0.1", link.port), timeout=scaled(5)) as another:
        another.sendall(b"b")
        assert heard(another, 1) == b"b"
