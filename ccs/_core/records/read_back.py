"""Reads back what is about to be stored of a record, and compares: a record that would come back as less is refused."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import NoneType
from typing import Any, Final, NoReturn

from ccs._core.records.record_content import parts
from ccs._core.records.validation import read
from ccs._core.records.write_plans import Unsure, planned
from ccs._core.values.record_detection import is_record
from ccs._core.values.scalars import is_numpy_scalar
from ccs._core.values.subclasses import BASES, attributes
from ccs._core.values.unstorable import Refused, advice, key_subscript, refuse

__all__ = ["confirm"]


class _Missing:
    """Marks what was not read."""


_MISSING: Final = _Missing()


def confirm(record: Any, stored: object, stored_form: Callable[[Any], bytes], plan: object = None) -> None:
    """Raises `Refused`, with the location of the difference, unless `stored` is read as a record equal to this one.

    With `plan`, what the plan of its class wrote: a record with the same plan is equal, which saves the comparison.
    """
    cls = type(record)
    try:
        back = read(stored, cls, stored_form)
    except Exception as error:  # a user's validator may raise anything
        raise Refused(cls.__name__, f"it could not be read with type={cls.__name__}: {error}") from error
    if type(back) is not cls or plan is None or plan != _planned(back):
        _compare(record, back)


def _planned(back: Any) -> Any:
    try:
        return planned(back)
    except Unsure:
        return None


def _compare(value: Any, back: Any) -> None:
    kind = type(value)
    if kind in _ORDINARY and type(back) is kind and value == back:
        return
    _COMPARISONS.get(kind, _compare_by_kind)(value, back)


def _compare_by_kind(value: Any, back: Any) -> None:
    if is_record(value):
        _compare_records(value, back)
        return
    base = next((base for base in BASES if isinstance(value, base)), object)
    if base is not object and not isinstance(value, Enum):
        _compare_maps(attributes(value, base), attributes(back, base))
    _COMPARISONS.get(base, _compare_leaves)(value, back)


def _compare_records(value: Any, back: Any) -> None:
    if type(value) is not type(back):
        _differs(value, back)
    _compare_maps(parts(value), parts(back))


def _compare_maps(value: dict[Any, Any], back: Any) -> None:
    if not isinstance(back, dict) or len(back) > len(value):
        _differs(value, back)
    for key, item in value.items():
        try:
            _compare(item, back.get(key, _MISSING))
        except Refused as refused:
            refused.where.append(key_subscript(key))
            raise


def _compare_lists(value: list[Any] | tuple[Any, ...], back: Any) -> None:
    kind = list if isinstance(value, list) else tuple
    if not isinstance(back, kind) or len(value) != len(back):
        _differs(value, back)
    for index, item in enumerate(value):
        try:
            _compare(item, back[index])
        except Refused as refused:
            refused.where.append(f"[{index}]")
            raise


def _compare_leaves(value: Any, back: Any) -> None:
    if not _is_equal(value, back):
        _differs(value, back)


_ORDINARY: Final = {str, int, float, bool, bytes, NoneType}
"""The types of most leaves, which are compared at once."""

_COMPARISONS: Final[dict[type, Callable[[Any, Any], None]]] = {
    **dict.fromkeys((*BASES, bool, NoneType), _compare_leaves),
    dict: _compare_maps,
    list: _compare_lists,
    tuple: _compare_lists,
}


def _is_equal(value: Any, back: Any) -> bool:
    """Returns whether two leaves are equal. An unrelated type may claim to equal anything, so its type must be the same."""
    if type(value) is not type(back) and not (isinstance(value, tuple(BASES)) or is_numpy_scalar(value)):
        return False
    try:
        same = value == back
        return bool(same.all() if hasattr(same, "all") else same) or bool(value != value and back != back)  # NaN
    except Exception:  # noqa: BLE001 - a user's type may raise anything, and then the two are not known to be equal
        return False


def _differs(value: Any, back: Any) -> NoReturn:
    if type(back) in (type(value), _Missing):
        refuse(value, "with type= it would be lost or changed, by exclude, init=False or a validator")
    if not (type(value) in BASES or is_record(value) or isinstance(value, Enum)):
        refuse(value)
    kind = type(value).__name__
    refuse(value, f"with type= it would come back as {type(back).__name__}; declare {kind} there{_or(value)}")


def _or(value: Any) -> str:
    if is_record(value):
        return ", or store a map of what is in it"
    return f", or {advice(value)}" if isinstance(value, Enum | tuple) else ""
