"""One file: what is counted, and that whatever is wrong with it is a finding."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import pytest

from demo.measure import MAX_FILE_BYTES, measure, measure_source

SOURCE = b'''"""A module."""
import os.path, json
from . import sibling
from ..above import name as other
from collections import *
if TYPE_CHECKING:
    import typed_only
else:
    import run_only
if __name__ == "__main__":
    import script_only


class Shape:  # TODO: colour
    """A class."""

    def area(self, a, b):
        """A method."""
        import late
        if a and b or a:                      # if 1, and 1, or 1
            return [x for x in a if x if b]   # for 1, if 2
        def inner():
            while True:                       # its own
                pass
        return a if b else inner              # 1


async def feed(items):
    async for item in items:                  # 1
        try:
            match item:
                case 1: pass                  # 1
                case _ if items: pass         # 1
                case _: pass                  # none
        except (ValueError, KeyError):        # 1
            pass                              # FIXME and TODO are one comment
'''


def test_what_is_counted_in_a_file() -> None:
    found = measure_source("pkg/shape.py", SOURCE)
    counts = found.counts
    assert (found.error, found.path) == (None, "pkg/shape.py")
    assert (counts.files, counts.unparsed, counts.classes, counts.functions) == (1, 0, 1, 3)
    assert (counts.size, counts.lines) == (len(SOURCE), SOURCE.count(b"\n"))
    assert (counts.definitions, counts.documented, counts.todos) == (5, 3, 2)
    assert {one.name: one.complexity for one in found.complex} == {"Shape.area": 8, "Shape.area.inner": 2, "feed": 5}
    assert counts.complexity == 15


def test_functions_are_ranked_by_complexity_and_the_longest_is_told() -> None:
    found = measure_source("pkg/shape.py", SOURCE)
    assert [one.name for one in found.complex] == ["Shape.area", "feed", "Shape.area.inner"]
    assert found.longest is not None
    assert (found.longest.name, found.longest.lines) == ("Shape.area", 9)
    assert found.counts.function_lines == 9 + 3 + 9


def test_imports_are_kept_as_written_and_those_that_do_not_run_on_import_apart() -> None:
    found = measure_source("pkg/shape.py", SOURCE)
    assert found.imports == ["..above:name", ".:sibling", "collections:*", "json", "os.path", "run_only"]
    assert found.late_imports == ["late", "script_only", "typed_only"]


def test_an_empty_file_has_nothing_to_document() -> None:
    found = measure_source("__init__.py", b"")
    assert (found.error, found.counts.lines, found.counts.definitions) == (None, 0, 0)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"def f(:\n", "SyntaxError"),
        (b"x = 1\x00\n", "null bytes"),
        (b"# coding: no-such\nx = 1\n", "unknown encoding"),
        (b"x = '\xff'\n", "SyntaxError"),
        (b"(" * 100_000, ""),
        (b"x = " + b"-" * 100_000 + b"1", ""),
        (b"x = " + b"1" * 10_000, ""),
    ],
)
def test_a_file_that_does_not_parse_is_a_finding(source: bytes, said: str) -> None:
    found = measure_source("bad.py", source)
    assert found.error is not None
    assert said in found.error
    assert (found.counts.files, found.counts.unparsed, found.counts.size) == (1, 1, len(source))
    assert found.counts.functions == 0


def test_a_tree_that_is_deeper_than_the_stack_is_measured() -> None:
    depth = 2 * sys.getrecursionlimit()
    found = measure_source("deep.py", b"def f():\n    return " + b"+".join([b"1"] * depth))
    assert found.error is None or "nested too deeply" in found.error  # up to the parser of this Python
    assert found.counts.files == 1


def test_warnings_of_the_parser_are_not_reported() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure_source("odd.py", b"x = '\\d'\nif x is 'a': pass\n").error is None


def test_findings_are_bounded_whatever_the_file_holds() -> None:
    many = "\n".join(f"import module_{'x' * 300}_{number}\ndef f{number}(): pass" for number in range(3_000))
    found = measure_source("many.py", many.encode())
    assert found.counts.functions == 3_000
    assert len(found.model_dump_json()) < 500_000
    assert found == measure_source("many.py", many.encode())


def test_what_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    (tmp_path / "huge.py").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    names = [b"pipe.py", b"folder.py", b"dangling.py", b"loop.py", b"huge.py", b"gone.py"]
    found = [measure(tmp_path, name) for name in names]
    assert all(one.error for one in found)
    assert all(one.counts.unparsed == 1 for one in found)


def test_names_of_any_bytes_can_be_measured(tmp_path: Path) -> None:
    raw = b"na\xffme\n%.py"
    (tmp_path / os.fsdecode(raw)).write_text("x = 1\n")
    found = measure(tmp_path, raw)
    assert (found.path, found.error) == ("na%FFme%0A%25.py", None)
