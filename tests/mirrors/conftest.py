"""Fixtures of the tests of mirrors."""

from __future__ import annotations

from tests.watches.conftest import impatient

__all__ = ["impatient"]
