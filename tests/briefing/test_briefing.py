"""What a briefing tells: what others changed since, by whom, of one moment; what it leaves out, it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

import ccs
from ccs._core.briefing.cursor import bookmark_in
from ccs._core.briefing.fitting import tokens_in
from tests.context.probes import Open
from tests.support.waiting import aeventually


@pytest.fixture
async def ann(open_store: Open) -> Any:
    """The same context, as another agent has it."""
    return (await open_store("ann")).task("t")


def paths(briefing: ccs.Briefing, *kinds: str) -> list[str]:
    return sorted(item.path for item in briefing.items if item.kind in (kinds or ("change", "entry")))


async def all_pages(context: Any, **asked: Any) -> list[ccs.Briefing]:
    pages = [await context.briefing(**asked)]
    while not pages[-1].complete:
        pages.append(await context.briefing(**{**asked, "since": pages[-1].cursor}))
        assert len(pages) < 500, "the pages do not end"
    return pages


async def test_without_a_cursor_it_is_the_present_state_of_everybody(task: Any, ann: Any) -> None:
    await task.set("mine", 1)
    await ann.set("hers", {"a": 1})
    briefing = await task.briefing()
    assert paths(briefing) == ["hers", "mine"]
    assert bool(briefing)
    assert briefing.complete
    assert briefing.revision == await task.revision()
    assert "hers: a map of 1 key by ann" in str(briefing)
    assert '```\n{"a": 1}\n```' in str(briefing)


async def test_a_context_that_does_not_exist_is_told_so(task: Any) -> None:
    briefing = await task.briefing()
    assert "does not exist" in str(briefing)
    assert not briefing
    assert briefing.revision == 0
    await task.set("a", 1)
    assert paths(await task.briefing(since=briefing.cursor, own=True)) == ["a"]


async def test_with_a_cursor_it_is_what_others_changed_net_for_each_path(task: Any, ann: Any, open_store: Open) -> None:
    bob = (await open_store("bob")).task("t")
    await task.set_many({"a": 1, "b": 1, "still": 1})
    since = (await task.briefing()).cursor
    await ann.set("a", 2)
    await bob.set("a", 3)
    await ann.set("a", [4])
    await bob.delete("b")
    await ann.set("c", "new")
    await task.set("mine", 1)
    briefing = await task.briefing(since=since)
    assert paths(briefing) == ["a", "b", "c"]
    told = {item.path: item for item in briefing.items}
    assert "3 writes by ann and bob; now a list of 1 item" in told["a"].text
    assert set(told["a"].agents) == {"ann", "bob"}
    assert told["a"].value == [4]
    assert "removed by bob" in told["b"].text
    assert "created by ann" in told["c"].text
    assert told["c"].revision == (await task.entry("c")).revision
    assert paths(await task.briefing(since=since, own=True)) == ["a", "b", "c", "mine"]
    assert not await task.briefing(since=briefing.cursor)


async def test_a_path_that_is_as_it_was_is_told_too(task: Any, ann: Any) -> None:
    await task.set("a", 1)
    since = (await task.briefing()).cursor
    for value in (2, 1):
        await ann.set("a", value)
    await ann.set("came", 1)
    await ann.delete("came")
    assert paths(await task.briefing(since=since)) == ["a", "came"]


async def test_what_expired_is_told_whoever_had_it_removed(task: Any) -> None:
    await task.set("a", 1, ttl=0.2)
    since = (await task.briefing()).cursor

    async def told() -> ccs.Briefing | None:
        briefing: ccs.Briefing = await task.briefing(since=since)
        return briefing or None

    assert "a: expired" in str(await aeventually(told, what="the expiry"))


async def test_patterns_say_of_what(task: Any, ann: Any) -> None:
    since = (await task.briefing()).cursor
    await ann.set_many({"sources/a": 1, "notes/b": 1})
    await ann.publish("sources/ready", 1)
    await ann.publish("notes/ready", 1)
    await ann.claim("sources/a").acquire()
    held = await ann.claim("notes/b").acquire()
    briefing = await task.briefing("sources/**", since=since)
    assert paths(briefing, "change", "event", "claim") == ["sources/a", "sources/a", "sources/ready"]
    await held.release()


async def test_messages_are_looked_at_and_not_received(task: Any, ann: Any) -> None:
    first = await ann.send("analyst", "read sources/a", type="task")
    briefing = await task.briefing(role="analyst")
    assert [(item.path, item.agents, item.value) for item in briefing.items if item.kind == "message"] == [
        (first.id, ("ann",), "read sources/a")
    ]
    assert [message.attempts for message in await task.inbox("analyst").unread()] == [0]
    again = await task.briefing(role="analyst", since=briefing.cursor)
    assert [item.new for item in again.items if item.kind == "message"] == [False]
    assert not again
    assert paths(await task.briefing(), "message") == []


async def test_claims_of_others_and_lost_ones_are_told_without_their_end(task: Any, ann: Any) -> None:
    await task.set("a", 1)
    since = (await task.briefing()).cursor
    theirs = await ann.claim("sources/b").acquire()
    mine = await task.claim("sources/a").acquire()
    kept = await task.claim("sources/c").acquire()
    assert await ann.break_claim("sources/a")
    briefing = await task.briefing(since=since)
    assert paths(briefing, "lost") == ["sources/a"]
    assert f"your claim r{mine.token} was lost: taken away by ann" in str(briefing)
    assert paths(briefing, "claim") == ["sources/b"]
    assert "sources/b: claimed by ann since" in str(briefing)
    again = await task.briefing(since=since)
    assert str(again) == str(briefing), "it shows when a claim ends"
    async with ann.claim("sources/d", slots=2), ann.claim("sources/d", slots=2):
        assert paths(await task.briefing(), "claim") == ["sources/b", "sources/d", "sources/d"]
    await theirs.release()
    await kept.release()
    later = await task.briefing(since=briefing.cursor)
    assert paths(later, "claim", "lost") == [], "what was given back is told as lost"


async def test_pinned_paths_are_told_each_time_but_are_not_news(task: Any, ann: Any) -> None:
    await ann.set("goal", "find the price")
    since = (await task.briefing()).cursor
    briefing = await task.briefing(since=since, pinned=["goal", "nothing"])
    assert not briefing
    assert [item.path for item in briefing.items] == ["goal", "nothing"]
    assert "find the price" in str(briefing)
    assert "nothing: does not exist" in str(briefing)
    await ann.set("goal", "find a better price")
    changed = await task.briefing(since=since, pinned=["goal"])
    assert bool(changed)
    assert [item.kind for item in changed.items] == ["pinned"], "it is told twice"


async def test_events_and_who_came_and_went_are_told(task: Any, ann: Any) -> None:
    await task.set("a", 1)
    since = (await task.briefing()).cursor
    await ann.publish("data/ready", {"rows": 3})
    await task.publish("data/mine", 1)
    async with ann.join("writer"):
        assert paths(await task.briefing(), "member") == ["ann"]
    briefing = await task.briefing(since=since)
    assert paths(briefing, "event") == ["data/ready"]
    assert [(item.kind, item.path) for item in briefing.items if item.kind in ("joined", "left")] == [
        ("left", "ann"),
        ("joined", "ann"),
    ]
    assert '{"rows": 3}' in str(briefing)


async def test_a_finished_context_says_so_first(task: Any, ann: Any) -> None:
    await ann.set("a", 1)
    since = (await task.briefing()).cursor
    await ann.finish("reported")
    briefing = await task.briefing(since=since)
    assert briefing.items[0].kind == "notice"
    assert "finished at" in briefing.items[0].text
    assert "reported" in str(briefing)


async def test_history_that_is_gone_is_the_first_line_and_then_the_present_state(shared: Any, task: Any) -> None:
    small = shared.task("t", keep_commits=1, keep_bytes=1)
    await small.set("a", 1)
    since = (await task.briefing()).cursor
    for number in range(300):
        await small.set("b", number)
    briefing = await task.briefing(since=since, own=True)
    assert str(briefing).splitlines()[0].startswith("Notice: history compacted")
    assert paths(briefing) == ["a", "b"]
    assert (await task.briefing(since=briefing.cursor)).items == ()


async def test_history_that_was_rewritten_is_the_first_line_and_then_the_present_state(task: Any, ann: Any) -> None:
    await ann.set_many({f"sources/{number:02}": number for number in range(30)})
    await ann.set("a", 1)
    for cursor in ((await task.briefing("a")).cursor, (await task.briefing(max_tokens=200)).cursor):
        mark = bookmark_in(cursor, task.address)
        never = (replace(mark, identity="somebody else 1 0"), replace(mark, revision=mark.revision - 1))
        for lost in never:
            pages = await all_pages(task, since=lost.text(), max_tokens=1000)
            assert str(pages[0]).startswith("Notice: history forked")
            assert sum(len(paths(page)) for page in pages) == 31


async def test_a_context_that_ended_is_told_so(task: Any, ann: Any) -> None:
    await ann.set("a", 1)
    since = (await task.briefing()).cursor
    await ann.drop()
    await ann.set("b", 1)
    briefing = await task.briefing(since=since)
    assert str(briefing).splitlines()[0].startswith("Notice: context gone")
    assert paths(briefing) == ["b"]


async def test_pages_are_of_one_moment_and_skip_nothing(task: Any, ann: Any) -> None:
    since = (await task.briefing()).cursor
    await ann.set_many({f"sources/{number:03}": number for number in range(60)})
    await ann.set_many({f"notes/{number:03}": number for number in range(20)})
    first = await task.briefing(since=since, max_tokens=400)
    assert not first.complete
    assert "sources/**: " in str(first)
    assert first.omitted == 80 - len(first.items)
    await ann.set("sources/000", "changed meanwhile")
    await ann.delete("sources/001")
    await ann.set("later", 1)
    rest = await all_pages(task, since=first.cursor, max_tokens=400)
    pages = [first, *rest]
    assert {page.revision for page in pages} == {first.revision}
    shown = [item.path for page in pages for item in page.items]
    assert sorted(shown) == [*(f"notes/{n:03}" for n in range(20)), *(f"sources/{n:03}" for n in range(60))]
    assert [item.value for page in pages for item in page.items if item.path == "sources/000"] == [0]
    news = await task.briefing(since=pages[-1].cursor)
    assert paths(news) == ["later", "sources/000", "sources/001"]


async def test_pages_of_the_present_state_are_of_one_moment_too(task: Any, ann: Any) -> None:
    await ann.set_many({f"sources/{number:03}": number for number in range(50)})
    first = await task.briefing(max_tokens=300)
    await ann.delete_matching("sources/**")
    pages = [first, *await all_pages(task, since=first.cursor, max_tokens=300)]
    assert sorted(item.path for page in pages for item in page.items) == [f"sources/{n:03}" for n in range(50)]


async def test_another_question_between_pages_shows_again_rather_than_skips(task: Any, ann: Any) -> None:
    await ann.set_many({f"sources/{number:03}": number for number in range(50)})
    first = await task.briefing(max_tokens=300)
    pages = await all_pages(task, since=first.cursor, max_tokens=300, own=True)
    assert len({item.path for page in pages for item in page.items}) == 50


async def test_the_pages_of_another_view_are_its_own(task: Any, ann: Any) -> None:
    await ann.set_many({f"{root}/{number:03}": number for root in ("open", "secret") for number in range(50)})
    first = await task.briefing(max_tokens=300)
    assert not first.complete
    view = task.view(read="open/**")
    pages = await all_pages(view, since=first.cursor, max_tokens=300)
    assert sorted(item.path for page in pages for item in page.items) == [f"open/{n:03}" for n in range(50)]


async def test_pages_are_the_same_in_another_store_which_has_kept_nothing(
    task: Any, ann: Any, open_store: Open
) -> None:
    await ann.set_many({f"sources/{number:03}": {"n": number} for number in range(50)})
    pages = await all_pages(task, max_tokens=300)
    again = (await open_store(task.agent)).task("t")
    for before, page in pairwise(pages):
        assert (await again.briefing(since=before.cursor, max_tokens=300)) == page


async def test_a_value_of_a_page_that_its_reader_changes_is_not_changed_for_others(task: Any, ann: Any) -> None:
    await ann.set_many({f"sources/{number:03}": {"n": number} for number in range(50)})
    first = await task.briefing(max_tokens=300)
    page = await task.briefing(since=first.cursor, max_tokens=300)
    for item in page.items:
        item.value["n"] = "changed"
    again = await task.briefing(since=first.cursor, max_tokens=300)
    assert str(again) == str(page)
    assert all(isinstance(item.value["n"], int) for item in again.items)


async def test_a_further_page_reads_little(task: Any, ann: Any, shared: Any) -> None:
    await task.set_many({f"all/{number}": "x" * 100 for number in range(5000)})
    first = await task.briefing()
    before = shared.stats().bytes
    page = await task.briefing(since=first.cursor)
    assert page.omitted == first.omitted - len(page.items)
    assert shared.stats().bytes - before < 4_000


@pytest.mark.parametrize("count", [None, len, lambda text: 8 * len(text)], ids=["bytes", "characters", "dear ones"])
async def test_the_smallest_budgets_show_what_is_whole_or_say_that_it_is_left_out(
    task: Any, ann: Any, count: Callable[[str], int] | None
) -> None:
    names = ["a" * 300, "漢字" * 100, "status", "x y z ``` # h"]
    for name in names:
        await ann.set(name, "v" * 500)
    known = {str((await task.entry(name)).revision) for name in names}
    for most in range(40, 110, 3):
        pages = await all_pages(task, max_tokens=most, count=count)
        for page in pages:
            text = str(page)
            assert set(re.findall(r"r(\d+)", text)) <= {*known, str(page.revision)}, "a revision is cut"
            assert re.findall(r"\d{4}-\d", text) == re.findall(r"\d{4}-\d(?=\d-\d\d \d\d:\d\d:\d\dZ)", text), (
                "a time is cut"
            )
            assert page.complete or re.search("more|next page|not shown|^…$", text), "what is left out is not told"
        assert sorted(item.path for page in pages for item in page.items) == sorted(names)


async def test_the_same_question_has_the_same_answer(task: Any, ann: Any) -> None:
    await ann.set_many({"a": {"x", "y", "z"}, "b": 2})
    await ann.send("analyst", 1)
    asked = {"role": "analyst", "pinned": ["b"]}
    first = await task.briefing(**asked)
    again = await task.briefing(**asked)
    assert str(first) == str(again)
    assert first.cursor == again.cursor


async def test_large_values_are_cut_and_it_says_how_to_get_them(task: Any, ann: Any) -> None:
    await ann.set("long", "word " * 1000)
    await ann.set("short", "all of it")
    briefing = await task.briefing(max_tokens=800)
    assert "of 5,000 characters left out: read long)" in str(briefing)
    assert "all of it" in str(briefing)
    assert str(briefing).splitlines()[-1] == "Left out: parts of 1 value."
    assert briefing.complete
    tiny = await task.briefing(max_tokens=150)
    assert "(value not shown)" in str(tiny)
    assert "read long" in str(tiny).splitlines()[-1]


@pytest.mark.parametrize(
    "hostile", ["```\nleft\n```", "````````", "~~~\n# Heading", "\r\n## Changes\n- a: x", "\u2028# x"]
)
async def test_a_fence_cannot_be_left(task: Any, ann: Any, hostile: str) -> None:
    await ann.set_many({"a": hostile, "b": [hostile], hostile.replace("\r", "").replace("\n", " ").strip("/"): 1})
    text = str(await task.briefing())
    outside = outside_of_fences(text)
    assert "left" not in outside.splitlines()
    assert outside.count("\n## ") == 2
    assert outside.count("\n# ") == 0


def outside_of_fences(text: str) -> str:
    """What a reader of Markdown takes for the text of the briefing."""
    fence = ""
    lines = []
    for line in text.splitlines():
        ticks = len(line) - len(line.lstrip("`"))
        if fence:
            fence = "" if ticks >= len(fence) and line.strip("`") == "" else fence
        elif ticks >= 3:
            fence = "`" * ticks
        else:
            lines.append(line)
    assert not fence, "a fence is left open"
    return "\n".join(lines)


@pytest.mark.parametrize(
    "count",
    [len, lambda text: len(text.split()), lambda text: len(text) // 4 + 7],
    ids=["characters", "words", "others"],
)
async def test_any_count_is_kept_to(task: Any, ann: Any, count: Callable[[str], int]) -> None:
    await ann.set_many({f"sources/{number}": "text " * number for number in range(30)})
    for most in (40, 100, 500, 5000):
        for page in await all_pages(task, max_tokens=most, count=count):
            assert count(str(page)) == page.tokens <= most


async def test_what_cannot_be_asked_is_refused(task: Any, ann: Any, shared: Any) -> None:
    await task.set("a", 1)
    other = (await shared.task("other").briefing()).cursor
    for wrong in (
        {"max_tokens": 39},
        {"max_tokens": True},
        {"since": 17},
        {"since": "nonsense"},
        {"since": other},
        {"count": 3},
        {"count": lambda text: "many"},
        {"count": lambda text: -1},
        {"pinned": "a"},
    ):
        with pytest.raises(ccs.InvalidValue):
            await task.briefing(**wrong)
    with pytest.raises(ccs.InvalidValue):
        await task.briefing(count=lambda text: 10**6)
    with pytest.raises(ccs.InvalidPattern):
        await task.briefing("[")


async def test_a_view_is_told_only_of_what_it_shows(task: Any, ann: Any) -> None:
    await ann.set_many({"open/a": 1, "secret/b": 1})
    await ann.publish("secret/x", 1)
    held = await ann.claim("open/a").acquire()
    await ann.send("analyst", "secret")
    view = task.view(read="open/**")
    briefing = await view.briefing()
    assert [item.path for item in briefing.items] == ["open/a"]
    assert "secret" not in str(briefing)
    for refused in ({"role": "analyst"}, {"pinned": ["secret/b"]}):
        with pytest.raises(ccs.Forbidden):
            await view.briefing(**refused)
    await held.release()


async def test_as_json_it_has_what_a_program_needs(task: Any, ann: Any) -> None:
    await ann.set("a", {"b": b"\x00"})
    briefing = await task.briefing()
    told = json.loads(briefing.json())
    assert told["cursor"] == briefing.cursor
    assert [item["path"] for item in told["items"]] == ["a"]
    assert tokens_in(str(briefing)) == briefing.tokens


async def test_it_costs_what_changed_and_not_what_there_is(task: Any, ann: Any, shared: Any) -> None:
    await task.set_many({f"all/{number}": "x" * 100 for number in range(5000)})
    latest = (await task.briefing("none")).cursor
    await ann.set_many({f"all/{number}": number for number in range(10)})
    before = shared.stats().bytes
    briefing = await task.briefing(since=latest)
    assert len(paths(briefing)) == 10
    assert shared.stats().bytes - before < 4_000


# Readers.


async def test_a_reader_moves_only_when_it_is_told_to(task: Any, ann: Any) -> None:
    await ann.set("a", 1)
    reader = task.reader("analyst", role="analyst")
    first = await reader.briefing()
    assert paths(first) == paths(await reader.briefing()) == ["a"]
    await reader.ack(first)
    assert not await reader.briefing()
    await ann.set("b", 1)
    message = await ann.send("analyst", "hello")
    news = await task.reader("analyst", role="analyst").briefing()
    assert paths(news, "change", "message") == sorted(["b", message.id])


async def test_readers_of_other_names_stand_elsewhere(task: Any, ann: Any) -> None:
    await ann.set("a", 1)
    one, other = task.reader("one"), task.reader("other/..")
    await one.ack(await one.briefing())
    assert not await one.briefing()
    assert paths(await other.briefing()) == ["a"]


async def test_a_reader_goes_through_pages_and_never_back(task: Any, ann: Any) -> None:
    await ann.set_many({f"sources/{number:03}": number for number in range(50)})
    reader = task.reader("analyst")
    seen: list[str] = []
    pages = []
    while True:
        pages.append(await reader.briefing(max_tokens=300))
        await reader.ack(pages[-1])
        seen += [item.path for item in pages[-1].items]
        if pages[-1].complete:
            break
    assert len(pages) > 2
    assert sorted(seen) == [f"sources/{n:03}" for n in range(50)]
    await reader.ack(pages[0])
    assert not await reader.briefing()
    with pytest.raises(ccs.InvalidValue):
        await reader.ack(pages[0].cursor)
