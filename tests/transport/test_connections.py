"""One connection, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from ccs._async.transport.connection import SocketConnection
from tests.support.waiting import aeventually


async def test_what_is_sent_after_a_loss_is_dropped_without_a_word(
    valkey: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a connection that breaks while much is sent, then its loss is told once, and asyncio has no reason to warn."""
    caplog.set_level(logging.DEBUG)
    lost: list[BaseException] = []
    port = int(valkey.rpartition(":")[2])
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
    connection = SocketConnection(transport, lambda reply: None, lost.append)
    transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
    for _ in range(20):
        connection.write(b"*1\r\n$4\r\nPING\r\n")
    await aeventually(lambda: lost)
    assert [type(error) for error in lost] == [BrokenPipeError]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
