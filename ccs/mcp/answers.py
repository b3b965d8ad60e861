"""Answers of tools as MCP has them: text to read, and the same facts as an object, both within the budget.

Some clients show a model the text, others only the object. So the object holds the text too, and beside it the facts one by
one. Where both together are too long, the longest facts are left out: the text has them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mcp import types

from ccs._core.briefing.fitting import tokens_in
from ccs._core.tools.result import ToolResult
from ccs.errors import CCSError, Unavailable

__all__ = ["answer", "counter", "trouble"]

# Tokens that are kept for the facts.
_FACTS = 60


def counter(most: int) -> Callable[[str], int]:
    """Returns what counts a text of at most `most` tokens as the object holds it: as JSON, beside some facts."""
    kept = min(_FACTS, most // 4)
    return lambda text: _tokens({"text": text}) + kept


def answer(result: ToolResult, most: int) -> types.CallToolResult:
    """Returns an answer; its object takes at most `most` tokens if its text was counted by `counter`."""
    return types.CallToolResult(
        content=[types.TextContent(text=result.text)],
        structured_content=_object(result.text, result.data, most),
        is_error=result.is_error,
    )


def trouble(error: Exception, most: int) -> types.CallToolResult:
    """Returns the answer to a call that failed for a reason that is not the model's: what happened, and what to do."""
    unavailable = isinstance(error, Unavailable)
    doubt = isinstance(error, Unavailable) and error.maybe_applied
    facts = {"done": False, "unavailable": unavailable, "maybe_applied": doubt}
    what = str(error) if isinstance(error, CCSError) else f"{type(error).__name__}: {error}"
    head = "It is not known whether this was done" if doubt else "Not done"
    text = f"{head}: {what[:most]}. {_LATER if unavailable else _NEVER}"
    return answer(ToolResult(text, facts, is_error=True), most)


_LATER = (
    "The shared context cannot be reached now; what was written before is safe. Go on with what does not need it, and call"
    " again in a minute. If it stays so, tell the user that the server of the store must be started or its address corrected."
)
_NEVER = "To call again will not help: tell the user, who finds more on the error output of this server."


def _object(text: str, data: Mapping[str, Any], most: int) -> dict[str, Any]:
    facts = {"text": text, **data}
    for name in sorted(data, key=lambda name: _tokens(data[name]), reverse=True):
        if _tokens(facts) <= most:
            break
        del facts[name]
    return facts


def _tokens(value: Any) -> int:
    return tokens_in(json.dumps(value, ensure_ascii=False))
