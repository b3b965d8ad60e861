# Generated from ccs/_async/transport/connect.py by scripts/twin. Do not edit.
"""Opens connections to the server of a store, and refuses servers that could break its guarantees."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import replace
from weakref import ref

from ccs._clock import ServerClock
from ccs._compat import Lock, acquired, call, refuse_interrupter
from ccs._core.names.server_url import Endpoint
from ccs._core.names.target import Target, parse_target, with_credentials
from ccs._core.nodes.cluster_layout import ClusterLayout, Node
from ccs._core.retry import Patience
from ccs._protocol import fake_server
from ccs._protocol.credentials import credentials_of
from ccs._protocol.faults import Disconnected, copy_of, dial_fault, refuses_login
from ccs._protocol.greeting import Greeting
from ccs._protocol.replies import InvalidReply, ServerError
from ccs._protocol.server_check import ServerFacts
from ccs._protocol.sockets import tls_context
from ccs._sync.transport.sentinels import Sentinels
from ccs._sync.transport.sockets import Socket, open_socket
from ccs.embedded import Embedded, default_folder
from ccs.errors import CCSError, Misuse, Unavailable, UnsafeServer

__all__ = ["Dialer", "resolve"]

# The embedded server may give up so many seconds before its time is over.
_EARLY = 0.25
# Seconds that a server which another one may replace has for each step of a new connection.
_IMPATIENT = 1.0
# Seconds for which a provider and the server may have different credentials: they are changed in one after the other.
_ROTATING = 2.0


class Dialer:
    """Opens connections to a target: by URL, or to the embedded server of a folder. To a replica only with `any_role`."""

    def __init__(
        self,
        target: Target,
        timeout: float,
        patience: float,
        clock: ServerClock | None = None,
        layout: ClusterLayout | None = None,
        any_role: bool = False,
    ) -> None:
        self.target = target
        self._any_role = any_role
        self.timeout = timeout
        self._patience = patience
        self._layout = layout or ClusterLayout()
        self._was_primary = False
        self._sentinels = Sentinels(target) if target.kind == "sentinel" else None
        # Where the newest connection leads to.
        self.node: Node | None = None
        self._embedded: Embedded | None = None
        self._lock = Lock()
        self._failure: CCSError | None = None
        self._failed_at = 0.0
        # Since when the server has refused the credentials of a provider.
        self._refused_at: float | None = None
        self.clock = clock or ServerClock()
        # The sockets whose servers have not answered the greeting yet.
        self.greeted: deque[ref[Socket]] = deque()

    def __repr__(self) -> str:
        return f"<Dialer of {self.address}>"

    @property
    def address(self) -> str:
        """Where the server is, without secrets."""
        return self.target.address

    @property
    def user(self) -> str:
        """The user that the server knows us as."""
        return self.target.user

    def dial(self, patience: Patience | None = None) -> Socket:
        """Returns a new connection, greeted and checked. Raises `Disconnected` if a retry may help."""
        patience = patience or Patience(time.monotonic() + self._patience)
        try:
            endpoint = self._endpoint(patience)
            context = call(tls_context, endpoint.tls, self.address) if endpoint.tls else None
            greeting = Greeting(endpoint, self._credentials(), self.address, self._judge)
            left = patience.left(time.monotonic())
            socket = open_socket(endpoint, context, greeting, self._wait(), left, self.greeted)
        except (InvalidReply, ServerError, OSError) as error:
            if self._may_be_rotating(error):
                raise Disconnected(f"it refuses us: {error}; the credentials may be changing", sent=False) from error
            raise dial_fault(error, self.address, self.user) from error
        self._refused_at = None
        return socket

    def _may_be_rotating(self, error: Exception) -> bool:
        """Returns whether the provider of credentials and the server may be about to agree on other ones."""
        if self.target.credentials is None or not refuses_login(error):
            return False
        now = time.monotonic()
        self._refused_at = self._refused_at or now
        return now < self._refused_at + _ROTATING

    def _wait(self) -> float:
        """Returns for how many seconds to wait for a server that does not answer: less if another one may take over."""
        fails_over = self._sentinels is not None or self._layout.is_cluster
        return min(self.timeout, _IMPATIENT) if fails_over else self.timeout

    def _judge(self, facts: ServerFacts) -> None:
        """Notes what a server tells of itself. Raises if commands cannot be sent there."""
        self.clock.see(facts.time)
        if facts.is_cluster:
            self._layout.is_cluster = True
        elif facts.replica_of and not self._any_role:
            self._refuse_replica(facts.replica_of)
        else:
            self._was_primary = True

    def _refuse_replica(self, primary: str) -> None:
        # One that was the primary, or is said to be, may only be in the middle of a failover.
        if self._was_primary or self.target.kind == "sentinel":
            raise Disconnected(f"it is a replica of {primary} at present", sent=False)
        raise UnsafeServer(
            f"{self.address} is a replica of {primary}: it takes no writes, and what it reads may be old; connect to its"
            " primary"
        )

    def keep_flushing(self, patience: Patience) -> bool:
        """Asks that the embedded server is left flushing each commit until this is closed. Returns whether it is one."""
        if self._embedded is None:
            return False
        call(self._embedded.keep_flushing, patience.left(time.monotonic()))
        return True

    def close(self) -> None:
        """Releases the embedded server, which ends when no client is left."""
        if self._embedded:
            call(self._embedded.close)

    def _endpoint(self, patience: Patience) -> Endpoint:
        if self.target.kind == "folder":
            return Endpoint(path=self._ensure(patience))
        endpoint = self.target.endpoint
        if self._sentinels:
            primary = self._sentinels.primary(patience)
            endpoint = replace(endpoint, host=primary.host, port=primary.port)
        self.node = Node(endpoint.host, endpoint.port)
        return endpoint

    def _credentials(self) -> tuple[str, ...]:
        if self.target.credentials is None:
            return self.target.endpoint.credentials
        return credentials_of(self.target.credentials)

    def _ensure(self, patience: Patience) -> str:
        refuse_interrupter(self._ensure)
        began = time.monotonic()
        ours = False
        try:
            ours = acquired(self._lock, patience.left(began))
            if not ours:
                raise Disconnected("another thread or task is still opening the server", sent=False)
            if self._failure and self._failed_at > began:
                # A caller that has waited for another one's attempt shares its failure, so that attempts do not add up.
                raise copy_of(self._failure)
            return self._open_embedded(patience)
        finally:
            if ours:
                self._lock.release()

    def _open_embedded(self, patience: Patience) -> str:
        if self._embedded is None:
            self._embedded = call(Embedded, self.target.location)
        try:
            return call(self._embedded.open, patience.left(time.monotonic()))
        except Misuse:
            raise  # not a failure: the interrupted call goes on
        except CCSError as error:
            self._failed_at = time.monotonic()
            if isinstance(error, Unavailable) and patience.over(self._failed_at + _EARLY):
                # Only the patience of this caller has ended: others may have more.
                raise Disconnected(error.reason, sent=False) from error
            self._failure = error
            raise


def resolve(target: Target) -> Target:
    """Resolves a target: `$CCS_URL`, the default folder, a server in memory."""
    if target.kind == "default":
        url = os.environ.get("CCS_URL")
        found = resolve(parse_target(url)) if url else parse_target(default_folder())
        return with_credentials(found, target.credentials)
    if target.kind == "memory":
        return Target("memory", fake_server.register(target.location), target.address)
    return target
