"""Servers in this process, with the official client before them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from mcp import Client

import ccs.aio
from ccs.mcp import server
from tests.support.waiting import scaled

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
async def store(valkey: str, namespace: str) -> AsyncIterator[ccs.aio.Store]:
    async with ccs.aio.connect(valkey, agent="ann", namespace=namespace) as store:
        yield store


@pytest.fixture
def task(store: ccs.aio.Store) -> ccs.aio.Context:
    """The context, as the program sees it."""
    return store.task("t")


@pytest.fixture(params=["legacy", "auto"])
def era(request: pytest.FixtureRequest) -> str:
    """How the client finds the protocol: "auto" ends with that of 2026-07-28, "legacy" with the latest before it."""
    return str(request.param)


@pytest.fixture
async def connected(store: ccs.aio.Store, era: str) -> Connect:
    """Connects the official client, of either era, to a server in this process, for the agent `model`."""

    @contextlib.asynccontextmanager
    async def connect(task: str = "t", client: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Client]:
        context = store.task(task, agent="model")
        served = server(context, **{"write": ["**"], **settings})
        async with Client(served, mode=era, read_timeout_seconds=scaled(30), **(client or {})) as connected:
            yield connected

    return connect
