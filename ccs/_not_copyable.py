"""Objects that belong to one store in one process, and cannot be copied or pickled."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

from ccs.errors import Misuse

__all__ = ["Local"]


class Local:
    """Refuses `pickle`, `copy` and `deepcopy` with a `Misuse` that says what to do instead."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise Misuse(
            f"{self!r} cannot be copied or sent to another process, as it uses connections of this one: use it itself here;"
            " elsewhere, connect() to the same target and get its context by the address"
        )
