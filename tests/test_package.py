"""Rules for every module: its exports, its documentation, its layer."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ccs
import ccs.aio

FOLDER = Path(ccs.__file__).parent
FILES = {
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(FOLDER.rglob("*.py"))
    if path.name != "__main__.py"
}

MODULES = {name: importlib.import_module(name) for name in FILES}


def body(name: str) -> list[ast.stmt]:
    """The statements of a module, its docstring left out."""
    tree = ast.parse(FILES[name].read_text("utf-8"))
    return tree.body[1:] if ast.get_docstring(tree) else tree.body


def exported(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What a module exports and defines itself."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if getattr(value, "__module__", None) == module.__name__:
            yield f"{module.__name__}.{name}", value


def methods(name: str, owner: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for key, value in vars(owner).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not key.startswith("_") and inspect.isfunction(function):
            yield f"{name}.{key}", function


def public_functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, value in exported(module):
        if inspect.isclass(value):
            yield from methods(name, value)
        elif inspect.isfunction(value):
            yield name, value


def documented(value: Any) -> bool:
    text = inspect.getdoc(value) or ""
    made_by_dataclass = inspect.isclass(value) and text.startswith(f"{value.__name__}(")
    return bool(text) and not made_by_dataclass


def annotated(function: Callable[..., Any]) -> bool:
    signature = inspect.signature(function)
    needed = [p.annotation for p in signature.parameters.values() if p.name not in ("self", "cls")]
    return inspect.Signature.empty not in [*needed, signature.return_annotation]


def test_a_module_with_content_lists_its_exports() -> None:
    assert [name for name, module in MODULES.items() if body(name) and not hasattr(module, "__all__")] == []


def test_each_exported_name_exists_once_and_is_public() -> None:
    names = [f"{name}.{each}" for name, module in MODULES.items() for each in getattr(module, "__all__", ())]

    assert [
        f"{name}.{each}"
        for name, module in MODULES.items()
        for each in getattr(module, "__all__", ())
        if not hasattr(module, each) or each.startswith("_")
    ] == []
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_exports_are_documented() -> None:
    public = [
        each
        for module in MODULES.values()
        for each in (
            *((name, value) for name, value in exported(module) if inspect.isclass(value) or inspect.isfunction(value)),
            *public_functions(module),
        )
    ]

    assert [name for name, module in MODULES.items() if body(name) and not module.__doc__] == []
    assert [name for name, value in public if not documented(value)] == []


def test_exports_are_fully_annotated() -> None:
    functions = [each for module in MODULES.values() for each in public_functions(module)]

    assert [name for name, function in functions if not annotated(function)] == []


def test_a_package_file_holds_only_re_exports() -> None:
    packages = [name for name, path in FILES.items() if path.name == "__init__.py"]
    others = [
        (name, ast.unparse(each))
        for name in packages
        for each in body(name)
        if not isinstance(each, ast.Import | ast.ImportFrom)
    ]
    allowed = ("__all__ = ", "if TYPE_CHECKING:\n    from ", "__getattr__, __dir__ = late(")

    assert [(name, text) for name, text in others if not text.startswith(allowed)] == []


def test_the_two_faces_carry_the_same_names() -> None:
    assert "connect" in ccs.__all__
    assert set(ccs.__all__) == set(ccs.aio.__all__)


def test_values_and_errors_are_the_same_in_both_faces() -> None:
    shared = [name for name in ccs.__all__ if getattr(ccs, name).__module__.startswith(("ccs.types.", "ccs.errors"))]

    assert "CCSError" in shared
    assert [name for name in shared if getattr(ccs, name) is not getattr(ccs.aio, name)] == []


def test_imports_run_downwards() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr


def test_names_that_are_imported_late_are_listed_and_resolve() -> None:
    """Given a new process, when a late name is asked for, then it is there; an unknown one is an `AttributeError`."""
    program = """
import ccs, ccs.aio, ccs.types
for module in (ccs, ccs.aio, ccs.types):
    assert set(module.__all__) <= set(dir(module))
    late = [name for name in module.__all__ if name not in vars(module)]
    assert late and all(getattr(module, name).__name__ == name for name in late if name != "ActivityKind"), late
    try:
        module.nothing
    except AttributeError as error:
        assert error.name == "nothing" and error.obj is module
    else:
        raise AssertionError(module)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr


def test_importing_ccs_loads_nothing_heavy() -> None:
    """Given a new process, when both faces are imported, then rarely used packages and rooms are not loaded."""
    heavy = {"fakeredis", "numpy", "pydantic", "pytest", "redis"}
    heavy |= {"ccs._core.briefing.briefing", "ccs._core.tools.definitions", "ccs._core.memory.records"}
    heavy |= {"ccs._core.recipes.forks", "ccs._core.recipes.overview", "ccs._protocol.access_rules", "ccs.types.memory"}
    program = f"import sys, ccs, ccs.aio; print({heavy!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.stdout.strip() == "set()", done.stderr
