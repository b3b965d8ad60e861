"""What a contender has to be able to do, blocking or asyncio, and the value that all of them write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["PATHS", "TICKET", "AsyncClient", "Callback", "Client"]

TICKET: dict[str, Any] = {
    "id": 48213,
    "status": "open",
    "title": "Refund has not arrived",
    "assignee": "analyst-3",
    "tags": ["billing"],
}

PATHS = [f"sources/{number}/status" for number in range(100)]

# Called with the path and the value, on the thread or the loop that receives them.
Callback = Callable[[str, Any], None]


class Client(Protocol):
    """A connected blocking client, bound to one room: a task, a bucket, a prefix of keys."""

    def put(self, path: str, value: Any) -> object:
        """Writes a value, acknowledged when it returns."""

    def get(self, path: str) -> Any:
        """Reads a value."""

    def subscribe(self, callback: Callback) -> None:
        """Calls back with everything that is put in the room; live when it returns."""

    def close(self) -> None:
        """Ends subscriptions and connections."""


class AsyncClient(Protocol):
    """The same, asyncio."""

    async def put(self, path: str, value: Any) -> object:
        """Writes a value, acknowledged when it returns."""

    async def get(self, path: str) -> Any:
        """Reads a value."""

    async def subscribe(self, callback: Callback) -> None:
        """Calls back with everything that is put in the room; live when it returns."""

    async def aclose(self) -> None:
        """Ends subscriptions and connections."""
