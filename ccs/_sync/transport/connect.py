# Generated from ccs/_async/transport/connect.py by scripts/twin. Do not edit.
"""Opens connections to the server of a store, and refuses servers that could break its guarantees."""

from __future__ import annotations

import os
import time

from ccs._clock import ServerClock
from ccs._compat import Lock, acquired, call, refuse_interrupter
from ccs._core.names.server_url import Endpoint
from ccs._core.names.target import Target, parse_target, with_credentials
from ccs._core.retry import Patience
from ccs._protocol import fake_server
from ccs._protocol.credentials import credentials_of
from ccs._protocol.faults import Disconnected, copy_of, dial_fault
from ccs._protocol.greeting import Greeting
from ccs._protocol.replies import InvalidReply, ServerError
from ccs._protocol.server_check import time_of
from ccs._protocol.sockets import tls_context
from ccs._sync.transport.sockets import Socket, open_socket
from ccs.embedded import Embedded, default_folder
from ccs.errors import CCSError, Misuse, Unavailable

__all__ = ["Dialer", "resolve"]

# The embedded server may give up so many seconds before its time is over.
_EARLY = 0.25


class Dialer:
    """Opens connections to a target: by URL, or to the embedded server of a folder."""

    def __init__(self, target: Target, timeout: float, patience: float) -> None:
        self.target = target
        self.timeout = timeout
        self._patience = patience
        self._embedded: Embedded | None = None
        self._lock = Lock()
        self._failure: CCSError | None = None
        self._failed_at = 0.0
        self.clock = ServerClock()

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
            greeting = Greeting(endpoint, self._credentials(), self.address)
            socket = open_socket(endpoint, context, greeting, self.timeout, patience.left(time.monotonic()))
        except (InvalidReply, ServerError, OSError) as error:
            raise dial_fault(error, self.address, self.user) from error
        self.clock.see(time_of(greeting.info))
        return socket

    def close(self) -> None:
        """Releases the embedded server, which ends when no client is left."""
        if self._embedded:
            call(self._embedded.close)

    def _endpoint(self, patience: Patience) -> Endpoint:
        if self.target.kind == "folder":
            return Endpoint(path=self._ensure(patience))
        return self.target.endpoint

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
