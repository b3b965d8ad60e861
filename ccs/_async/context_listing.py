"""Which contexts exist: a walk over the server's keys, for listings and for watches of the whole store."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ccs._async.engine import Engine
from ccs._core.commits.script_calls import info_call
from ccs._core.names.keys import address_of_key, meta_glob
from ccs._core.names.pattern import AddressMatcher
from ccs.types import ContextInfo

__all__ = ["addresses", "describe"]

# Keys that one command scans, and contexts that one round trip describes.
_PAGE = 1000
_AT_ONCE = 250


async def addresses(engine: Engine) -> AsyncIterator[str]:
    """Yields the addresses of all contexts, in no order; some may have ended up to ten minutes ago."""
    cursor = b"0"
    seen = set()
    while True:
        command = ("SCAN", cursor, "MATCH", meta_glob(engine.namespace), "COUNT", str(_PAGE))
        cursor, keys = await engine.opening.commands.run(command)
        for key in keys:
            address = address_of_key(engine.namespace, key.decode())
            if address is not None and address not in seen:
                seen.add(address)
                yield address
        if cursor == b"0":
            return


async def describe(engine: Engine, matcher: AddressMatcher, limit: int | None) -> list[ContextInfo]:
    """Returns the info of each context whose address matches, sorted by address; of at most `limit` of them."""
    await engine.opening.ready()
    matching = sorted([address async for address in addresses(engine) if matcher.matches_address(address)])
    found: list[ContextInfo] = []
    for start in range(0, len(matching), _AT_ONCE):
        if limit is not None and len(found) >= limit:
            break
        found += await _infos(engine, matching[start : start + _AT_ONCE])
    return found[:limit]


async def _infos(engine: Engine, some: list[str]) -> list[ContextInfo]:
    """Returns the info of those of the contexts that exist, in one round trip."""
    calls = [info_call(engine.keys(address), address) for address in some]
    replies = await engine.opening.commands.calls(calls)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    infos = [call.parse(reply) for call, reply in zip(calls, replies, strict=True)]
    return [info for info in infos if info.revision]
