"""What `set` accepts, `type=` reads back equal, in all methods with a type; all else is refused and not written (G11)."""

from __future__ import annotations

import dataclasses
import enum
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

import ccs
from tests.context.probes import unchanged


class Kind(enum.StrEnum):
    NEWS = "news"


class Step(BaseModel):
    name: str


class ToolStep(Step):
    arguments: dict[str, Any]


class Plan(BaseModel):
    steps: list[Step]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    kind: Kind = Kind.NEWS
    span: tuple[int, int] = (1, 2)
    when: date | str = date(2026, 1, 1)
    waits: dict[str, timedelta | str] = Field(default={"a": timedelta(1), "b": "P1D"})


@dataclasses.dataclass
class Job:
    name: str
    retries: int = dataclasses.field(default=0, init=False)


class Frame(dict[str, int]):
    rows = ()


def frame() -> Frame:
    value = Frame(a=1)
    value.rows = ("gone",)
    return value


def tried_again(job: Job) -> Job:
    job.retries = 4
    return job


BERLIN = datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)


async def test_a_record_is_read_as_its_type_wherever_a_type_can_be_asked_for(task: Any) -> None:
    value = Strict()
    await task.set("a", value)
    assert await task.get("a", type=Strict) == value
    assert (await task.entry("a", type=Strict)).value == value
    assert await task.get_many(["a"], type=Strict) == {"a": value}
    assert (await task.wait_for("a", type=Strict, timeout=10)).value == value
    assert await task.once("a", Strict, type=Strict, timeout=10) == value
    async with task.transaction() as tx:
        assert await tx.get("a", type=Strict) == value
        assert (await tx.entry("a", type=Strict)).value == value
        tx.set("b", [value])
        assert await tx.get("b", type=list[Strict]) == [value]
    assert (await task.snapshot("b"))["b"].value == [await task.get("a")]


@pytest.mark.parametrize("value", [date(2026, 1, 1), time(1, 2), timedelta(days=-1), BERLIN], ids=str)
async def test_dates_times_and_zones_come_out_of_every_read(task: Any, value: Any) -> None:
    entry = await task.set("a", {"at": value, value: [value]})
    for found in (
        entry.value,
        await task.get("a"),
        (await task.history())[0].value,
        (await task.snapshot())["a"].value,
    ):
        assert found == {"at": value, value: [value]}
        assert type(found["at"]) is type(value)
        assert getattr(found["at"], "tzinfo", None) == getattr(value, "tzinfo", None)
    assert await task.get("a", type=dict[str | type(value), Any])
    assert (await task.wait_for("a", lambda found: found["at"] == value, timeout=10)).revision == entry.revision


async def test_a_number_of_numpy_is_a_number_in_every_write(task: Any) -> None:
    await task.set("a", np.int64(1))
    assert await task.increment("a") == 2
    assert await task.increment("a", np.uint8(2)) == 4
    assert await task.increment("a", np.float32(0.5)) == 4.5
    for wrong in (np.bool_(True), np.complex64(1), np.longdouble(1), np.datetime64("2026-01-01")):
        await unchanged(task, task.increment("a", wrong), ccs.InvalidValue)
    await task.append("b", np.float32(0.5), {np.int64(3): np.bool_(True)})
    assert await task.get("b") == [0.5, {3: True}]
    assert (await task.update("b", lambda value: np.uint8(7))).value == 7


@pytest.mark.parametrize(
    ("value", "what", "where"),
    [
        (Plan(steps=[ToolStep(name="a", arguments={"q": 1})]), "ToolStep", '["steps"][0]'),
        (tried_again(Job("a")), "int", '["retries"]'),
        ({"a": [frame()]}, "Frame", '["a"][0]'),
        (np.arange(3), "ndarray", ""),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_would_be_less_is_refused_by_every_write_and_nothing_is_written(
    task: Any, value: Any, what: str, where: str
) -> None:
    await task.set("a", [1])
    for attempt in (
        task.set("a", value),
        task.create("b", value),
        task.set_many({"b": 1, "c": value}),
        task.update("a", lambda old: value),
        task.append("a", 2, value),
        task.publish("topic", value),
        task.send("role", value),
    ):
        error = await unchanged(task, attempt, ccs.EncodingError)
        assert error.what == what
        assert error.where.endswith(where)
    async with task.transaction() as tx:
        with pytest.raises(ccs.EncodingError):
            tx.set("b", value)
    with pytest.raises(ccs.EncodingError):
        await task.once("key", lambda: value, attempts=1, timeout=10)
    assert await task.paths() == ["a"]
