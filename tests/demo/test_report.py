"""From findings to the report: imports, cycles, sums and ranks, by hand and against a plain re-count."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

import ccs
from demo.findings import FileFindings
from demo.graph import Imports, cycles, module_name
from demo.listing import package_of, python_files
from demo.measure import measure_source
from demo.report import Tally, survey_alone

FILES = {
    "app/__init__.py": '"""App."""\nfrom . import models\n',
    "app/models.py": "from .views import page\nimport json, os\n\ndef load(a):\n    return a or json\n",
    "app/views.py": "import app.models\nimport os.path\n\ndef page():\n    import app.late\n",
    "app/late.py": "from app.views import page\n",
    "script.py": "import app\nfrom app import views, helper\nimport numpy.linalg\n",
    "bad.py": "def (:\n",
}


def _findings() -> list[FileFindings]:
    return [measure_source(path, source.encode()) for path, source in FILES.items()]


def _tally(findings: list[FileFindings]) -> Tally:
    tally = Tally()
    for one in findings:
        tally.add(one)
    return tally


def test_module_names_follow_the_packages_around_a_file() -> None:
    packages = {"lib/app", "lib/app/sub"}
    assert module_name("lib/app/sub/x.py", packages) == "app.sub.x"
    assert module_name("lib/app/__init__.py", packages) == "app"
    assert module_name("lib/tool.py", packages) == "tool"
    assert module_name("sub/x.py", {"", "sub"}, "top.here") == "top.here.sub.x"
    assert module_name("__init__.py", {""}, "top") == "top"


def test_imports_lead_to_the_modules_that_they_load() -> None:
    graph = _tally(_findings()).imports.graph()
    assert graph["app"] == {"app.models"}
    assert graph["app.models"] == {"app.views"}
    assert graph["app.views"] == {"app.models"}
    assert graph["app.late"] == {"app.views"}
    assert graph["script"] == {"app", "app.views"}


def test_a_relative_import_that_leads_out_of_every_package_counts_for_nothing() -> None:
    imports = Imports()
    imports.add("x.py", ["..y:z", ".:w"], [])
    assert not imports.importers()


def test_a_name_that_several_files_bear_links_to_nothing() -> None:
    imports = Imports()
    for path, early in {"a/conf.py": ["main"], "b/conf.py": [], "main.py": ["conf"]}.items():
        imports.add(path, early, [])
    assert imports.graph() == {"main": set()}
    assert imports.importers() == {"main": 1, "conf": 1}


def test_cycles_are_the_groups_that_reach_each_other() -> None:
    graph = {"a": "b", "b": "c", "c": "ad", "d": "e", "e": "d", "f": "a", "g": "g", "h": ""}
    assert cycles(graph) == [["a", "b", "c"], ["d", "e"]]


def test_a_cycle_longer_than_the_stack_is_found() -> None:
    size = 50_000
    assert [len(group) for group in cycles({str(n): [str((n + 1) % size)] for n in range(size)})] == [size]


def test_the_report_on_a_small_code_base_is_the_one_computed_by_hand() -> None:
    report = _tally(_findings()).report()
    counts = report.counts
    assert (counts.files, counts.unparsed, counts.functions, counts.complexity) == (6, 1, 2, 3)
    assert (counts.definitions, counts.documented) == (7, 1)
    imported = {one.module: one.files for one in report.imported}
    assert list(imported.items())[:3] == [("app.views", 3), ("app.models", 2), ("os", 2)]
    assert imported == {"app.views": 3, "app.models": 2, "os": 2, "app": 1, "app.late": 1, "json": 1, "numpy": 1}
    assert [(one.size, one.modules) for one in report.cycles] == [(2, ["app.models", "app.views"])]
    assert [(one.path, one.error.partition(":")[0]) for one in report.unparsed] == [("bad.py", "SyntaxError")]
    assert [(one.name, one.complexity) for one in report.complex] == [("load", 2), ("page", 1)]


def test_the_report_does_not_depend_on_the_order_of_the_findings() -> None:
    findings, shuffled = _findings(), _findings()
    random.Random(1).shuffle(shuffled)
    assert _tally(shuffled).report() == _tally(findings).report()


def test_counting_a_file_twice_is_refused() -> None:
    tally = _tally(_findings())
    with pytest.raises(ValueError, match="counted before"):
        tally.add(_findings()[0])


def test_the_survey_of_this_code_equals_a_plain_count() -> None:
    folder = Path(ccs.__file__).parent / "embedded"
    trees = [ast.parse((folder / raw.decode()).read_bytes()) for raw in python_files(folder)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    counts = survey_alone(folder).counts
    assert package_of(folder) == "ccs.embedded"
    assert counts.files == len(trees)
    assert counts.classes == sum(isinstance(node, ast.ClassDef) for node in nodes)
    assert counts.functions == sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes)
