"""What `docs/shell.md` shows is what the commands print."""

from __future__ import annotations

from ccs.cli.table import SUMMARIES
from tests.cli.page import PAGE, normal, played


def test_the_commands_of_the_page_print_what_it_shows() -> None:
    """Given a change of what a command prints, `python -m tests.cli.page` was run."""
    page = PAGE.read_text("utf-8")
    assert page.count("\n$ ") > 25
    assert normal(played(page)) == normal(page)


def test_the_page_names_every_command() -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in SUMMARIES if f"`{name}`" not in page and f"ccs {name}" not in page] == []
