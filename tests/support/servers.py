"""Real servers that the tests start, stop and kill themselves."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest
import redis

from ccs.embedded.binary import find
from tests.support import guard
from tests.support.waiting import eventually

# Below the ports that systems take for outgoing connections: they stay free for a server that comes back.
_PORTS = range(10_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """A port where nobody listens, not given before, nor to another worker of this run."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = secrets.choice(_PORTS[worker::workers])
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def binary_of(kind: str) -> str:
    """The path of a server of that kind; skips where there is none, fails in CI."""
    if kind == "valkey":
        return str(find("the tests", None).path)
    found = shutil.which("redis-server")
    if not found:
        message = "no redis-server on the PATH"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return found


class PrivateServer:
    """One server of our own on a loopback port, with an append-only file, so that it can be killed and come back."""

    def __init__(self, binary: str, folder: Path, *options: str) -> None:
        self.binary, self.folder, self.options = binary, folder, options
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<PrivateServer {Path(self.binary).name} on {self.port}, pid {self.process and self.process.pid}>"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        # With the signals that Python ignores: a limit on its files is an error to the server, not its end.
        self.process = subprocess.Popen(self.command(), restore_signals=False)
        guard.began(self.process.pid)
        try:
            eventually(self.answers, 10, f"{self!r} to answer")
        except BaseException:
            self.kill()
            raise
        return self

    def command(self) -> list[str]:
        """How it is started."""
        base = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        aof = ["--appendonly", "yes", "--appendfsync", "everysec", "--logfile", str(self.folder / "log")]
        return [self.binary, *base, *aof, *self.options]

    def answers(self) -> bool:
        """Whether it answers, and no other server in its place; once it has ended, whether anybody does."""
        try:
            with self.client() as client:
                its_own = self.process is None or client.info("server")["process_id"] == self.process.pid
                return bool(client.ping()) and its_own
        except (redis.AuthenticationError, redis.ResponseError):  # it does not tell
            return True
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url)  # not by port: that would try again for seconds where nobody answers

    def sync(self) -> None:
        """Waits until all that was acknowledged is on disk.

        While the disk is busy, a server that flushes each second holds back what it has acknowledged, for up to two
        seconds; and Valkey answers WAITAOF before it has flushed.
        """
        with self.client() as client:
            client.config_set("appendfsync", "always")
            client.set("synced", 1)  # flushed before the reply, and all that came before with it
            client.config_set("appendfsync", "everysec")

    def kill(self) -> None:
        """Kills it with -9, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait()
            guard.ended(self.process.pid)
            self.process = None
