"""Every Python snippet of the README runs, in order, as it stands; the shell commands that it names exist.

So do those of each page in docs/, one program a page.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import scaled

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
SNIPPETS = PYTHON.findall(README)
PAGES = sorted((ROOT / "docs").glob("*.md"))
PROGRAMS = {page.stem: "\n".join(PYTHON.findall(page.read_text("utf-8"))) for page in PAGES}
TESTS = [snippet for snippet in SNIPPETS if snippet.startswith("def test_")]


def run(program: list[str], folder: Path) -> str:
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=scaled(120))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_runs_as_it_is(tmp_path: Path) -> None:
    tour = [snippet for snippet in SNIPPETS if snippet not in TESTS]
    assert len(tour) >= 10
    (tmp_path / "tour.py").write_text("\n".join(tour) + "\nprint('the end')\n", "utf-8")
    for _ in "once", "and again":
        assert run([sys.executable, "-X", "dev", "-W", "error", "tour.py"], tmp_path).endswith("the end\n")


@pytest.mark.parametrize("page", [page for page, program in PROGRAMS.items() if program])
def test_the_snippets_of_a_page_run_as_they_are(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(PROGRAMS[page], "utf-8")
    run([sys.executable, "-X", "dev", "-W", "error", "page.py"], tmp_path)


def test_the_pages_on_coordination_and_memory_have_snippets() -> None:
    assert PROGRAMS["coordination"]
    assert PROGRAMS["memory"]


@pytest.mark.parametrize("snippet", TESTS)
def test_the_test_in_the_readme_passes_with_the_plugin_alone(snippet: str, tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(snippet, "utf-8")
    assert "1 passed" in run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."], tmp_path)


def test_scripts_and_examples_that_the_readme_names_exist() -> None:
    named = re.findall(r"scripts/\w+|examples/\w+\.py", README)
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *PAGES], ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(\s*(?!http)([^)#\s]*)(?:#([^)\s]*))?\s*\)", page.read_text("utf-8"))
    for name, anchor in links:
        target = page.parent / name if name else page
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), f"{name}#{anchor}"


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_all_errors_are_in_their_page() -> None:
    import ccs.errors

    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    assert [name for name in set(ccs.errors.__all__) - {"CCSError"} if f"`{name}`" not in page] == []
