"""Names of a module that are imported when they are first asked for: what few programs use does not slow all of them.

A process that was forked while another thread imports a module could never import that module: its lock stays held. So all
that is imported late is imported with `loading` held, and a fork waits for that.
"""

import importlib
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["late", "loading"]

loading = threading.RLock()
"""Held while something is imported late."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=loading.acquire, after_in_parent=loading.release, after_in_child=loading.release)


def late(module: str, homes: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` of a module that takes these names from their homes (PEP 562)."""
    home_of = {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name, obj=sys.modules[module])
        with loading:
            value = getattr(importlib.import_module(home_of[name]), name)
        setattr(sys.modules[module], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[module]), *home_of})

    return get, listed
