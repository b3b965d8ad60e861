"""Models, dataclasses and named tuples of any form are read back equal with their type, or refused."""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
import re
import typing
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import pydantic
from annotated_types import Ge, MaxLen
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from ccs._core.codec import decode, encode, validate
from ccs.errors import EncodingError
from tests.support.waiting import counts


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 3


class Kind(enum.StrEnum):
    NEWS = "news"


class Mixed(enum.Enum):
    ONE = 1
    TEXT = "1"
    PAIR = (1, 2)


class Bits(enum.Flag):
    A = 1
    B = 2


class Step(BaseModel):
    name: str = ""


class ToolStep(Step):
    arguments: dict[str, Any] = {}


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    kind: Kind = Kind.NEWS


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int = 1


class Stripped(BaseModel):
    text: str = ""

    @pydantic.field_validator("text")
    @classmethod
    def strip(cls, text: str) -> str:
        return text.strip()


class Hidden(BaseModel):
    shown: int = 0
    hidden: int = Field(0, exclude=True)


class Private(BaseModel):
    shown: int = 0
    _more: int = 0


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Aliased(BaseModel):
    head: str = Field("", alias="headLine")
    body: str = Field("", alias="head_line", serialization_alias="x")


class Swapped(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    a: int = Field(0, alias="b")
    b: int = Field(0, alias="a")


@dataclasses.dataclass
class Point:
    x: int = 0
    y: float = 0.0


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    x: int = 0


@dataclasses.dataclass
class Counted:
    name: str = ""
    retries: int = dataclasses.field(default=0, init=False)


@dataclasses.dataclass(eq=False)
class Unequal:
    x: Any = None
    y: int = dataclasses.field(default=0, compare=False)


class Chain(BaseModel):
    next: Chain | None = None


class Pair(NamedTuple):
    a: int = 0
    b: tuple[int, ...] = ()


Bare = collections.namedtuple("Bare", "a b")


class Row(TypedDict):
    a: int


class Frame(dict):
    """Like a data frame: a mapping that holds more than its items."""

    def __init__(self, rows: list[Any]) -> None:
        super().__init__(a=1)
        self.rows = rows


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
berlin = st.datetimes(
    min_value=datetime(2025, 10, 25, 20),  # noqa: DTZ001 - bounds have no zone
    max_value=datetime(2025, 10, 26, 6),  # noqa: DTZ001
    timezones=st.just(ZoneInfo("Europe/Berlin")),
)
small = st.integers(-3, 3)

# Values by the type that they are declared as; the wrong ones get in as well, as nothing checks an assignment.
leaves: dict[Any, st.SearchStrategy[Any]] = {
    str: text | st.sampled_from(["1", "news", "2025-01-01", " a "]),
    int: st.integers() | st.sampled_from([2**70, 0, 1]),
    float: st.floats(),
    bool: st.booleans(),
    bytes: st.binary(max_size=4),
    type(None): st.none(),
    datetime: st.datetimes(timezones=st.just(UTC)) | berlin,
    date: st.dates(),
    time: st.times() | st.times(timezones=st.just(UTC)),
    timedelta: st.timedeltas(),
    uuid.UUID: st.uuids(),
    Decimal: st.decimals(allow_nan=False) | st.just(Decimal("NaN")),
    Colour: st.sampled_from(Colour),
    Level: st.sampled_from(Level),
    Kind: st.sampled_from(Kind),
    Mixed: st.sampled_from(Mixed),
    Bits: st.sampled_from([Bits.A, Bits.A | Bits.B]),
    Literal["a", 1]: st.sampled_from(["a", 1]),
    PurePosixPath: st.just(PurePosixPath("/a/b")),
    IPv4Address: st.just(IPv4Address("10.0.0.1")),
    re.Pattern: st.sampled_from([re.compile("a"), re.compile("a", re.I)]),
    Step: st.builds(Step, name=text) | st.builds(ToolStep),
    Strict: st.builds(Strict),
    Stripped: st.builds(Stripped, text=text) | st.builds(Stripped.model_construct, text=st.just(" a ")),
    Hidden: st.builds(Hidden, hidden=st.integers(0, 1)),
    Open: st.just(Open()) | st.just(Open.model_validate({"more": 1})),
    Aliased: st.just(Aliased(headLine="a", head_line="b")),
    Swapped: st.builds(Swapped, a=small, b=small),
    Point: st.builds(Point, x=small | text, y=st.floats() | small),
    Slotted: st.builds(Slotted, x=small),
    Counted: st.builds(Counted),
    Unequal: st.builds(Unequal, x=small | st.tuples(small), y=small),
    Chain: st.just(Chain(next=Chain(next=Chain()))),
    Pair: st.builds(Pair, a=small | text, b=st.tuples(small)),
    Bare: st.builds(Bare, small, small | st.tuples(small)),
    Row: st.fixed_dictionaries({"a": small}),
    Cat | Dog: st.builds(Cat) | st.builds(Dog),
    Annotated[int, Ge(0)]: small,
    Annotated[str, MaxLen(2)]: text,
    Annotated[int, pydantic.BeforeValidator(lambda value: value + 1)]: small,
    Annotated[int, pydantic.PlainSerializer(lambda value: str(value))]: small,
    Annotated[Step, pydantic.SkipValidation]: st.builds(Step) | small,
    pydantic.SecretStr: st.just(pydantic.SecretStr("a")),
}
everything = st.one_of(*leaves.values()) | st.just(Frame([1])) | st.just(collections.OrderedDict(a=1)) | st.just((1, 2))
leaves[Any] = everything
leaves[object] = everything
hashable: list[Any] = [
    str,
    int,
    float,
    bool,
    bytes,
    datetime,
    date,
    time,
    timedelta,
    uuid.UUID,
    Decimal,
    Colour,
    Kind,
    Level,
]


def wrapped(typed: tuple[Any, st.SearchStrategy[Any]]) -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    type_, values = typed
    lists = st.lists(values, max_size=2)
    return st.sampled_from([
        (type_ | None if type_ not in (Any, object) else Any, st.none() | values),
        (list[type_], lists),
        (list, lists),
        (tuple[type_, ...], lists.map(tuple)),
        (tuple[int, type_], st.tuples(small, values)),
        (typing.Sequence[type_], lists | lists.map(tuple)),
        (collections.deque[type_], lists.map(collections.deque)),
        (dict[str, type_], st.dictionaries(text, values, max_size=2)),
        (dict[int | str, type_], st.dictionaries(small | text, values, max_size=2)),
        (typing.Mapping[str, type_], st.dictionaries(text, values, max_size=2)),
        (dict, st.dictionaries(text | small, values, max_size=2)),
    ])  # fmt: skip


def sets(type_: Any) -> tuple[Any, st.SearchStrategy[Any]]:
    return set[type_], st.sets(leaves[type_], max_size=2)


def frozensets(type_: Any) -> tuple[Any, st.SearchStrategy[Any]]:
    return frozenset[type_], st.frozensets(leaves[type_], max_size=2)


def either(pair: list[Any]) -> tuple[Any, st.SearchStrategy[Any]]:
    return typing.Union[tuple(pair)], st.one_of(leaves[pair[0]], leaves[pair[1]])  # noqa: UP007 - made at run time


def keyed(type_: Any) -> tuple[Any, st.SearchStrategy[Any]]:
    return dict[type_, int], st.dictionaries(leaves[type_], small, max_size=2)


plain = st.sampled_from(list(leaves.items()))
typed = st.one_of(
    plain,
    st.sampled_from(hashable).map(sets),
    st.sampled_from(hashable).map(frozensets),
    st.sampled_from(hashable).map(keyed),
    st.lists(st.sampled_from(list(leaves)), min_size=2, max_size=2).map(either),
    plain.flatmap(wrapped),
    plain.flatmap(wrapped).flatmap(wrapped),
)
fields = st.lists(typed, min_size=1, max_size=3)
configs = st.sampled_from([
    {}, {}, {}, {"frozen": True}, {"extra": "forbid"}, {"extra": "allow"}, {"strict": True}, {"str_strip_whitespace": True},
    {"use_enum_values": True}, {"coerce_numbers_to_str": True}, {"alias_generator": to_camel},
    {"arbitrary_types_allowed": True}, {"ser_json_timedelta": "float"}, {"val_json_bytes": "base64"},
])  # fmt: skip


@st.composite
def records(draw: st.DrawFn) -> Any:
    """An instance of a class that is made up, its fields filled without validation."""
    declared = draw(fields)
    names = [f"field_{index}" for index in range(len(declared))]
    values = {name: draw(values) for name, (_, values) in zip(names, declared, strict=True)}
    types = {name: type_ for name, (type_, _) in zip(names, declared, strict=True)}
    kind = draw(st.sampled_from(["model", "model", "dataclass", "slots", "tuple"]))
    if kind == "model":
        config = ConfigDict(**draw(configs))
        return made_model(config, types).model_construct(**values)
    if kind == "tuple":
        return NamedTuple("Made", list(types.items()))(**values)  # type: ignore[misc]
    return dataclasses.make_dataclass("Made", list(types.items()), slots=kind == "slots")(**values)


def made_model(config: ConfigDict, types: dict[str, Any]) -> type[BaseModel]:
    try:
        return pydantic.create_model("Made", __config__=config, **{name: (type_, ...) for name, type_ in types.items()})
    except pydantic.PydanticUserError:  # what does not go together
        reject()


def is_same(value: Any, back: Any) -> bool:
    """Whether two values are equal in all their state, whatever their types claim; NaN equals itself."""
    if isinstance(value, BaseModel) or dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return type(value) is type(back) and is_same(inside(value), inside(back))
    if isinstance(value, dict):
        more = (
            vars(value) == vars(back)
            if hasattr(value, "rows") and hasattr(back, "rows")
            else not hasattr(value, "rows")
        )
        return (
            more
            and isinstance(back, dict)
            and value.keys() == back.keys()
            and all(is_same(value[key], back[key]) for key in value)
        )
    if isinstance(value, list | tuple | collections.deque):
        return type(value) is type(back) and len(value) == len(back) and all(map(is_same, value, back))
    if isinstance(value, set | frozenset) and value != back:  # with NaN in it
        return sorted(map(repr, value)) == sorted(map(repr, back))
    if isinstance(value, float | Decimal) and math.isnan(value):
        return math.isnan(back)
    return bool(value == back)


def inside(record: Any) -> dict[str, Any]:
    if isinstance(record, BaseModel):
        return {**record.__dict__, **(record.model_extra or {}), **(record.__pydantic_private__ or {})}
    if isinstance(record, tuple):
        return record._asdict()
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


@given(records())
@settings(max_examples=counts(60, 5_000), suppress_health_check=list(HealthCheck), deadline=None)
def test_a_stored_record_is_read_back_equal_with_its_type(record):
    try:
        raw = encode(record)
    except EncodingError:
        return
    assert is_same(record, validate(decode(raw), type(record)))


@given(records())
@settings(max_examples=counts(30, 2_000), suppress_health_check=list(HealthCheck), deadline=None)
def test_a_list_of_records_is_read_back_as_one(record):
    try:
        raw = encode([record])
    except EncodingError:
        return
    assert is_same([record], validate(decode(raw), list[type(record)]))
