# Generated from ccs/_async/tool_calls.py by scripts/twin. Do not edit.
"""What the tools of a model do: one method a tool, and what is kept between calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ccs._core.briefing.fitting import Page, Paper
from ccs._core.briefing.plain_text import name_text, shape_of, time_text
from ccs._core.briefing.rendering import Layout
from ccs._core.quoted_values import shown
from ccs._core.tools.answers import data_of, head_of_change, head_of_entry, items_of, listing, valued
from ccs._core.tools.definitions import LONGEST_WAIT, Mistake
from ccs._core.tools.result import ToolResult
from ccs._sync.context_handle import Handle
from ccs._sync.coordination import Coordination
from ccs._sync.recipes.briefing import brief, question_of
from ccs._sync.recipes.claim import Claim
from ccs._sync.recipes.inbox import Inbox
from ccs._sync.recipes.message import Message
from ccs.errors import CCSError, ClaimLost

__all__ = ["ToolCalls"]

_LEASE = 300.0
_AT_ONCE = 1.0
_HISTORY = 20


class ToolCalls:
    """The calls of one model: what it has seen, claimed and received, and where answers that were cut go on.

    `whole` is the context, of which only claims and messages are used; entries are read and written through `view`, and
    `told` is the handle of briefings. Methods raise `Mistake` and the errors of CCS.
    """

    def __init__(
        self,
        whole: Coordination,
        view: Coordination,
        told: Handle,
        paper: Paper,
        *,
        role: str | None,
        readable: Sequence[str],
        writable: Sequence[str],
    ) -> None:
        self._whole = whole
        self._view = view
        self._told = told
        self._paper = paper
        self._role = role
        self._readable = tuple(readable)
        self._writable = tuple(writable)
        self._cursor: str | None = None
        self._claims: dict[str, Claim] = {}
        self._inbox: Inbox | None = None
        self._message: Message | None = None
        # Where the next part of an answer that was cut begins, by tool, with the question that it answers.
        self._parts: dict[str, tuple[Any, int]] = {}

    def __repr__(self) -> str:
        return f"<ToolCalls in {self._view.handle.address}, {len(self._claims)} claims>"

    def close(self) -> None:
        """Releases the claims, and gives back the message that is held."""
        claims = list(self._claims.values())
        self._claims.clear()
        inbox = self._inbox
        self._inbox = self._message = None
        for claim in claims:
            with suppress(CCSError):  # what cannot be released expires by itself
                claim.release()
        if inbox:
            inbox.close()

    def briefing(self) -> ToolResult:
        """Returns what is new since the last briefing, or its next page."""
        asked = question_of(self._told, self._readable, self._role, False, (), self._paper.most, self._paper.tokens)
        found = brief(self._told, asked, self._cursor)
        self._cursor = found.cursor
        facts = {"revision": found.revision, "new": bool(found), "complete": found.complete, "omitted": found.omitted}
        return ToolResult(found.text, {**facts, "paths": [item.path for item in found.items]})

    def list(self, patterns: tuple[str, ...] = ()) -> ToolResult:
        """Returns the paths that match."""
        paths = self._view.paths(*(patterns or self._readable))
        start = self._start("list", patterns)
        names = [name_text(path, max(40, self._paper.most // 2)) for path in paths]
        part = listing(self._paper, "path", names, start)
        self._goes_on("list", patterns, part.next)
        end = part.next or len(paths)
        return ToolResult(part.text, {"paths": paths[start:end], "left": len(paths) - end})

    def read(self, path: str) -> ToolResult:
        """Returns an entry, or the next part of its value."""
        entry = self._view.entry(path)
        if entry is None:
            text = f"{name_text(path)} does not exist. To create it, write it with if_revision 0."
            return ToolResult(text, {"path": path, "exists": False})
        question = (path, entry.revision)
        again = f"read {name_text(path)} again"
        start = self._start("read", question)
        part = valued(self._paper, head_of_entry(entry), entry.value, start, again)
        self._goes_on("read", question, part.next)
        facts = {"path": path, "exists": True, "revision": entry.revision, "agent": entry.agent}
        if not start and not part.next:
            facts["value"] = data_of(entry.value)
        return ToolResult(part.text, facts)

    def history(self, patterns: tuple[str, ...] = (), limit: int = _HISTORY) -> ToolResult:
        """Returns the newest changes."""
        wanted = patterns or self._readable
        changes = self._view.history(*wanted, limit=limit, newest_first=True)
        question = (patterns, limit, changes[0].revision if changes else 0)
        start = self._start("history", question)
        layout = Layout("History", "Newest first (r means revision).", items_of(changes[start:]))
        page = Page(self._paper, layout)
        end = start + page.shown
        self._goes_on("history", question, end if end < len(changes) else 0)
        told = [
            {"path": each.path, "op": each.op, "agent": each.agent, "revision": each.revision}
            for each in changes[start:end]
        ]
        return ToolResult(page.text, {"changes": told, "left": len(changes) - end})

    def wait(self, patterns: tuple[str, ...] = (), timeout: float = LONGEST_WAIT) -> ToolResult:
        """Returns the first change after the call."""
        seconds = min(timeout, LONGEST_WAIT)
        with self._view.watch(*(patterns or self._readable)) as changes:
            try:
                change = changes.receive(timeout=seconds)
            except TimeoutError:
                return ToolResult(f"Nothing has changed within {seconds:g} seconds.", {"changed": False})
        facts = {"changed": True, "path": change.path, "op": change.op, "agent": change.agent}
        facts["revision"] = change.revision
        head = head_of_change(change)
        if change.op != "set":
            return ToolResult(head, facts)
        return ToolResult(valued(self._paper, head, change.value, 0, f"read {name_text(change.path)}").text, facts)

    def write(self, path: str, value: Any, if_revision: int | None = None, ttl: float | None = None) -> ToolResult:
        """Writes an entry; behind the claim on its path, if there is one."""
        entry = self._writer(path).set(path, value, ttl=ttl, if_revision=if_revision)
        return self._written(path, entry.revision, entry.value)

    def merge(self, path: str, value: Any) -> ToolResult:
        """Changes some keys of an entry."""
        if not isinstance(value, Mapping):
            raise Mistake(f"value is {shown(value)}: give an object with the keys to change, or use write")
        entry = self._writer(path).merge(path, value)
        return self._written(path, entry.revision, entry.value)

    def delete(self, path: str) -> ToolResult:
        """Removes an entry."""
        done = self._writer(path).delete(path)
        text = f"Removed {name_text(path)}." if done else f"{name_text(path)} did not exist, so nothing was removed."
        return ToolResult(text, {"done": done, "path": path})

    def claim(self, resource: str, ttl: float = 30.0) -> ToolResult:
        """Claims a resource that may be read."""
        reach = self._view.handle.reach
        if reach is not None and not reach.shows(resource):
            raise self._view.handle.beyond(f"claim {resource!r}")
        held = self._claims.get(resource)
        if held is not None and held.held:
            return ToolResult(f"You hold {name_text(resource)} already.", {"done": True, "token": held.token})
        claim = self._whole.claim(resource, ttl=ttl)
        claim.acquire()
        self._claims[resource] = claim
        text = f"Claimed {name_text(resource)}, r{claim.token}. It is yours until you release it."
        return ToolResult(text, {"done": True, "resource": resource, "token": claim.token})

    def release(self, resource: str) -> ToolResult:
        """Releases a resource that was claimed here."""
        if resource not in self._claims:
            mine = ", ".join(map(name_text, self._claims)) or "nothing"
            raise Mistake(f"you do not hold {name_text(resource)}: you hold {mine}")
        self._claims.pop(resource).release()
        return ToolResult(f"Released {name_text(resource)}.", {"done": True, "resource": resource})

    def send(self, to: str, content: Any, type: str = "note") -> ToolResult:
        """Sends a message."""
        message = self._whole.send(to, content, type=type)
        return ToolResult(f"Sent to {name_text(to, 60)}, as message {message.id}.", {"done": True, "id": message.id})

    def inbox(self, action: str = "receive") -> ToolResult:
        """Receives the oldest message, acknowledges it, or releases it."""
        if action == "receive":
            return self._receive()
        message = self._message
        if message is None:
            raise Mistake(f'there is no message to {action}: call inbox with action "receive" first')
        self._message = None
        try:
            (message.ack() if action == "ack" else message.release())
        except ClaimLost:
            text = "Nothing was done: you took too long, so the message was given to another receiver or is settled. Leave it."
            return ToolResult(text, {"done": False, "id": message.id})
        done = "handled" if action == "ack" else "given back for another receiver"
        return ToolResult(f"Message {message.id} is {done}.", {"done": True, "id": message.id})

    def _receive(self) -> ToolResult:
        if self._inbox is None:
            self._inbox = self._whole.inbox(str(self._role), lease=_LEASE)
        if self._message is None:
            try:
                self._message = self._inbox.receive(timeout=_AT_ONCE)
            except TimeoutError:
                return ToolResult("There is no message for you.", {"message": None})
        return self._shown(self._message)

    def _shown(self, message: Message) -> ToolResult:
        by = name_text(message.sender, 60)
        kind = name_text(message.type, 60)
        what = f"Message {message.id}, {kind} from {by}, {time_text(message.sent_at)} r{message.revision}"
        head = f"{what}. Handle it, then call inbox with ack."
        start = self._start("inbox", message.id)
        part = valued(self._paper, head, message.content, start, 'call inbox with action "receive" again')
        self._goes_on("inbox", message.id, part.next)
        facts = {"message": message.id, "from": message.sender, "type": message.type, "attempts": message.attempts}
        if not start and not part.next:
            facts["content"] = data_of(message.content)
        return ToolResult(part.text, facts)

    def _writer(self, path: str) -> Coordination:
        claim = self._claims.get(path)
        return claim.context.view(read=self._readable, write=self._writable) if claim else self._view

    def _written(self, path: str, revision: int, value: Any) -> ToolResult:
        facts = {"done": True, "path": path, "revision": revision}
        return ToolResult(f"Written: {name_text(path)} is {shape_of(value)} at r{revision}.", facts)

    def _start(self, tool: str, question: Any) -> int:
        asked, start = self._parts.pop(tool, (None, 0))
        return start if asked == question else 0

    def _goes_on(self, tool: str, question: Any, start: int) -> None:
        if start:
            self._parts[tool] = question, start
