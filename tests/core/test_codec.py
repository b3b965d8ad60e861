"""Values come back with their type, or are refused by type and location (G11)."""

from __future__ import annotations

import collections
import contextlib
import enum
import functools
import math
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import msgpack
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, AnyUrl, BaseModel, ConfigDict, Field, SecretBytes, SecretStr, computed_field
from typing_extensions import TypedDict

from ccs._core import codec
from ccs._core.codec import decode, encode, validate
from ccs._core.records import validation
from ccs._core.records.classes import READS_BY_NAME
from ccs.errors import EncodingError, InvalidValue, ValueTooLarge

NOON = datetime(2025, 3, 9, 12, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=5, minutes=45)))
NAIVE = NOON.replace(tzinfo=None)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
offsets = offsets.map(lambda offset: timezone(timedelta(seconds=offset // timedelta(seconds=1))))
moments = st.datetimes(timezones=offsets | st.just(UTC))
zones = st.sampled_from([ZoneInfo(key) for key in ("Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "UTC")])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**80), 2**80)
    | st.sampled_from([0, 1, -1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**1000])
    | st.floats()
    | st.sampled_from([0.0, -0.0, 1.0, math.inf, -math.inf, math.nan])
    | text
    | st.binary(max_size=8)
    | moments
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times()
    | st.times(timezones=offsets)
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.sampled_from([Decimal("1.10"), Decimal("-0"), Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999")])
)
values = st.recursive(
    scalars | st.binary(max_size=4).map(bytearray) | st.sets(scalars, max_size=4) | st.frozensets(scalars, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(scalars, inner, max_size=4)
        | st.dictionaries(text, inner, max_size=4).map(collections.OrderedDict)
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """A value with the types of all that is in it spelled out: 1, 1.0 and True differ, NaN is itself."""
    if isinstance(value, dict):
        return "dict", [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return "list", [shape(item) for item in value]
    if isinstance(value, set | frozenset):
        return "set", sorted(map(repr, map(shape, value)))
    if isinstance(value, datetime):
        return "datetime", value.isoformat(), isinstance(value.tzinfo, ZoneInfo) and (value.tzinfo.key, value.fold)
    value = bytes(value) if isinstance(value, bytearray) else value
    return type(value).__name__, repr(value)


# Round trips.


@given(values)
def test_a_value_comes_back_with_its_type(value):
    assert shape(decode(encode(value))) == shape(value)


@given(values)
def test_a_decoded_value_is_encoded_as_the_same_bytes(value):
    assert encode(decode(encode(value))) == encode(value)


def hashables(inner):
    keys = inner.filter(lambda value: not isinstance(value, dict | list) and is_hashable(value))
    return st.frozensets(keys, max_size=3) | st.dictionaries(keys, inner, max_size=3)


def is_hashable(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


@given(st.recursive(
    scalars | st.dates() | st.datetimes() | st.sampled_from([1j, "\ud800", int, msgpack.Timestamp(1)]),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | hashables(inner),
    max_leaves=6,
))  # fmt: skip
def test_a_value_that_is_stored_can_be_read(value):
    with contextlib.suppress(EncodingError):
        raw = encode(value)
        assert refusal(decode, raw) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_refused(raw):
    assert len(refusal(decode, raw) or "") < 300


def refusal(function, argument):
    try:
        function(argument)
    except EncodingError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ((1, (2, ())), [1, [2, []]]),
        (frozenset([1]), {1}),
        ({"a": [frozenset()]}, {"a": [set()]}),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        (memoryview(b"abcd")[::2], b"ac"),
        ([memoryview(b"abcdefgh").cast("i")], [b"abcdefgh"]),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.namedtuple("Point", "x y")(1, 2), [1, 2]),
        ({memoryview(b"a"): 1}, {b"a": 1}),
    ],
)
def test_a_similar_type_comes_back_as_the_plain_type(value, back):
    assert shape(decode(encode(value))) == shape(back)


@pytest.mark.parametrize(
    ("base", "plain"),
    [(str, "a"), (int, 5), (int, 2**70), (float, -0.0), (bytes, b"a"), (bytearray, b"a"), (dict, {"a": (1,)}),
     (list, [(1,)]), (tuple, (1,)), (set, {1}), (frozenset, {1}), (Decimal, Decimal("1.0")), (uuid.UUID, "0" * 32)],
)  # fmt: skip
def test_an_instance_of_a_subclass_is_stored_as_its_base_type(base, plain):
    value = type("Special", (base,), {"__str__": lambda self: "?", "__repr__": lambda self: "?"})(plain)
    assert shape(decode(encode([value]))) == shape([base(plain)])


def test_a_moved_to_end_ordered_dict_keeps_its_order():
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert list(decode(encode(ordered))) == ["b", "a"]


def test_a_datetime_keeps_its_moment_offset_and_microseconds():
    back = decode(encode(NOON))
    assert (back, back.utcoffset()) == (NOON, NOON.utcoffset())


def test_a_timestamp_of_another_program_is_read_as_a_datetime():
    assert decode(msgpack.packb(NOON, datetime=True)) == NOON


def test_equal_sets_are_equal_bytes_in_whatever_order_they_were_built():
    assert encode({8, 0, "a", None}) == encode({None, "a", 0, 8})
    assert encode({0, 8, 16, 24, 32, 2**70}) == encode({2**70, 32, 24, 16, 8, 0})


def test_the_format_on_the_server_does_not_change():
    moment = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    value = [2**64, -(2**64), moment, uuid.UUID(int=1), Decimal("1.50"), {2, 1}]
    assert encode(value).hex() == (
        "96c70901010000000000000000c70901ff0000000000000000"
        "c71902323032352d30312d30325430333a30343a30352b30303a3030"
        "d80300000000000000000000000000000001d604312e3530c70305920102"
    )


def test_many_threads_encode_at_once():
    value = {"a": [NOON, {1, 2}, (3,), 2**80], "text": "x" * 2_000}
    with ThreadPoolExecutor(8) as pool:
        assert len({bytes(raw) for raw in pool.map(lambda _: encode(value), range(400))}) == 1


# Refusals.


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Kind(enum.StrEnum):
    NEWS = "news"


@dataclass(frozen=True)
class Point:
    x: int
    y: int


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: int = 1


def nested(depth: int, wrap=lambda inner: [inner]) -> Any:
    return functools.reduce(lambda inner, _: wrap(inner), range(depth), 1)


def looped() -> list[Any]:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    return loop


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1j, "cannot store complex at value"),
        ({"sources": [1, 2, 3, 1j]}, 'cannot store complex at value["sources"][3]'),
        ({1: {b"a": {None: object()}}}, "cannot store object at value[1][b'a'][None]"),
        ({'a "b"\n': len}, r'cannot store builtin_function_or_method at value["a \"b\"\n"]'),
        ([(1, (2, 1j))], "cannot store complex at value[0][1][1]"),
        (collections.OrderedDict(a=[1j]), 'cannot store complex at value["a"][0]'),
        ([NAIVE], "cannot store naive datetime at value[0]; give it a timezone"),
        ({NAIVE}, "cannot store naive datetime at value; give it a timezone"),
        ({"a": Colour.RED}, 'cannot store Colour at value["a"]; store its .value'),
        ([Level.HIGH], "cannot store Level at value[0]; store its .value"),
        ([Kind.NEWS], "cannot store Kind at value[0]; store its .value"),
        ({Kind.NEWS: 1}, "cannot store Kind at value; store its .value"),
        ({"a": {(1, 2): 3}}, 'cannot store tuple as a key at value["a"]; use a scalar'),
        ([{frozenset(): 3}], "cannot store frozenset as a key at value[0]; use a scalar"),
        ([{Point(1, 2): 3}], "cannot store Point as a key at value[0]; use a scalar"),
        ([{Frozen(): 3}], "cannot store Frozen as a key at value[0]; use a scalar"),
        ([{(1, 2)}], "cannot store tuple in a set at value[0]; use a scalar"),
        ([{frozenset()}], "cannot store frozenset in a set at value[0]; use a scalar"),
        ([{Point(1, 2)}], "cannot store Point in a set at value[0]; use a scalar"),
        (["a\ud800"], "cannot store str with a lone surrogate at value[0]"),
        ({"a\ud800": 1}, "cannot store str with a lone surrogate at value"),
        (Frozen, "cannot store ModelMetaclass at value"),
        (Point, "cannot store type at value"),
        (SecretStr("x"), "cannot store SecretStr at value"),
        (range(3), "cannot store range at value"),
        (iter([1]), "cannot store list_iterator at value"),
        (collections.deque([1]), "cannot store deque at value"),
        (Path("a"), "cannot store PosixPath at value"),
        (
            looped(),
            'cannot store list at value[1]["again"][1]["again"][1]["again"][1]["again"]…; it is nested more than 256',
        ),
        (
            [datetime(2025, 1, 1, tzinfo=timezone(timedelta(microseconds=1)))],
            "cannot store datetime at value[0]; its UTC offset",
        ),
        (nested(5_000), "cannot store list at value[0][0][0][0][0][0][0][0]…; it is nested more than 256 deep"),
        (nested(300, lambda inner: (inner,)), "cannot store tuple at value[0][0]"),
        (nested(300, lambda inner: Field(default=inner)), "cannot store FieldInfo at value"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_stored_is_named_with_its_location(value, message):
    with pytest.raises(EncodingError) as caught:
        encode(value)
    assert str(caught.value).startswith(message)


def test_a_value_that_is_nested_as_deep_as_promised_is_stored():
    for wrap in (lambda inner: [inner], lambda inner: (inner,), lambda inner: {"a": inner}):
        value = nested(codec.MAX_DEPTH, wrap)
        assert shape(decode(encode(value))) == shape(value)


def test_a_value_of_any_depth_that_is_stored_can_be_read():
    deepest = 0
    for depth in (500, 511, 512, 1_000, 1_022, 1_023, 1_024, 1_025, 1_026):
        try:
            raw = encode(nested(depth))
        except EncodingError:
            continue
        decode(raw)
        deepest = depth
    assert deepest >= 500


def test_a_model_or_dataclass_that_contains_itself_is_refused():
    model, node = Node(), Chain()
    model.next, node.next = model, node
    for loop in (model, [node]):
        with pytest.raises(EncodingError, match="cannot store"):
            encode(loop)


def test_a_deep_stack_of_the_caller_raises_an_error_of_ours():
    def dive(depth):
        return encode(nested(200, lambda inner: (inner,))) if depth == 0 else dive(depth - 1)

    with pytest.raises(EncodingError):
        dive(sys.getrecursionlimit() - 150)


def test_a_value_over_the_limit_is_too_large_and_the_error_says_by_how_much():
    assert encode("a" * 97, limit=99) == b"\xd9" + bytes([97]) + b"a" * 97
    with pytest.raises(ValueTooLarge) as caught:
        encode("a" * 98, limit=99)
    assert (caught.value.size, caught.value.limit) == (100, 99)


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", b"\x01\x02", b"\x92\x01", b"\xa1\xff", b"\x81\x90\x01", b"\xdd\xff\xff\xff\xff"]
)
def test_bytes_that_are_not_msgpack_are_refused(raw):
    with pytest.raises(EncodingError, match="not a value that CCS can read"):
        decode(raw)


def test_an_unknown_extension_is_refused_by_its_code():
    with pytest.raises(EncodingError, match="extension type 99 is unknown"):
        decode(msgpack.packb([msgpack.ExtType(99, b"a")]))


@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_a_broken_extension_is_refused(code):
    with pytest.raises(EncodingError):
        decode(msgpack.packb(msgpack.ExtType(code, b"\xff")))


def test_sets_nested_by_a_hostile_writer_are_refused():
    raw = b"\x90"
    for _ in range(2_000):
        raw = msgpack.packb(msgpack.ExtType(5, raw))
    with pytest.raises(EncodingError):
        decode(raw)


def test_a_refused_error_does_not_quote_all_the_bytes():
    with pytest.raises(EncodingError) as caught:
        decode(b"\x01" + b"x" * 100_000)
    assert len(str(caught.value)) < 300


# Models and dataclasses.


by_name = pytest.mark.skipif(
    not READS_BY_NAME, reason="before pydantic 2.11 a field with an alias is read by that alone"
)


class Node(BaseModel):
    next: Node | None = None


@dataclass
class Chain:
    next: Chain | None = None


class Source(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: AnyUrl
    kind: Kind = Kind.NEWS
    at: datetime = NOON
    on: date = date(2025, 1, 2)
    took: timedelta = timedelta(seconds=-1.5)
    price: Decimal = Decimal("1.10")

    @computed_field
    @property
    def host(self) -> str:
        return self.url.host or ""


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True, extra="forbid")
    title: str = Field(alias="headLine")
    body: str = Field(validation_alias=AliasChoices("text", "content"), serialization_alias="bodyText")


class Everything(BaseModel):
    id: uuid.UUID
    colour: Colour
    levels: dict[Level, list[Colour]]
    days: dict[date, time]
    pair: tuple[int, Source]
    tags: set[str]
    kinds: frozenset[Kind]
    folder: Path
    address: IPv4Address
    raw: bytes
    big: int
    queue: collections.deque[bytes]
    sources: list[Source] = []
    point: Point | None = None
    aliased: Aliased | None = None
    anything: Any = None
    text: Literal["a", "b"] = "a"


class Item(pydantic.RootModel[tuple[datetime, ...]]):
    pass


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T]


@dataclass
class Report:
    title: str
    sources: list[Source] = field(default_factory=list)
    on: date = date(2025, 1, 1)
    colour: Colour = Colour.RED
    point: Point | None = None
    size: int = field(default=0, kw_only=True)


@pydantic.dataclasses.dataclass(config=ConfigDict(extra="forbid"))
class Checked:
    name: str = Field(alias="Name")
    day: date = date(2025, 1, 1)


class Pair(NamedTuple):
    a: int
    b: Point


class Row(TypedDict):
    a: int
    when: datetime


SOURCE = Source(url=AnyUrl("https://example.org/a"))
ALIASED = Aliased(headLine="t", text="b")
EVERYTHING = Everything(
    id=uuid.UUID(int=7), colour=Colour.RED, levels={Level.HIGH: [Colour.RED]}, days={date(2025, 1, 1): time(1, 2, 3)},
    pair=(1, SOURCE), tags={"a", "b"}, kinds=frozenset([Kind.NEWS]), folder=Path("/tmp/x"),
    address=IPv4Address("10.0.0.1"), raw=b"\x00\xff", big=2**100, queue=collections.deque([b"\xff"]),
    sources=[SOURCE, SOURCE], point=Point(1, 2), aliased=ALIASED, anything={"deep": [NOON, 2**70, [1]]},
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (SOURCE, Source),
        pytest.param(ALIASED, Aliased, marks=by_name),
        pytest.param([ALIASED], list[Aliased], marks=by_name),
        ({"a": SOURCE}, dict[str, Source]),
        (Item((NOON,)), Item),
        (pydantic.RootModel[datetime](NOON), pydantic.RootModel[datetime]),
        (pydantic.RootModel[int](2**70), pydantic.RootModel[int]),
        (Page[Source](items=[SOURCE]), Page[Source]),
        (Node(next=Node()), Node),
        (Chain(Chain()), Chain),
        (Point(1, 2), Point),
        (Report("t", [SOURCE], point=Point(1, 2), size=3), Report),
        ([Report("t")], list[Report]),
        pytest.param(Checked(Name="a"), Checked, marks=by_name),
        (Pair(1, Point(1, 2)), Pair),
        ({"a": 1, "when": NOON}, Row),
        (None, Source | None),
        (SOURCE, Source | None),
        ([Point(1, 2), SOURCE], list[Source | Point]),
        (NOON, datetime),
        (5, Annotated[int, Field(gt=1)]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_read_with_a_type_has_that_type(value, type_):
    back = validate(decode(encode(value)), type_)
    assert back == value
    assert type(back) is type(value)


@by_name
def test_a_model_with_all_types_comes_back():
    assert validate(decode(encode(EVERYTHING)), Everything) == EVERYTHING


@by_name
@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": (value,)}])
def test_a_model_or_dataclass_is_stored_as_the_map_of_its_fields_wherever_it_is(wrap):
    assert encode(wrap(ALIASED)) == encode(wrap({"title": "t", "body": "b"}))
    assert encode(wrap(Point(1, 2))) == encode(wrap({"x": 1, "y": 2}))


def test_a_map_written_with_aliases_is_read_as_well():
    assert validate({"headLine": "t", "content": "b"}, Aliased) == ALIASED


def test_msgpack_types_inside_a_model_keep_their_type():
    stored = decode(encode(Page[Any](items=[NOON, uuid.UUID(int=1), Decimal(1), {1}, b"a", 2**70, 1.0, True])))
    assert shape(stored["items"]) == shape([NOON, uuid.UUID(int=1), Decimal(1), {1}, b"a", 2**70, 1.0, True])


class Holder(BaseModel):
    it: Any = None


@dataclass
class Box:
    it: Any = None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SecretStr("x"), 'cannot store SecretStr at value["it"]; it would be stored masked'),
        ([SecretBytes(b"x")], 'cannot store SecretBytes at value["it"][0]; it would be stored masked'),
        (collections.deque([SecretStr("x")]), 'cannot store SecretStr at value["it"][0]; it would be stored masked'),
        ({"a": pydantic.Secret[int](1)}, 'cannot store Secret at value["it"]["a"]; it would be stored masked'),
        ({SecretStr("x"): 1}, 'cannot store SecretStr at value["it"]; it would be stored masked'),
        (NAIVE, 'cannot store naive datetime at value["it"]; give it a timezone'),
        ({"k": [NAIVE]}, 'cannot store naive datetime at value["it"]["k"][0]; give it a timezone'),
        (len, 'cannot store builtin_function_or_method at value["it"]'),
        (Colour, 'cannot store EnumType at value["it"]'),
        (object(), 'cannot store object at value["it"]'),
        ({(1, 2): 3}, 'cannot store tuple as a key at value["it"]'),
        ({Colour.RED: 1, "red": 2}, 'cannot store dict at value["it"]; two of its keys'),
        ("\ud800", 'cannot store str with a lone surrogate at value["it"]'),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("record", [Holder, Box])
def test_what_cannot_be_stored_in_a_model_or_dataclass_is_named_with_its_location(record, content, message):
    with pytest.raises(EncodingError) as caught:
        encode(record(it=content))
    assert str(caught.value).startswith(message)


def test_a_secret_in_an_iterator_is_not_stored_masked():
    with pytest.raises(EncodingError):
        encode(Box(iter([SecretStr("x")])))


# Types asked for.


@pytest.mark.parametrize(
    ("value", "type_", "message"),
    [
        ("a", int, "the value does not fit int: Input should be a valid integer"),
        ({"x": 1}, Point, "the value does not fit Point: y: Field required"),
        ([{"x": "a"}], list[Point], r"the value does not fit list\[.*Point\]: 0.x: Input should be .*\(and 1 more\)"),
        ({"url": "https://a.b", "more": 1}, Source, "does not fit Source: more: Extra inputs are not permitted"),
        (None, Point, "does not fit Point"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_cause(value, type_, message):
    with pytest.raises(InvalidValue, match=message) as caught:
        validate(value, type_)
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)


def test_a_type_that_pydantic_does_not_know_is_refused():
    with pytest.raises(InvalidValue, match="not a type that pydantic can validate"):
        validate(1, type("Opaque", (), {}))


def test_a_type_that_cannot_be_hashed_works():
    assert validate("5", Annotated[int, Field(gt=1), ["unhashable"]]) == 5


def test_a_type_is_compiled_once():
    assert validation._adapter(list[Point]) is validation._adapter(list[Point])


class Cat(BaseModel):
    name: str = ""


class Dog(BaseModel):
    name: str = ""


def test_the_first_type_of_a_union_wins_whatever_union_was_read_before():
    assert isinstance(validate({"name": "a"}, Cat | Dog), Cat)
    assert isinstance(validate({"name": "a"}, Dog | Cat), Dog)
    assert isinstance(validate([{"name": "a"}], list[Dog | Cat])[0], Dog)
    assert isinstance(validate([{"name": "a"}], list[Cat | Dog])[0], Cat)


def test_literals_that_are_equal_but_of_different_types_are_not_confused():
    assert validate(1, Literal[1]) == 1
    with pytest.raises(InvalidValue):
        validate(1, Literal["1"])


def test_the_module_exports_what_it_promises():
    assert all(hasattr(codec, name) for name in codec.__all__)
