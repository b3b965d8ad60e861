"""Which files a survey takes: every `.py` below a folder, in an order that is always the same."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from demo.names import shown

__all__ = ["LEFT_OUT", "described", "package_of", "python_files", "standard_library"]

LEFT_OUT = ("site-packages", "dist-packages", "node_modules", "__pycache__")


def standard_library() -> Path:
    """The folder of the standard library of the Python that runs this."""
    return Path(sysconfig.get_paths()["stdlib"])


def described(folder: Path) -> str:
    """The folder in words."""
    name = shown(os.fsencode(folder))
    if folder != standard_library():
        return name
    return f"{name}, the standard library of Python {platform.python_version()}, its tests included"


def python_files(folder: Path, limit: int | None = None) -> Iterator[bytes]:
    """The Python files below the folder, relative to it, as the bytes of their names joined by `/`.

    Linked folders are not entered; neither are `LEFT_OUT` and those that begin with a dot. A folder
    that cannot be listed is itself yielded, so that it becomes a finding.
    """
    return islice(map(os.fsencode, _walk(str(folder))), limit)


def _walk(root: str) -> Iterator[str]:
    pending = [""]  # a list, not recursion: a tree may be deeper than the interpreter's stack
    while pending:
        here = pending.pop()
        try:
            found = _list(root, here)
        except OSError:
            if not here:
                raise
            yield here
        else:
            yield from (_join(here, entry.name) for entry in found if _is_source(entry))
            pending += reversed([_join(here, entry.name) for entry in found if _is_entered(entry)])


def _list(root: str, here: str) -> list[os.DirEntry[str]]:
    with os.scandir(os.path.join(root, here)) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _join(here: str, name: str) -> str:
    return f"{here}/{name}" if here else name


def _is_source(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".py") and not entry.is_dir(follow_symlinks=False)


def _is_entered(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.name not in LEFT_OUT and not entry.name.startswith(".")


def package_of(folder: Path) -> str:
    """The dotted name under which the folder itself is imported: empty unless it is a package."""
    parts: list[str] = []
    here = folder.absolute()
    while (here / "__init__.py").is_file() and here.name:
        parts.insert(0, here.name)
        here = here.parent
    return ".".join(parts)
