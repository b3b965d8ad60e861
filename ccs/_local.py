"""What belongs to one store in one process: it is neither copied nor sent elsewhere."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

from ccs.errors import Misuse

__all__ = ["Local"]


class Local:
    """Refuses `pickle`, `copy` and `deepcopy` with a `Misuse` that says what to do instead."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise Misuse(
            f"{self!r} can neither be copied nor be sent to another process, as it lives on connections of this one: use it"
            " itself here; elsewhere, connect() to the same target and get its context by the address"
        )
