"""Gets the arguments of `AUTH` from a credential provider, which has the interface of redis-py's."""

from __future__ import annotations

import inspect
from typing import Any

from ccs._compat import async_call
from ccs._protocol.faults import Disconnected
from ccs.errors import InvalidValue

__all__ = ["async_credentials_of", "credentials_of"]


def credentials_of(provider: Any) -> tuple[str, ...]:
    """Returns `(password,)` or `(user, password)`. Raises `Disconnected` if the provider fails: it may succeed later."""
    try:
        found = provider.get_credentials()
    except Exception as error:
        raise _failed(error) from error
    return _checked(found)


async def async_credentials_of(provider: Any) -> tuple[str, ...]:
    """Returns the same, by `get_credentials_async` if the provider has it; else `get_credentials` runs in a thread."""
    if not hasattr(provider, "get_credentials_async"):
        return await async_call(credentials_of, provider)
    try:
        found = await provider.get_credentials_async()
    except Exception as error:
        raise _failed(error) from error
    return _checked(found)


def _failed(error: Exception) -> Disconnected:
    # Without its text, which may hold a secret.
    return Disconnected(f"the credential provider failed with {type(error).__name__}", sent=False)


def _checked(found: Any) -> tuple[str, ...]:
    if inspect.iscoroutine(found):
        found.close()
    if not isinstance(found, (tuple, list)) or len(found) not in (1, 2) or not all(isinstance(x, str) for x in found):
        raise InvalidValue("a credential provider gives (password,) or (user, password), of text")
    try:
        "".join(found).encode()
    except UnicodeEncodeError:  # whose object is the password
        raise InvalidValue(
            "what the credential provider gives holds a lone surrogate, which UTF-8 cannot carry"
        ) from None
    return tuple(found)
