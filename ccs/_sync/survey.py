# Generated from ccs/aio/survey.py by scripts/twin. Do not edit.
"""Which contexts there are: a walk over the server's keys, for listings and for watches of the whole store."""

from __future__ import annotations

from collections.abc import Iterator

from ccs._core.keys import address_of_key, meta_glob
from ccs._core.pattern import AddressMatcher
from ccs._core.read import info_keys, parse_info
from ccs._scripts import INFO
from ccs._sync.engine import Engine
from ccs.types import ContextInfo

__all__ = ["addresses", "describe"]

_PAGE = 1000


def addresses(engine: Engine) -> Iterator[str]:
    """The addresses of all contexts, in no order; those that ended a while ago may be among them."""
    cursor, seen = b"0", set()
    while True:
        command = "SCAN", cursor, "MATCH", meta_glob(engine.namespace), "COUNT", str(_PAGE)
        cursor, keys = engine.connection.run(command, early=True)
        for key in keys:
            address = address_of_key(engine.namespace, key.decode())
            if address is not None and address not in seen:
                seen.add(address)
                yield address
        if cursor == b"0":
            return


def describe(engine: Engine, matcher: AddressMatcher) -> list[ContextInfo]:
    """What is known of each context whose address matches, sorted by address."""
    found = []
    engine.ready()
    for address in addresses(engine):
        if matcher.matches_address(address):
            reply = engine.connection.script(INFO, info_keys(engine.keys(address)), ())
            found.append(parse_info(address, reply))
    return sorted((info for info in found if info.revision), key=lambda info: info.address)
