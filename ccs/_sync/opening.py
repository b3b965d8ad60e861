# Generated from ccs/_async/opening.py by scripts/twin. Do not edit.
"""One opening of a store: its connections, its dispatcher and its identity, from the first use until it is closed."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from ccs._compat import Lock, here, home, interrupter_refused
from ccs._core.commits.commit import Argument
from ccs._core.commits.script_calls import Call
from ccs._core.names.target import Target
from ccs._core.retry import Patience
from ccs._protocol import fake_server
from ccs._protocol.faults import Departed
from ccs._stats import Counters
from ccs._sync.background.commit_dispatcher import CommitDispatcher
from ccs._sync.durable_wait import DurableWait
from ccs._sync.last_call import LastCall
from ccs._sync.transport.commands import Commands
from ccs._sync.transport.topology import Topology
from ccs.errors import StoreClosed, StoreFull, Unavailable
from ccs.types import Durability

__all__ = ["Opening", "Starting"]

T = TypeVar("T")

# Seconds without an answer after which a command is sent again.
_ANSWER = 5.0


class Starting(Protocol):
    """A subscription that begins."""

    def start(self) -> None:
        """Begins in the background."""

    def settled(self, timeout: float) -> bool:
        """Waits until it is live or has failed; False if that took longer than `timeout` seconds."""


class _Home(NamedTuple):
    """Where an opening is used: in asyncio an event loop, else a process. And the identity of its commits."""

    where: object
    pid: int
    client: str


class Opening:
    """What a store opens with its first command. Used by one process, and in asyncio by one event loop.

    These are the process and the loop of the first use. The identity is made there too: children that were forked before
    it each have their own. To those that were forked later the opening is closed.

    An opening that was closed stays closed: a store that is entered again makes another one. What belongs to an opening
    keeps it and asks it for `check`.
    """

    def __init__(
        self,
        target: Target,
        namespace: str,
        retry_for: float,
        stats: Counters,
        subscriptions: Iterable[Starting],
        durability: Durability | None = None,
    ) -> None:
        self._target = target
        self._subscriptions = subscriptions
        self._durability = durability
        self.stats = stats
        # The patience is a multiple of it: the last attempt ends when the patience does.
        timeout = max(0.1, retry_for / max(1, math.ceil(retry_for / _ANSWER)))
        topology = Topology(target, timeout, retry_for, stats)
        self.commands = Commands(topology, target.address, target.user, retry_for, stats)
        self.dispatcher = CommitDispatcher(target, timeout, namespace, retry_for, stats, topology)
        # The presences that are joined: each its context, its agent, and for how many seconds it is held at a time.
        self.presences: dict[object, tuple[str, str, float]] = {}
        # What runs beside all else, for which a close waits: callbacks of lost claims, reporters of pools.
        self.last_calls: dict[LastCall, None] = {}
        # By identity, in order; a copy of a dict is taken in one step, so threads need no lock.
        self._starting: dict[Starting, None] = {}
        self.ending = Lock()
        # Held while it is opened, and by whoever makes it ready for that.
        self.lock = Lock()
        self._home: _Home | None = None
        self._homes: dict[str, _Home] = {}
        self.is_open = False
        self.closed = False
        self.replaced = False
        self._ended = False
        self._in_memory = target.kind == "memory"

    def __repr__(self) -> str:
        return f"<Opening at {self._target.address}, {self.state}>"

    @property
    def state(self) -> str:
        """`new`, `open` or `closed`."""
        return "closed" if self.closed else "open" if self.is_open else "new"

    @property
    def inherited(self) -> bool:
        """Whether this is a copy in a forked child: the original belongs to the process that was forked."""
        return self._home is not None and self._home.pid != os.getpid()

    @property
    def is_used(self) -> bool:
        """Whether it was used, and so belongs to a process."""
        return self._home is not None

    def open(self, patience: Patience | None = None) -> None:
        """Connects, checks the server and starts the subscriptions; once. Waits until these are live."""
        self.enter()
        patience = patience or self.commands.patience()
        # Each caller with its own patience: attempts do not add up.
        with contextlib.suppress(StoreFull):  # a server whose disk is full answers so, and serves readers
            self.commands.run(("PING",), patience=Patience(patience.until))
        # What answered may have turned out to be a node of a Cluster.
        self.commands.topology.adopt()
        if self._durability:
            self._try_durability(self._durability, Patience(patience.until))
        with self.lock:
            self.check()
            if self.is_open:
                return
            self.dispatcher.open()
            if self.closed:
                # The store was closed meanwhile, by a caller that could not end what was only beginning.
                self.dispatcher.close()
                self.check()
            self.is_open = True
            for subscription in list(self._subscriptions):
                self.start(subscription)
        self._settle(patience)

    def _try_durability(self, asked: Durability, patience: Patience) -> None:
        """Raises `UnsafeServer` if what all commits are to wait for can never be known of the server."""
        wait = DurableWait(asked, self.commands.topology)
        with contextlib.suppress(StoreFull):
            self.commands.run(("PING",), travel=wait.travel, patience=patience)
        wait.drop()

    def start(self, subscription: Starting) -> None:
        """Starts a subscription; the next command waits until it is live."""
        # In this order: a signal handler on top of the start must not wait for what its own thread starts.
        subscription.start()
        self._starting[subscription] = None

    def end(self) -> None:
        """Ends the dispatcher and the connections."""
        self.dispatcher.close()
        self.commands.close()
        fake_server.forget(self._target.location)
        self._ended = True

    @property
    def must_end(self) -> bool:
        """Whether it was not ended yet, and can be ended here: its closing may have been cancelled."""
        return not self._ended and self.is_here()

    def _settle(self, patience: Patience) -> None:
        while starting := list(self._starting):
            if not starting[0].settled(patience.left(time.monotonic())):
                raise Unavailable(self._target.address, reason=f"{starting[0]!r} is not live yet")
            self._starting.pop(starting[0], None)

    # Commands, each sent once the store is open.

    def run(self, command: tuple[Argument, ...], near: str = "") -> Any:
        """Sends a read, and returns the reply. One that names no key runs on the server where the key `near` is."""
        patience = self.commands.patience()
        if not self.is_ready():
            self.ready(patience)
        return self.commands.run(command, near=near, patience=patience)

    def run_all(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """Sends several reads in one round trip, and returns the replies."""
        patience = self.commands.patience()
        self.ready(patience)
        return self.commands.run_all(commands, patience)

    def call(self, call: Call[T]) -> T:
        """Calls a script, and returns what it answers."""
        patience = self.commands.patience()
        if not self.is_ready():
            self.ready(patience)
        return self.commands.call(call, patience)

    def is_ready(self) -> bool:
        """Returns whether commands may be sent at once: the store is open, here, and its subscriptions are live."""
        # Every command asks: so this is `check`, written out.
        home = self._home
        if not self.is_open or self._starting or self.closed or home is None:
            return False
        if home.where != here():
            return False
        return not (self._in_memory and fake_server.interrupts())

    def ready(self, patience: Patience | None = None) -> None:
        """Waits until commands may be sent; opens the store where nobody has."""
        if self.is_ready():
            return
        self.enter()
        patience = patience or self.commands.patience()
        if not self.is_open:
            self.open(patience)
        if self._starting:
            self._settle(patience)

    def ping(self) -> float:
        """Returns the seconds of a round trip; in a Cluster, to the slowest of its primaries."""
        self.ready()
        while True:
            nodes = self.commands.primaries()
            sent = time.monotonic()
            try:
                with contextlib.suppress(StoreFull):  # as when it opens
                    self.commands.on_each(dict.fromkeys(nodes, ("PING",)))
            except Departed:
                continue  # its successor is asked
            return time.monotonic() - sent

    # The process and the event loop that it belongs to.

    def enter(self) -> object:
        """Raises as `check`; the first caller decides to which process and event loop the store belongs.

        Returns where that is, as `here` would; None where each call is to be checked anew.
        """
        self.check()
        if self._home is None:
            first = _Home(home(), os.getpid(), secrets.token_hex(8))
            # In one step: of several threads that come first, one decides for all.
            self._home = self._homes.setdefault("first", first)
            self.check()
        return None if self._in_memory else self._home.where

    def check(self) -> None:
        """Raises `StoreClosed` if the store was closed, or belongs to another process or event loop.

        Raises `Misuse` for a signal handler or a finalizer on top of a call to a server in this process.
        """
        if self.replaced:
            raise StoreClosed(
                f"the store at {self._target.address} was closed since this was made, and opened anew; make another"
            )
        if self.closed:
            raise StoreClosed(f"the store at {self._target.address} is closed; enter it again, or connect anew")
        if self._in_memory and fake_server.interrupts():
            raise interrupter_refused()
        if not self.is_here():
            raise self.elsewhere()

    def is_here(self) -> bool:
        """Returns whether it belongs to this process and event loop, or to nobody yet."""
        home = self._home
        return home is None or home.where == here()

    def elsewhere(self) -> StoreClosed:
        """Returns the error for a caller in another process or event loop."""
        where = "another process" if self.inherited else "another event loop"
        return StoreClosed(f"the store at {self._target.address} belongs to {where}; connect anew in this one")

    def identity(self) -> str:
        """Returns the name under which the server knows the commits of this opening. The first use makes it."""
        if self._home is None:
            raise StoreClosed(f"the store at {self._target.address} was never used here; nothing was written")
        return self._home.client
