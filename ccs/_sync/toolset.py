# Generated from ccs/_async/toolset.py by scripts/twin. Do not edit.
"""The tools of a context for a model: what function calling, MCP and tests share.

Whatever the model does wrong is answered with what to do instead. To lose a race is an ordinary answer: who won, and at
which revision. Only what is wrong with the program or the server is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ccs._core.briefing.fitting import Paper, paper_of
from ccs._core.names.pattern import escape
from ccs._core.names.reach import narrowed
from ccs._core.number_checks import integer
from ccs._core.quoted_values import shown
from ccs._core.recipes.inbox import inbox_paths
from ccs._core.tools.answers import fitted
from ccs._core.tools.definitions import Mistake, Tool, checked, offered, parsed, schema_of
from ccs._core.tools.refusals import failed, refused
from ccs._core.tools.result import ToolResult
from ccs._not_copyable import Local
from ccs._sync.context_handle import Handle
from ccs._sync.coordination import Coordination
from ccs._sync.tool_calls import ToolCalls
from ccs.errors import CCSError, InvalidValue, StoreClosed, Unavailable, UnknownFormat, UnsafeServer

__all__ = ["Toolset", "tool_needs", "toolset_of"]

# What is wrong with the program or the server, not with what the model did.
_RAISED = (Unavailable, StoreClosed, UnsafeServer, UnknownFormat)


def toolset_of(
    whole: Coordination,
    view: Coordination,
    reads: Sequence[str],
    writes: Sequence[str],
    role: str | None,
    delete: bool,
    max_tokens: int,
    count: Callable[[str], int] | None,
    only: Iterable[str] | None,
) -> Toolset:
    """Returns the tools of a context, as `Context.tools` describes them. `view` shows what the model may read and write."""
    paper = paper_of(integer("max_tokens", max_tokens, "tokens of an answer, at least 100", 100), count)
    there = tool_needs(whole.handle, reads, writes, role, delete)
    reader = role if "inboxes" in there else None
    roots = ["@claims/**", "@members/*"]
    if reader is not None:
        roots.append(f"{escape(inbox_paths(reader).root)}/**")
    told = replace(whole.handle, reach=narrowed(whole.handle.reach, [*reads, *roots], ()))
    calls = ToolCalls(whole, view, told, paper, role=reader, readable=reads, writable=writes)
    return Toolset(calls, offered(there, only), paper, reads, writes)


class Toolset(Local):
    """Tools for one model: definitions to hand to it (`openai`, `anthropic`, `schemas`), and `call` for what it asks.

    It keeps what the model has seen, claimed and received, so give each model its own, and make one call at a time. Enter
    it, or call `close`, to release the claims and give back the message; closing the store does that too.
    """

    def __init__(
        self, calls: ToolCalls, tools: dict[str, Tool], paper: Paper, readable: Sequence[str], writable: Sequence[str]
    ) -> None:
        self._calls = calls
        self._tools = tools
        self._paper = paper
        self._readable = tuple(readable)
        self._writable = tuple(writable)

    def __repr__(self) -> str:
        return f"<Toolset of {', '.join(self._tools)}>"

    def __enter__(self) -> Toolset:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the claims of the model, and gives back the message that it holds."""
        self._calls.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools that are offered."""
        return tuple(self._tools)

    def schemas(self) -> list[dict[str, Any]]:
        """Returns the definitions: `name`, `description`, and the JSON schema of the `parameters`."""
        return [
            {"name": tool.name, "description": tool.description, "parameters": schema_of(tool)}
            for tool in self._tools.values()
        ]

    def openai(self, api: str = "chat") -> list[dict[str, Any]]:
        """Returns the definitions as OpenAI takes them: of chat completions, or with `api="responses"` of responses."""
        if api not in ("chat", "responses"):
            raise InvalidValue(f'api is {shown(api)}: give "chat" or "responses"')
        if api == "chat":
            return [{"type": "function", "function": schema} for schema in self.schemas()]
        return [{"type": "function", **schema, "strict": False} for schema in self.schemas()]

    def anthropic(self) -> list[dict[str, Any]]:
        """Returns the definitions as Anthropic takes them."""
        return [
            {"name": tool.name, "description": tool.description, "input_schema": schema_of(tool)}
            for tool in self._tools.values()
        ]

    def call(self, name: str, arguments: Mapping[str, Any] | str | None = None) -> ToolResult:
        """Calls a tool with what the model gave: a mapping, or JSON. Returns the answer, of at most `max_tokens` tokens.

        Whatever the model did wrong is an answer with `is_error`. Raises `Unavailable`, `StoreClosed` and the like: what
        the model cannot mend.

            >>> tools = task.tools(write=["notes/**"])
            >>> result = tools.call("write", {"path": "notes/a", "value": "seen"})
            >>> result.is_error, tools.call("write", {"path": "plan", "value": 1}).is_error
            (False, True)
        """
        try:
            result = self._called(name, arguments)
        except Mistake as mistake:
            result = failed(str(mistake))
        except _RAISED:
            raise
        except CCSError as error:
            result = refused(error, self._readable, self._writable)
        return replace(result, text=fitted(self._paper, result.text))

    def _called(self, name: str, arguments: Mapping[str, Any] | str | None) -> ToolResult:
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            raise Mistake(f"there is no tool {shown(name)}: call one of {', '.join(self._tools)}")
        given = checked(tool, parsed(arguments))
        do: Callable[..., ToolResult] = getattr(self._calls, tool.name)
        return do(**given)


def tool_needs(handle: Handle, read: Sequence[str], write: Sequence[str], role: str | None, delete: bool) -> list[str]:
    """Returns what there is for tools: something to "read", to "write", and so on."""
    reach = handle.reach
    there = {
        "read": bool(read),
        "write": bool(write),
        "role": role is not None,
        "delete": delete,
        "claims": reach is None or (reach.covers("@claims/**") and reach.writes("@claims/any")),
        "inboxes": reach is None or (reach.covers("@inbox/**") and reach.writes("@inbox/any")),
    }
    return [name for name, is_there in there.items() if is_there]
