"""How long the property tests search."""

from __future__ import annotations

from hypothesis import settings

from tests.support.waiting import counts

settings.register_profile("ours", max_examples=counts(40, 10_000), deadline=None)
settings.load_profile("ours")
