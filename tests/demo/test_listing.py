"""Which files are taken, and what they are called in the store."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccs._core.recipes.claim import site_of
from ccs._core.recipes.jobs import can_be_job, job_path
from demo.entries import place_in
from demo.listing import package_of, python_files, standard_library
from demo.measure import measure
from demo.names import cut, place_of, shown


def _tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x = 1\n")
    return root


def test_python_files_come_in_one_order_and_some_folders_are_left_out(tmp_path: Path) -> None:
    _tree(tmp_path, "b.py", "a/z.py", "a/readme.txt", "site-packages/x.py", ".venv/y.py", "a/__pycache__/z.py", "c.py")
    assert list(python_files(tmp_path)) == [b"b.py", b"c.py", b"a/z.py"]
    assert list(python_files(tmp_path, 2)) == [b"b.py", b"c.py"]


def test_linked_folders_are_not_entered(tmp_path: Path) -> None:
    _tree(tmp_path, "a/b.py")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert list(python_files(tmp_path)) == [b"a/b.py"]


@pytest.fixture
def bottomless(tmp_path: Path) -> Iterator[Path]:
    """A folder for trees that are too deep for the clean-up of pytest."""
    folder = tmp_path / "bottomless"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def _descend(folder: Path, name: str, depth: int) -> int:
    """Make that many folders of the name, each within the one before; a descriptor of the last."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        here, above = os.open(name, os.O_RDONLY, dir_fd=here), here
        os.close(above)
    return here


def test_a_tree_deeper_than_the_stack_is_listed(bottomless: Path) -> None:
    last = _descend(bottomless, "d", 1_500)
    os.close(os.open("deep.py", os.O_CREAT | os.O_WRONLY, dir_fd=last))
    os.close(last)
    (found,) = python_files(bottomless)
    assert found.endswith(b"d/deep.py")
    assert place_of(shown(found)).startswith("%long/")


def test_a_folder_that_cannot_be_listed_is_itself_an_entry_and_a_finding(bottomless: Path) -> None:
    os.close(_descend(bottomless, "long" * 50, 25))  # past the longest path that the system takes
    (found,) = python_files(bottomless)
    assert found.endswith(b"/" + b"long" * 50)
    assert "cannot be read" in str(measure(bottomless, found).error)


def test_different_names_have_different_places_that_any_store_takes() -> None:
    names = [
        "a.py",
        "a%.py",
        "a%25.py",
        "a\udcff.py",
        "a\n.py",
        "é.py",
        "x" * 2_000 + ".py",
        "\udcff" * 200,
        "d/" * 70 + "x.py",
    ]
    places = [place_of(shown(os.fsencode(name))) for name in names]
    assert len(set(places)) == len(names)
    assert all(place.isprintable() and can_be_job(f"files/{place}") for place in places)
    for place in places:
        for path in (f"files/{place}", job_path("results", f"files/{place}"), site_of(f"files/{place}").path):
            assert place_in(path) == place


def test_the_package_of_a_folder(tmp_path: Path) -> None:
    _tree(tmp_path, "top/__init__.py", "top/sub/__init__.py", "top/sub/x.py", "other/x.py")
    assert package_of(tmp_path / "top" / "sub") == "top.sub"
    assert package_of(tmp_path / "other") == ""


def test_the_standard_library_is_there() -> None:
    assert (standard_library() / "ast.py").is_file()


def test_cut_leaves_out_the_middle() -> None:
    assert cut("abcdefghij", 5) == "ab…ij"
    assert cut("abc", 5) == "abc"
