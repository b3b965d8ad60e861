"""What a run depends on: the machine, the versions, the settings of the servers."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["cores", "cpu_model", "load_average", "versions"]

_PACKAGES = ("collaborative-context-store", "redis", "hiredis", "nats-py", "aetcd", "uvloop")


def versions() -> dict[str, str]:
    """Of Python and of the packages that take part."""
    return {"python": platform.python_version()} | {name: found for name in _PACKAGES if (found := _version(name))}


def cpu_model() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_average() -> float:
    """Of the last minute."""
    return os.getloadavg()[0]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
