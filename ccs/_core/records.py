"""Records: pydantic models, dataclasses and named tuples, which are stored as what is in them and read with `type=`.

What is stored is the map of a record's fields by name (a named tuple: the list of them), and the promise is that
reading it as the record's own class gives an equal record. Where `record_plans` is not sure of that, the record is
written the long way, read back at once, and compared with what came back; what differs is refused by type and place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cached_property, lru_cache
from inspect import signature
from typing import Any, Final, NoReturn

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from ccs._core.refusal import Refused, advice, key_step, refuse
from ccs._core.subclasses import BASES, attributes
from ccs.errors import InvalidValue

__all__ = ["confirm", "content", "is_record", "leaf_form", "validate"]

_KNOWN_BY_NAME: Final = (
    {"by_alias": True, "by_name": True} if "by_name" in signature(TypeAdapter.validate_python).parameters else {}
)
"""Maps are read by field names, and by aliases as other programs may write them. (Before pydantic 2.11, as the model says.)"""


# Reading.


def validate(value: object, type_: Any) -> Any:
    """The value as pydantic reads it for `type_` (a model, `list[Model]`, …); `InvalidValue` if it does not fit."""
    try:
        return _adapter(type_).validate_python(value, **_KNOWN_BY_NAME)
    except ValidationError as error:
        raise InvalidValue(f"the value does not fit {_name(type_)}: {_first(error)}") from error
    except PydanticUserError as error:
        reason = error.message.partition("\n")[0]
        raise InvalidValue(f"{_name(type_)} is no type that pydantic can validate: {reason}") from error


def _adapter(type_: Any) -> TypeAdapter[Any]:
    try:
        return _cached_adapter(type_, repr(type_))
    except TypeError:  # unhashable, `Annotated` with a list in it for example
        return TypeAdapter(type_)


@lru_cache(maxsize=256)
def _cached_adapter(type_: Any, spelling: str) -> TypeAdapter[Any]:
    # The spelling tells A | B from B | A: they are equal, but where a value fits both, the first one wins.
    return TypeAdapter(type_)


def _name(type_: Any) -> str:
    return type_.__name__ if isinstance(type_, type) else str(type_)


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{f'{where}: ' if where else ''}{first['msg'][:200]}{more}"


# Writing the long way.


def is_record(value: object) -> bool:
    """Returns whether a value is a model, an instance of a dataclass, or a named tuple."""
    cls = type(value)
    return issubclass(cls, BaseModel) or is_dataclass(cls) or _is_named_tuple(cls)


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def content(record: Any) -> Any:
    """What is in a record, as pydantic dumps it, or by its fields; what is inside of them is left as it is."""
    if isinstance(record, BaseModel):
        return _dumped(record)
    if isinstance(record, tuple):
        return list(record)
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _dumped(record: BaseModel) -> Any:
    try:  # round_trip: without computed fields, which a model need not accept. What warnings tell, `confirm` finds.
        return record.model_dump(mode="python", by_alias=False, round_trip=True, warnings=False)
    except (ValueError, TypeError) as error:
        raise Refused(type(record).__name__, f"pydantic cannot dump it: {error}") from error


def leaf_form(value: object) -> Any:
    """The form in which a value that msgpack does not hold stands inside a record: the one that pydantic gives it in JSON.

    A secret has none (it is masked), nor has what can be read only once, or a class.
    """
    if hasattr(type(value), "get_secret_value"):
        refuse(value, "it would be stored masked; store what you mean to share")
    if isinstance(value, Iterator | type):
        refuse(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Collection) else _json_form(value)


def _json_form(value: object) -> Any:
    try:
        return to_jsonable_python(value)
    except (ValueError, TypeError) as error:
        raise Refused(type(value).__name__, advice(value)) from error


# Comparing with what is read back.


def confirm(record: Any, stored: object) -> None:
    """Raises `Refused` unless what is `stored` for a record is read as an equal one, with its place if it is a part of it."""
    cls = type(record)
    try:
        back = validate(stored, cls)
    except Exception as error:  # a validator may raise anything
        raise Refused(cls.__name__, f"it could not be read back with type={cls.__name__}: {error}") from error
    _compare(record, back)


def _compare(value: Any, back: Any) -> None:
    if is_record(value):
        _compare_records(value, back)
        return
    if _keeps_more(value):
        _compare_maps(attributes(value), attributes(back))
    if isinstance(value, dict):
        _compare_maps(value, back)
    elif isinstance(value, list | tuple):
        _compare_lists(value, back)
    elif not _is_equal(value, back):
        _differs(value, back)


def _keeps_more(value: Any) -> bool:
    return type(value) not in BASES and isinstance(value, tuple(BASES)) and not isinstance(value, Enum)


def _compare_records(value: Any, back: Any) -> None:
    if type(value) is not type(back):
        _differs(value, back)
    if is_dataclass(value) and isinstance(value, tuple(BASES)):
        raise Refused(type(value).__name__, "it is more than its fields; make what it holds a field")
    _compare_maps(_parts(value), _parts(back))


def _parts(record: Any) -> dict[str, Any]:
    """All that makes a record what it is, private attributes and extras included; cached properties do not count."""
    if isinstance(record, tuple):
        return record._asdict()  # type: ignore[attr-defined,no-any-return]  # a named tuple's
    own = attributes(record) if not isinstance(record, BaseModel) else record.__dict__
    parts = {name: value for name, value in own.items() if not _is_cached(type(record), name)}
    if isinstance(record, BaseModel):
        return {**parts, **(record.model_extra or {}), **(record.__pydantic_private__ or {})}
    return {**{field.name: getattr(record, field.name) for field in fields(record)}, **parts}


def _is_cached(cls: type, name: str) -> bool:
    return isinstance(getattr(cls, name, None), cached_property)


def _compare_maps(value: dict[Any, Any], back: Any) -> None:
    if not isinstance(back, dict) or len(back) > len(value):
        _differs(value, back)
    for key in value.keys() - back.keys():
        _compare_inside(value[key], None, key_step(key))
    for key, item in value.items():
        _compare_inside(item, back[key], key_step(key))


def _compare_lists(value: list[Any] | tuple[Any, ...], back: Any) -> None:
    kind = list if isinstance(value, list) else tuple
    if not isinstance(back, kind) or len(value) != len(back):
        _differs(value, back)
    for index, item in enumerate(value):
        _compare_inside(item, back[index], f"[{index}]")


def _compare_inside(value: Any, back: Any, step: str) -> None:
    try:
        _compare(value, back)
    except Refused as refused:
        refused.where.append(step)
        raise


def _is_equal(value: Any, back: Any) -> bool:
    """Of types that are not plain, which may compare as they like, only the same one will do."""
    if type(value) is not type(back) and type(back) not in BASES:
        return False
    try:
        same = value == back
        return bool(same.all() if hasattr(same, "all") else same) or bool(value != value and back != back)  # NaN
    except Exception:  # noqa: BLE001 - whatever a type of the user's raises, it does not say that they are equal
        return False


def _differs(value: Any, back: Any) -> NoReturn:
    if type(value) is not type(back):
        reason = f"with type= it would come back as {type(back).__name__}, so {advice(value)}, or declare its type"
    else:
        reason = "with type= it would come back changed: it is excluded, not read, or altered by the type's reading"
    raise Refused(type(value).__name__, reason)
