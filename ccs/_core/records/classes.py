"""Classes of records: their fields, and how these are written and read. Decided once for each class."""

from __future__ import annotations

from dataclasses import InitVar, fields
from functools import lru_cache
from inspect import signature
from typing import Annotated, Any, Final, get_args, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from ccs._core.values.record_detection import is_record_class

__all__ = ["READS_BY_NAME", "field_types", "is_hooked", "is_restored", "is_written_by_fields"]

READS_BY_NAME: Final = "by_name" in signature(TypeAdapter.validate_python).parameters
"""Whether pydantic can read fields by their names whatever their aliases are: since 2.11."""

_BUILTINS: Final = (str, int, float, bytes, bytearray, dict, list, tuple, set, frozenset)

_HARMLESS: Final = {
    "alias_generator",
    "arbitrary_types_allowed",
    "extra",
    "from_attributes",
    "frozen",
    "hide_input_in_errors",
    "json_schema_extra",
    "populate_by_name",
    "protected_namespaces",
    "serialize_by_alias",
    "title",
    "use_attribute_docstrings",
    "validate_assignment",
    "validate_by_alias",
    "validate_by_name",
}
"""The settings of a model that do not change how exact values are read."""


def field_types(cls: Any) -> dict[str, Any]:
    """Returns the declared types of a record's fields, by name. Raises what `get_type_hints` raises."""
    if issubclass(cls, BaseModel):
        return {name: _annotated(field) for name, field in cls.model_fields.items()}
    hints = get_type_hints(cls, include_extras=True)
    if issubclass(cls, tuple):
        return {name: hints.get(name, Any) for name in cls._fields}
    return {field.name: hints[field.name] for field in fields(cls)}


def _annotated(field: FieldInfo) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


# Whether a record is its fields, and they are written as they are.


def is_written_by_fields(cls: type) -> bool:
    """Returns whether the records of a class are just their fields, which no code of the user's writes in another way."""
    if issubclass(cls, BaseModel):
        return _is_model_of_fields(cls)
    marker = "_fields" if issubclass(cls, tuple) else "__dataclass_fields__"
    also_builtin = issubclass(cls, _BUILTINS) and marker != "_fields"
    return marker in vars(cls) and not also_builtin and not is_hooked(cls)


def _is_model_of_fields(cls: type[BaseModel]) -> bool:
    serializers = cls.__pydantic_decorators__.field_serializers or cls.__pydantic_decorators__.model_serializers
    return (
        not (serializers or cls.__private_attributes__ or cls.__pydantic_root_model__)
        and cls.model_config.get("extra") != "allow"
        and not any(field.exclude or field.discriminator for field in cls.model_fields.values())
        and _hook(cls) == _hook(BaseModel)
    )


def is_hooked(cls: type) -> bool:
    """Returns whether a class that is not a model tells pydantic how to handle it."""
    return hasattr(cls, "__pydantic_config__") or hasattr(cls, "__get_pydantic_core_schema__")


def _hook(cls: type[BaseModel]) -> object:
    return getattr(cls.__get_pydantic_core_schema__, "__func__", None)


# Whether reading leaves the fields alone.


@lru_cache(maxsize=1024)
def is_restored(cls: type) -> bool:
    """Returns whether every record that the plan of a class accepts is known to be read back equal."""
    try:
        return all(map(_reads_as_declared, _with_all_inside(cls)))
    except (NameError, TypeError, ValueError, AttributeError, SyntaxError):  # annotations that cannot be resolved
        return False


def _with_all_inside(cls: type) -> set[type]:
    found = {cls}
    waiting = [cls]
    while waiting:
        types = field_types(waiting.pop()).values()
        inside = {record for type_ in types for record in _records_in(type_)} - found
        waiting += inside
        found |= inside
    return found


def _records_in(type_: Any) -> set[type]:
    if isinstance(type_, type):
        return {type_} if is_record_class(type_) else set()
    return {record for part in get_args(type_) for record in _records_in(part)}


def _reads_as_declared(cls: type) -> bool:
    """Returns whether pydantic reads exact values of the fields of a class unchanged."""
    if issubclass(cls, BaseModel):
        return _model_reads_as_declared(cls)
    return issubclass(cls, tuple) or _dataclass_reads_as_declared(cls)


def _model_reads_as_declared(cls: type[BaseModel]) -> bool:
    decorators = cls.__pydantic_decorators__
    return (
        cls.model_config.keys() <= _HARMLESS
        and not (decorators.validators or decorators.field_validators)
        and not (decorators.root_validators or decorators.model_validators)
        and all(getattr(cls, name) == getattr(BaseModel, name) for name in ("__init__", "__new__", "model_post_init"))
        and _is_read_by_name(cls)
    )


def _is_read_by_name(cls: type[BaseModel]) -> bool:
    """Returns whether a map by field names is read by these: no alias may be the name of another field."""
    aliases = [alias for field in cls.model_fields.values() for alias in (field.alias, field.validation_alias) if alias]
    by_name = READS_BY_NAME or cls.model_config.get("populate_by_name") or not aliases
    return bool(by_name) and all(isinstance(alias, str) and alias not in cls.model_fields for alias in aliases)


def _dataclass_reads_as_declared(cls: Any) -> bool:
    hints = get_type_hints(cls, include_extras=True).values()
    plain = all(field.init and not isinstance(field.default, FieldInfo) for field in fields(cls))
    return plain and not hasattr(cls, "__post_init__") and not any(isinstance(hint, InitVar) for hint in hints)
