"""What a call of a tool returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ToolResult"]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to a model: `text` to read, and the facts in it as `data`, which JSON can hold.

    `is_error` says that the call was wrong, and the text what to do instead. To lose a race is no error. `str(result)` is
    the text.
    """

    text: str
    data: dict[str, Any]
    is_error: bool = False

    def __str__(self) -> str:
        return self.text
