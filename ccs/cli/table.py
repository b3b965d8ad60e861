"""All commands of `ccs`, in the groups in which the help shows them, each with what it does."""

from __future__ import annotations

import importlib
from keyword import iskeyword
from types import ModuleType
from typing import Final

__all__ = ["GROUPS", "SUMMARIES", "command"]

GROUPS: Final[dict[str, dict[str, str]]] = {
    "read": {
        "ls": "list the paths of a context",
        "tree": "show the entries of a context as a tree",
        "get": "print the value at a path",
        "at": "show the entries as they were at a revision or time",
        "diff": "show what has changed since a revision or time",
        "history": "print the changes that the journal holds",
        "tail": "print changes and events as they come",
        "wait": "wait until a path has an entry, or a value",
        "briefing": "print what an agent should read",
    },
    "write": {
        "set": "write a value at a path",
        "merge": "merge a map into the map at a path",
        "rm": "remove entries",
        "publish": "publish an event",
        "send": "send a message to a role",
    },
    "together": {
        "claims": "list claims, or break one",
        "inbox": "list, receive and acknowledge the messages of a role",
        "members": "list who is at work",
        "policies": "list or set the policies for overwriting",
    },
    "whole": {
        "contexts": "list the contexts",
        "info": "show the state of a context",
        "finish": "finish a context",
        "drop": "remove a context",
        "fork": "copy a context into a new task",
        "export": "write entries as JSON lines, every type kept",
        "import": "read them from stdin",
    },
    "operate": {
        "top": "show live what goes on",
        "doctor": "find what is wrong with the store, and say what to do",
        "stats": "count what is in the store, and what its servers do",
        "grant": "let a user work in some contexts only",
        "revoke": "remove such a user",
        "grants": "list such users",
        "ui": "show it all in a browser, live",
        "mcp": "serve the tools of a task to a model, over MCP",
        "completion": "print the completion script of a shell",
    },
}

SUMMARIES: Final = {name: summary for commands in GROUPS.values() for name, summary in commands.items()}


def command(name: str) -> ModuleType:
    """Imports the module of a command. Raises `KeyError` for a name that is none."""
    if name not in SUMMARIES:
        raise KeyError(name)
    return importlib.import_module(f"ccs.cli.commands.{name}{'_' * iskeyword(name)}")
