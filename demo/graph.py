"""Who imports whom: names of modules, what an import means, and the cycles among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

__all__ = ["Imports", "cycles", "module_name"]


def module_name(path: str, packages: AbstractSet[str], base: str = "") -> str:
    """The dotted name of the module in a file, by the packages (folders with an `__init__.py`) around it.

    `base` is the dotted name of the surveyed folder, if that is itself a package.
    """
    folder, _, file = path.rpartition("/")
    parts = [] if file == "__init__.py" else [file.removesuffix(".py")]
    while folder and folder in packages:
        folder, _, name = folder.rpartition("/")
        parts.insert(0, name)
    return ".".join([base, *parts] if base and not folder and "" in packages else parts)


@dataclass(slots=True)
class Imports:
    """The imports of many files, added one by one and resolved when all are known.

    Only what is in the survey is told apart module by module; of the rest, only the top-level name. A name
    that several files bear (scripts in different folders) is not told apart either, and links to nothing.
    """

    base: str = ""
    early: dict[str, list[str]] = field(default_factory=dict)
    late: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, early: list[str], late: list[str]) -> None:
        """Add those of a file; `late` are those that do not run on import."""
        self.early[path] = early
        self.late[path] = late

    def importers(self) -> Counter[str]:
        """For each module, how many files import it, late imports included."""
        names = self._names()
        known = self._known(names)
        return Counter(target for path in self.early for target in self._targets(path, names, known, late=True))

    def graph(self) -> dict[str, set[str]]:
        """Each surveyed module with those that importing it imports; what runs late is left out."""
        names = self._names()
        known = self._known(names)
        own = {name: path for path, name in names.items() if name in known}
        return {name: self._targets(path, names, known) & known - {name} for name, path in own.items()}

    def _names(self) -> dict[str, str]:
        packages = {path.rpartition("/")[0] for path in self.early if path.rpartition("/")[2] == "__init__.py"}
        return {path: module_name(path, packages, self.base) for path in self.early}

    @staticmethod
    def _known(names: Mapping[str, str]) -> set[str]:
        return {name for name, times in Counter(names.values()).items() if times == 1 and name}

    def _targets(self, path: str, names: Mapping[str, str], known: AbstractSet[str], *, late: bool = False) -> set[str]:
        written = [*self.early[path], *(self.late[path] if late else [])]
        package = names[path] if path.rpartition("/")[2] == "__init__.py" else names[path].rpartition(".")[0]
        absolute = (_absolute(each, package) for each in written)
        return {_target(each, known) for each in absolute if each}


def _absolute(written: str, package: str) -> str:
    """The import without its leading dots; empty if they lead out of every package."""
    bare = written.lstrip(".")
    level = len(written) - len(bare)
    parts = package.split(".") if package else []
    if not level or level > len(parts):
        return "" if level else written
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}{bare}" if bare.startswith(":") else f"{base}.{bare}"


def _target(absolute: str, known: AbstractSet[str]) -> str:
    """The module that an import means: the longest surveyed name that begins it, else its top-level name."""
    name = absolute.replace(":", ".").removesuffix(".*")
    while name not in known and "." in name:
        name = name.rpartition(".")[0]
    return name


def cycles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or not: the largest first, each sorted."""
    groups = (sorted(group) for group in _Components(graph).all() if len(group) > 1)
    return sorted(groups, key=lambda group: (-len(group), group))


class _Components:
    """Strongly connected components after Tarjan, with a list for a stack: chains of imports can be long."""

    def __init__(self, graph: Mapping[str, Iterable[str]]) -> None:
        self.graph = graph
        self.index: dict[str, int] = {}
        self.low: dict[str, int] = {}
        self.path: list[str] = []
        self.on_path: set[str] = set()

    def all(self) -> Iterator[list[str]]:
        for node in sorted(self.graph):
            if node not in self.index:
                yield from self._from(node)

    def _from(self, root: str) -> Iterator[list[str]]:
        pending = [(root, self._open(root))]
        while pending:
            node, targets = pending[-1]
            target = next((each for each in targets if self._is_new(node, each)), None)
            if target is not None:
                pending.append((target, self._open(target)))
                continue
            pending.pop()
            if pending:
                self._lower(pending[-1][0], self.low[node])
            if self.low[node] == self.index[node]:
                yield self._close(node)

    def _open(self, node: str) -> Iterator[str]:
        self.index[node] = self.low[node] = len(self.index)
        self.path.append(node)
        self.on_path.add(node)
        return iter(sorted(self.graph.get(node, ())))

    def _is_new(self, node: str, target: str) -> bool:
        if target in self.on_path:
            self._lower(node, self.index[target])
        return target not in self.index

    def _lower(self, node: str, bound: int) -> None:
        self.low[node] = min(self.low[node], bound)

    def _close(self, node: str) -> list[str]:
        group = [self.path.pop()]
        while group[-1] != node:
            group.append(self.path.pop())
        self.on_path.difference_update(group)
        return group
