"""What the extra `mcp` installs must be there before anything here is imported."""

from __future__ import annotations

from importlib.util import find_spec

from ccs.errors import MissingExtra

__all__ = ["PACKAGES"]

PACKAGES = ("mcp", "starlette", "uvicorn")
"""The packages of the extra."""

for name in PACKAGES:
    if find_spec(name) is None:
        raise MissingExtra("ccs.mcp", name, "mcp")
