"""What clients list: tools with their hints and the shape of their answers, resources, and a template.

Clients differ in what they accept: one takes no `$ref`, one rejects the whole list for a schema whose root is no object,
one limits names to 60 characters. All definitions are flat and small enough for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp import types

from ccs._core.tools.definitions import TOOLS, Tool
from ccs.mcp.addresses import BRIEFING, TEMPLATE

__all__ = ["BRIEFING_RESOURCE", "ENTRY_TEMPLATE", "tool_of"]

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_FLAG = {"type": "boolean"}
_LIST = {"type": "array"}
_ANY: dict[str, Any] = {}

_WRITTEN = {"done": _FLAG, "path": _TEXT, "revision": _NUMBER, "agent": _TEXT}
_CLAIMED = {"done": _FLAG, "resource": _TEXT, "token": _NUMBER, "agent": _TEXT}
# The facts of an answer beside its text. Each may be missing: where it says nothing, or where the text alone is long enough.
_FACTS: Mapping[str, dict[str, Any]] = {
    "briefing": {"revision": _NUMBER, "new": _FLAG, "complete": _FLAG, "omitted": _NUMBER, "paths": _LIST},
    "list": {"paths": _LIST, "left": _NUMBER},
    "read": {"path": _TEXT, "exists": _FLAG, "value": _ANY, "revision": _NUMBER, "agent": _TEXT},
    "history": {"changes": _LIST, "left": _NUMBER},
    "wait": {"changed": _FLAG, "path": _TEXT, "op": _TEXT, "revision": _NUMBER, "agent": _TEXT},
    "write": _WRITTEN,
    "merge": _WRITTEN,
    "claim": _CLAIMED,
    "release": _CLAIMED,
    "send": {"done": _FLAG, "id": _TEXT},
    "inbox": {"message": _ANY, "from": _TEXT, "type": _TEXT, "content": _ANY, "done": _FLAG},
    "delete": {"done": _FLAG, "path": _TEXT},
}
_BY_NAME: Mapping[str, Tool] = {tool.name: tool for tool in TOOLS}

BRIEFING_RESOURCE = types.Resource(
    uri=BRIEFING,
    name="briefing",
    description="The present state of the shared context, briefly. Subscribe to hear when anything has changed.",
    mime_type="text/markdown",
)
ENTRY_TEMPLATE = types.ResourceTemplate(
    uri_template=TEMPLATE,
    name="entry",
    description="The value of one entry of the shared context: text as it stands, bytes as a blob, all else as JSON.",
)


def tool_of(definition: Mapping[str, Any]) -> types.Tool:
    """Returns a tool as MCP lists it, of a definition of `Toolset.schemas`."""
    name = definition["name"]
    tool = _BY_NAME[name]
    hints = types.ToolAnnotations(
        read_only_hint=tool.read_only, destructive_hint=tool.destructive, open_world_hint=False
    )
    return types.Tool(
        name=name,
        description=tool.description,
        input_schema=definition["parameters"],
        output_schema={"type": "object", "properties": {"text": _TEXT, **_FACTS[name]}, "required": ["text"]},
        annotations=hints,
    )
