"""Every contender does the work that it is measured for: what is put is read, and told to who has subscribed."""

from __future__ import annotations

import queue
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.client import TICKET
from benchmarks.contenders import CONTENDERS, AsyncContender, BlockingContender, Contender, Where
from benchmarks.measures.fanout import Fan
from benchmarks.measures.resume import catch_up
from benchmarks.server import ServerMissing
from benchmarks.servers import Servers
from benchmarks.stopwatch import Stopwatch
from tests.support.waiting import aeventually, scaled

BY_NAME = {contender.name: contender for contender in CONTENDERS}


def taking(measure: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [one.name for one in CONTENDERS if measure in one.takes])


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers(f"ccs-bench-{secrets.token_hex(4)}") as servers:
        yield servers


@pytest.fixture
def entrant(name: str, servers: Servers) -> tuple[Contender, Where]:
    """The contender, and a room of its own; skips where its client or its server is missing."""
    contender = BY_NAME[name]
    if reason := contender.missing():
        pytest.skip(reason)
    try:
        return contender, (servers.get(contender.server).url, f"ccs-bench-{secrets.token_hex(4)}", 1)
    except ServerMissing as missing:
        pytest.skip(str(missing))


@taking("put")
def test_what_is_put_is_read(entrant: tuple[Contender, Where]) -> None:
    contender, where = entrant

    def blocking(one: BlockingContender) -> Any:
        with one.client(where) as writer, one.client(where) as reader:
            writer.put("sources/a/status", TICKET)
            return reader.get("sources/a/status")

    async def asynchronous(one: AsyncContender) -> Any:
        async with one.client(where) as writer, one.client(where) as reader:
            await writer.put("sources/a/status", TICKET)
            return await reader.get("sources/a/status")

    value = contender.run(blocking, asynchronous)
    assert value == TICKET or (contender.name.startswith("bare") and b'"status": "open"' in value)


@taking("latency")
def test_what_is_put_after_subscribing_is_told_in_order(entrant: tuple[Contender, Where]) -> None:
    contender, where = entrant
    told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    wanted = [(f"sources/{number}", {**TICKET, "id": number}) for number in range(3)]

    def blocking(one: BlockingContender) -> list[Any]:
        with one.client(where) as writer, one.client(where) as listener:
            listener.subscribe(lambda path, value: told.put((path, value)))
            for path, value in wanted:
                writer.put(path, value)
            return [told.get(timeout=scaled(10)) for _ in wanted]

    async def asynchronous(one: AsyncContender) -> list[Any]:
        async with one.client(where) as writer, one.client(where) as listener:
            await listener.subscribe(lambda path, value: told.put((path, value)))
            for path, value in wanted:
                await writer.put(path, value)
            await aeventually(lambda: told.qsize() == len(wanted), 10, "the callbacks")
            return [told.get_nowait() for _ in wanted]

    assert contender.run(blocking, asynchronous) == wanted


@taking("fanout")
def test_a_fan_out_is_whole_if_each_subscriber_got_everything_in_order(
    entrant: tuple[Contender, Where], servers: Servers
) -> None:
    contender, where = entrant
    fan = Fan(3, 20, Stopwatch(servers.get(contender.server)), where)
    contender.run(fan.threads, fan.tasks)
    assert fan.whole == 1.0
    fan.seen[1][7:9] = reversed(fan.seen[1][7:9])
    fan.seen[2].append(19)
    assert fan.whole == pytest.approx(1 / 3)


@taking("resume")
def test_who_comes_back_catches_up(entrant: tuple[Contender, Where], servers: Servers) -> None:
    contender, where = entrant
    watch = Stopwatch(servers.get(contender.server))
    catch_up(contender, where, 60, watch)
    assert watch.seconds > 0


def test_a_server_that_is_not_there_is_missed_each_time_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCS_BENCH_NATS", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with Servers("ccs-bench-test") as servers:
        for _ in range(2):
            with pytest.raises(ServerMissing, match="no nats-server on the PATH"):
                servers.get("nats")
        assert servers.running() == {}
