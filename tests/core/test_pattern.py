"""The pattern language, compared with a slow reference that follows its definition literally."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ccs._core.names import pattern as module
from ccs._core.names.pattern import Below, Exact, compile_addresses, compile_patterns, escape
from ccs.errors import InvalidPattern

# The reference. It raises ValueError for an invalid pattern.


def class_end(pattern: str, start: int) -> int:
    at = start + 1
    at += pattern[at : at + 1] == "!"
    at += pattern[at : at + 1] == "]"
    end = pattern.find("]", at)
    if end < 0 or "/" in pattern[start:end]:
        raise ValueError
    return end


def tokens(pattern: str) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        end = class_end(pattern, at) if pattern[at] == "[" else at
        yield pattern[at : end + 1]
        at = end + 1


def expanded(pattern: list[str]) -> Iterator[list[str]]:
    if "{" not in pattern:
        yield pattern
        return
    start, depth, alternatives = pattern.index("{"), 0, [[]]
    for at in range(start + 1, len(pattern)):
        token = pattern[at]
        if token == "}" and depth == 0:
            for alternative in alternatives:
                yield from expanded(pattern[:start] + alternative + pattern[at + 1 :])
            return
        depth += (token == "{") - (token == "}")
        if token == "," and depth == 0:
            alternatives.append([])
        else:
            alternatives[-1].append(token)
    raise ValueError


def plains(pattern: str, absolute: bool = False) -> list[list[str]]:
    texts = [text for text in map("".join, expanded(list(tokens(pattern)))) if text]
    if not texts or any(text.startswith("/") != absolute for text in texts):
        raise ValueError
    found = [text.removeprefix("/").split("/") for text in texts]
    for segments in found:
        segments[-1] = segments[-1] or "**"
        if "" in segments:
            raise ValueError
    return found


def is_literal(segment: str) -> bool:
    return all(
        token not in "*?" and (len(token) == 1 or (len(token) == 3 and token[1] != "!")) for token in tokens(segment)
    )


def in_class(token: str, character: str) -> bool:
    negated, body, found = token[1] == "!", token[1:-1], False
    body = body[1:] if negated else body
    while body:
        if len(body) >= 3 and body[1] == "-":
            found, body = found or body[0] <= character <= body[2], body[3:]
        else:
            found, body = found or body[0] == character, body[1:]
    return found != negated


def text_fits(pattern: list[str], text: str) -> bool:
    if not pattern:
        return not text
    head, *rest = pattern
    if head == "*":
        return any(text_fits(rest, text[at:]) for at in range(len(text) + 1))
    one = text and (head == "?" or (in_class(head, text[0]) if len(head) > 1 else head == text[0]))
    return bool(one) and text_fits(rest, text[1:])


def segments_fit(pattern: list[str], segments: list[str], first: int) -> bool:
    """`first` counts the segments before the path's first one, to which the rule on @ applies."""
    if not pattern or not segments:
        return not pattern and not segments
    head, *rest = pattern
    reserved = first == 0 and segments[0].startswith("@")
    if head != "**":
        fits = text_fits(list(tokens(head)), segments[0]) and (is_literal(head) or not reserved)
        return fits and segments_fit(rest, segments[1:], first - 1)
    if rest and segments_fit(rest, segments, first):
        return True
    left = segments[1:]
    return not reserved and ((not rest and not left) or segments_fit(pattern, left, first - 1))


def reference(pattern: str, path: str) -> bool:
    return any(segments_fit(plain, path.split("/"), 0) for plain in plains(pattern))


def reference_in(pattern: str, address: str, path: str) -> bool:
    segments, before = f"{address}/{path}"[1:].split("/"), address.count("/")
    return any(segments_fit(plain, segments, before) for plain in plains(pattern, absolute=True))


# Small alphabets, so that patterns and paths meet.

segments = st.text(st.sampled_from("ab@"), min_size=1, max_size=4)
paths = st.lists(segments, min_size=1, max_size=5).map("/".join)
odd_paths = st.lists(st.text(st.sampled_from("a@*?[]{},!-\n."), min_size=1, max_size=3), min_size=1, max_size=3).map(
    "/".join
)

pieces = st.sampled_from(["a", "b", "@", "*", "?", "[ab]", "[!a]", "[@]", "[!@]", "[a-b]", "b{,a}", "{@a,b*}", "**"])
pattern_segments = st.just("**") | st.lists(pieces, min_size=1, max_size=4).map("".join)
structured = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(pattern_segments, min_size=1, max_size=5),
    st.sampled_from(["", "/"]),
).filter(lambda pattern: pattern.count("{") < 3)
relative = structured.filter(lambda pattern: not pattern.endswith("/"))
braced = st.builds("{{{},{}}}".format, structured, structured) | st.builds(
    "a*/{{{},{}/b}}".format, structured, relative
)
wild_text = st.text(st.sampled_from("ab@*?[]{},!-/"), max_size=9)


@given(structured | braced, st.lists(paths, min_size=1, max_size=8))
@example("**/@a", ["@a", "b/@a", "@a/@a", "a"])
@example("a/**/b/**/b", ["a/b/b", "a/b", "a/x/b/x/b", "a/b/b/x"])
@example("*a*b", ["ab", "aab", "abb", "ba", "a/b"])
def test_a_pattern_matches_what_the_reference_matches(pattern, candidates):
    matches = compile_patterns((pattern,)).matches
    assert [matches(path) for path in candidates] == [reference(pattern, path) for path in candidates]


@given(wild_text, st.lists(odd_paths | paths, min_size=1, max_size=8))
@example("[]", ["a"])
@example("[!]", ["!"])
@example("[]-a]", ["]", "a", "-", "b"])
@example("[--0]", ["-", ".", "0", "/"])
@example("[b-a]", ["a", "b", "-"])
@example("[!b-a]", ["a", "b", "-"])
@example("{*,a}*", ["a", "ab", "a/b"])
@example("{,a}", ["a"])
@example("{,a}/b", ["b", "a/b"])
def test_any_text_is_refused_or_matches_what_the_reference_matches(text, candidates):
    try:
        expected = [reference(text, path) for path in candidates]
    except ValueError:
        with pytest.raises(InvalidPattern):
            compile_patterns((text,))
    else:
        matches = compile_patterns((text,)).matches
        assert [matches(path) for path in candidates] == expected


@given(st.lists(structured, min_size=1, max_size=4), paths)
def test_several_patterns_match_what_any_of_them_matches(patterns, path):
    assert compile_patterns(tuple(patterns)).matches(path) == any(reference(pattern, path) for pattern in patterns)


@given(st.lists(structured | braced, min_size=1, max_size=4), paths)
def test_what_matches_is_found_by_the_selectors(patterns, path):
    matcher = compile_patterns(tuple(patterns))
    if matcher.matches(path):
        assert any(covers(selector, path) for selector in matcher.selectors)


@given(st.lists(structured | braced, min_size=1, max_size=4))
def test_no_selector_lies_within_another(patterns):
    selectors = compile_patterns(tuple(patterns)).selectors
    for selector in selectors:
        text = selector.path if isinstance(selector, Exact) else selector.prefix
        assert not any(covers(other, text) for other in selectors if other is not selector)


@given(st.lists(structured, min_size=1, max_size=4))
def test_an_exact_selector_is_a_match(patterns):
    matcher = compile_patterns(tuple(patterns))
    assert all(matcher.matches(one.path) for one in matcher.selectors if isinstance(one, Exact))


def covers(selector, path):
    return path.startswith(selector.prefix) if isinstance(selector, Below) else path == selector.path


@given(odd_paths | paths, odd_paths | paths)
def test_an_escaped_path_matches_only_itself(path, other):
    matcher = compile_patterns((escape(path),))
    assert matcher.selectors == (Exact(path),)
    assert matcher.matches(path)
    assert matcher.matches(other) == (path == other)


@given(st.lists(odd_paths, min_size=1, max_size=4))
def test_escaped_paths_can_be_alternatives(candidates):
    pattern = f"{{{','.join(map(escape, candidates))}}}"
    assert set(compile_patterns((pattern,)).selectors) == set(map(Exact, candidates))


# The language by example.


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("status", ["status"], ["status/a", "Status", "a/status"]),
        ("sources/*", ["sources/a", "sources/@a"], ["sources", "sources/a/b"]),
        ("sources/**", ["sources/a", "sources/a/b"], ["sources", "sourcesx/a"]),
        ("sources/", ["sources/a", "sources/a/b"], ["sources"]),
        ("**/x", ["x", "a/x", "a/b/x"], ["x/a", "ax", "@a/x"]),
        ("a/**/x", ["a/x", "a/b/x", "a/b/c/x"], ["a/bx", "x", "ax"]),
        ("**", ["a", "a/b"], ["@a", "@a/b"]),
        ("**/", ["a", "a/b"], ["@a"]),
        ("**/**", ["a", "a/b"], ["@a"]),
        ("*/", ["a/b", "a/b/c"], ["a", "@a/b"]),
        ("*", ["a", "\n", ".hidden"], ["a/b", "@a"]),
        ("a**b", ["ab", "axb"], ["a/b"]),
        ("***", ["a"], ["a/b"]),
        ("?", ["a", "é", "\n"], ["ab", "@"]),
        ("a.b+c\\", ["a.b+c\\"], ["axb+c\\", "a.bbc\\"]),
        ("a]}b,c", ["a]}b,c"], ["ab"]),
        ("[]]", ["]"], ["a"]),
        ("[!]]", ["a"], ["]"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[a-c-e]", ["b", "-", "e"], ["d"]),
        ("[\\d]", ["\\", "d"], ["1"]),
        ("a[!b]c", ["axc"], ["abc", "a/c"]),
        ("a[+-9]c", ["a.c", "a0c"], ["a/c"]),
        ("{a,b/{c,d}}/x", ["a/x", "b/c/x", "b/d/x"], ["b/x", "c/x"]),
        ("a{,/b}", ["a", "a/b"], ["b"]),
        ("{a}{}", ["a"], ["{a}"]),
        ("{[,],[}]}", [",", "}"], ["["]),
        ("@claims/**", ["@claims/a", "@claims/a/b"], ["@claims", "a"]),
        ("[@]claims/*", ["@claims/a"], ["claims/a"]),
        ("{@claims,x}/**", ["@claims/a", "x/a"], ["@other/a"]),
        ("@claims/*/a", ["@claims/b/a"], ["@claims/a"]),
        ("@*", [], ["@", "@a"]),
        ("[@a]b", ["ab"], ["@b"]),
        ("[!x]b", ["ab"], ["@b"]),
        ("**/@a", ["@a", "b/@a"], ["@b/@a"]),
        ("**/@a/*", ["@a/b", "b/@a/b"], ["@b/@a/b"]),
    ],
)
def test_what_a_pattern_means(pattern, matching, others):
    matches = compile_patterns((pattern,)).matches
    assert [path for path in [*matching, *others] if matches(path)] == matching


def test_no_pattern_means_everything():
    assert compile_patterns(()).matches("a/b")
    assert not compile_patterns(()).matches("@a")


@pytest.mark.parametrize(
    ("patterns", "path"),
    [
        (("**", "@claims/*"), "@claims/a"),
        (("**", "@claims/**"), "@claims/a/b"),
        (("**", "@a"), "@a"),
        (("a/*", "b", "c/**"), "a/x"),
    ],
)
def test_one_kind_of_pattern_does_not_hide_another(patterns, path):
    assert compile_patterns(patterns).matches(path)


@pytest.mark.parametrize(
    ("patterns", "selectors"),
    [
        (("a",), (Exact("a"),)),
        (("a", "a", "b"), (Exact("a"), Exact("b"))),
        (("a/*", "a/**", "a/b"), (Below("a/"),)),
        (("a/", "a"), (Exact("a"), Below("a/"))),
        (("sour*", "sources/x", "sources/*"), (Below("sour"),)),
        (("**", "a", "@claims/*"), (Below(""),)),
        (("**/x",), (Below(""),)),
        (("[a]b?",), (Below("ab"),)),
        (("{a,b}/{c,d*}",), (Exact("a/c"), Exact("b/c"), Below("a/d"), Below("b/d"))),
        (("@*",), ()),
    ],
)
def test_the_selectors_are_the_fewest_ranges(patterns, selectors):
    assert compile_patterns(patterns).selectors == selectors


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("", r"\*\* matches everything"),
        ("{,}", r"\*\* matches everything"),
        ("/a", "go to the store"),
        ("{a,/b}", "go to the store"),
        ("a//b", "empty segment"),
        ("a//", "empty segment"),
        ("a{/,b}/c", "empty segment"),
        ("a[b", r"\[\[\]"),
        ("[]", r"\[\[\]"),
        ("[!]", r"\[\[\]"),
        ("[a/b]", "within its segment"),
        ("{a,b", r"\[\{\]"),
        ("{a,{b}", r"\[\{\]"),
        ("{a[,b}", r"\[\[\]"),
        ("{a,b}" * 11, "over 1024"),
        ("{" + ",".join(["a"] * 1_025) + "}", "over 1024"),
        ("{a,b}" * 10 + "a" * 1_000, "alternatives"),
        ("a" * 16_385, "16384"),
        ("{" * 9_000, r"\[\{\]"),
        ("a\ud800", "surrogate"),
        (7, "int"),
        (None, "NoneType"),
    ],
)
def test_an_invalid_pattern_is_refused_with_a_hint(pattern, hint):
    with pytest.raises(InvalidPattern, match=hint):
        compile_patterns((pattern,))


def test_the_error_names_the_pattern():
    with pytest.raises(InvalidPattern, match=r"'sources/\[a' is not a pattern"):
        compile_patterns(("sources/[a",))


def test_the_most_alternatives_allowed_are_compiled():
    assert len(compile_patterns(("{a,b}" * 10,)).selectors) == 1_024
    assert compile_patterns(("{" * 5_000 + "a" + "}" * 5_000,)).matches("a")


def test_a_matcher_shows_its_patterns():
    assert repr(compile_patterns(("b/*", "{a,c}"))) == "Matcher('a', 'b/*', 'c')"
    assert repr(compile_addresses(("/tasks/*/x",))) == "AddressMatcher('/tasks/*/x')"


# Time: what makes a backtracking matcher exponential costs us milliseconds.

LONG = "a" * 1_000
DEEP = "/".join(["a" * 14] * 64)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 500 + "b", LONG),
        ("*?" * 250 + "b", LONG),
        ("*[a-b]" * 300 + "*c", LONG),
        ("a*" * 400 + "b", LONG),
        ("**/a*/" * 30 + "b", DEEP),
        ("**/*/" * 31 + "b", DEEP),
        ("/".join(["**", "*a*a*a*"] * 31) + "/b", DEEP),
        ("/".join(["*a*a*a*a*"] * 63) + "/b", DEEP),
        ("**/" + "/".join(["*a*a*"] * 32) + "/b", DEEP),
        ("**/" + "/".join(["*a*a*"] * 32) + "/b/**", DEEP),
        ("{*,**/*}a" * 9 + "b", LONG),
        ("{*a*,*aa*}" * 10 + "b", LONG),
        ("{**/*a*,*a*/**}/" * 10 + "b", DEEP),
    ],
)
def test_hostile_patterns_are_fast(pattern, path):
    matches = compile_patterns((pattern,)).matches
    began = time.process_time()
    assert not matches(path)
    assert time.process_time() - began < 1.0


def test_random_hostile_patterns_are_fast():
    rng = random.Random(7)
    began = time.process_time()
    for _ in range(40):
        pattern = "".join(rng.choice(["*", "**/", "a", "aa", "?", "/a", "[a]", "*a", "*/"]) for _ in range(120))
        pattern = "/".join(part for part in pattern.split("/") if part) + "/b"
        matcher = compile_patterns((pattern,))
        assert not matcher.matches(LONG)
        assert not matcher.matches(DEEP)
    assert time.process_time() - began < 5.0


# Patterns across contexts.

address_pieces = st.sampled_from(
    ["tasks", "actors", "global", "t*", "*", "?", "a", "b", "@a", "[!b]*", "{tasks,global}", "@*"]
)
absolute = st.builds(
    lambda parts, end: "/" + "/".join(parts) + end,
    st.lists(st.just("**") | address_pieces | pattern_segments, min_size=1, max_size=5),
    st.sampled_from(["", "/"]),
).filter(lambda pattern: pattern.count("{") < 3)
addresses = st.just("/global") | st.builds("/{}/{}".format, st.sampled_from(["tasks", "actors"]), segments)


@given(absolute, addresses, st.lists(paths, min_size=1, max_size=6))
@example("/**/@a/**", "/tasks/a", ["@a/b", "b/@a/b", "@b/@a/b"])
@example("/tasks/**/@a", "/tasks/@a", ["@a", "b"])
def test_an_absolute_pattern_matches_the_same_paths_within_a_context(pattern, address, candidates):
    matcher = compile_addresses((pattern,)).paths_in(address)
    expected = [reference_in(pattern, address, path) for path in candidates]
    assert [matcher is not None and matcher.matches(path) for path in candidates] == expected


@given(absolute, addresses)
def test_an_absolute_pattern_matches_full_addresses(pattern, address):
    named = any(segments_fit(plain, address[1:].split("/"), 99) for plain in plains(pattern, absolute=True))
    assert compile_addresses((pattern,)).matches_address(address) == named


@pytest.mark.parametrize(
    ("pattern", "address", "expected"),
    [
        ("/tasks/*/status", "/tasks/42", "Matcher('status')"),
        ("/tasks/*/status", "/actors/42", "None"),
        ("/tasks/*/status", "/tasks/@me", "Matcher('status')"),
        ("/**", "/tasks/42", "Matcher('**')"),
        ("/**", "/global", "Matcher('**')"),
        ("/tasks/42/", "/tasks/42", "Matcher('**')"),
        ("/tasks/42/", "/tasks/43", "None"),
        ("/tasks/42", "/tasks/42", "None"),
        ("/tasks/", "/tasks/42", "Matcher('**')"),
        ("/global/*", "/global", "Matcher('*')"),
        ("/*/status", "/global", "Matcher('status')"),
        ("/*/status", "/tasks/status", "None"),
        ("/{tasks,sessions}/*/x/**", "/sessions/1", "Matcher('x/**')"),
        ("/{tasks,sessions}/*/x/**", "/actors/1", "None"),
        ("{/tasks,/actors}/*/x", "/actors/1", "Matcher('x')"),
        ("/**/status", "/tasks/42", "Matcher('**/status')"),
        ("/**/42/status", "/tasks/42", "Matcher('**/42/status', 'status')"),
        ("/tasks/**/a", "/tasks/a", "Matcher('**/a')"),
        ("/**/@claims/**", "/tasks/42", "Matcher('**/@claims/**', '@claims/**')"),
        ("/tasks/*/@*", "/tasks/42", "None"),
        (escape("/tasks/a*b") + "/**", "/tasks/a*b", "Matcher('**')"),
        (escape("/tasks/a*b") + "/**", "/tasks/axb", "None"),
    ],
)
def test_which_paths_an_absolute_pattern_means_in_a_context(pattern, address, expected):
    assert repr(compile_addresses((pattern,)).paths_in(address)) == expected


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("/**", ["/tasks/1", "/tasks/@2", "/actors/1", "/global"]),
        ("/", ["/tasks/1", "/tasks/@2", "/actors/1", "/global"]),
        ("/tasks/*", ["/tasks/1", "/tasks/@2"]),
        ("/tasks/**", ["/tasks/1", "/tasks/@2"]),
        ("/*", ["/global"]),
        ("/tasks/1", ["/tasks/1"]),
        ("/tasks/1/**", []),
        ("/{global,actors/?}", ["/actors/1", "/global"]),
    ],
)
def test_which_contexts_an_absolute_pattern_names(pattern, matching):
    matches = compile_addresses((pattern,)).matches_address
    assert [one for one in ["/tasks/1", "/tasks/@2", "/actors/1", "/global"] if matches(one)] == matching


def test_several_absolute_patterns_are_joined_and_none_means_everything():
    assert repr(compile_addresses(("/tasks/*/a", "/*/1/b")).paths_in("/tasks/1")) == "Matcher('a', 'b')"
    assert compile_addresses(()).matches_address("/global")


@pytest.mark.parametrize("pattern", ["", "tasks/*", "*", "{/a,b}", "//a", "/a//b", "/a["])
def test_an_invalid_absolute_pattern_is_refused(pattern):
    with pytest.raises(InvalidPattern):
        compile_addresses((pattern,))


def test_the_module_exports_what_it_promises():
    assert all(hasattr(module, name) for name in module.__all__)
