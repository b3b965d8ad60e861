"""A server that wants certificates of its clients, in tests of who may do what."""

from tests.transport.test_servers import authority, tls

__all__ = ["authority", "tls"]
