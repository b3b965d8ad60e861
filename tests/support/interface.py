"""The public interface as text: every name that users may import, with its signature.

`tests/test_interface.py` holds it against `tests/interface.txt`, so that a change shows in a diff. To renew the file:

    .venv/bin/python -m tests.support.interface
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

__all__ = ["FILE", "MODULES", "interface"]

FILE = Path(__file__).parents[1] / "interface.txt"
MODULES = ("ccs", "ccs.aio", "ccs.errors", "ccs.types", "ccs.testing")
FACES = frozenset(name for module in MODULES for name in importlib.import_module(module).__all__)
# The classes of these are made by users too, or have their fields as arguments.
MADE_BY_USERS = ("ccs.errors", "ccs.types")
# Also what statements and operators call.
PUBLIC = re.compile("[^_].*|__(a?enter|a?exit|a?iter|a?next|getitem|len|contains|bool|call|await)__")


def interface() -> str:
    """A block for each module, and a line for each name, member and field."""
    return "\n".join(line for module in MODULES for line in _module(module))


def _module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield f"# {name}"
    yield ""
    for key in sorted(module.__all__):
        value = getattr(module, key)
        home = _home(value, name)
        if home in MODULES and home != name:
            yield f"{key} = {home}.{key}"
        else:
            yield from _value(key, value)
    yield ""


def _home(value: Any, otherwise: str) -> str:
    """The module that users know a value from: that of the values is a package."""
    home = getattr(value, "__module__", otherwise)
    return "ccs.types" if home.startswith("ccs.types.") else home


def _value(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        bases = ", ".join(_bases(value))
        yield f"class {name}({bases})" if bases else f"class {name}"
        yield from (f"    {line}" for line in _members(value))
    elif inspect.isfunction(value):
        yield from _function(name, value)
    elif callable(function := getattr(value, "__wrapped__", None)):
        yield from (f"fixture {line}" for line in _function(name, function))
    else:
        yield f"{name} = {value!r}"


def _bases(owner: type) -> Iterator[str]:
    """Those that users know; what they inherit from the others is shown as theirs."""
    for base in owner.__bases__:
        if base is not object and (base.__name__ in FACES or not _ours(base)):
            yield base.__name__


def _members(owner: type) -> Iterator[str]:
    made = getattr(owner, "__init__", None)
    if _home(owner, "") in MADE_BY_USERS and inspect.isfunction(made):
        yield from _function("__init__", made)
    bases = [base for base in reversed(owner.__mro__) if _ours(base)]
    members = {key: value for base in bases for key, value in [*_attributes(base), *vars(base).items()]}
    for key in sorted(members):
        if PUBLIC.fullmatch(key):
            yield from _member(key, members[key])


def _attributes(owner: type) -> Iterator[tuple[str, None]]:
    """What `__init__` gives each instance, as its source says."""
    made = vars(owner).get("__init__")
    if made is None or made.__code__.co_filename.startswith("<"):  # a dataclass writes its own
        return
    for node in ast.walk(ast.parse(dedent(inspect.getsource(made)))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr, None


def _ours(owner: type) -> bool:
    return owner.__module__.startswith("ccs")


def _member(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, property):
        yield f"{name}: {inspect.signature(value.fget).return_annotation}"  # type: ignore[arg-type]
    elif isinstance(value, classmethod | staticmethod):
        yield from (f"{type(value).__name__} {line}" for line in _function(name, value.__func__))
    elif inspect.isfunction(value):
        yield from _function(name, value)
    else:
        yield name


def _function(name: str, function: Callable[..., Any]) -> Iterator[str]:
    kind = "async def" if inspect.iscoroutinefunction(inspect.unwrap(function)) else "def"
    for each in typing.get_overloads(function) or [function]:
        yield f"{kind} {name}{_signature(each)}"


def _signature(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    parameters = [
        each if each.annotation is each.empty else each.replace(annotation=_Bare(function, each.annotation))
        for each in signature.parameters.values()
    ]
    returns = _Bare(function, signature.return_annotation)
    return str(signature.replace(parameters=parameters, return_annotation=returns))


class _Bare:
    """An annotation without the quotes that `inspect` puts around it, and with the keys of an unpacked TypedDict."""

    def __init__(self, function: Callable[..., Any], annotation: Any) -> None:
        self._text = str(annotation)
        if self._text.startswith("Unpack["):
            settings = function.__globals__[self._text.removeprefix("Unpack[").removesuffix("]")]
            self._text = str({key: kind.__forward_arg__ for key, kind in settings.__annotations__.items()})

    def __repr__(self) -> str:
        return self._text


if __name__ == "__main__":
    FILE.write_text(interface(), "utf-8")
