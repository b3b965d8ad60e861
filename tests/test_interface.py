"""The public interface is what `interface.txt` says, so that nobody changes it without seeing that in a diff."""

from __future__ import annotations

from difflib import unified_diff

from tests.support.interface import FILE, interface

RENEW = "If that is meant: .venv/bin/python -m tests.support.interface, and a line in CHANGELOG.md."


def test_the_public_interface_is_the_one_that_was_committed() -> None:
    written = FILE.read_text("utf-8").splitlines()
    difference = list(unified_diff(written, interface().splitlines(), "committed", "now", n=0, lineterm=""))

    assert not difference, "\n".join([*difference, RENEW])
