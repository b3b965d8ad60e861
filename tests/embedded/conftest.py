"""Fixtures of the embedded server's tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded.players import clean_up, gone
from tests.support.waiting import eventually


@pytest.fixture
def root() -> Iterator[Path]:
    """A new folder with a path that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="ccs-")).resolve()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder(root: Path) -> Iterator[Path]:
    """A folder to open, which does not exist yet. Processes that still serve it afterwards are ended."""
    path = root / "brain"
    yield path
    clean_up(path)
    eventually(lambda: gone(path))


@pytest.fixture
def field(root: Path) -> Iterator[Path]:
    """A folder in which folders are opened, moved and copied. Processes that still serve them afterwards are ended."""
    yield root
    for home in root.rglob(".ccs"):
        clean_up(home.parent)
        eventually(lambda home=home: gone(home.parent))
