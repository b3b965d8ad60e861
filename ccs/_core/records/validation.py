"""Reads values as the types that callers ask for, by pydantic."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from ccs._core.quoted_values import shown
from ccs._core.records.classes import READS_BY_NAME
from ccs.errors import InvalidValue

__all__ = ["read"]

# Maps are read by field names, and also by aliases, which other programs may write.
_NAMED: Final[dict[str, Any]] = {"by_alias": True, "by_name": True} if READS_BY_NAME else {}

_NOTHING: Final = object()


def read(value: object, type_: Any, stored_form: Callable[[Any], bytes]) -> Any:
    """Returns the value as pydantic reads it for `type_` (a model, …). Raises `InvalidValue` if it does not fit.

    A strict type asks for tuples, enums and more that no stored value is. It is then read in lax mode, and the result
    accepted if its `stored_form` is exactly this value: so only what storing had converted was converted back.
    """
    try:
        return _adapter(type_).validate_python(value, **_NAMED)
    except ValidationError as error:
        loose = _read_loosely(value, type_, stored_form)
        if loose is not _NOTHING:
            return loose
        raise InvalidValue(f"the value does not fit {_name(type_)}: {_first(error)}") from error
    except PydanticUserError as error:
        reason = error.message.partition("\n")[0]
        raise InvalidValue(f"{_name(type_)} is not a type that pydantic can validate: {reason}") from error


def _read_loosely(value: object, type_: Any, stored_form: Callable[[Any], bytes]) -> Any:
    try:
        loose = _adapter(type_).validate_python(value, strict=False, **_NAMED)
        return loose if stored_form(loose) == stored_form(value) else _NOTHING
    except (ValueError, TypeError):  # it does not fit, or it cannot be stored
        return _NOTHING


def _adapter(type_: Any) -> TypeAdapter[Any]:
    try:
        return _made(type_)
    except PydanticUserError:  # says what is wrong
        raise
    except Exception as error:  # pydantic may raise anything for what is not a type
        raise InvalidValue(f"{_name(type_)} is not a type that pydantic can validate") from error


def _made(type_: Any) -> TypeAdapter[Any]:
    try:
        return _cached_adapter(type_, shown(type_))
    except TypeError:  # unhashable, `Annotated` with a list in it for example
        return TypeAdapter(type_)


@lru_cache(maxsize=256)
def _cached_adapter(type_: Any, spelling: str) -> TypeAdapter[Any]:
    # The spelling tells A | B from B | A: they are equal, but if a value fits both, the first one wins.
    return TypeAdapter(type_)


def _name(type_: Any) -> str:
    return type_.__name__ if isinstance(type_, type) else shown(type_)


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{f'{where}: ' if where else ''}{first['msg'][:200]}{more}"
