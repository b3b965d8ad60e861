"""Makes the data of the present format, once: `python -m tests.formats.make`. From then on they are only read.

It refuses where they are there already: released data never change.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import redis

import ccs.aio
from ccs._core.commits.field_layout import FORMAT
from tests.formats import data
from tests.formats.contents import written
from tests.formats.seen import seen
from tests.support.servers import PrivateServer, binary_of


async def make(url: str) -> None:
    """Writes the data and saves them, with what must be read from them."""
    async with ccs.aio.connect(url, agent="maker", namespace=data.NAMESPACE) as store, written(store):
        expected = {info.address: await seen(store.context(info.address)) for info in await store.contexts()}
        with redis.Redis.from_url(url) as client:
            data.save(data.folder_of(FORMAT), data.dumped(client), expected)


def main() -> None:
    if data.folder_of(FORMAT).joinpath("commands.jsonl").exists():
        sys.exit(f"the data of format {FORMAT} are there already")
    with tempfile.TemporaryDirectory() as folder:
        server = PrivateServer(binary_of("valkey"), Path(folder)).start()
        try:
            asyncio.run(make(server.url))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
