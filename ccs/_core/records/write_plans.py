"""Plans: how the records of a class are written, decided once for each class. A plan has a writer for each field's type.

A plan accepts exactly the values that pydantic is known to read back unchanged, and raises `Unsure` for any other. A
class that is more than its fields, or not understood here, has no plan. A record without one is written by the walk of
`codec`, and compared with what is read back. So a plan only saves time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NoReturn, Union, get_args, get_origin
from uuid import UUID

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

from ccs._core.records.classes import field_types, is_hooked, is_written_by_fields
from ccs._core.values.record_detection import is_record_class
from ccs._core.values.scalars import WRITERS, write_text

__all__ = ["Unsure", "planned"]

_Writer = Callable[[Any], Any]


class Unsure(Exception):
    """This record has no plan, or does not hold exactly what its class declares."""


def planned(record: Any) -> Any:
    """Returns what the packer takes for a record. Raises `Unsure` unless its fields hold exactly what is declared."""
    cls: type = type(record)
    plan = _plan(cls) or _unsure()
    try:
        return plan(record)
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
        raise Unsure from None


def _unsure(*_: object) -> NoReturn:
    raise Unsure


# Plans for classes.


@lru_cache(maxsize=1024)
def _plan(cls: type) -> _Writer | None:
    try:
        types = field_types(cls) if is_written_by_fields(cls) else None
        return None if types is None else _fields_plan(cls, types)
    except (NameError, TypeError, ValueError, AttributeError, SyntaxError):  # annotations that cannot be resolved
        return None


def _fields_plan(cls: type, types: dict[str, Any]) -> _Writer | None:
    found = {name: _writer(type_) for name, type_ in types.items()}
    writers = [(name, writer) for name, writer in found.items() if writer]
    if len(writers) < len(types):
        return None
    if issubclass(cls, tuple):
        return _fixed_tuple([writer for _, writer in writers], cls)
    return _dict_plan(cls, writers) if cls.__dictoffset__ else _slots_plan(cls, writers)


def _dict_plan(cls: type, writers: list[tuple[str, _Writer]]) -> _Writer:
    def write(record: Any) -> Any:
        if type(record) is not cls:
            raise Unsure
        held = record.__dict__
        if len(held) != len(writers):
            raise Unsure
        return {name: writer(held[name]) for name, writer in writers}

    return write


def _slots_plan(cls: type, writers: list[tuple[str, _Writer]]) -> _Writer:
    def write(record: Any) -> Any:
        if type(record) is not cls:
            raise Unsure
        return {name: writer(getattr(record, name)) for name, writer in writers}

    return write


# Writers for declared types: None if the type is not understood.


def _writer(type_: Any) -> _Writer | None:
    if isinstance(type_, type) and type_ in _EXACT:
        return _EXACT[type_]
    origin = get_origin(type_) or type_
    if origin is Annotated:
        return _constrained(type_.__origin__, type_.__metadata__)
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](get_args(type_))
    if origin is Literal:
        return _literal(get_args(type_))
    return _class_writer(type_) if isinstance(type_, type) else None


def _constrained(type_: Any, constraints: tuple[Any, ...]) -> _Writer | None:
    writer = _writer(type_)
    checks = [(_CONSTRAINTS.get(type(constraint)), constraint) for constraint in constraints]
    if not writer or not all(check for check, _ in checks):
        return None

    def write(value: Any) -> Any:
        plain = writer(value)
        if all(check(value, constraint) for check, constraint in checks if check):
            return plain
        raise Unsure

    return write


_CONSTRAINTS: Final[dict[type, Callable[[Any, Any], bool]]] = {
    Ge: lambda value, constraint: value >= constraint.ge,
    Gt: lambda value, constraint: value > constraint.gt,
    Le: lambda value, constraint: value <= constraint.le,
    Lt: lambda value, constraint: value < constraint.lt,
    MinLen: lambda value, constraint: len(value) >= constraint.min_length,
    MaxLen: lambda value, constraint: len(value) <= constraint.max_length,
}


def _class_writer(cls: type) -> _Writer | None:
    if is_record_class(cls):
        return _nested(cls)
    return _enum(cls) if issubclass(cls, Enum) else None


def _nested(cls: type) -> _Writer:
    return lambda value: (_plan(cls) or _unsure)(value)  # looked up when it is needed: a class may contain itself


def _enum(cls: type[Enum]) -> _Writer | None:
    values = {member: member.value for member in cls}
    kinds = {type(value) for value in values.values()}
    if is_hooked(cls) or issubclass(cls, Flag) or not (kinds == {str} or kinds == {int}):
        return None
    if any(cls(value) is not member for member, value in values.items()):
        return None
    return lambda value: _EXACT[type(values[value])](values[value]) if type(value) is cls else _unsure()


def _literal(choices: tuple[Any, ...]) -> _Writer | None:
    if not all(type(choice) in (str, int) for choice in choices):
        return None
    allowed = {(type(choice), choice) for choice in choices}
    return lambda value: _EXACT[type(value)](value) if (type(value), value) in allowed else _unsure()


def _list(items: tuple[Any, ...]) -> _Writer | None:
    writer = _writer(items[0]) if items else _any
    return writer and _list_of(writer)


def _list_of(writer: _Writer) -> _Writer:
    def write(value: Any) -> Any:
        if type(value) is not list:
            raise Unsure
        return [writer(item) for item in value]

    return write


def _dict(items: tuple[Any, ...]) -> _Writer | None:
    key, item = items or (Any, Any)
    write_key = _any_scalar if key is Any else _SCALARS.get(key)
    writer = _writer(item)
    if not write_key or not writer:
        return None
    return lambda value: _written_map(value, write_key, writer) if type(value) is dict else _unsure()


def _written_map(value: dict[Any, Any], write_key: _Writer, writer: _Writer) -> dict[Any, Any]:
    return {write_key(key): writer(item) for key, item in value.items()}


def _set(items: tuple[Any, ...]) -> _Writer | None:
    write_member = _SCALARS.get(items[0]) if items else _any_scalar
    return write_member and (lambda value: _checked_set(value, write_member) if type(value) is set else _unsure())


def _checked_set(value: set[Any], write_member: _Writer) -> set[Any]:
    for member in value:
        write_member(member)
    return value  # the packer asks for its bytes


def _tuple(items: tuple[Any, ...]) -> _Writer | None:
    if not items or items[-1] is Ellipsis:
        writer = _writer(items[0]) if items else _any
        return writer and (lambda value: [writer(item) for item in value] if type(value) is tuple else _unsure())
    writers = [writer for writer in map(_writer, items) if writer]
    return _fixed_tuple(writers, tuple) if len(writers) == len(items) else None


def _fixed_tuple(writers: list[_Writer], cls: type) -> _Writer:
    def write(value: Any) -> Any:
        if type(value) is not cls:
            raise Unsure
        items: Any = value
        return [writer(item) for writer, item in zip(writers, items, strict=True)]

    return write


def _union(choices: tuple[Any, ...]) -> _Writer | None:
    """Returns the writer of an optional type, or of exact scalars: pydantic reads each as itself, except a Decimal before pydantic 2.8."""
    others = [choice for choice in choices if choice is not NoneType]
    if len(others) == 1:
        return _optional(_writer(others[0]))
    writers = {choice: _SCALARS[choice] for choice in choices if choice in _SCALARS and choice is not Decimal}
    if len(writers) < len(choices):
        return None
    return lambda value: writers.get(type(value), _unsure)(value)


def _optional(writer: _Writer | None) -> _Writer | None:
    return writer and (lambda value: None if value is None else writer(value))


_CONTAINERS: Final[dict[Any, Callable[[tuple[Any, ...]], _Writer | None]]] = {
    list: _list,
    dict: _dict,
    set: _set,
    tuple: _tuple,
    Union: _union,
    UnionType: _union,
}


# Writers for values: each accepts one exact type.


def _as_it_is(type_: type) -> _Writer:
    def write(value: Any) -> Any:
        if type(value) is not type_:
            raise Unsure
        return value

    return write


def _as_extension(type_: type) -> _Writer:
    write_extension = WRITERS[type_]

    def write(value: Any) -> Any:
        if type(value) is not type_:
            raise Unsure
        return write_extension(value)

    return write


def _text(value: Any) -> Any:
    if type(value) is not str:
        raise Unsure
    return value if value.isascii() else write_text(value)


def _finite(value: Any) -> Any:
    if type(value) is not Decimal or not value.is_finite():  # pydantic does not read NaN as a Decimal
        raise Unsure
    return WRITERS[Decimal](value)


_SCALARS: Final[dict[Any, _Writer]] = {
    **{type_: _as_it_is(type_) for type_ in (NoneType, bool, int, float, bytes)},
    **{type_: _as_extension(type_) for type_ in (datetime, date, time, timedelta, UUID)},
    str: _text,
    Decimal: _finite,
}


def _any_scalar(value: Hashable) -> Any:
    return _SCALARS.get(type(value), _unsure)(value)


def _any(value: Any) -> Any:
    """Returns a value without a declared type: it comes back as it is read without `type=`."""
    if type(value) is list:
        return [_any(item) for item in value]
    if type(value) is dict:
        return _written_map(value, _any_scalar, _any)
    return _any_scalar(value)


_EXACT: Final[dict[Any, _Writer]] = {**_SCALARS, None: _SCALARS[NoneType], Any: _any}
