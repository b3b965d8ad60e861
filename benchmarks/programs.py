"""Servers on loopback ports, ended by their process: NATS and etcd, found on the PATH, and a Valkey with a replica."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from benchmarks.adapters.nats_kv import sweep
from benchmarks.server import PATIENCE, Server, ServerMissing, folder
from ccs.embedded.binary import find

__all__ = ["etcd", "nats", "replicated"]

NATS_DURABILITY = "file store, fsync every two minutes (its default)"
REPLICATED = "append-only file, fsync once a second, one replica on the same machine"
ETCD_DURABILITY = "write-ahead log, fsync before each answer (its default)"


@contextmanager
def nats(run_id: str) -> Iterator[Server]:
    """The server at `$CCS_BENCH_NATS`, else a `nats-server` with JetStream."""
    if url := os.environ.get("CCS_BENCH_NATS"):
        try:
            yield Server(url, "NATS, given by $CCS_BENCH_NATS", "as it is set", lambda: float("nan"))
        finally:
            sweep(url, run_id)
        return
    binary = _binary("nats-server")
    port = _free_port()
    with folder() as path:
        command = [binary, "--jetstream", "--store_dir", str(path), "--addr", "127.0.0.1", "--port", str(port)]
        with _running(command, path, port) as cpu:
            yield Server(f"nats://127.0.0.1:{port}", _version(binary), NATS_DURABILITY, cpu)


@contextmanager
def etcd() -> Iterator[Server]:
    """An `etcd` of one member."""
    binary = _binary("etcd")
    port = _free_port()
    peers = f"http://127.0.0.1:{_free_port()}"
    url = f"http://127.0.0.1:{port}"
    with folder() as path:
        options = {
            "data-dir": path / "data",
            "listen-client-urls": url,
            "advertise-client-urls": url,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
        }
        with _running([binary, *(f"--{name}={value}" for name, value in options.items())], path, port) as cpu:
            yield Server(url, _version(binary), ETCD_DURABILITY, cpu)


@contextmanager
def replicated() -> Iterator[Server]:
    """A Valkey with the settings that users of CCS get, and one replica of it."""
    binary = find("the benchmark", None)
    ports = [_free_port(), _free_port()]
    common = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--repl-diskless-sync-delay", "0"]
    with folder() as first, folder() as second:
        command = [str(binary.path), *common, "--port", str(ports[0])]
        following = [str(binary.path), *common, "--port", str(ports[1]), "--replicaof", "127.0.0.1", str(ports[0])]
        with _running(command, first, ports[0]) as cpu, _running(following, second, ports[1]):
            _await_replica(ports[0])
            yield Server(f"redis://127.0.0.1:{ports[0]}", str(binary.version), REPLICATED, cpu)


def _await_replica(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    with redis.Redis(port=port, socket_timeout=PATIENCE) as client:
        while int(client.execute_command("WAIT", 1, 100)) < 1:
            if time.monotonic() > deadline:
                raise ServerMissing("the replica does not follow")


def _binary(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise ServerMissing(f"no {name} on the PATH")
    return found


def _version(binary: str) -> str:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    return said.splitlines()[0].replace(" Version", "").replace(":", "")


@contextmanager
def _running(command: list[str], path: Path, port: int) -> Iterator[Callable[[], float]]:
    """Runs a server until the end; tells how many CPU seconds it has used so far."""
    log = path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=path, start_new_session=True)
    try:
        _await_port(process, port, log)
        yield lambda: _cpu_of(process.pid)
    finally:
        _end(process)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerMissing(f"{process.args!r} does not answer: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cpu_of(pid: int) -> float:
    """Of all its threads, which Linux counts in nanoseconds; NaN elsewhere."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return float("nan")
    return sum(map(_nanoseconds, tasks)) / 1e9


def _nanoseconds(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except OSError:
        return 0  # the thread has ended meanwhile
