"""Values as bytes: msgpack with nine extension types. Other programs and later versions rely on this format.

| code | type | payload |
| --- | --- | --- |
| 1 | an int outside of -2**63 .. 2**64-1 | two's complement, big-endian |
| 2 | an aware datetime | ISO 8601 with its UTC offset, in ASCII |
| 3 | a UUID | its 16 bytes |
| 4 | a Decimal | its digits as `str` gives them, in ASCII |
| 5 | a set | a msgpack array of the encoded members in byte order, so that equal sets of a type are equal bytes |
| 6 | a date | ISO 8601, in ASCII |
| 7 | a time of day | ISO 8601, in ASCII, with its UTC offset if it has one, and its fold if that is 1 |
| 8 | a timedelta | its microseconds, in two's complement, big-endian |
| 9 | a datetime in a named zone | as code 2, then the zone as RFC 9557 has it, and its fold if that is 1 |

Code 9 is written `2025-10-26T02:30:00+01:00[Europe/Berlin][_fold=1]`. If the zone is not installed, it is read with the
UTC offset alone. If the rules of the zone have changed since, the instant is kept and the local time changes.

Datetimes in any other zone keep its UTC offset. Tuples are arrays; pydantic models and dataclasses are maps by field
names, named tuples arrays. msgpack's own timestamps (code -1), which other programs may write, are read as datetimes in
UTC. Keys and members of sets are scalars, since an array or a map could not be a key again when read. Before version 0.2
dates, times and timedeltas inside models were text, which pydantic still reads.

A value that would come back as less than it was is refused, such as an Enum member. An instance of a subclass of a
builtin type is stored as that type, if it holds nothing more, and a numpy number as a Python number.

Inside a record (a model, a dataclass or a named tuple) `type=` restores the types. So there an Enum member is stored as
its value, and what msgpack cannot hold in the form that pydantic gives it in JSON. A record that `type=` would not
restore is refused: `records.write_plans` knows most classes that it restores, and `records.read_back` tries the others.
The package `records` is loaded when the first record is written or read, since it loads pydantic.

An ordinary value takes one run of the C packer. Only if that fails does `_plain` walk the value, to convert what is
special, or else to report where in the value the trouble is.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from enum import Enum
from typing import Any, Final

from msgpack import ExtType, Packer, Timestamp, unpackb  # type: ignore[import-untyped]  # it ships no types

from ccs._core.values.record_detection import is_record
from ccs._core.values.scalars import READERS, WRITERS, is_numpy_scalar, numpy_number, write_integer, write_text
from ccs._core.values.subclasses import BASES, as_base
from ccs._core.values.unstorable import Refused, key_subscript, refuse
from ccs.errors import EncodingError, ValueTooLarge

__all__ = ["MAX_DEPTH", "decode", "encode", "validate"]

MAX_DEPTH: Final = 256
"""How deep values may nest. Those of lists and maps of plain scalars alone may go somewhat deeper."""

_SET: Final = 5


def encode(value: object, limit: int | None = None) -> bytes:
    """Returns the bytes of a value.

    Raises `EncodingError` if it cannot be stored, and `ValueTooLarge` if it takes more than `limit` bytes.
    """
    try:
        raw = _pack(value)
    except (TypeError, ValueError, BufferError):
        raw = _encode_closely(value)
    if limit is not None and len(raw) > limit:
        raise ValueTooLarge(len(raw), limit)
    return raw


def decode(raw: bytes) -> Any:
    """Returns the value that `encode` was given. Raises `EncodingError` for bytes that are not a value."""
    try:
        return unpackb(raw, ext_hook=_extension, strict_map_key=False, timestamp=3)
    except (ValueError, TypeError, ArithmeticError) as error:
        shown = f"{type(error).__name__}: {error}"[:200]  # an error may quote all the bytes
        raise EncodingError(f"these bytes are not a value that CCS can read: {shown}") from error


def validate(value: object, type_: Any) -> Any:
    """Returns the value as pydantic reads it for `type_` (a model, `list[Model]`, …).

    Raises `InvalidValue` if it does not fit.
    """
    from ccs._core import records  # noqa: PLC0415 - it loads pydantic

    return records.read(value, type_, _form_in_record)


# Packing: one run of the C packer. A Packer is not thread-safe, and a new one costs less than a lock around an old one.


def _pack(value: object) -> bytes:
    raw: bytes = Packer(default=_scalar, strict_types=True, buf_size=1_024).pack(value)
    return raw


def _scalar(value: object) -> ExtType:
    """Returns what the packer takes for a value that may also be a key. It cannot tell keys, so all others are walked."""
    convert = _SCALARS.get(type(value))
    if not convert:
        raise TypeError  # never shown: the walk reports where, and why
    return convert(value)


# Walking: builds what the packer takes for a value of any kind, from the top down.


def _encode_closely(value: object) -> bytes:
    try:
        return _pack(_plain(value))
    except Refused as refused:
        raise refused.error() from refused.__cause__
    except (TypeError, ValueError, BufferError, AttributeError, RecursionError) as error:
        raise EncodingError.of(type(value).__name__, "value", str(error)) from error


def _plain(value: object, in_record: bool = False, depth: int = 0) -> Any:
    """Returns the value in types that the packer takes. `in_record`: it is inside a record."""
    if not in_record and _begins_record(value):
        return _plain_record(value, depth)
    converted = _converted(value, in_record)
    walk = _WALKS.get(type(converted))
    if not walk:
        return converted
    if depth == MAX_DEPTH:
        refuse(value, f"it is nested more than {MAX_DEPTH} deep, or contains itself")
    return walk(converted, in_record, depth + 1)


def _begins_record(value: object) -> bool:
    return type(value) not in _CONVERSIONS and is_record(value)


def _plain_record(record: Any, depth: int) -> Any:
    """Returns a record as its plan writes it, or else as the walk does. Refuses it unless it is read back equal."""
    from ccs._core import records  # noqa: PLC0415 - it loads pydantic

    cls: type = type(record)
    try:
        plain = records.planned(record)
    except records.Unsure:
        plain = _plain(record, True, depth)
        records.confirm(record, decode(_pack(plain)), _form_in_record)
        return plain
    if not records.is_restored(cls):
        records.confirm(record, decode(_pack(plain)), _form_in_record, plain)
    return plain


def _form_in_record(value: object) -> bytes:
    return _pack(_plain(value, True))


def _plain_list(items: list[Any], in_record: bool, depth: int) -> list[Any]:
    plain: list[Any] = []
    try:
        for item in items:
            plain.append(_plain(item, in_record, depth))  # noqa: PERF401 - the length of the list shows where it failed
    except Refused as refused:
        refused.where.append(f"[{len(plain)}]")
        raise
    return plain


def _plain_map(items: dict[Any, Any], in_record: bool, depth: int) -> dict[Any, Any]:
    plain = {}
    for key, item in items.items():
        plain_key = _plain_scalar(key, "as a key", in_record)
        try:
            plain[plain_key] = _plain(item, in_record, depth)
        except Refused as refused:
            refused.where.append(key_subscript(key))
            raise
    if len(plain) < len(items):
        raise Refused("dict", "two of its keys are stored as the same one")
    return plain


def _plain_set(members: Set[object], in_record: bool = False, depth: int = 0) -> ExtType:
    plain = {_plain_scalar(member, "in a set", in_record) for member in members}
    if len(plain) < len(members):
        raise Refused("set", "two of its members are stored as the same one")
    packed = sorted(map(_pack, plain))
    return ExtType(_SET, Packer().pack_array_header(len(packed)) + b"".join(packed))


_SCALARS: dict[type, Callable[[Any], Any]] = {
    **WRITERS,
    int: write_integer,  # the packer asks only for integers that are too large for it
    set: _plain_set,  # never a key, since unhashable
}

_WALKS: dict[type, Callable[[Any, bool, int], Any]] = {
    list: _plain_list,
    dict: _plain_map,
    set: _plain_set,
    frozenset: _plain_set,
}


def _plain_scalar(value: object, role: str, in_record: bool) -> Any:
    converted = _converted(value, in_record)
    if type(converted) in _WALKS or (not in_record and _begins_record(value)):
        raise Refused(f"{type(value).__name__} {role}", "use a scalar: it would come back as an array or a map")
    return converted


def _converted(value: object, in_record: bool) -> Any:
    """Returns the value as a type that the packer takes. Items of a container are not converted."""
    convert = _CONVERSIONS.get(type(value))
    return convert(value) if convert else _converted_by_kind(value, in_record)


def _converted_by_kind(value: Any, in_record: bool) -> Any:
    if isinstance(value, Enum):
        return _converted(value.value, True) if in_record else refuse(value)
    if is_record(value):
        return _converted(_content(value), True)
    for base in BASES:
        if isinstance(value, base):
            return as_base(value, base)
    if is_numpy_scalar(value):
        return numpy_number(value)
    return _leaf_form(value) if in_record else refuse(value)


def _content(record: object) -> Any:
    from ccs._core import records  # noqa: PLC0415 - it loads pydantic

    return records.content(record)


def _leaf_form(value: object) -> Any:
    from ccs._core import records  # noqa: PLC0415 - it loads pydantic

    return records.leaf_form(value)


def _same(value: Any) -> Any:
    return value


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((type(None), bool, float, bytes, bytearray, list, dict, set, frozenset, Timestamp), _same),
    **WRITERS,
    int: write_integer,
    str: write_text,
    tuple: list,
    memoryview: bytes,
    ExtType: refuse,
}


# Reading extension types.


def _extension(code: int, payload: bytes) -> Any:
    return _set(payload) if code == _SET else _scalar_extension(code, payload)


def _set(payload: bytes) -> set[Any]:
    # A set cannot be in a set, and reading nested ones without a bound would overflow the C stack.
    return set(unpackb(payload, ext_hook=_scalar_extension, strict_map_key=False, timestamp=3))


def _scalar_extension(code: int, payload: bytes) -> Any:
    if code not in READERS:
        raise ValueError(f"extension type {code} is unknown here; a later version or another program wrote it")
    return READERS[code](payload)
