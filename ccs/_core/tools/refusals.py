"""Why a call of a tool did nothing, as an answer: who was faster, or what was wrong and what to do instead."""

from __future__ import annotations

from collections.abc import Sequence

from ccs._core.briefing.plain_text import name_text, time_text
from ccs._core.tools.result import ToolResult
from ccs.errors import AlreadyClaimed, CCSError, ClaimLost, Conflict, ContextFinished, Forbidden

__all__ = ["failed", "refused"]


def failed(text: str) -> ToolResult:
    """Returns the answer to a call that was wrong."""
    return ToolResult(f"Not done: {text}", {"done": False}, is_error=True)


def refused(error: CCSError, readable: Sequence[str], writable: Sequence[str]) -> ToolResult:
    """Returns the answer for an error; to lose a race is an ordinary answer."""
    if isinstance(error, Conflict):
        return _lost(error)
    if isinstance(error, AlreadyClaimed):
        return _held(error)
    if isinstance(error, ClaimLost):
        return _claim_lost(error)
    if isinstance(error, Forbidden):
        reads = ", ".join(readable) or "nothing"
        writes = ", ".join(writable) or "nothing"
        return failed(f"that is not yours: you may read {reads}, and write {writes}")
    if isinstance(error, ContextFinished):
        return failed("this context is finished: it can be read, but no longer written; stop, and report what you have")
    return failed(str(error))


def _lost(conflict: Conflict) -> ToolResult:
    path = name_text(conflict.path)
    if conflict.policy:
        return failed(f"the policy {conflict.policy!r} of {path} forbids this change: write another path")
    if conflict.revision:
        by = name_text(conflict.agent or "somebody", 60)
        text = (
            f"Not written: {by} wrote {path} at r{conflict.revision}, which you had not seen. Read it, decide again, then"
            f" write with if_revision {conflict.revision}."
        )
    else:
        text = f"Not written: {path} does not exist (any more). Decide again; if_revision 0 creates it."
    facts = {"done": False, "path": conflict.path, "agent": conflict.agent, "revision": conflict.revision}
    return ToolResult(text, facts)


def _held(held: AlreadyClaimed) -> ToolResult:
    name = name_text(held.resource)
    who = f"{name_text(held.holder, 60)} holds it" if held.holder else "others wait in line for it"
    until = f" until {time_text(held.expires_at)} or longer" if held.expires_at else ""
    text = f"Not claimed: {name} is taken, {who}{until}. Work on something else, or wait for a change and try again."
    return ToolResult(text, {"done": False, "resource": held.resource, "agent": held.holder})


def _claim_lost(lost: ClaimLost) -> ToolResult:
    text = (
        f"Nothing was changed: your claim on {name_text(lost.resource)} is no longer held. Claim it again, and read what"
        " others did meanwhile."
    )
    return ToolResult(text, {"done": False, "resource": lost.resource})
