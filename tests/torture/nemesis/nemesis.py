"""The nemesis: breaks what a schedule says, one thing at a time, mends it, and says when something may have been lost."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import redis

from tests.support.waiting import eventually
from tests.torture.arenas import USER, Arena, files_of, pid_of
from tests.torture.diary import now
from tests.torture.history import Loss
from tests.torture.nemesis.schedule import Fault
from tests.torture.nemesis.troupe import Troupe
from tests.torture.workload.paths import CONTEXTS

__all__ = ["Nemesis"]

_UNLIMITED = resource.RLIM_INFINITY
_REVOKED = ("-evalsha -eval", "resetchannels", "-hset", "-xadd", "resetkeys", "-hget -subscribe")
_GRANTED = ("on", "resetkeys", "~*", "resetchannels", "&*", "+@all")


class Nemesis:
    """Faults for an arena and a troupe."""

    def __init__(self, arena: Arena, troupe: Troupe, addresses: list[str]) -> None:
        self._arena, self._troupe, self._addresses = arena, troupe, addresses
        self.done: Counter[str] = Counter()
        self.losses: list[Loss] = []
        self.log: list[str] = []
        self._asked = now()
        self._standing = self._settled_owners()

    def strike(self, fault: Fault) -> None:
        """Makes a fault and mends it."""
        self._notice_failovers()
        # From when the owners were asked for: a failover that nobody asked for may come between any two answers.
        begin, owners = self._asked, self._standing
        try:
            killed = self.KINDS[fault.kind](self, fault)
            self._arena.repair()
        except BaseException as error:
            error.add_note(f"the fault was: {fault.kind}, {fault.seconds} s; before it: {self.log}")
            raise
        self.done[fault.kind] += 1
        self._asked = now()
        self._standing = self._settled_owners()
        moved = {address for address, owner in owners.items() if self._standing[address] != owner}
        hit = {address for address, owner in owners.items() if killed is not None and owner[0] is killed}
        # A primary that hands over, or moves a slot, in agreement with the next one loses nothing.
        agreed = fault.kind.startswith("reshard") or (fault.kind == "promote" and self._arena.name == "cluster")
        lost = hit | moved if not agreed else set()
        if lost:
            self.losses.append(Loss(begin - self._arena.forgetful, now(), frozenset(lost)))
        self.log.append(f"{begin} {fault.kind} {fault.seconds} s, {(now() - begin) / 1e6:.1f} s in all, {sorted(lost)}")

    def rest(self) -> None:
        """Mends all, so that the truth can be read."""
        self._arena.repair()
        self._notice_failovers()

    def _notice_failovers(self) -> None:
        """A server that was slow under load may have been replaced by itself."""
        before, self._asked = self._asked, now()
        standing = self._settled_owners()
        moved = {address for address, owner in self._standing.items() if standing[address] != owner}
        if moved:
            self.done["unasked failover"] += 1
            self.losses.append(Loss(before - self._arena.forgetful, now(), frozenset(moved)))
        self._standing = standing

    def _settled_owners(self) -> dict[str, Any]:
        """The owners, once two looks agree: a failover may come between any two answers, and lasts until all servers know."""
        standing = self._owners()
        while standing != (standing := self._owners()):
            self._arena.repair()
        return standing

    def _owners(self) -> dict[str, Any]:
        return {address: eventually(lambda a=address: self._owner(a), 20, "an owner") for address in self._addresses}

    def _owner(self, address: str) -> Any:
        """The server that has a context, and its replication id, which a promotion or a restart changes."""
        with suppress(redis.RedisError, StopIteration):
            owner = self._arena.owner(address)
            with owner.client() as client:
                return owner, client.info("replication")["master_replid"]
        return None

    def _primary(self, fault: Fault) -> Any:
        # One that has some of the contexts.
        return self._standing[self._addresses[fault.choice % len(self._addresses)]][0]

    # Processes.

    def _kill_process(self, fault: Fault) -> None:
        self._troupe.kill(fault.choice)

    def _stop_process(self, fault: Fault) -> None:
        with self._troupe.stopped(fault.choice):
            time.sleep(fault.seconds)

    def _move_clock(self, fault: Fault) -> None:
        minutes = fault.choice % 23 - 11
        with self._troupe.clock_off(fault.choice, minutes * 60_000_000):
            time.sleep(fault.seconds)

    # Servers.

    def _kill_primary(self, fault: Fault) -> Any:
        primary = self._primary(fault)
        primary.kill()
        eventually(lambda: self._arena.replaced(primary), 30, f"{primary!r} to be replaced")
        return primary

    def _stop_primary(self, fault: Fault) -> None:
        primary = self._primary(fault)
        primary.pause()
        time.sleep(fault.seconds)
        primary.resume()

    def _kill_keeper(self, fault: Fault) -> Any:
        self._arena.keeper()  # type: ignore[attr-defined]
        return self._primary(fault)

    def _standby(self, fault: Fault) -> Any:
        found = self._arena.standbys()
        return found[fault.choice % len(found)]

    def _kill_standby(self, fault: Fault) -> None:
        self._standby(fault).kill()
        time.sleep(fault.seconds)

    def _stop_standby(self, fault: Fault) -> None:
        standby = self._standby(fault)
        standby.pause()
        time.sleep(fault.seconds)
        standby.resume()

    def _kill_sentinel(self, fault: Fault) -> None:
        self._arena.sentinel(fault.choice).kill()  # type: ignore[attr-defined]
        time.sleep(fault.seconds)

    def _promote(self, fault: Fault) -> None:
        self._arena.promote(fault.choice)

    def _reshard(self, fault: Fault) -> None:
        address = CONTEXTS[fault.choice % len(CONTEXTS)]
        at_once = fault.kind == "reshard at once"
        self._arena.reshard(address, fault.choice >> 8, at_once=at_once)  # type: ignore[attr-defined]

    # What servers have.

    def _fill_memory(self, fault: Fault) -> None:
        with self._primary(fault).client() as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"])
            time.sleep(fault.seconds)
            client.config_set("maxmemory", 0)

    def _fill_disk(self, fault: Fault) -> None:
        """No file of the server grows any more, as on a full disk."""
        primary = self._primary(fault)
        size = max((file.stat().st_size for file in files_of(primary)), default=0)
        pid = pid_of(primary)
        try:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 20_000, _UNLIMITED))
            time.sleep(fault.seconds)
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (_UNLIMITED, _UNLIMITED))
        self._renew_log(primary)

    def _renew_log(self, server: Any) -> None:
        """Replaces a log that a full disk has left with a hole: once it was killed, the server could not read it again."""

        def renewed() -> bool:
            with suppress(redis.RedisError), server.client() as client:
                found = client.info("persistence")
                if found["aof_last_write_status"] != "ok":
                    client.set("room again", 1)
                if rewrites and not (found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"]):
                    return bool(found["aof_last_bgrewrite_status"] == "ok")
                if not rewrites:
                    client.bgrewriteaof()
                    rewrites.append(True)
            return False

        rewrites: list[bool] = []
        eventually(renewed, 30, "another log")

    def _rewrite(self, fault: Fault) -> None:
        with self._primary(fault).client() as client, suppress(redis.ResponseError):
            client.bgrewriteaof()

    def _revoke(self, fault: Fault) -> None:
        with self._on_all("ACL", "SETUSER", USER, *_REVOKED[fault.choice % len(_REVOKED)].split()):
            time.sleep(fault.seconds)

    @contextmanager
    def _on_all(self, *command: str) -> Iterator[None]:
        servers = self._arena.servers()
        for server in servers:
            with server.client() as client:
                client.execute_command(*command)
        yield
        for server in servers:
            with server.client() as client:
                client.execute_command("ACL", "SETUSER", USER, *_GRANTED)

    # The network.

    def _cut(self, fault: Fault) -> None:
        link = self._arena.link(self._primary(fault))
        link.cut = {fault.kind.split()[1]}
        time.sleep(fault.seconds)
        link.mend()

    def _delay(self, fault: Fault) -> None:
        link = self._arena.link(self._primary(fault))
        link.delay = {fault.kind.split()[1]: 0.01 + fault.choice % 100 / 1000}
        time.sleep(fault.seconds)
        link.mend()

    def _sever(self, fault: Fault) -> None:
        self._arena.sever(self._primary(fault))

    KINDS: ClassVar[dict[str, Callable[[Nemesis, Fault], Any]]] = {
        "kill -9 a process": _kill_process,
        "stop a process": _stop_process,
        "move a clock": _move_clock,
        "kill -9 a primary": _kill_primary,
        "stop a primary": _stop_primary,
        "kill -9 the keeper": _kill_keeper,
        "kill -9 a replica": _kill_standby,
        "stop a replica": _stop_standby,
        "kill -9 a Sentinel": _kill_sentinel,
        "promote": _promote,
        "reshard at once": _reshard,
        "reshard key by key": _reshard,
        "fill the memory": _fill_memory,
        "fill the disk": _fill_disk,
        "rewrite the log": _rewrite,
        "revoke a user": _revoke,
        "cut requests": _cut,
        "cut replies": _cut,
        "delay requests": _delay,
        "delay replies": _delay,
        "sever connections": _sever,
    }
