"""Idempotency keys made of a call's arguments, and functions that take a fencing token."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, Signature
from string import Formatter
from typing import Any, NamedTuple

from ccs._core.number_checks import listed
from ccs._core.quoted_values import shown
from ccs.errors import InvalidValue

__all__ = ["KeyTemplate", "KeyedCall", "asks_for_token"]

TOKEN = "token"
_RECEIVERS = ("self", "cls")


def asks_for_token(fn: Callable[..., object]) -> bool:
    """Returns whether a function has a keyword-only parameter `token`, which is for the fencing token."""
    try:
        parameter = inspect.signature(fn).parameters.get(TOKEN)
    except (ValueError, TypeError):  # a function in C may have no signature
        return False
    return parameter is not None and parameter.kind is Parameter.KEYWORD_ONLY


class KeyedCall(NamedTuple):
    """The key of a call, and those of its arguments, by name, that tell requests under one key apart."""

    key: str
    input: dict[str, Any]


class KeyTemplate:
    """A key with arguments of a function in it, such as `charge/{order_id}`.

    `input` names the arguments that tell requests under one key apart; None: all, but for the object of a method.
    """

    def __init__(self, template: str, fn: Callable[..., object], input: Iterable[str] | None = None) -> None:
        self._template = template
        self.signature = _signature_of(fn)
        known = set(self.signature.parameters)
        for field in _fields(template):
            if field not in known:
                raise InvalidValue(
                    f"{{{field}}} in the key {shown(template)} is not a parameter of {shown(fn)}: name one of them"
                )
        receiver = _receiver(fn, self.signature)
        self._input = [name for name in self.signature.parameters if name != receiver]
        if input is not None:
            self._input = listed("input", input, "a list of names of parameters")
        for name in self._input:
            if name not in known:
                raise InvalidValue(f"{shown(name)} in input is not a parameter of {shown(fn)}: name one of them")

    def of(self, args: Sequence[Any], named: Mapping[str, Any]) -> KeyedCall:
        """Returns the key of a call. Raises `TypeError` for arguments that do not fit, as the function itself would."""
        bound = self.signature.bind(*args, **named)
        bound.apply_defaults()
        given = bound.arguments
        return KeyedCall(self._template.format(**given), {name: given[name] for name in self._input})


def _receiver(fn: Callable[..., object], signature: Signature) -> str | None:
    """Returns the name of the parameter that is the object, or the class, if a function is written as a method."""
    within, _, _ = getattr(fn, "__qualname__", "").rpartition(".")
    first = next(iter(signature.parameters), None)
    return first if within and not within.endswith("<locals>") and first in _RECEIVERS else None


def _signature_of(fn: Callable[..., object]) -> Signature:
    """Returns the signature that callers use: without the fencing token."""
    try:
        signature = inspect.signature(fn)
    except (ValueError, TypeError) as error:
        raise InvalidValue(
            f"{shown(fn)} has no visible parameters: give a function of your own that calls it"
        ) from error
    hidden = TOKEN if asks_for_token(fn) else None
    return signature.replace(parameters=[each for name, each in signature.parameters.items() if name != hidden])


def _fields(template: str) -> list[str]:
    """Returns the names of the arguments in a template: `order` for `{order.id:>8}`."""
    try:
        fields = [(field, conversion) for _, field, _, conversion in Formatter().parse(template) if field is not None]
        for _, conversion in fields:
            Formatter().convert_field("", conversion)  # raises for an unknown conversion
    except (ValueError, TypeError) as error:
        raise InvalidValue(f"{shown(template)} is not a template of a key: {error}; double a literal brace") from error
    return [field.partition(".")[0].partition("[")[0] for field, _ in fields]
