"""Stores of either colour on every kind of server, as for the tests of a context."""

from tests.context.conftest import open_store, shared, task

__all__ = ["open_store", "shared", "task"]
