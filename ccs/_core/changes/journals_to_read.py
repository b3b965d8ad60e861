"""The contexts of which a watch of the whole store has to read the journals, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ccs._core.changes.silent_servers import SilentServers

__all__ = ["JournalsToRead"]


class JournalsToRead:
    """Addresses, in the order of their turns; those whose servers are left alone come later.

    An address is always noted anew before it is removed elsewhere: an interrupt in between must not lose it.
    """

    def __init__(self, server_of: Callable[[str], object], silent: SilentServers) -> None:
        self._server_of = server_of
        self._silent = silent
        self._waiting: dict[str, None] = {}
        self._later: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<JournalsToRead of {len(self)} contexts>"

    def __len__(self) -> int:
        return len(self._waiting) + len(self._later)

    def add(self, addresses: Iterable[str]) -> None:
        """Adds contexts."""
        self._waiting.update(dict.fromkeys(addresses))

    def discard(self, address: str) -> None:
        """Removes a context whose journal was read to its end."""
        self._waiting.pop(address, None)
        self._later.pop(address, None)

    def put_off(self, address: str) -> None:
        """Lets the others come first."""
        self._later[address] = None
        self._waiting.pop(address, None)

    def next(self, now: float) -> str | None:
        """Returns the context whose turn it is; None if there is none whose server may be asked now."""
        while self._waiting:
            address = next(iter(self._waiting))
            if not self._silent or not self._silent.rests(self._server_of(address), now):
                return address
            self.put_off(address)
        self._waiting.update(self._later)
        self._later.clear()
        return None
