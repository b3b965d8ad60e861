"""Names: which are valid, how an address encodes any id, and what the errors say."""

from __future__ import annotations

import enum

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ccs._core.names import address
from ccs._core.names.address import (
    GLOBAL,
    KINDS,
    MAX_ID_BYTES,
    address_of,
    canonical,
    check_agent,
    check_path,
    check_writable,
    id_of,
    split_absolute,
)
from ccs.errors import InvalidPath, InvalidValue, ReservedPath

kinds = st.sampled_from(KINDS)
tricky = st.text(st.sampled_from("%/.25EFaé\x00\n\x7f\x85\u2028\U0001f600 *{}[]@"), min_size=1, max_size=12)
ids = tricky | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
segments = st.text(st.sampled_from("ab.@*é\x00{"), min_size=1, max_size=4).filter(lambda text: text not in (".", ".."))
paths = st.lists(segments, min_size=1, max_size=5).map("/".join)


class Name(enum.StrEnum):
    STATUS = "status"


class Odd(str, enum.Enum):  # noqa: UP042 - it prints as Odd.A, unlike a StrEnum
    A = "a"


# Addresses.


@given(kinds, ids)
def test_any_id_comes_back_from_its_address(kind, id):
    assert id_of(address_of(kind, id)) == id


@given(kinds, ids)
def test_an_address_is_canonical(kind, id):
    assert canonical(address_of(kind, id)) == address_of(kind, id)


@given(kinds, ids)
def test_an_address_is_two_segments_without_control_characters(kind, id):
    assert check_path(address_of(kind, id)[1:]).count("/") == 1
    assert not address._UNPRINTABLE.search(address_of(kind, id))


@given(kinds, ids, ids)
def test_different_ids_have_different_addresses(kind, one, other):
    assert (address_of(kind, one) == address_of(kind, other)) == (one == other)


@given(kinds, ids)
def test_every_spelling_of_an_address_has_one_canonical_form(kind, id):
    spelled = "".join(f"%{byte:02x}" for byte in id.encode())
    assert canonical(f"/{kind}/{spelled}") == address_of(kind, id)


@given(kinds, ids, paths)
def test_an_absolute_path_splits_into_its_address_and_path(kind, id, path):
    assert split_absolute(f"{address_of(kind, id)}/{path}") == (address_of(kind, id), path)
    assert split_absolute(f"/global/{path}") == (GLOBAL, path)


@given(st.text(st.sampled_from("/.%25EFtasklobg@é\ud800"), max_size=20))
def test_an_address_of_a_user_becomes_canonical_or_is_refused(text):
    try:
        found = canonical(text)
    except InvalidPath:
        return
    assert canonical(found) == found


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        ("42", "/tasks/42"),
        ("a/b", "/tasks/a%2Fb"),
        ("100%", "/tasks/100%25"),
        ("a%2Fb", "/tasks/a%252Fb"),
        (".", "/tasks/%2E"),
        ("..", "/tasks/%2E%2E"),
        ("...", "/tasks/..."),
        ("a\nb", "/tasks/a%0Ab"),
        ("\x85\u2028", "/tasks/%C2%85%E2%80%A8"),
        ("Zürich {*} @me", "/tasks/Zürich {*} @me"),
    ],
)
def test_only_unsafe_characters_are_encoded(id, expected):
    assert address_of("tasks", id) == expected


def test_the_global_address_has_no_id():
    assert canonical("/global") == GLOBAL
    assert id_of(GLOBAL) == ""


def test_a_global_id_of_a_kind_is_not_the_global_context():
    assert address_of("tasks", "global") != GLOBAL


@pytest.mark.parametrize("id", ["", None, 42, b"42", [], "\ud800", "a" * 513, "é" * 257, "/" * 171])
def test_an_invalid_id_is_refused(id):
    with pytest.raises(InvalidPath):
        address_of("tasks", id)


def test_the_longest_id_is_accepted():
    assert len(id_of(address_of("tasks", "a" * MAX_ID_BYTES))) == MAX_ID_BYTES


@pytest.mark.parametrize("kind", ["task", "global", "", None, "tasks/x"])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(InvalidPath, match="not a kind of context"):
        address_of(kind, "42")


@pytest.mark.parametrize(
    ("given_address", "hint"),
    [
        ("tasks/42", "an address is /tasks/<id>"),
        ("/task/42", "an address is /tasks/<id>"),
        ("/tasks", "an address is /tasks/<id>"),
        ("/tasks/", "an address is /tasks/<id>"),
        ("/global/", "an address is /tasks/<id>"),
        ("/", "an address is /tasks/<id>"),
        ("", "empty"),
        ("/tasks/42/", "%2F"),
        ("/tasks/42/status", "%2F"),
        ("/tasks/..", "%2E%2E"),
        ("/tasks/100%", "%25"),
        ("/tasks/%F", "%25"),
        ("/tasks/%FF", "UTF-8"),
        ("/tasks/%ED%A0%80", "UTF-8"),
        ("/tasks/\ud800", "surrogate"),
        ("/tasks/" + "%61" * 513, "512"),
        (42, "int"),
    ],
)
def test_an_invalid_address_is_refused_with_a_hint(given_address, hint):
    with pytest.raises(InvalidPath, match=hint):
        canonical(given_address)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("status", "a relative one goes to a context"),
        ("/tasks/42", "names no path"),
        ("/tasks/42/", "names no path"),
        ("/global", "names no path"),
        ("/global/", "names no path"),
        ("/tasks//status", "an address is"),
        ("/what/42/status", "an address is"),
        ("/tasks/42//status", "is not a path"),
        ("/tasks/42/a/../b", "is not a path"),
        ("", "empty"),
        (None, "NoneType"),
    ],
)
def test_an_invalid_absolute_path_is_refused_with_a_hint(path, hint):
    with pytest.raises(InvalidPath, match=hint):
        split_absolute(path)


def test_the_address_in_an_absolute_path_is_made_canonical():
    assert split_absolute("/tasks/%34%32/a%34") == ("/tasks/42", "a%34")


# Paths.


@given(paths)
def test_a_valid_path_is_returned_unchanged(path):
    assert check_path(path) == path


@given(st.text(st.sampled_from("a./é\ud800@"), max_size=8) | st.text(max_size=30))
def test_the_fast_check_and_the_full_check_agree(text):
    def verdict(check):
        try:
            return check(text)
        except InvalidPath as error:
            return str(error)

    assert verdict(check_path) == verdict(address._check_closely)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/a", "absolute ones go to the store"),
        ("a/", "ends with /"),
        ("a//b", "empty segment"),
        ("./a", "segment . or .."),
        ("a/..", "segment . or .."),
        ("a/./b", "segment . or .."),
        (".", "segment . or .."),
        ("a/" * 64 + "a", "65 segments, over 64"),
        ("a" * 1_025, "1025 bytes, over the limit of 1024"),
        ("é" * 513, "1026 bytes, over the limit of 1024"),
        ("a\udfff", "surrogate"),
        ("", "empty"),
        (None, "NoneType"),
        (7, "int"),
        (b"a", "bytes"),
        (["a"], "list"),
    ],
)
def test_an_invalid_path_is_refused_and_the_error_says_why(path, problem):
    with pytest.raises(InvalidPath, match=problem):
        check_path(path)


@pytest.mark.parametrize("check", [check_path, check_writable])
def test_the_error_names_the_path(check):
    with pytest.raises(InvalidPath, match="'sources//a'"):
        check("sources//a")


@pytest.mark.parametrize(
    "path", ["a/" * 63 + "a", "a" * 1_024, "é" * 512, "\x00", "{}[]*?", ".a/..b/...", "a b\n", "%"]
)
def test_an_unusual_path_may_be_valid(path):
    assert check_path(path) == path


@pytest.mark.parametrize(("path", "text"), [(Name.STATUS, "status"), (Odd.A, "a")])
def test_a_member_of_a_str_enum_is_a_path_and_becomes_plain_text(path, text):
    assert check_path(path) == text
    assert type(check_path(path)) is str


@pytest.mark.parametrize("path", ["@", "@claims/a", "@é"])
def test_a_reserved_path_can_be_read_but_not_written(path):
    assert check_path(path) == path
    with pytest.raises(ReservedPath, match="belongs to the system"):
        check_writable(path)


@pytest.mark.parametrize("path", ["a", "a/@b", "a@"])
def test_an_at_sign_elsewhere_is_ordinary(path):
    assert check_writable(path) == path


# Agents.


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"), min_size=1))
def test_an_agent_is_any_line_of_text(name):
    assume(len(name.encode()) <= 256)
    assert check_agent(name) == name


@pytest.mark.parametrize("agent", ["", "a\nb", "\x00", "\x85", "\u2028", "\ud800", "a" * 257, "é" * 129, None, 5, b"a"])
def test_an_invalid_agent_is_refused(agent):
    with pytest.raises(InvalidValue):
        check_agent(agent)


def test_the_module_exports_what_it_promises():
    assert all(hasattr(address, name) for name in address.__all__)
