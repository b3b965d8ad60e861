"""The tools of a context as an MCP server, and its entries as resources: `ccs mcp`, and `server` for programs."""

from ccs.mcp.extra import PACKAGES
from ccs.mcp.serving import server
from ccs.mcp.web import web_app

__all__ = ["PACKAGES", "server", "web_app"]
