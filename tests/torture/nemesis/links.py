"""Links: a small proxy before each server, whose two directions can be cut and delayed, each for itself.

A direction that is cut passes nothing on until it is mended, as TCP does over a network that drops packets: what was sent
meanwhile arrives late, unless the connection was given up. One thread serves all links.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from contextlib import suppress

__all__ = ["Link", "Links"]

_CHUNK = 1 << 18
# Seconds after which what was kept is looked at again.
_LOOK = 0.005


class Link:
    """The way to one server. `cut` holds the directions that pass nothing: "requests", "replies"."""

    def __init__(self, target: int, port: int) -> None:
        self.target = target
        self.port = port
        self.cut: set[str] = set()
        self.delay: dict[str, float] = {}

    def mend(self) -> None:
        """Lets everything through at once."""
        self.cut = set()
        self.delay = {}


class _Way:
    """One direction of one connection: what was read, and when it may be passed on."""

    def __init__(self, link: Link, name: str, source: socket.socket, sink: socket.socket) -> None:
        self.link, self.name, self.source, self.sink = link, name, source, sink
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.ended = False

    @property
    def held(self) -> bool:
        return self.name in self.link.cut

    def take(self) -> None:
        chunk = self.source.recv(_CHUNK)
        self.waiting.append((time.monotonic() + self.link.delay.get(self.name, 0.0), chunk))

    def pass_on(self) -> None:
        """Passes on what is due; an empty chunk is the end."""
        while self.waiting and not self.held and self.waiting[0][0] <= time.monotonic():
            _, chunk = self.waiting[0]
            if not chunk:
                self.ended = True
                return
            sent = self.sink.send(chunk)
            self.waiting.popleft()
            if sent < len(chunk):
                self.waiting.appendleft((0.0, chunk[sent:]))
                return


class Links:
    """All links of a topology, and the thread that serves them."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._links: list[Link] = []
        self._ways: dict[socket.socket, _Way] = {}
        self._severed: set[Link] = set()
        self._over = False
        self._thread = threading.Thread(target=self._serve, name="links", daemon=True)
        self._thread.start()

    def before(self, target: int) -> int:
        """Makes a link to a port of this machine. Returns the port of the link."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        link = Link(target, listener.getsockname()[1])
        self._links.append(link)
        self._selector.register(listener, selectors.EVENT_READ, link)
        return link.port

    def to(self, target: int) -> Link:
        """The link to a port."""
        return next(link for link in self._links if link.target == target)

    def sever(self, link: Link) -> None:
        """Closes every connection of a link."""
        self._severed.add(link)

    def close(self) -> None:
        """Ends all of it."""
        self._over = True
        self._thread.join(5)

    def _serve(self) -> None:
        looked = 0.0
        while not self._over:
            for key, _ in self._selector.select(_LOOK):
                if isinstance(key.data, Link):
                    self._accept(key.fileobj, key.data)  # type: ignore[arg-type]
                else:
                    self._move(self._ways.get(key.fileobj))  # type: ignore[arg-type]
            if time.monotonic() - looked > _LOOK:
                self._look_after()
                looked = time.monotonic()
        listeners = [key.fileobj for key in self._selector.get_map().values() if isinstance(key.data, Link)]
        for each in [*listeners, *self._ways]:
            each.close()  # type: ignore[union-attr]
        self._selector.close()

    def _accept(self, listener: socket.socket, link: Link) -> None:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", link.target), timeout=1)
        except OSError:
            return client.close()
        for each in (client, server):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ways[client] = _Way(link, "requests", client, server)
        self._ways[server] = _Way(link, "replies", server, client)
        self._selector.register(client, selectors.EVENT_READ)
        self._selector.register(server, selectors.EVENT_READ)
        return None

    def _move(self, way: _Way | None) -> None:
        if way is None or way.source.fileno() < 0:
            return
        try:
            if way.held or len(way.waiting) > 64:
                self._selector.unregister(way.source)
                return
            way.take()
            if way.waiting and not way.waiting[-1][1]:
                self._selector.unregister(way.source)
            way.pass_on()
        except BlockingIOError:
            return
        except OSError:
            self._end(way)

    def _look_after(self) -> None:
        """Passes on what was kept, takes up again what was not read, and closes what has ended."""
        severed, self._severed = self._severed, set()
        for source, way in list(self._ways.items()):
            if source not in self._ways:  # it has ended with its other direction
                continue
            if way.waiting:
                with suppress(BlockingIOError):
                    try:
                        way.pass_on()
                    except ConnectionError:
                        way.ended = True
            at_end = bool(way.waiting) and not way.waiting[-1][1]
            if not way.ended and not way.held and not at_end and len(way.waiting) <= 64:
                with suppress(KeyError, ValueError):
                    if way.source not in self._selector.get_map():
                        self._selector.register(way.source, selectors.EVENT_READ)
            if way.ended or way.link in severed:
                self._end(way)

    def _end(self, way: _Way) -> None:
        for each in (way.source, way.sink):
            with suppress(KeyError, ValueError):
                self._selector.unregister(each)
            self._ways.pop(each, None)
            each.close()
