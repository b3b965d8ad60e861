"""Any text as one segment of a path: it can be written there, comes back, and never meets another text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ccs
from ccs._core.names.address import check_writable

PIECES = [
    "",
    "a",
    "/",
    "%",
    "%2F",
    ".",
    "..",
    "@",
    "é",
    "\x00",
    "\n",
    "\u2028",
    "\ud800",
    "\udc00",
    "😀",
    "*",
    "[",
    " ",
    "//",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@given(TEXTS, TEXTS)
def test_any_text_comes_back_and_has_a_segment_of_its_own(text: str, other: str) -> None:
    segment = ccs.segment(text)
    assert ccs.unsegment(segment) == text
    assert (segment == ccs.segment(other)) == (text == other)
    assert "/" not in check_writable(segment)
    for path in (f"sources/{segment}", f"{segment}/status"):
        check_writable(path)


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("plain", "plain"),
        ("https://example.org/a?b=1", "https:%2F%2Fexample.org%2Fa?b=1"),
        ("", "%"),
        ("%", "%25"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("@claims", "%40claims"),
        ("a@b", "a@b"),
        ("ü", "ü"),
        ("\n", "%0A"),
    ],
)
def test_only_what_must_be_is_encoded(text: str, segment: str) -> None:
    assert ccs.segment(text) == segment


def test_what_is_no_text_or_too_long_is_refused() -> None:
    assert len(ccs.segment("x" * 1024)) == 1024
    for wrong in ("x" * 1025, "/" * 342, None, b"x", 7):
        with pytest.raises(ccs.InvalidPath):
            ccs.segment(wrong)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("wrong", ["", "a/b", "100%", "%zz", "%FF", "\ud800", None, 7])
def test_what_segment_does_not_make_is_refused(wrong: Any) -> None:
    with pytest.raises(ccs.InvalidPath):
        ccs.unsegment(wrong)


@pytest.mark.parametrize("path", ["/a", "a/", "a//b", "a/../b", ".", "/".join("a" * 65), "", "\ud800", "x" * 1025])
def test_errors_of_paths_name_it(path: str) -> None:
    with pytest.raises(ccs.InvalidPath, match=r"ccs\.segment\(text\) makes one segment of any text"):
        check_writable(path)


def test_a_subclass_of_str_is_taken_as_its_text() -> None:
    class Loud(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "LOUD"

    assert ccs.segment(Loud("a/b")) == "a%2Fb"
    assert type(ccs.segment(Loud("a"))) is str
