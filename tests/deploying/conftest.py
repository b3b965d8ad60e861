"""Folders that are opened, and a server that wants TLS, in tests of deployments."""

from tests.embedded.conftest import field, root
from tests.transport.test_servers import authority, tls

__all__ = ["authority", "field", "root", "tls"]
