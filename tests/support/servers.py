"""Real servers that the tests start, stop and kill themselves."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import redis

from ccs.embedded.binary import find
from tests.support.waiting import eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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

    def start(self) -> "PrivateServer":
        base = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        aof = ["--appendonly", "yes", "--appendfsync", "everysec", "--logfile", str(self.folder / "log")]
        self.process = subprocess.Popen([self.binary, *base, *aof, *self.options])
        eventually(self.answers, 10, f"{self!r} to answer")
        return self

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url)  # not by port: that would try again for seconds where nobody answers

    def sync(self) -> None:
        """Waits until all that was written is on disk."""
        with self.client() as client:
            client.set("synced", 1)  # it waits for what its own connection has written, and all that came before
            assert client.execute_command("WAITAOF", 1, 0, 10_000)[0] == 1

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
            self.process = None
