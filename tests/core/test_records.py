"""Records are read back equal with their type, or refused by type and location (G11): past faults, by name."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import numpy as np
import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from ccs._core.codec import decode, encode, validate
from ccs._core.records import classes, write_plans
from ccs._core.records.classes import READS_BY_NAME
from ccs._core.records.write_plans import Unsure, planned
from ccs.errors import EncodingError, InvalidValue

T = TypeVar("T")

by_name = pytest.mark.skipif(
    not READS_BY_NAME, reason="before pydantic 2.11 a field with an alias is read by that alone"
)


class Frame(dict[str, None]):
    """Like a data frame: a mapping that holds more than its items."""

    def __init__(self, rows: list[dict[str, int]]) -> None:
        super().__init__(dict.fromkeys(rows[0]))
        self.rows = rows


class Graph:
    """Like a graph: a collection of its nodes that holds more."""

    nodes: typing.ClassVar = ["a", "b"]

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __contains__(self, node: object) -> bool:
        return node in self.nodes


class View(Mapping[str, int]):
    """A mapping that is not a dict."""

    def __getitem__(self, key: str) -> int:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter("a")

    def __len__(self) -> int:
        return 1


class Kind(enum.StrEnum):
    A = "a"


class Colour(enum.Enum):
    RED = "red"


class Step(BaseModel):
    name: str


class ToolStep(Step):
    arguments: dict[str, Any] = {}


class Plan(BaseModel):
    steps: list[Step]


class AnyModel(BaseModel):
    it: Any = None


@dataclasses.dataclass
class AnyData:
    it: Any = None


class AnyTuple(NamedTuple):
    it: Any = None


@dataclasses.dataclass
class Point:
    x: int
    y: int


@dataclasses.dataclass
class Point3(Point):
    z: int = 0


class Loose(Point):
    """A subclass that is not itself a dataclass."""

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.z = 3


@dataclasses.dataclass
class Line:
    start: Point
    ends: list[Point] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Job:
    name: str
    retries: int = dataclasses.field(default=0, init=False)


@dataclasses.dataclass
class Measured:
    name: str
    size: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.name)


@dataclasses.dataclass
class Scaled:
    value: int
    factor: dataclasses.InitVar[int]

    def __post_init__(self, factor: int) -> None:
        self.value *= factor


@dataclasses.dataclass
class Cached:
    name: str

    @functools.cached_property
    def shout(self) -> str:
        return self.name.upper()


@dataclasses.dataclass
class Table(dict[str, int]):
    name: str = ""


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    kind: Kind
    day: date
    span: tuple[int, int]
    tags: frozenset[str] = frozenset()


class Either(BaseModel):
    when: date | str
    wait: timedelta | str


class Login(BaseModel):
    user: str
    token: str = Field("", exclude=True)


class Secretive(BaseModel):
    shown: int = 0
    _hidden: int = 0


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 0


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int

    @pydantic.computed_field
    @property
    def twice(self) -> int:
        return 2 * self.a


class Doubling(BaseModel):
    a: int

    @pydantic.field_validator("a")
    @classmethod
    def double(cls, value: int) -> int:
        return 2 * value


class Stripped(BaseModel):
    a: str

    @pydantic.field_validator("a")
    @classmethod
    def strip(cls, value: str) -> str:
        return value.strip()


class Raising(BaseModel):
    a: int = 0

    @pydantic.model_validator(mode="after")
    def fail(self) -> Raising:
        if self.a:
            raise KeyError("not a ValueError")
        return self


class Vector(BaseModel):
    """An array that says how it is stored and how it is read."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    at: Annotated[
        np.ndarray,
        pydantic.BeforeValidator(lambda items: np.asarray(items)),
        pydantic.PlainSerializer(lambda array: array.tolist()),
    ]


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")
    first_name: str


class Swapped(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    a: int = Field(alias="b")
    b: int = Field(alias="a")


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Pet(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


class Page(BaseModel, Generic[T]):
    items: list[T]


class Row(TypedDict):
    day: date
    points: list[Point]


class Rows(BaseModel):
    rows: list[Row]
    pair: AnyTuple = AnyTuple(1)


@dataclasses.dataclass
class Holder:
    plan: Plan
    strict: Strict | None = None


class Bounded(BaseModel):
    model_config = ConfigDict(validate_assignment=False)
    score: float = Field(0.5, ge=0, le=1)
    name: str = Field("", max_length=3)


class Inner(BaseModel):
    line: Line


STRICT = Strict(kind=Kind.A, day=date(2026, 1, 1), span=(1, 2), tags=frozenset("ab"))
UNCHANGED: list[Any] = [
    STRICT,
    Either(when=date(2026, 1, 1), wait=timedelta(1)),
    Either(when="2026-01-01", wait="P1D"),
    Login(user="a"),
    Job("x"),
    Measured("abc"),
    Plan(steps=[Step(name="a")]),
    Line(Point(1, 2), [Point(3, 4)]),
    Computed(a=1),
    Stripped(a=" a "),
    Vector(at=[1.5, 2.5]),
    pytest.param(Camel(firstName="a"), marks=by_name),
    Pet(pet=Dog()),
    Page[Step](items=[Step(name="a")]),
    Page[Annotated[int, Field(ge=0)]](items=[1]),
    Rows(rows=[{"day": date(2026, 1, 1), "points": [Point(1, 2)]}]),
    Holder(Plan(steps=[]), STRICT),
    Inner(line=Line(Point(1, 2))),
    Open.model_validate({"a": 1, "b": date(2026, 1, 1)}),
    RootModel[dict[date, Kind]]({date(2026, 1, 1): Kind.A}),
    Secretive(shown=1),
    Bounded(score=1, name="abc"),
    AnyModel(it={"a": [1, None, date(2026, 1, 1), timedelta(1), datetime.now(UTC)]}),
    AnyData(it=float("nan")),
    AnyData(it=collections.OrderedDict(a=1)),
    AnyTuple([1]),
    AnyData(it=np.int64(3)),
    Page[Colour](items=[Colour.RED]),
]


@pytest.mark.parametrize("value", UNCHANGED, ids=lambda value: repr(value)[:40])
def test_a_record_is_read_back_equal_with_its_type(value: Any) -> None:
    back = validate(decode(encode(value)), type(value))
    assert type(back) is type(value)
    assert repr(back) == repr(value).replace("np.int64(3)", "3").replace("OrderedDict({'a': 1})", "{'a': 1}").replace(
        "OrderedDict([('a', 1)])", "{'a': 1}"
    )
    assert validate(decode(encode([value, value])), list[type(value)])  # type: ignore[misc]  # made at run time


def test_a_cached_property_is_not_part_of_a_record() -> None:
    value = Cached("a")
    assert value.shout == "A"
    assert validate(decode(encode(value)), Cached) == value


def changed(record: Any, **attributes: Any) -> Any:
    """A record whose attributes were set afterwards, which nothing checks."""
    for name, value in attributes.items():
        setattr(record, name, value)
    return record


REFUSED: list[tuple[Any, str]] = [
    (Plan(steps=[ToolStep(name="a", arguments={"q": 1})]), 'ToolStep at value["steps"][0]; with type= it would come back as Step'),
    (Plan(steps=[Step(name="a"), ToolStep(name="a")]), 'ToolStep at value["steps"][1]'),
    (Line(Point3(1, 2, 3)), 'Point3 at value["start"]; with type= it would come back as Point'),
    (Line(Point(1, 2), [Point3(1, 2)]), 'Point3 at value["ends"][0]'),
    (Inner(line=Line(Point3(1, 2))), 'Point3 at value["line"]["start"]'),
    (Loose(), 'at value["z"]'),
    (changed(Point(1, 2), z=3), 'int at value["z"]'),
    (Line(changed(Point(1, 2), z=3)), 'int at value["start"]["z"]'),
    (Inner(line=Line(changed(Point(1, 2), z=3))), 'int at value["line"]["start"]["z"]'),
    (Table("a"), "Table at value; it is more than its fields"),
    (changed(Job("x"), retries=4), 'int at value["retries"]; with type= it would be lost or changed'),
    (changed(Measured("abc"), size=9), 'int at value["size"]'),
    (Scaled(2, 3), "Scaled at value; it could not be read with type=Scaled"),
    (Login(user="a", token="t"), 'str at value["token"]; with type= it would be lost or changed, by exclude'),
    (changed(Secretive(), _hidden=3), 'int at value["_hidden"]'),
    (Doubling(a=1), 'int at value["a"]'),
    (Raising.model_construct(a=1), "Raising at value; it could not be read"),
    (Swapped(a=1, b=2), 'int at value["a"]'),
    (changed(Bounded(), score=7.0), "Bounded at value; it could not be read with type=Bounded"),
    (changed(Bounded(), name="abcd"), "Bounded at value"),
    (changed(STRICT.model_copy(), span=[1, 2]), 'list at value["span"]; with type= it would come back as tuple'),
    (Point("1", 2), 'str at value["x"]; with type= it would come back as int; declare str there'),  # type: ignore[arg-type]
    (Point("a", 2), "Point at value; it could not be read with type=Point"),  # type: ignore[arg-type]
    (Page[Any](items=[Step(name="a")]), 'Step at value["items"][0]; with type= it would come back as dict; declare Step there'),
    (Step.model_construct(), "Step at value; it could not be read with type=Step"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda value: repr(value)[:40])
def test_a_record_that_would_come_back_as_less_is_refused_by_type_and_location(value: Any, message: str) -> None:
    with pytest.raises(EncodingError) as caught:
        encode(value)
    assert message in str(caught.value)
    with pytest.raises(EncodingError) as caught:
        encode({"a": [0, value]})
    assert caught.value.where.startswith('value["a"][1]')


@pytest.mark.parametrize("record", [AnyModel, AnyData, AnyTuple, Page[Any]], ids=lambda record: record.__name__)
@pytest.mark.parametrize(
    "content",
    [
        Frame([{"x": 1}]),
        Graph(),
        View(),
        types.MappingProxyType({"a": 1}),
        collections.UserDict(a=1),
        collections.deque([1]),
        range(3),
        (1, 2),
        [(1, 2)],
        {"a": (1,)},
        np.arange(3),
        np.zeros((2, 2)),
        Colour.RED,
        {Colour.RED: 1},
        Point(1, 2),
        Step(name="a"),
        AnyTuple(1),
        ValueError("x"),
        {"a": 1}.keys(),
        iter([1]),
        1j,
        object(),
        type("Text", (str,), {})("a").__class__,
    ],
    ids=lambda content: type(content).__name__,
)
def test_a_special_value_is_refused_if_no_type_is_declared(record: Any, content: Any) -> None:
    value = (
        record(items=[content])
        if record is Page[Any]
        else record(content)
        if record is not AnyModel
        else record(it=content)
    )
    with pytest.raises(EncodingError) as caught:
        encode(value)
    assert caught.value.where.startswith("value[")
    assert caught.value.hint


def test_a_frame_in_a_field_that_is_declared_a_dict_is_refused() -> None:
    @dataclasses.dataclass
    class Report:
        table: dict  # type: ignore[type-arg]

    with pytest.raises(EncodingError, match=r'cannot store Frame at value\["table"\]; .*rows'):
        encode(Report(Frame([{"x": 1}])))


def test_a_record_cannot_be_a_key() -> None:
    class Root(RootModel[str]):
        model_config = ConfigDict(frozen=True)

    for value in ({Root("a"): 1}, {AnyTuple(1): 1}, {Root("a")}):
        with pytest.raises(EncodingError, match="use a scalar"):
            encode(value)


# How a type is asked for.


def test_a_strict_type_reads_its_stored_form_and_nothing_that_would_be_converted() -> None:
    assert validate(decode(encode(STRICT)), Strict) == STRICT
    for wrong in ({"kind": "a", "day": "2026-01-01", "span": [1, 2], "tags": set()}, {"kind": "a", "span": ["1", 2]}):
        with pytest.raises(InvalidValue):
            validate(wrong, Strict)
    for stored in (5.0, "5", True):
        with pytest.raises(InvalidValue):
            validate(stored, Annotated[int, pydantic.Strict()])


SCALARS: dict[Any, Any] = {
    str: "2026-01-01", int: 1, float: 1.0, bool: True, bytes: b"1", date: date(2026, 1, 1), timedelta: timedelta(1),
    datetime: datetime(2026, 1, 1, tzinfo=UTC), time: time(0, 0, 1), UUID: UUID(int=1), type(None): None,
}  # fmt: skip


@pytest.mark.parametrize("one", SCALARS)
@pytest.mark.parametrize("other", SCALARS)
def test_a_union_of_scalars_returns_the_one_that_was_stored(one: Any, other: Any) -> None:
    for value in (SCALARS[one], SCALARS[other]):
        back = validate(decode(encode(value)), one | other)
        assert (type(back), back) == (type(value), value)


# Decided once a class.


def test_a_class_that_reads_as_declared_is_never_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccs._core.records.confirm", None)
    for value in (Plan(steps=[Step(name="a")]), Line(Point(1, 2)), Bounded(), AnyTuple([1])):
        assert encode([value])


@by_name
def test_a_class_with_aliases_is_never_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccs._core.records.confirm", None)
    assert decode(encode(Camel(firstName="a"))) == {"first_name": "a"}


def test_a_class_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (Step(name="a"), Stripped(a="a"), Login(user="a")):
        encode(value)
    for judgement in ("_is_model_of_fields", "_reads_as_declared", "_model_reads_as_declared"):
        monkeypatch.setattr(classes, judgement, None)
    encode([Step(name="b"), Stripped(a="b"), Login(user="b")])


def test_a_plan_is_unsure_of_values_that_are_not_exactly_of_their_type() -> None:
    for record in (Point(True, 2), Point(1.0, 2), Line(Point3(1, 2)), Point3, changed(Point(1, 2), z=1)):  # type: ignore[arg-type]
        with pytest.raises(Unsure):
            planned(record)


def test_a_plan_writes_the_same_as_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [Plan(steps=[Step(name="a")]), Line(Point(1, 2)), AnyTuple([1]), Page[Colour](items=[Colour.RED])]
    quick = [encode(value) for value in values]
    monkeypatch.setattr(write_plans, "_plan", lambda cls: None)
    assert [encode(value) for value in values] == quick
