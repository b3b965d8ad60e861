"""The content of records: pydantic models, dataclasses and named tuples, which are read with `type=`.

A record is stored as the map of its fields by name (a named tuple: as their list). Reading that as the record's class
must give an equal record. If `write_plans` is sure of it, it writes the record. All others are written here, and `read_back`
tests that they are read back equal.
"""

from __future__ import annotations

from collections import UserString
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from functools import cached_property
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from ccs._core.values.subclasses import BASES, attributes
from ccs._core.values.unstorable import Refused, refuse

__all__ = ["content", "leaf_form", "parts"]


def content(record: Any) -> Any:
    """Returns the fields of a record, as pydantic dumps it or by name. What is inside the fields is not converted."""
    if isinstance(record, BaseModel):
        return _dumped(record)
    if isinstance(record, tuple):
        return list(record)
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _dumped(record: BaseModel) -> Any:
    # round_trip leaves out computed fields, which a model need not accept. `confirm` finds what warnings would report.
    try:
        return record.model_dump(mode="python", by_alias=False, round_trip=True, warnings=False)
    except (ValueError, TypeError) as error:
        raise Refused(type(record).__name__, f"pydantic cannot dump it: {error}") from error


def leaf_form(value: object) -> Any:
    """Returns the form in which a value that msgpack cannot hold is stored inside a record: the one it has in JSON.

    Raises `Refused` for a secret (pydantic masks it), a class, and what can be read only once.
    """
    if hasattr(type(value), "get_secret_value"):
        refuse(value, "it would be stored masked; store what you mean to share")
    if isinstance(value, Iterator | type | UserString):
        refuse(value)
    try:
        return _items_or_json(value)
    except (ValueError, TypeError):
        refuse(value)


def _items_or_json(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Collection):
        return list(value)
    return to_jsonable_python(value, fallback=str)  # reading it back shows whether a text is enough


def parts(record: Any) -> dict[str, Any]:
    """Returns all state of a record, private attributes and extras included, cached properties excluded."""
    if isinstance(record, BaseModel):
        return _parts_of_model(record)
    if isinstance(record, tuple):
        return {**attributes(record), **record._asdict()}  # type: ignore[attr-defined]  # a named tuple
    if isinstance(record, tuple(BASES)):
        raise Refused(type(record).__name__, "it is more than its fields, a builtin type as well; make that a field")
    declared = {field.name: getattr(record, field.name) for field in fields(record)}
    return {**_without_cached(attributes(record), type(record), declared), **declared}


def _parts_of_model(record: BaseModel) -> dict[str, Any]:
    own = _without_cached(record.__dict__, type(record), type(record).model_fields)
    extra = record.__pydantic_extra__
    private = record.__pydantic_private__
    return {**own, **(extra or {}), **(private or {})} if extra or private else own


def _without_cached(own: dict[str, Any], cls: type, declared: dict[str, Any]) -> dict[str, Any]:
    if own.keys() == declared.keys():
        return own
    more = own.keys() - declared.keys()
    cached = {name for name in more if isinstance(getattr(cls, name, None), cached_property)}
    return {name: value for name, value in own.items() if name not in cached}
