"""Many `ccs mcp` processes on one folder, each with the official client before it, all at work at once.

Each model writes entries of its own, claims resources that others want too, and notes each claim that it got in one entry that all
of them merge into. In the end nothing may be lost, and no resource claimed twice.

    python -m tests.mcp.crowd FOLDER 20 2000
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client, types

import ccs.aio


def rivals_of(servers: int) -> int:
    """How many models want each resource."""
    return min(4, servers)


@dataclass
class Outcome:
    """What the clients were told, and how long it took, from the first call to the last."""

    writes: int = 0
    claims: int = 0
    tokens: dict[str, list[int]] = field(default_factory=dict)
    protocols: set[str] = field(default_factory=set)
    progress: list[float] = field(default_factory=list)
    seconds: float = 0.0


def server_of(store: str, agent: str, *more: str) -> StdioServerParameters:
    arguments = ["-m", "ccs.cli", "mcp", "--store", store, "--task", "crowd", "--agent", agent, "--write", "**", *more]
    return StdioServerParameters(command=sys.executable, args=arguments)


async def called(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert isinstance(result, types.CallToolResult)
    assert not result.is_error, result
    facts: dict[str, Any] = result.structured_content
    return facts


async def play(folder: Path, servers: int, rounds: int) -> Outcome:
    """Has so many servers make `rounds` writes and `rounds` attempts to claim, together."""
    outcome = Outcome()
    ready = asyncio.Barrier(servers + 1)
    finished = asyncio.Barrier(servers)  # who leaves gives back its claims, and others may have them
    each = rounds // servers
    start = 0.0

    async def noted(done: float, *_: object) -> None:
        outcome.progress.append(done)

    async def model(number: int) -> None:
        async with Client(stdio_client(server_of(str(folder), f"model-{number}"))) as client:
            outcome.protocols.add(client.protocol_version)
            await client.call_tool("wait", {"timeout": 0.1}, progress_callback=noted)
            await ready.wait()
            for turn in range(each):
                facts = await called(client, "write", path=f"own/{number}/{turn}", value={"by": number, "turn": turn})
                outcome.writes += facts["done"]
                await _claim(client, number, (turn * servers + number) // rivals_of(servers))
            outcome.seconds = time.monotonic() - start
            await finished.wait()

    async def _claim(client: Client, number: int, resource: int) -> None:
        name = f"jobs/{resource}"
        facts = await called(client, "claim", resource=name)
        outcome.claims += 1
        if facts["done"]:
            outcome.tokens.setdefault(name, []).append(facts["token"])
            await called(client, "merge", path="winners", value={name: number})

    async with asyncio.TaskGroup() as group:
        for number in range(servers):
            group.create_task(model(number))
        await ready.wait()
        start = time.monotonic()
    return outcome


async def check(folder: Path, servers: int, rounds: int, outcome: Outcome) -> None:
    """Fails unless all that was acknowledged is there, and each resource was claimed by one."""
    each = rounds // servers
    wanted = {f"own/{number}/{turn}": {"by": number, "turn": turn} for number in range(servers) for turn in range(each)}
    jobs = {f"jobs/{resource}" for resource in range(-(-servers * each // rivals_of(servers)))}
    async with ccs.aio.connect(folder, agent="checker") as store:
        task = store.task("crowd")
        entries = await task.snapshot("own/**")
        written = {path: entry.value for path, entry in entries.items()}
        winners = await task.get("winners")
        assert outcome.writes == len(wanted)
        assert written == wanted
        assert all(entry.agent == f"model-{entry.value['by']}" for entry in entries.values())
        assert set(outcome.tokens) == jobs
        assert all(len(tokens) == 1 for tokens in outcome.tokens.values()), outcome.tokens
        assert set(winners) == jobs
        assert len({token for (token,) in outcome.tokens.values()}) == len(jobs)


def main(folder: str, servers: str, rounds: str) -> None:
    async def run() -> Outcome:
        outcome = await play(Path(folder), int(servers), int(rounds))
        await check(Path(folder), int(servers), int(rounds), outcome)
        return outcome

    outcome = asyncio.run(run())
    sys.stdout.write(
        f"{servers} servers: {outcome.writes} writes, {outcome.claims} claims of {len(outcome.tokens)} resources"
        f" in {outcome.seconds:.1f} s; nothing lost, none claimed twice\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
