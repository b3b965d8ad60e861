"""A small TCP proxy that breaks connections in the ways that networks do."""

import contextlib
import socket
import threading
from collections.abc import Callable


class Proxy:
    """Stands before a server. `fault` decides for each chunk of a reply: pass it, drop it, cut, or hang.

    `fault(count, chunk)` gets the number of the chunk from the server (over all connections, from 1) and its bytes,
    and returns "pass", "drop" (swallow this chunk and close the connection, so that the reply is lost but the
    command was executed), "lose" (swallow just this chunk, leave the connection open), "cut" (close at once) or
    "hang" (swallow everything from now on, connection stays open).

    `filter(count, chunk)` likewise decides for each chunk of a request: "pass", "hold" (keep it back, and whatever
    follows on its connection, until `release`, even if the client has hung up meanwhile), "eat" (the server never gets
    it, nor anything after it; the connection stays open) or "cut".
    """

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self.fault: Callable[[int, bytes], str] = lambda count, chunk: "pass"
        self.filter: Callable[[int, bytes], str] = lambda count, chunk: "pass"
        self.replies = self.requests = 0
        self._released = threading.Event()
        self._lock = threading.RLock()  # a fault may cut the others
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._refusing = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.close()
        self.release()
        self.cut_all()

    def release(self) -> None:
        """Lets what was held back reach the server; nothing is held back any more."""
        self._released.set()

    def cut_all(self) -> None:
        """Closes every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _close(*pair)

    def refuse(self, refusing: bool = True, *, cut: bool = True) -> None:
        """Closes new connections as soon as they come, and those that there are; or no longer does so."""
        self._refusing = refusing
        if refusing and cut:
            self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self._refusing:
                _close(client)
                continue
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                _close(client)
                continue
            server.settimeout(None)
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        eating = False
        with contextlib.suppress(OSError):
            while chunk := client.recv(65536):
                with self._lock:
                    self.requests += 1
                    verdict = "eat" if eating else self.filter(self.requests, chunk)
                if verdict == "hold":
                    return self._hold(chunk, client, server)
                if verdict == "cut":
                    break
                eating = verdict == "eat"
                if not eating:
                    server.sendall(chunk)
        _close(client, server)

    def _hold(self, chunk: bytes, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._pairs = [pair for pair in self._pairs if pair[0] is not client]
        self._released.wait()
        # The client may be gone: no more than the end is passed on, so that the server's answer can be counted.
        with contextlib.suppress(OSError):
            server.sendall(chunk)
            while chunk := client.recv(65536):
                server.sendall(chunk)
            server.shutdown(socket.SHUT_WR)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        hanging = False
        with contextlib.suppress(OSError):
            while chunk := server.recv(65536):
                with self._lock:
                    self.replies += 1
                    verdict = "hang" if hanging else self.fault(self.replies, chunk)
                if verdict == "pass":
                    client.sendall(chunk)
                elif verdict == "hang":
                    hanging = True
                elif verdict != "lose":
                    break
        _close(client, server)


def once(text: bytes, verdict: str, then: Callable[[], object] = lambda: None) -> Callable[[int, bytes], str]:
    """A fault or filter: the verdict for the first chunk that holds the text, when `then` is called too; else "pass"."""
    seen: list[int] = []

    def decide(count: int, chunk: bytes) -> str:
        if text not in chunk or seen:
            return "pass"
        seen.append(count)
        then()
        return verdict

    return decide


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
