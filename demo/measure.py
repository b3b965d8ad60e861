"""Measures one file with `ast`. Whatever is wrong with the file is a finding, never an exception.

Complexity is McCabe's: 1, and 1 more for each `if`, `elif`, conditional expression, loop, `except`, `case`
(but a bare `_`), comprehension loop and condition, and for each `and` and `or`. What a nested function
decides is its own; lambdas, class bodies, decorators and defaults count where they stand.
"""

from __future__ import annotations

import ast
import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from demo.findings import Counts, FileFindings, FunctionFacts, by_complexity, by_length
from demo.names import cut, shown

__all__ = ["MAX_FILE_BYTES", "measure", "measure_source"]

MAX_FILE_BYTES = 2 * 1024 * 1024
MAX_COMPLEX = 10
MAX_IMPORTS = 2_000
MAX_NAME = 200
MAX_ERROR = 300

_TODO = re.compile(rb"#[^\r\n]*\b(?:TODO|FIXME|XXX)\b")
_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def measure(folder: Path, raw: bytes) -> FileFindings:
    """The findings on the file of that name below the folder."""
    try:
        source = _read(os.path.join(os.fsencode(folder), raw))
    except OSError as error:
        return _unparsed(shown(raw), f"cannot be read: {error.strerror or error}")
    if len(source) > MAX_FILE_BYTES:
        return _unparsed(shown(raw), f"more than {MAX_FILE_BYTES:,} bytes: not measured")
    return measure_source(shown(raw), source)


def _read(path: bytes) -> bytes:
    # Non-blocking, and looked at once open: a pipe that is named like a file must not hang its analyst.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("not a regular file")
        return file.read(MAX_FILE_BYTES + 1)


def measure_source(path: str, source: bytes) -> FileFindings:
    """The findings on source text, as bytes because its encoding is part of the source."""
    counts = Counts(size=len(source), lines=_line_count(source), todos=len(_TODO.findall(source)))
    try:
        tree = _parse(source)
    except Exception as error:  # noqa: BLE001  whatever the parser raises, MemoryError too, is a fact about the file
        return _unparsed(path, _reason(error), counts)
    return _Scan(path).run(tree).findings(counts)


def _parse(source: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape or an `is` with a literal is not ours to report
        return ast.parse(source)


def _line_count(source: bytes) -> int:
    return source.count(b"\n") + (not source.endswith(b"\n") if source else 0)


def _unparsed(path: str, error: str, counts: Counts | None = None) -> FileFindings:
    return FileFindings(path=path, error=error, counts=Counts(files=1, unparsed=1) + (counts or Counts()))


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return "nested too deeply to parse"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    where = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
    return cut(f"{type(error).__name__}: {text}{where}".encode(errors="backslashreplace").decode(), MAX_ERROR)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a node stands: the names around it, the function that its decisions count for, whether it runs late."""

    name: str = ""
    function: int | None = None
    late: bool = False


@dataclass(slots=True)
class _Scan:
    """One pass over a tree, with a list for a stack: a tree may be deeper than the interpreter's."""

    path: str
    functions: list[_Function] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    complexities: list[int] = field(default_factory=list)
    classes: int = 0
    definitions: int = 0
    documented: int = 0
    imports: set[str] = field(default_factory=set)
    late_imports: set[str] = field(default_factory=set)

    def run(self, tree: ast.Module) -> _Scan:
        pending: list[tuple[ast.AST, _Scope]] = [(tree, _Scope())]
        while pending:
            node, scope = pending.pop()
            if scope.function is not None:
                self.complexities[scope.function] += _decisions(node)
            pending += self._visit(node, scope)
        return self

    def _visit(self, node: ast.AST, scope: _Scope) -> Iterator[tuple[ast.AST, _Scope]]:
        if isinstance(node, ast.stmt | ast.Module):
            self._note(node, scope)
            scope = self._inside(node, scope)
            if isinstance(node, ast.If) and _skips_import(node.test):
                return chain(_all(node.body, replace(scope, late=True)), _all(node.orelse, scope))
        return _all(ast.iter_child_nodes(node), scope)

    def _note(self, node: ast.AST, scope: _Scope) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            (self.late_imports if scope.late else self.imports).update(_written(node))
        elif isinstance(node, ast.ClassDef | _Function) or (isinstance(node, ast.Module) and node.body):
            self.definitions += 1
            self.documented += _has_docstring(node)

    def _inside(self, node: ast.AST, scope: _Scope) -> _Scope:
        if isinstance(node, _Function):
            return self._enter(node, scope)
        if isinstance(node, ast.ClassDef):
            self.classes += 1
            return replace(scope, name=_qualified(scope, node.name))
        return scope

    def _enter(self, node: _Function, scope: _Scope) -> _Scope:
        self.functions.append(node)
        self.names.append(_qualified(scope, node.name))
        self.complexities.append(1)
        return _Scope(self.names[-1], len(self.functions) - 1, late=True)

    def findings(self, counts: Counts) -> FileFindings:
        facts = [self._facts(index) for index in range(len(self.functions))]
        return FileFindings(
            path=self.path,
            counts=counts.model_copy(update=self._counted(facts)),
            longest=min(facts, key=by_length, default=None),
            complex=sorted(facts, key=by_complexity)[:MAX_COMPLEX],
            imports=_bounded(self.imports),
            late_imports=_bounded(self.late_imports),
        )

    def _facts(self, index: int) -> FunctionFacts:
        node = self.functions[index]
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        name = cut(self.names[index], MAX_NAME)
        complexity = self.complexities[index]
        return FunctionFacts(path=self.path, name=name, line=node.lineno, lines=lines, complexity=complexity)

    def _counted(self, facts: list[FunctionFacts]) -> dict[str, int]:
        return {
            "files": 1,
            "classes": self.classes,
            "functions": len(facts),
            "function_lines": sum(function.lines for function in facts),
            "complexity": sum(self.complexities),
            "definitions": self.definitions,
            "documented": self.documented,
        }


def _all(nodes: Iterable[ast.AST], scope: _Scope) -> Iterator[tuple[ast.AST, _Scope]]:
    return ((node, scope) for node in nodes)


def _decisions(node: ast.AST) -> int:
    if isinstance(node, _BRANCHES):
        return 1
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, ast.match_case) and not _is_bare_default(node))


def _is_bare_default(case: ast.match_case) -> bool:
    return isinstance(case.pattern, ast.MatchAs) and case.pattern.name is None and case.guard is None


def _skips_import(test: ast.expr) -> bool:
    """Whether what stands under `if test` does not run on import: for type checkers, or for scripts."""
    if isinstance(test, ast.Compare):  # `__name__ == "__main__"`, whatever the comparison
        return isinstance(test.left, ast.Name) and test.left.id == "__name__"
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def _has_docstring(node: ast.AST) -> bool:
    first = next(iter(getattr(node, "body", [])), None)
    value = first.value if isinstance(first, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _written(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        yield f"{'.' * node.level}{node.module or ''}:{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name


def _qualified(scope: _Scope, name: str) -> str:
    return f"{scope.name}.{name}" if scope.name else name


def _bounded(names: Iterable[str]) -> list[str]:
    return sorted(name[:MAX_NAME] for name in names)[:MAX_IMPORTS]
