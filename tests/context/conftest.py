"""Stores of either colour on every kind of server, and one context."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.context.probes import Open
from tests.support.colours import COLOURS, connect_in


@pytest.fixture(params=COLOURS)
async def open_store(request: pytest.FixtureRequest, target: str, namespace: str) -> AsyncIterator[Open]:
    """Opens stores of either colour on the server at hand; both are awaited."""
    async with AsyncExitStack() as stack:

        async def open_one(agent: str = "test", **options: Any) -> Any:
            store = connect_in(request.param, target, agent=agent, namespace=namespace, **options)
            return await stack.enter_async_context(store)

        yield open_one


@pytest.fixture
async def shared(open_store: Open) -> Any:
    return await open_store()


@pytest.fixture
async def task(shared: Any) -> Any:
    return shared.task("t")
