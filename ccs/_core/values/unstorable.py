"""Refusing what cannot be stored: its type, where it is in the value, and what to store instead."""

from __future__ import annotations

import json
from collections import UserString
from collections.abc import Awaitable, Collection, Iterator, Mapping
from enum import Enum
from functools import partial
from io import IOBase
from numbers import Number
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Final, NoReturn

from ccs.errors import EncodingError

__all__ = ["Refused", "advice", "key_subscript", "refuse"]

_SHOWN_SUBSCRIPTS: Final = 8


class Refused(TypeError):
    """Raised for what cannot be stored. On its way up each container adds its subscript to `where`, innermost first."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint
        self.where: list[str] = []

    def error(self) -> EncodingError:
        """Returns the error for the user."""
        subscripts = self.where[::-1][:_SHOWN_SUBSCRIPTS]
        more = "…" if len(self.where) > _SHOWN_SUBSCRIPTS else ""
        return EncodingError.of(self.what, f"value{''.join(subscripts)}{more}", self.hint)


def refuse(value: object, hint: str = "") -> NoReturn:
    """Raises `Refused` for a value of this type, with `hint` or else the usual one for its kind."""
    raise Refused(type(value).__name__, hint or advice(value))


def key_subscript(key: object) -> str:
    """Returns the subscript of a key, such as `["sources"]`, for `where`."""
    try:
        shown = json.dumps(key, ensure_ascii=False) if type(key) is str else repr(key)
    except Exception:  # noqa: BLE001 - the repr of a user's class may raise, and that of a huge int does
        shown = f"<{type(key).__name__}>"
    return f"[{shown if len(shown) <= 80 else f'{shown[:80]}…'}]"


def advice(value: object) -> str:
    """Returns what to store instead of a value of this kind."""
    kind = type(value)
    by_base = (text for bases, text in _BY_BASE if issubclass(kind, bases))
    by_method = (text for name, text in _BY_METHOD if callable(getattr(kind, name, None)))
    return next(by_base, None) or next(by_method, None) or _otherwise(kind)


_BY_BASE: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (Enum, "store its .value"),
    (PurePath, "store str(…) of it"),
    (BaseException, "store what its reader needs, such as str(…) of it"),
    (UserString, "store str(…) of it"),
    (complex, "store its .real and its .imag"),
    (Number, "store it as a float or a Decimal, or str(…) of it"),
    ((type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, partial), "code is not a value; store its name"),
    (Awaitable, "await it, and store its result"),
    (IOBase, "store what it holds, or its path"),
    (Iterator, "it can be read only once; store list(…) of it"),
    (Mapping, "store dict(…) of it"),
)

_BY_METHOD: Final = (  # arrays and data frames of any library
    ("to_dict", "store what .to_dict() gives, or a format of its own as bytes"),
    ("tolist", "store what .tolist() gives, or its bytes with its shape and its dtype"),
)


def _otherwise(kind: type) -> str:
    if issubclass(kind, Collection):
        return "store list(…) of it"
    return "store what its reader needs to know of it: a text, a map, a dataclass or a pydantic model"
