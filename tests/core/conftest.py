"""How long the property tests search: moderately, or long with CCS_TEST_LONG=1."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("moderate", max_examples=150, deadline=None)
settings.register_profile("long", max_examples=10_000, deadline=None)
settings.load_profile("long" if os.environ.get("CCS_TEST_LONG") == "1" else "moderate")
