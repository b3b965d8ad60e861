"""One process a client is the normal case: many servers on one folder at once, and nothing is lost or claimed twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.mcp.crowd import check, play
from tests.support.waiting import counts, scaled


def test_many_servers_on_one_folder_lose_nothing_and_double_no_claim(tmp_path: Path) -> None:
    servers, rounds = counts((2, 60), (20, 2_000))

    async def run() -> None:
        async with asyncio.timeout(scaled(counts(60, 300))):
            outcome = await play(tmp_path, servers, rounds)
            await check(tmp_path, servers, rounds, outcome)
            assert outcome.protocols == {"2026-07-28"}
            assert len(outcome.progress) >= servers

    asyncio.run(run())
