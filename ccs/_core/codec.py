"""Values as bytes: msgpack and five extension types, a format that other programs and later versions rely on.

| code | type | payload |
| --- | --- | --- |
| 1 | an int outside of -2**63 .. 2**64-1 | two's complement, big-endian |
| 2 | an aware datetime | ISO 8601 with its UTC offset, in ASCII |
| 3 | a UUID | its 16 bytes |
| 4 | a Decimal | its digits as `str` gives them, in ASCII |
| 5 | a set | a msgpack array of the encoded members in byte order, so that equal sets of a type are equal bytes |

Tuples are arrays; pydantic models and dataclasses are maps by field names. msgpack's own timestamps (code -1), which
other programs may write, are read as datetimes in UTC. Keys and members of sets are scalars: what is stored as an
array or a map could not be a key again when read.

Nothing is stored that would come back as something else, so an Enum member is refused, while a subclass of a builtin
type is stored as that type. Inside a model or a dataclass `type=` restores the type, so there an Enum member becomes
its value, and what msgpack cannot hold the form that pydantic gives it in JSON.

The ordinary value is one run of the C packer. Only if that fails does `_plain` walk the value, to convert what is
special step by step, or else to say where in the value the trouble sits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any, Final, NoReturn
from uuid import UUID

from msgpack import ExtType, Packer, Timestamp, unpackb  # type: ignore[import-untyped]  # it ships no types
from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from ccs.errors import EncodingError, InvalidValue, ValueTooLarge

__all__ = ["MAX_DEPTH", "decode", "encode", "validate"]

MAX_DEPTH: Final = 256
"""How deep values of any kind may nest; those that are all lists and maps of plain scalars may go somewhat deeper."""

_BIG_INT, _DATETIME, _UUID, _DECIMAL, _SET = 1, 2, 3, 4, 5
_ADDRESSES = (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)


def encode(value: object, limit: int | None = None) -> bytes:
    """The bytes of a value; `EncodingError` if it cannot be stored, `ValueTooLarge` if they are more than `limit`."""
    try:
        raw = _pack(value)
    except (TypeError, ValueError, BufferError):
        raw = _encode_closely(value)
    if limit is not None and len(raw) > limit:
        raise ValueTooLarge(len(raw), limit)
    return raw


def decode(raw: bytes) -> Any:
    """The value that `encode` made these bytes of; `EncodingError` if they are anything else."""
    try:
        return unpackb(raw, ext_hook=_extension, strict_map_key=False, timestamp=3)
    except (ValueError, TypeError, ArithmeticError) as error:
        shown = f"{type(error).__name__}: {error}"[:200]  # an error may quote all the bytes
        raise EncodingError(f"these bytes are no value that CCS can read: {shown}") from error


def validate(value: object, type_: Any) -> Any:
    """The value as pydantic reads it for `type_` (a model, `list[Model]`, …); `InvalidValue` if it does not fit."""
    try:
        return _adapter(type_).validate_python(value, by_alias=True, by_name=True)
    except ValidationError as error:
        raise InvalidValue(f"the value does not fit {_name(type_)}: {_first(error)}") from error
    except PydanticUserError as error:
        reason = error.message.partition("\n")[0]
        raise InvalidValue(f"{_name(type_)} is no type that pydantic can validate: {reason}") from error


# Validating.


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


# Packing: one run of the C packer. A Packer is not thread-safe, and a new one costs less than guarding an old one.


def _pack(value: object) -> bytes:
    raw: bytes = Packer(default=_scalar, strict_types=True, buf_size=1_024).pack(value)
    return raw


def _scalar(value: object) -> ExtType:
    """What the packer takes for a value that may also be a key; it cannot tell keys, so all others are walked."""
    return _SCALARS[type(value)](value) if type(value) in _SCALARS else _refuse(value)


def _refuse(value: object, hint: str = "") -> NoReturn:
    raise _Refused(type(value).__name__, hint)


def _integer(value: int) -> int | ExtType:
    if -(2**63) <= value < 2**64:
        return value
    return ExtType(_BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _datetime(value: datetime) -> ExtType:
    offset = value.utcoffset()
    if value.tzinfo is None or offset is None:
        raise _Refused("naive datetime", "give it a timezone, as datetime.now(timezone.utc) has")
    if offset.microseconds:  # datetime.fromisoformat loses an offset that is all fraction
        raise _Refused("datetime", "its UTC offset has a fraction of a second; use .astimezone(timezone.utc)")
    return ExtType(_DATETIME, datetime.isoformat(value).encode())


def _uuid(value: UUID) -> ExtType:
    return ExtType(_UUID, value.bytes)


def _decimal(value: Decimal) -> ExtType:
    return ExtType(_DECIMAL, Decimal.__str__(value).encode())


# Walking: what the packer takes for a value of any kind, built from the top down.


class _Refused(TypeError):
    """What cannot be stored and why. On its way up each container adds its step to `where`, innermost first."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what, self.hint, self.where = what, hint, list[str]()

    def __str__(self) -> str:
        steps = [*self.where[:-9:-1], *(["…"] if len(self.where) > 8 else [])]
        return f"cannot store {self.what} at value{''.join(steps)}{f'; {self.hint}' if self.hint else ''}"


def _encode_closely(value: object) -> bytes:
    try:
        return _pack(_plain(value))
    except _Refused as refused:
        raise EncodingError(str(refused)) from refused.__cause__
    except (TypeError, ValueError, BufferError, AttributeError, RecursionError) as error:
        raise EncodingError(f"cannot store {type(value).__name__} at value; {error}") from error


def _plain(value: object, in_record: bool = False, depth: int = 0) -> Any:
    """The value in the packer's own terms; `in_record` once a model or a dataclass is around it, or it is one."""
    in_record = in_record or (type(value) not in _STEPS and _is_record(value))
    step = _step(value, in_record)
    walk = _WALKS.get(type(step))
    if not walk:
        return step
    if depth == MAX_DEPTH:
        _refuse(value, f"it is nested more than {MAX_DEPTH} deep, or contains itself")
    return walk(step, in_record, depth + 1)


def _plain_list(items: list[Any], in_record: bool, depth: int) -> list[Any]:
    plain: list[Any] = []
    try:
        for item in items:
            plain.append(_plain(item, in_record, depth))  # noqa: PERF401 - its length tells where it failed
    except _Refused as refused:
        refused.where.append(f"[{len(plain)}]")
        raise
    return plain


def _plain_map(items: dict[Any, Any], in_record: bool, depth: int) -> dict[Any, Any]:
    plain = {}
    for key, item in items.items():
        plain_key = _plain_scalar(key, "as a key", in_record)
        try:
            plain[plain_key] = _plain(item, in_record, depth)
        except _Refused as refused:
            refused.where.append(_key_step(key))
            raise
    if len(plain) < len(items):
        raise _Refused("dict", "two of its keys are stored as the same one")
    return plain


def _plain_set(members: Iterable[object], in_record: bool = False, depth: int = 0) -> ExtType:
    packed = sorted(_pack(_plain_scalar(member, "in a set", in_record)) for member in members)
    return ExtType(_SET, Packer().pack_array_header(len(packed)) + b"".join(packed))


_SCALARS: dict[type, Callable[[Any], Any]] = {
    datetime: _datetime,
    UUID: _uuid,
    Decimal: _decimal,
    int: _integer,  # the packer asks only for those too big for it
    set: _plain_set,  # never a key, since unhashable
}

_WALKS: dict[type, Callable[[Any, bool, int], Any]] = {
    list: _plain_list,
    dict: _plain_map,
    set: _plain_set,
    frozenset: _plain_set,
}


def _key_step(key: object) -> str:
    shown = json.dumps(key, ensure_ascii=False) if type(key) is str else repr(key)
    return f"[{shown if len(shown) <= 80 else f'{shown[:80]}…'}]"


def _plain_scalar(value: object, role: str, in_record: bool) -> Any:
    step = _step(value, in_record)
    if type(step) in _WALKS:
        raise _Refused(f"{type(value).__name__} {role}", "use a scalar: it would come back as an array or a map")
    return step


def _step(value: object, in_record: bool) -> Any:
    """One step towards the packer's terms: what is inside a container is left as it is."""
    convert = _STEPS.get(type(value))
    return convert(value) if convert else _step_by_kind(value, in_record)


def _step_by_kind(value: Any, in_record: bool) -> Any:
    if isinstance(value, Enum):
        return _step(value.value, True) if in_record else _refuse(value, "store its .value")
    if _is_record(value):
        return _step(_content(value), True)
    for base, convert in _BASES.items():
        if isinstance(value, base):
            return convert(value)
    return _json_form(value) if in_record else _refuse(value)


def _is_record(value: object) -> bool:
    return isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type))


def _content(record: Any) -> Any:
    if not isinstance(record, BaseModel):
        return {field.name: getattr(record, field.name) for field in fields(record)}
    try:  # round_trip: without computed fields, which a model need not accept
        return record.model_dump(mode="python", by_alias=False, round_trip=True)
    except (ValueError, TypeError) as error:
        raise _Refused(type(record).__name__, f"pydantic cannot dump it: {error}") from error


def _json_form(value: object) -> Any:
    """The form that `type=` reads back. A secret has none (it is masked), nor has what can be read only once, or a class."""
    if hasattr(value, "get_secret_value"):
        _refuse(value, "it would be stored masked; store what you mean to share")
    if isinstance(value, Iterator | type):
        _refuse(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Collection) else _leaf_form(value)


def _leaf_form(value: object) -> Any:
    if isinstance(value, _ADDRESSES):
        return str(value)  # pydantic knows them by themselves since 2.13 only
    try:
        return to_jsonable_python(value)
    except (ValueError, TypeError) as error:
        raise _Refused(type(value).__name__) from error


def _same(value: Any) -> Any:
    return value


def _string(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _Refused("str with a lone surrogate", "UTF-8 cannot carry it; store bytes") from error
    return value


_STEPS: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((type(None), bool, float, bytes, bytearray, list, dict, set, frozenset, Timestamp), _same),
    int: _integer,
    str: _string,
    tuple: list,
    memoryview: bytes,
    datetime: _datetime,
    UUID: _uuid,
    Decimal: _decimal,
    ExtType: _refuse,
}

_BASES: dict[type, Callable[[Any], Any]] = {
    str: lambda value: _string(str.__str__(value)),
    int: lambda value: _integer(int.__pos__(value)),
    float: float.__pos__,
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytes(memoryview(value)),
    dict: dict,
    list: list,
    tuple: list,
    set: set,
    frozenset: frozenset,
    datetime: _datetime,
    UUID: _uuid,
    Decimal: _decimal,
}


# Reading extension types.


def _extension(code: int, payload: bytes) -> Any:
    return _set(payload) if code == _SET else _scalar_extension(code, payload)


def _set(payload: bytes) -> set[Any]:
    # A set in a set is unhashable anyway, and reading them without bound would overflow the C stack.
    return set(unpackb(payload, ext_hook=_scalar_extension, strict_map_key=False, timestamp=3))


def _scalar_extension(code: int, payload: bytes) -> Any:
    if code not in _READERS:
        raise ValueError(f"extension type {code} is unknown here; a later version or another program wrote it")
    return _READERS[code](payload)


_READERS: dict[int, Callable[[bytes], Any]] = {
    _BIG_INT: lambda payload: int.from_bytes(payload, "big", signed=True),
    _DATETIME: lambda payload: datetime.fromisoformat(payload.decode()),
    _UUID: lambda payload: UUID(bytes=payload),
    _DECIMAL: lambda payload: Decimal(payload.decode()),
}
