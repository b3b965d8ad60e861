"""Dates, times, durations and zones come back unchanged (G11)."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import pytest
from pydantic import BaseModel

from ccs._core.codec import decode, encode, validate
from ccs._core.values import scalars
from ccs.errors import EncodingError

BERLIN = ZoneInfo("Europe/Berlin")
TWICE = datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN)  # on this night half past two comes twice
NEVER = datetime(2025, 3, 30, 2, 30, tzinfo=BERLIN)  # and on this one not at all


@pytest.mark.parametrize(
    ("value", "code", "payload"),
    [
        (date(2025, 1, 2), 6, b"2025-01-02"),
        (time(3, 4, 5), 7, b"03:04:05"),
        (time(3, 4, 5, 6, timezone(timedelta(hours=1))), 7, b"03:04:05.000006+01:00"),
        (time(2, 30, fold=1), 7, b"02:30:00[_fold=1]"),
        (timedelta(0), 8, b"\x00"),
        (timedelta(seconds=-1), 8, (-1_000_000).to_bytes(3, "big", signed=True)),
        (datetime(2025, 1, 2, 3, 4, 5, tzinfo=BERLIN), 9, b"2025-01-02T03:04:05+01:00[Europe/Berlin]"),
        (TWICE.replace(fold=1), 9, b"2025-10-26T02:30:00+01:00[Europe/Berlin][_fold=1]"),
    ],
    ids=str,
)
def test_the_format_of_moments_on_the_server_does_not_change(value: Any, code: int, payload: bytes) -> None:
    assert encode(value) == msgpack.packb(msgpack.ExtType(code, payload))


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("moment", [TWICE, NEVER, TWICE.replace(month=6), datetime.max.replace(tzinfo=BERLIN)], ids=str)
def test_a_datetime_keeps_its_zone_and_its_fold(moment: datetime, fold: int) -> None:
    value = moment.replace(fold=fold)
    back = decode(encode([value, {value: value}]))
    for each in (back[0], *back[1].keys(), *back[1].values()):
        assert each == value
        assert (each.tzinfo, each.fold, each.utcoffset()) == (BERLIN, fold, value.utcoffset())


def test_times_and_durations_of_every_size_come_back() -> None:
    for value in (
        *(date.min, date.max, time.min, time.max, time(1, tzinfo=UTC), time(1, tzinfo=ZoneInfo("UTC"))),
        *(timedelta.min, timedelta.max, timedelta(microseconds=1), timedelta(microseconds=-1)),
    ):
        back = decode(encode({value: [value], "set": {value}}))
        assert back == {value: [value], "set": {value}}
        assert {type(each) for each in back["set"]} == {type(value)}


def test_what_earlier_versions_wrote_is_read() -> None:
    class Old(BaseModel):
        on: date
        at: time
        took: timedelta

    stored = {"on": "2025-01-02", "at": "03:04:05", "took": "PT1.5S"}  # dates and times inside of models were text
    old = Old(on=date(2025, 1, 2), at=time(3, 4, 5), took=timedelta(seconds=1.5))
    assert validate(stored, Old) == old
    moment = decode(msgpack.packb(msgpack.ExtType(2, b"2025-10-26T02:30:00+01:00")))
    assert moment.isoformat() == "2025-10-26T02:30:00+01:00"


# Readers that know other zones.


def test_if_the_zone_is_not_installed_the_datetime_is_read_with_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = encode(TWICE.replace(fold=1))

    def missing(key: str) -> ZoneInfo:
        raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(scalars, "ZoneInfo", missing)
    back = decode(raw)
    assert back.isoformat() == "2025-10-26T02:30:00+01:00"
    assert back.tzinfo == timezone(timedelta(hours=1))


def test_if_the_rules_of_the_zone_have_changed_the_instant_is_kept() -> None:
    back = decode(msgpack.packb(msgpack.ExtType(9, b"2025-01-02T03:00:00+03:00[Europe/Berlin]")))
    assert back.isoformat() == "2025-01-02T01:00:00+01:00"
    assert back.tzinfo is BERLIN


@pytest.mark.parametrize("key", ["", ".", "..", "../../etc/passwd", "/etc/passwd", "Europe", "a\x00", "Ä", "x" * 9_000])
def test_a_hostile_zone_name_is_ignored(key: str) -> None:
    back = decode(msgpack.packb(msgpack.ExtType(9, f"2025-01-02T03:00:00+03:00[{key}]".encode())))
    assert back == datetime(2025, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("code", [6, 7, 8, 9])
@pytest.mark.parametrize("payload", [b"x" * 20, b"\x80" * 20, b"2025-01-02T03:00:00[Europe/Berlin]"])
def test_broken_moments_are_refused(code: int, payload: bytes) -> None:
    with pytest.raises(EncodingError, match="not a value that CCS can read"):
        decode(msgpack.packb(msgpack.ExtType(code, payload)))


# Refusals.


class Elsewhere(tzinfo):
    """A zone of another library."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return timedelta(hours=2) if moment else None

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return "Elsewhere"


def test_a_zone_that_has_no_key_is_stored_as_its_offset() -> None:
    value = datetime(2025, 1, 2, tzinfo=Elsewhere())
    assert decode(encode(value)) == value
    assert decode(encode(value)).tzinfo == timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (time(1, tzinfo=BERLIN), "cannot store time at value[0]; its zone has no UTC offset without a date"),
        (time(1, tzinfo=Elsewhere()), "cannot store time at value[0]; its zone has no UTC offset"),
        (time(1, tzinfo=timezone(timedelta(microseconds=1))), "cannot store time at value[0]; its UTC offset has"),
        (datetime(2025, 1, 2), "cannot store naive datetime at value[0]; give it a timezone"),  # noqa: DTZ001 - on purpose
    ],
)
def test_datetimes_that_would_lose_information_are_refused(value: Any, message: str) -> None:
    with pytest.raises(EncodingError) as caught:
        encode([value])
    assert str(caught.value).startswith(message)
