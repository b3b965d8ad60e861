"""Resources: the briefing on the context, and each of its entries. They are read through a view, so no more is seen than tools see."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from mcp import MCPError, types

import ccs.aio as ccs
from ccs._core.recipes.inbox import inbox_paths
from ccs._core.tools.answers import data_of
from ccs.errors import CCSError, Forbidden, InvalidPath
from ccs.mcp.addresses import BRIEFING, path_in
from ccs.types import Entry

__all__ = ["Resources"]

# What a briefing tells beside entries: who holds, who waits, who is there.
_TOLD = ("@claims/**", "@members/*")
_COMPLETIONS = 100


class Resources:
    """The resources of a context, for those who may read what matches `readable`."""

    def __init__(self, ctx: ccs.Context, readable: Sequence[str], role: str | None, max_tokens: int) -> None:
        self._readable = tuple(readable)
        self._role = role
        self._max_tokens = max_tokens
        told = (*_TOLD, f"{ccs.escape(inbox_paths(role).root)}/**") if role else _TOLD
        self._all = (*readable, *told)
        self._told = ctx.view(read=self._all)
        self._view = ctx.view(read=readable)

    def __repr__(self) -> str:
        return f"<Resources of {self._view.address}>"

    def watch(self) -> ccs.Watch:
        """Returns a watch of all that resources show."""
        return self._told.watch(*self._all)

    def knows(self, uri: str) -> bool:
        """Returns whether an address is one that may be read, whether or not there is anything now."""
        return uri == BRIEFING or path_in(uri) is not None

    async def read(self, uri: str) -> types.ReadResourceResult:
        """Returns the contents of a resource. Raises `MCPError`."""
        try:
            contents = await self._contents(uri)
        except (Forbidden, InvalidPath):
            contents = None  # as if it were not there
        except CCSError as error:
            raise MCPError(types.INTERNAL_ERROR, f"{error}. Read it again in a minute.") from error
        if contents is None:
            raise MCPError(types.INVALID_PARAMS, f"Resource not found: {uri}", {"uri": uri})
        return types.ReadResourceResult(contents=[contents])

    async def complete(self, begun: str) -> list[str]:
        """Returns paths that begin with what was typed."""
        paths = await self._view.paths(*self._readable)
        return [path for path in paths if path.startswith(begun)][:_COMPLETIONS]

    async def _contents(self, uri: str) -> types.TextResourceContents | types.BlobResourceContents | None:
        if uri == BRIEFING:
            told = await self._told.briefing(*self._readable, role=self._role, max_tokens=self._max_tokens)
            return types.TextResourceContents(uri=uri, mime_type="text/markdown", text=str(told))
        path = path_in(uri)
        entry = await self._view.entry(path) if path else None
        return _contents_of(uri, entry) if entry else None


def _contents_of(uri: str, entry: Entry) -> types.TextResourceContents | types.BlobResourceContents:
    about = {"revision": entry.revision, "agent": entry.agent, "updatedAt": entry.updated_at.isoformat()}
    value = entry.value
    if isinstance(value, bytes):
        blob = base64.b64encode(value).decode()
        return types.BlobResourceContents(uri=uri, mime_type="application/octet-stream", blob=blob, _meta=about)
    if isinstance(value, str):
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text=value, _meta=about)
    text = json.dumps(data_of(value), ensure_ascii=False)
    return types.TextResourceContents(uri=uri, mime_type="application/json", text=text, _meta=about)
