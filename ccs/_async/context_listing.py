"""Which contexts exist: a walk over the server's keys, for listings and for watches of the whole store."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ccs._async.engine import Engine
from ccs._async.transport.commands import Commands
from ccs._core.commits.script_calls import info_call
from ccs._core.names.keys import address_of_key, meta_glob
from ccs._core.names.pattern import AddressMatcher
from ccs._core.nodes.cluster_layout import Node, OwnSlots, own_slots
from ccs._core.retry import Patience
from ccs._protocol.faults import Departed
from ccs.types import ContextInfo

__all__ = ["addresses", "describe", "existing"]

# Keys that one command scans, and contexts that one round trip describes.
_PAGE = 1000
_AT_ONCE = 250


async def addresses(engine: Engine, patience: Patience | None = None) -> AsyncIterator[str]:
    """Yields the addresses of all contexts, in no order; some may have ended up to ten minutes ago.

    In a Cluster it walks over all nodes side by side, and once more if it hears meanwhile that slots have moved.
    """
    layout = engine.opening.commands.topology.layout
    seen = set()
    version = -1
    while version != layout.version:
        version = layout.version
        try:
            async for address in _walk(engine, patience):
                if address not in seen:
                    seen.add(address)
                    yield address
        except Departed:
            version = -1  # its successor has the same contexts


async def existing(engine: Engine, matcher: AddressMatcher, patience: Patience | None = None) -> list[str]:
    """Returns those of `addresses` in which paths may match. Contexts that the patterns name are asked for one by one."""
    if matcher.named is not None:
        asked = [("HGET", engine.keys(address).meta, "state") for address in matcher.named]
        states = await engine.opening.commands.run_all(asked, patience)
        return [address for address, state in zip(matcher.named, states, strict=True) if state is not None]
    return [address async for address in addresses(engine, patience) if matcher.paths_in(address) is not None]


async def _settled_addresses(engine: Engine, matcher: AddressMatcher) -> set[str]:
    """Returns the addresses that match, without a gap also if slots of a Cluster move: its nodes are asked whether they do.

    If so, it walks once more: a context that came to a node after this was looked through stays there for the second time.
    """
    commands = engine.opening.commands
    before = await _holdings(commands)
    found = {address async for address in addresses(engine) if matcher.matches_address(address)}
    after = await _holdings(commands)
    if before != after or any(own.moving for own in after.values()):
        found |= {address async for address in addresses(engine) if matcher.matches_address(address)}
    return found


async def _holdings(commands: Commands) -> dict[Node, OwnSlots]:
    """Asks each node of a Cluster what it holds."""
    while not commands.topology.only:
        nodes = await commands.primaries()
        try:
            replies = await commands.on_each(dict.fromkeys(nodes, ("CLUSTER", "NODES")))
        except Departed:
            continue
        return {node: own_slots(reply) for node, reply in replies.items() if node is not None}
    return {}


async def _walk(engine: Engine, patience: Patience | None) -> AsyncIterator[str]:
    cursors = dict.fromkeys(await engine.opening.commands.primaries(patience), b"0")
    while cursors:
        scans = {
            node: ("SCAN", cursor, "MATCH", meta_glob(engine.namespace), "COUNT", str(_PAGE))
            for node, cursor in cursors.items()
        }
        pages = await engine.opening.commands.on_each(scans, patience)
        cursors = {node: cursor for node, (cursor, _) in pages.items() if cursor != b"0"}
        for _, keys in pages.values():
            for key in keys:
                address = address_of_key(engine.namespace, key.decode())
                if address is not None:
                    yield address


async def describe(engine: Engine, matcher: AddressMatcher, limit: int | None) -> list[ContextInfo]:
    """Returns the info of each context whose address matches, sorted by address; of at most `limit` of them."""
    await engine.opening.ready()
    matching = sorted(await _settled_addresses(engine, matcher) if matcher.named is None else matcher.named)
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
