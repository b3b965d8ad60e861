"""Journals are read in turns, and a server that does not answer holds up what it has alone."""

from __future__ import annotations

from ccs._core.changes.journals_to_read import JournalsToRead
from ccs._core.changes.silent_servers import SilentServers


def server_of(address: str) -> str:
    return address[1]


def test_what_a_silent_server_has_comes_later_and_nothing_is_lost() -> None:
    silent = SilentServers()
    behind = JournalsToRead(server_of, silent)
    behind.add(["/a1", "/a2", "/b1", "/a3", "/b2"])
    assert behind.next(10.0) == "/a1"
    silent.silent("a", 9.8, 10.0)
    behind.put_off("/a1")
    assert behind.next(10.0) == "/b1"
    behind.discard("/b1")
    assert behind.next(10.0) == "/b2"
    behind.discard("/b2")
    assert (behind.next(10.0), len(behind)) == (None, 3)
    assert 10.0 < (silent.next_at() or 0) < 11.0
    found = []
    while address := behind.next(silent.next_at() or 0):
        found.append(address)
        behind.discard(address)
    assert sorted(found) == ["/a1", "/a2", "/a3"]
    assert not behind


def test_a_server_is_asked_for_longer_the_longer_it_is_silent_and_left_alone_for_as_long() -> None:
    silent = SilentServers()
    now = 100.0
    asked = []
    while now < 120.0:
        asked.append(silent.seconds("a", now))
        assert silent.silent("a", now, now + asked[-1]) == now + asked[-1] - 100.0
        assert silent.rests("a", now + asked[-1])
        assert not silent.rests("b", now + asked[-1])
        now = silent.next_at() or 0
        assert not silent.rests("a", now)
    assert asked == sorted(asked)
    assert asked[0] < 0.2
    assert 3.0 < asked[-1] < 6.0
    silent.answered("a")
    assert (silent.seconds("a", now), silent.next_at(), bool(silent)) == (asked[0], None, False)


def test_an_earlier_silence_is_forgotten_in_time() -> None:
    silent = SilentServers()
    silent.silent("a", 100.0, 100.2)
    assert silent.silent("a", 200.0, 200.2) < 0.5
