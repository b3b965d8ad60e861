"""Options of a socket that both colours set: TCP, and TLS."""

from __future__ import annotations

import socket
import ssl
from typing import Protocol

from ccs._core.names.server_url import Tls
from ccs.errors import Unavailable

__all__ = ["tls_context", "tune"]

# A dead peer is noticed after 45 silent seconds, on platforms with these options.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
_VERIFIED = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class _Tunable(Protocol):
    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def tune(sock: _Tunable, keepalive: bool) -> None:
    """Turns off the delay of small writes on a TCP socket; with `keepalive`, also probes for a dead peer."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not keepalive:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def tls_context(tls: Tls, address: str) -> ssl.SSLContext:
    """Returns a context for TLS. Reads the files anew for each connection, as certificates are renewed; this blocks.

    Raises `Unavailable` if the options cannot be used.
    """
    try:
        return _context(tls)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise Unavailable(address, reason=f"its options of TLS cannot be used: {error}") from error


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = tls.check_hostname and tls.verify != "none"
    context.verify_mode = _VERIFIED[tls.verify]
    for name in tls.flags:
        context.verify_flags |= _flag(name)
    for name in tls.without_flags:
        context.verify_flags &= ~_flag(name)
    if tls.certificate or tls.key:
        # Without a password OpenSSL would prompt for one on the terminal.
        context.load_cert_chain(tls.certificate or "", tls.key, tls.key_password or "")
    if tls.ca_file or tls.ca_path or tls.ca_data:
        context.load_verify_locations(tls.ca_file, tls.ca_path, tls.ca_data)
    if tls.oldest:
        context.minimum_version = ssl.TLSVersion(tls.oldest)
    if tls.ciphers:
        context.set_ciphers(tls.ciphers)
    return context


def _flag(name: str) -> ssl.VerifyFlags:
    try:
        return ssl.VerifyFlags[name]
    except KeyError:
        raise ValueError(f"ssl.VerifyFlags has no {name}") from None
