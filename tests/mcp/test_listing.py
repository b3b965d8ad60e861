"""What a client lists: definitions that every client accepts, with hints, and within their budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import types

import ccs.aio
from ccs.mcp import server
from tests.mcp.fixtures import Connect

EVERYTHING = {"role": "analyst", "allow_delete": True}
READ_ONLY = {"briefing", "list", "read", "history", "wait"}
FIXED = {"store", "context", "agent", "read", "max_tokens", "task", "role"}


async def listed(connected: Connect, **settings: Any) -> list[types.Tool]:
    async with connected(**settings) as client:
        return (await client.list_tools()).tools


def schemas_in(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from schemas_in(each)


async def test_the_tools_are_those_of_the_toolset(connected: Connect, task: ccs.aio.Context) -> None:
    tools = await listed(connected, **EVERYTHING)
    own = task.tools(write=["**"], **EVERYTHING).schemas()
    assert [(tool.name, tool.description, tool.input_schema) for tool in tools] == [
        (each["name"], each["description"], each["parameters"]) for each in own
    ]


async def test_without_patterns_a_model_only_reads_claims_and_sends(connected: Connect) -> None:
    names = {tool.name for tool in await listed(connected, write=())}
    assert names == READ_ONLY | {"claim", "release", "send"}


async def test_every_tool_says_whether_it_reads_or_destroys(connected: Connect) -> None:
    hints = {tool.name: tool.annotations for tool in await listed(connected, **EVERYTHING)}
    assert {name for name, hint in hints.items() if hint and hint.read_only_hint is True} == READ_ONLY
    assert {name for name, hint in hints.items() if hint and hint.read_only_hint is False} == set(hints) - READ_ONLY
    assert {name for name, hint in hints.items() if hint and hint.destructive_hint is True} == {
        "write",
        "merge",
        "delete",
    }
    assert all(hint and hint.destructive_hint is not None for hint in hints.values())


async def test_every_client_accepts_the_definitions(connected: Connect) -> None:
    tools = await listed(connected, **EVERYTHING)
    assert len(tools) <= 40
    assert all(len(tool.name) <= 60 and tool.name.isidentifier() for tool in tools)
    for tool in tools:
        assert tool.input_schema["type"] == "object"
        assert (tool.output_schema or {})["type"] == "object"
        assert not any("$ref" in each for each in schemas_in([tool.input_schema, tool.output_schema]))


async def test_the_listing_takes_at_most_4000_tokens(connected: Connect) -> None:
    tools = await listed(connected, **EVERYTHING)
    wire = json.dumps([tool.model_dump(by_alias=True, exclude_none=True) for tool in tools], ensure_ascii=False)
    assert len(wire.encode()) / 3 <= 4000, len(wire)
    assert wire.isascii()


async def test_nothing_that_the_program_fixes_is_an_argument(connected: Connect) -> None:
    for tool in await listed(connected, **EVERYTHING):
        assert not FIXED & set(tool.input_schema["properties"])


async def test_the_briefing_and_a_template_for_entries_are_listed(connected: Connect) -> None:
    async with connected() as client:
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
    assert [each.uri for each in resources] == ["ccs://briefing"]
    assert [each.uri_template for each in templates] == ["ccs://entry/{path}"]


async def test_the_model_is_told_where_it_is_and_as_whom(connected: Connect) -> None:
    async with connected() as client:
        assert client.instructions
        assert "/tasks/t" in client.instructions
        assert "model" in client.instructions


def test_a_context_of_the_blocking_colour_is_refused(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store, pytest.raises(ccs.InvalidValue, match=r"ccs\.aio"):
        server(store.task("t"))  # type: ignore[arg-type]


def test_settings_are_checked_when_the_server_is_made(namespace: str) -> None:
    task = ccs.aio.connect("memory://", namespace=namespace).task("t")
    with pytest.raises(ccs.InvalidPattern):
        server(task, read=["a["])
    with pytest.raises(ccs.InvalidValue, match="max_tokens"):
        server(task, max_tokens=10)
