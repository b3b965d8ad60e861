"""Fixtures of the embedded server's tests. `CCS_TEST_LONG=1` runs many more rounds."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `players`, under any import mode, and in its processes

from players import clean_up, gone, until


@pytest.fixture
def rounds() -> Callable[[int, int], int]:
    """`rounds(short, long)`: how often to repeat something that fails rarely."""
    return lambda short, long: long if os.environ.get("CCS_TEST_LONG") == "1" else short


@pytest.fixture
def root() -> Iterator[Path]:
    """A new folder with a short name, so that sockets fit into it."""
    path = Path(tempfile.mkdtemp(prefix="ccs-")).resolve()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder(root: Path) -> Iterator[Path]:
    """A folder to open, not there yet; whatever still serves it afterwards is ended."""
    path = root / "brain"
    yield path
    clean_up(path)
    until(lambda: gone(path))
