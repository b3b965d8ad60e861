"""What is found out about files: the values that the analysts write and the reporter reads."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Counts", "FileFindings", "FunctionFacts", "by_complexity", "by_length"]


class FunctionFacts(BaseModel):
    """A function or method: where it is, its lines from `def` to its end, its cyclomatic complexity."""

    model_config = ConfigDict(frozen=True)

    path: str
    name: str
    line: int
    lines: int
    complexity: int


def by_complexity(function: FunctionFacts) -> tuple[int, str, int, str]:
    """The order of the most complex first; ties by where they stand."""
    return -function.complexity, function.path, function.line, function.name


def by_length(function: FunctionFacts) -> tuple[int, str, int, str]:
    """The order of the longest first; ties by where they stand."""
    return -function.lines, function.path, function.line, function.name


class Counts(BaseModel):
    """What can be added up, of a file or of many. `definitions` are modules, classes and functions."""

    model_config = ConfigDict(frozen=True)

    files: int = 0
    unparsed: int = 0
    size: int = 0
    lines: int = 0
    classes: int = 0
    functions: int = 0
    function_lines: int = 0
    complexity: int = 0
    definitions: int = 0
    documented: int = 0
    todos: int = 0

    def __add__(self, other: Counts) -> Counts:
        mine = self.__dict__
        theirs = other.__dict__
        return Counts.model_construct(**{name: mine[name] + theirs[name] for name in mine})


class FileFindings(BaseModel):
    """All that a survey keeps of one file; bounded, whatever the file holds. `error` says why it was not parsed.

    An import is kept as written: `a.b` for `import a.b`, `a:b` for `from a import b`, with the dots of a
    relative one. `late_imports` do not run when the module is imported: they stand in functions, or are for type checkers or scripts.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    error: str | None = None
    counts: Counts
    longest: FunctionFacts | None = None
    complex: list[FunctionFacts] = []
    imports: list[str] = []
    late_imports: list[str] = []
