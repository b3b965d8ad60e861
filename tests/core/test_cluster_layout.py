"""Slots, the layout of a Cluster, and redirections: what servers say, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from ccs._core.names.keys import address_of_key, address_of_notice, keys_of
from ccs._core.nodes.cluster_layout import ClusterLayout, Node
from ccs._core.nodes.redirections import Redirection, redirection
from ccs._core.nodes.slots import SLOTS, slot_of, slot_of_command

ASKED = Node("box", 7000)


def named(host: Any, port: int) -> list[Any]:
    return [host, port, b"id", []]


@given(st.text(alphabet="ab{}:/é\0", max_size=12))
def test_a_slot_is_that_of_redis_py(key: str) -> None:
    assert slot_of(key) == key_slot(key.encode())


@given(st.text(min_size=1, max_size=8).filter(lambda text: "/" not in text))
def test_all_that_a_context_has_is_in_one_slot(id: str) -> None:
    keys = keys_of("ccs", f"/tasks/{id}")
    assert len({slot_of(key) for key in (*keys.all, keys.channel, f"{keys.channel}:new")}) == 1


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("HGET", "{a}:entries", "p"), "{a}:entries"),
        (("EVALSHA", "digest", "2", "{a}:journal", "{a}:meta", "0"), "{a}:journal"),
        (("EVAL", "return 1", "1", "{a}:journal"), "{a}:journal"),
        (("PING",), None),
        (("SCAN", b"0", "MATCH", "{ccs:/*}:meta"), None),
        (("TIME",), None),
    ],
)
def test_a_command_goes_where_its_first_key_is(command: tuple[Any, ...], key: str | None) -> None:
    assert slot_of_command(command) == (None if key is None else slot_of(key))


def test_a_layout_names_the_primary_of_each_slot_and_knows_the_replicas() -> None:
    layout = ClusterLayout()
    layout.is_cluster = True
    layout.learn([[0, 8000, named(b"a", 1), named(b"b", 2)], [8001, SLOTS - 1, named(b"c", 3), named(b"d", 4)]], ASKED)
    assert (layout.owner(0), layout.owner(8000), layout.owner(8001)) == (Node("a", 1), Node("a", 1), Node("c", 3))
    assert layout.primaries == [Node("a", 1), Node("c", 3)]
    assert layout.nodes == [Node("a", 1), Node("b", 2), Node("c", 3), Node("d", 4)]
    assert (layout.is_doubtful, layout.version) == (False, 1)
    assert repr(layout) == "<ClusterLayout of 2 primaries, version 1>"


def test_a_slot_that_nobody_serves_leaves_the_layout_doubtful() -> None:
    layout = ClusterLayout()
    layout.learn([[0, 100, named(b"a", 1)]], ASKED)
    assert (layout.owner(100), layout.owner(101), layout.is_doubtful) == (Node("a", 1), None, True)


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_whose_host_is_unknown_is_on_the_host_that_was_asked(host: bytes | None) -> None:
    layout = ClusterLayout()
    layout.learn([[0, SLOTS - 1, named(host, 7003)]], ASKED)
    assert layout.owner(5) == Node("box", 7003)


def test_a_layout_that_says_the_same_is_no_new_version() -> None:
    layout = ClusterLayout()
    for _ in range(2):
        layout.learn([[0, SLOTS - 1, named(b"a", 1)]], ASKED)
    assert layout.version == 1
    layout.move(7, Node("b", 2))
    assert (layout.owner(6), layout.owner(7), layout.owner(8)) == (Node("a", 1), Node("b", 2), Node("a", 1))
    assert (layout.version, layout.is_doubtful) == (2, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MOVED 3999 127.0.0.1:7001", Redirection(3999, Node("127.0.0.1", 7001), False)),
        ("ASK 3999 127.0.0.1:7001", Redirection(3999, Node("127.0.0.1", 7001), True)),
        ("MOVED 1 :7001", Redirection(1, Node("box", 7001), False)),
        ("MOVED 1 ?:7001", Redirection(1, Node("box", 7001), False)),
        ("MOVED 1 ::1:7001", Redirection(1, Node("::1", 7001), False)),
        ("MOVED 1 node-3.example:7001", Redirection(1, Node("node-3.example", 7001), False)),
        ("TRYAGAIN Multiple keys request during rehashing of slot", None),
    ],
)
def test_a_redirection_says_where_a_slot_is(text: str, expected: Redirection | None) -> None:
    assert redirection(text.split()[0], text, ASKED) == expected


def test_a_layout_that_is_told_again_clears_doubts_and_takes_back_what_has_changed_since() -> None:
    def reply() -> list[list[Any]]:
        return [[0, SLOTS - 1, named(b"10.0.0.1", 7000)]]

    layout = ClusterLayout()
    layout.learn(reply(), ASKED)
    layout.is_doubtful = True
    layout.learn(reply(), ASKED)
    assert (layout.version, layout.is_doubtful) == (1, False)
    layout.move(5, Node("10.0.0.2", 7000))
    layout.learn(reply(), ASKED)
    assert (layout.owner(5), layout.version, layout.is_doubtful) == (Node("10.0.0.1", 7000), 3, False)
    gap = [[1, SLOTS - 1, named(None, 7000)]]
    for asked in (ASKED, Node("other", 1)):
        layout.learn(gap, asked)
        layout.is_doubtful = False
        layout.learn(gap, asked)
        assert layout.is_doubtful
        assert layout.owner(1) == Node(asked.host, 7000)


def test_a_node_is_shown_as_one_writes_it() -> None:
    assert [str(Node("a", 1)), str(Node("::1", 2))] == ["a:1", "[::1]:2"]


def test_a_notice_is_no_channel_of_a_context_and_the_other_way_round() -> None:
    channel = keys_of("ccs", "/tasks/x:new").channel
    assert address_of_notice("ccs", channel) is None
    assert address_of_notice("ccs", f"{channel}:new") == "/tasks/x:new"
    assert address_of_key("ccs", f"{channel}:new") is None
