"""What a Sentinel is asked and answers."""

from __future__ import annotations

from typing import Any

import pytest

from ccs._core.names.server_url import Endpoint
from ccs._core.nodes.cluster_layout import Node
from ccs._protocol.replies import InvalidReply, ServerError
from ccs._protocol.sentinel_question import SentinelQuestion

DESCRIBED = [b"name", b"main", b"ip", b"10.0.0.9", b"port", b"6379", b"config-epoch", b"7"]


def test_it_logs_in_and_asks_for_the_place_and_the_epoch() -> None:
    question = SentinelQuestion(Endpoint(user="u", password="pw"), "main")
    assert question.packed.count(b"\r\n*") == 2
    assert [question.take(reply) for reply in (b"OK", [b"10.0.0.1", b"6380"], DESCRIBED)] == [False, False, True]
    assert (question.primary, question.epoch) == (Node("10.0.0.1", 6380), 7)


def test_a_name_that_it_does_not_know_is_no_error() -> None:
    question = SentinelQuestion(Endpoint(), "nobody")
    assert [question.take(None), question.take(ServerError("ERR No such master with that name"))] == [False, True]
    assert (question.primary, question.epoch) == (None, -1)


@pytest.mark.parametrize("reply", [b"OK", [b"host"], [b"host", b"no port"], {}, 7])
def test_what_is_no_answer_of_a_sentinel_is_told(reply: Any) -> None:
    with pytest.raises(InvalidReply, match="not the answer of a Sentinel"):
        SentinelQuestion(Endpoint(), "main").take(reply)


def test_a_refusal_is_raised() -> None:
    with pytest.raises(ServerError, match="NOAUTH"):
        SentinelQuestion(Endpoint(), "main").take(ServerError("NOAUTH Authentication required."))
