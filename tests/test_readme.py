"""Every Python snippet of the README runs, in order, as it stands, and so do those of each page in docs/, a program a page.

The scripts, files and folders that the pages name exist, and their links lead somewhere.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
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
FOLDERS = ("ccs", "docs", "tests", "scripts", "examples", "benchmarks", "demo", ".ci")
READ_BY_PEOPLE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *PAGES]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = r"[\w-]+\.(?:py|lua|md|txt|toml)"
NAMED = re.compile(rf"(?:\.?[\w-]+/)*(?:{FILE}|\.?[\w-]+/)|(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]+")
NOT_THERE_YET = {"ccs/_async/recipes/first.py", "tests/recipes/test_first.py", "dist/", ".hypothesis/"}
"""What a reader or a command makes."""
NEEDS = {"mcp": "mcp", "web-view": "starlette"}
"""What the snippets of a page need that is not installed for every kind of test."""


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
    if page in NEEDS and find_spec(NEEDS[page]) is None:
        pytest.skip(f"{NEEDS[page]} is not installed")
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


@cache
def existing() -> set[str]:
    """Each file and folder by its path, and by every end of that: a page may leave out the first folders."""
    found = set[str]()
    folders = [ROOT / folder for folder in FOLDERS]
    files = [path for path in ROOT.iterdir() if path.is_file()]
    for path in [*files, *folders, *(path for folder in folders for path in folder.rglob("*"))]:
        parts = path.relative_to(ROOT).parts
        found.update("/".join(parts[start:]) + "/" * path.is_dir() for start in range(len(parts)))
    return found


def paths_named_in(page: Path) -> set[str]:
    """What a page names as a file or folder: in its inline code, and in the boxes of its diagrams."""
    text = page.read_text("utf-8")
    diagrams = " ".join(body for language, body in FENCED.findall(text) if language == "mermaid")
    code = re.findall(r"`([^`\s]+)[^`]*`", FENCED.sub("", text))
    return {name for name in code if NAMED.fullmatch(name)} | set(re.findall(rf"(?:\w+/)+{FILE}", diagrams))


@pytest.mark.parametrize("page", READ_BY_PEOPLE, ids=lambda page: page.stem)
def test_every_file_and_folder_that_a_page_names_exists(page: Path) -> None:
    there = existing()
    missing = {name for name in paths_named_in(page) - NOT_THERE_YET if not {name, f"{name}/"} & there}
    assert not missing


def test_the_pages_name_files() -> None:
    assert {"ccs/lua/", "scripts/twin"} <= paths_named_in(ROOT / "CONTRIBUTING.md")
    assert {"_async/writes.py", "fake_server.py", "names/"} <= paths_named_in(ROOT / "docs" / "architecture.md")


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
