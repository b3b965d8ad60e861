"""What the page shows: each of the fifteen points that it promises, in a real browser."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ccs
from tests.support.waiting import counts, eventually
from tests.ui.conftest import Pages

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
Team = Callable[[str], ccs.Context]

AXE = (Path(__file__).parent / "axe.min.js").read_text("utf-8")


def rows(page: Any) -> list[list[str]]:
    """The lines of the tree, cell by cell."""
    return page.locator("#tree [role=row][aria-level]").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent.trim()))"
    )


def tab(page: Any, name: str) -> Any:
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel")


def fill(team: Team) -> None:
    team("planner").set_many({"status": "reading", "goal": "Analyse"})
    team("gatherer").set("sources/a", {"title": "Annual report", "pages": 120})
    team("gatherer").set("sources/deep/b", [1, 2])
    team("analyst").set("findings/x", "first")


def test_1_all_contexts_at_a_glance(pages: Pages, team: Team) -> None:
    fill(team)
    team("planner").store.task("other").set("a", 1)
    page = pages.open(team("planner").address)
    here = page.get_by_role("navigation").get_by_role("link")
    expect(here.filter(has_text="other")).to_be_visible()
    expect(page.locator("[aria-current=page]")).to_contain_text(team("planner").address.split("/")[2])
    here.filter(has_text="other").click()
    eventually(lambda: [row[:4] for row in rows(page)[:1]] == [["a", "1", "planner", "1"]], 10, "the other context")


def test_2_a_lane_an_agent_that_never_moves(pages: Pages, team: Team) -> None:
    fill(team)
    page = pages.open(team("planner").address)
    lanes = page.locator(".lane")
    expect(lanes).to_have_text(["planner", "gatherer", "analyst"])
    team("aaa").set("late", 1)
    team("gatherer").set("sources/a", 2)
    expect(lanes).to_have_text(["planner", "gatherer", "analyst", "aaa"])
    assert page.locator("#ticks").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    )


def test_3_the_tree_is_complete_sorted_and_marks_what_changes(pages: Pages, team: Team) -> None:
    fill(team)
    page = pages.open(team("planner").address)
    expect(page.locator("#tree [aria-level]").first).to_be_visible()
    eventually(lambda: len(rows(page)) == 8, 10, "all rows")
    assert [row[:4] for row in rows(page)] == [
        ["▾findings/", "1 entry", "analyst", ""],
        ["x", '"first"', "analyst", "1"],
        ["goal", '"Analyse"', "planner", "1"],
        ["▾sources/", "2 entries", "gatherer", ""],
        ["a", '{title: "Annual report", pages: 120}', "gatherer", "1"],
        ["▾deep/", "1 entry", "gatherer", ""],
        ["b", "[1, 2]", "gatherer", "1"],
        ["status", '"reading"', "planner", "1"],
    ]
    expect(page.locator("#tree .fresh")).to_have_count(0)
    team("analyst").set("findings/x", "second")
    expect(page.locator("#tree .fresh")).to_contain_text(['"second"'])
    expect(page.locator("#tree .fresh")).to_have_count(0)
    page.get_by_role("row", name="sources/").first.click()
    eventually(lambda: "b" not in [row[0] for row in rows(page)], 10, "a folder to close")
    team("analyst").delete("findings/x")
    eventually(lambda: [row[0] for row in rows(page)] == ["goal", "▸sources/", "status"], 10, "what was removed to go")


def test_4_an_entry_with_its_versions_and_what_changed(pages: Pages, team: Team) -> None:
    task = team("gatherer")
    task.set("sources/a", {"title": "Annual report", "pages": 120, "old": True})
    team("analyst").set("sources/a", {"title": "Annual report", "pages": 121, "read": {"by": "me"}})
    page = pages.open(task.address, path="sources/a")
    panel = page.get_by_role("complementary")
    expect(panel.locator(".value del")).to_have_text(["120", "true"])
    expect(panel.locator(".value ins")).to_have_text(["121", '"me"'])
    versions = panel.locator("button.version")
    expect(versions).to_have_count(2)
    expect(versions.first).to_contain_text("analyst")
    task.set("sources/a", "plain")
    expect(versions).to_have_count(3)
    versions.last.click()
    expect(panel.locator(".value")).to_contain_text("120")
    expect(panel.locator(".value del")).to_have_count(0)


def test_5_a_slider_through_time(pages: Pages, team: Team) -> None:
    task = team("analyst")
    task.set_many({"findings/x": "ten minutes ago", "gone": 1})
    team("writer").set("findings/x", "now")
    task.delete("gone")
    task.set("later", 1)
    page = pages.open(task.address, path="findings/x")
    slider = page.get_by_role("slider", name="Moment")
    expect(slider).to_be_visible()
    eventually(lambda: slider.get_attribute("max") == "3", 10, "all moments")
    slider.fill("0")
    eventually(
        lambda: (
            [row[:2] for row in rows(page)] == [["▾findings/", "1 entry"], ["x", '"ten minutes ago"'], ["gone", "1"]]
        ),
        10,
        "the state of then",
    )
    expect(page.locator(".pill.warn")).to_contain_text("as it was")
    expect(page.locator(".value")).to_contain_text("ten minutes ago")
    panel = tab(page, "Changes")
    expect(panel.locator(".row")).to_contain_text(["later", "gone", '"ten minutes ago" → "now"'])
    slider.fill("3")
    expect(page.locator(".pill.good")).to_have_text("following")


def test_6_claims_who_since_when_how_long_and_who_waits(pages: Pages, team: Team) -> None:
    team("writer").set("report", 1)
    with team("writer").claim("report", note="writing"):
        waiting = threading.Thread(target=lambda: team("reviewer").claim("report", wait=20).acquire().release())
        team("reviewer")
        waiting.start()
        page = pages.open(team("writer").address, path="report", tab="claims")
        line = page.get_by_role("table", name="Claims").get_by_role("row").nth(1)
        expect(line).to_contain_text("writer")
        expect(line).to_contain_text("reviewer")
        expect(line).to_contain_text('"writing"')
        expect(page.get_by_role("complementary")).to_contain_text("1 waits")
        expect(page.get_by_role("navigation")).to_contain_text("waits for report")
    waiting.join()
    expect(page.get_by_role("tabpanel")).to_contain_text("Nobody holds a claim.")


def test_7_messages_unread_and_dead(pages: Pages, team: Team) -> None:
    task = team("writer")
    task.send("reviewer", "read the draft")
    task.send("analyst", "poison")
    with team("analyst").inbox("analyst", attempts=1) as inbox:
        inbox.receive(timeout=10).release()
        assert len(inbox.dead()) == 1
    page = pages.open(task.address, tab="messages")
    panel = page.get_by_role("tabpanel")
    expect(panel.get_by_role("table", name="Messages to reviewer")).to_contain_text("read the draft")
    expect(panel.get_by_role("table", name="Dead letters to analyst")).to_contain_text("poison")
    expect(page.get_by_role("navigation")).to_contain_text("dead letters")
    assert len(task.inbox("reviewer").unread()) == 1


def test_8_members_come_and_go(pages: Pages, team: Team) -> None:
    task = team("reviewer")
    with task.join("critic", meta={"model": "m1"}):
        page = pages.open(task.address, tab="members")
        line = page.get_by_role("table", name="Members").get_by_role("row").nth(1)
        expect(line).to_contain_text("critic")
        expect(line).to_contain_text("m1")
    expect(page.get_by_role("tabpanel")).to_contain_text("Nobody has joined.")


def test_9_events_runs_and_agreements(pages: Pages, team: Team) -> None:
    task = team("planner")
    task.publish("data/ready", {"rows": 3})
    task.once("invoice/7", lambda: "sent")
    task.agree("deploy", parties=["planner"])
    page = pages.open(task.address, tab="events")
    events = page.get_by_role("table", name="Events, the newest first")
    expect(events).to_contain_text("{rows: 3}")
    task.publish("data/more", 1)
    expect(events.get_by_role("row").nth(1)).to_contain_text("data/more")
    panel = tab(page, "Runs")
    expect(panel.get_by_role("table", name="Runs of once")).to_contain_text("invoice/7")
    expect(panel.get_by_role("table", name="Agreements")).to_contain_text("committed")


def test_10_filters_by_agent_pattern_and_operation(pages: Pages, team: Team) -> None:
    fill(team)
    team("planner").delete("goal")
    page = pages.open(team("planner").address)
    box = page.get_by_role("searchbox")
    box.fill("sources/** agent:gatherer")
    eventually(lambda: [row[0] for row in rows(page)] == ["▾sources/", "a", "▾deep/", "b"], 10, "the filter")
    box.fill("agent:an*")
    eventually(lambda: [row[0] for row in rows(page)] == ["▾findings/", "x"], 10, "the filter")
    box.fill("op:delete")
    expect(tab(page, "Changes").locator(".row")).to_have_count(1)
    box.fill("[")
    expect(page.get_by_role("alert")).to_contain_text("not closed")


def test_11_the_view_is_in_the_url_and_the_cookie_opens_it_again(pages: Pages, team: Team) -> None:
    fill(team)
    page = pages.open(team("planner").address)
    page.get_by_role("row", name="a Annual").or_(page.get_by_role("row").filter(has_text="Annual report")).first.click()
    page.get_by_role("searchbox").fill("sources/**")
    expect(page.get_by_role("complementary")).to_contain_text("pages")
    page.get_by_role("button", name="following").click()
    team("gatherer").set("sources/a", {"pages": 121})
    expect(page.get_by_text("1 new", exact=True)).to_be_visible()
    assert "token" not in page.url
    again = pages.listen(page.context.new_page())
    again.goto(page.url)
    for one in (page, again):
        expect(one.get_by_role("searchbox")).to_have_value("sources/**")
        expect(one.get_by_role("complementary")).to_contain_text("120")
        eventually(lambda one=one: [row[0] for row in rows(one)] == ["▾sources/", "a", "▾deep/", "b"], 10, "the view")
    again.go_back() if again.url == "about:blank" else page.go_back()
    expect(page.locator(".pill.good")).to_be_visible()
    expect(page.get_by_role("complementary")).to_contain_text("121")


def test_12_pausing_counts_and_reading_is_never_moved(pages: Pages, team: Team) -> None:
    task = team("planner")
    task.set_many({f"item-{number:03d}": number for number in range(200)})
    page = pages.open(task.address)
    tree = page.locator("#tree")
    expect(tree.locator("[aria-level]").first).to_be_visible()
    tree.evaluate("e => { e.scrollTop = 1200; }")
    first = page.get_by_role("row").filter(has_text="item-055")
    expect(first).to_be_visible()
    before = first.bounding_box()
    task.set_many({f"aaa-{number:03d}": number for number in range(50)})
    expect(page.get_by_role("tab", name="Entries")).to_contain_text("250")
    eventually(lambda: first.bounding_box() == before, 10, "the row to stay where it is")
    page.keyboard.press("f")
    expect(page.locator(".pill.warn")).to_contain_text("paused")
    task.set("item-055", "changed")
    task.set("item-056", "changed")
    expect(page.get_by_text("2 new", exact=True)).to_be_visible()
    assert '"changed"' not in tree.inner_text()
    page.keyboard.press("f")
    expect(first).to_contain_text('"changed"')


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_13_axe_finds_nothing(pages: Pages, team: Team, scheme: str) -> None:
    fill(team)
    team("gatherer").set("sources/a", {"pages": 121})
    team("planner").send("reviewer", "hello")
    with team("writer").claim("sources/a"):
        page = pages.open(team("planner").address, path="sources/a", scheme=scheme)
        expect(page.locator(".version").first).to_be_visible()
        page.evaluate(AXE)
        for name in counts(
            ("Entries", "Messages"), ("Entries", "Changes", "Claims", "Messages", "Members", "Events", "Runs")
        ):
            tab(page, name)
            found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
            assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == [], name


def test_13_all_of_it_by_keyboard_and_on_a_narrow_screen(pages: Pages, team: Team) -> None:
    fill(team)
    page = pages.open(team("planner").address, width=390, height=800)
    expect(page.locator("#tree [aria-level]").first).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.locator("#tree").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("complementary")).to_contain_text("Annual report")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("goal")
    eventually(lambda: [row[0] for row in rows(page)] == ["goal"], 10, "the filter")


def test_14_downloads_as_lines_and_as_a_page_that_shows_the_same_offline(
    pages: Pages, team: Team, tmp_path: Path
) -> None:
    fill(team)
    team("gatherer").set("sources/a", {"raw": b"\x00", "big": 2**70, "html": "</script><b>x"})
    page = pages.open(team("planner").address)
    expect(page.locator("#tree [aria-level]").first).to_be_visible()
    page.locator("summary").click()
    for name, file in (("JSON lines", "saved.jsonl"), ("This page", "saved.html")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        download.value.save_as(tmp_path / file)
    lines = [json.loads(line) for line in (tmp_path / "saved.jsonl").read_text("utf-8").splitlines()]
    assert [line["path"] for line in lines] == ["findings/x", "goal", "sources/a", "sources/deep/b", "status"]
    assert lines[2]["value"] == {"raw": {"$bytes": "AA=="}, "big": {"$int": str(2**70)}, "html": "</script><b>x"}
    live = rows(page)
    page.context.set_offline(True)
    offline = pages.listen(page.context.new_page())
    offline.goto((tmp_path / "saved.html").as_uri())
    eventually(lambda: [row[:4] for row in rows(offline)] == [row[:4] for row in live], 10, "the same tree")
    offline.get_by_role("row").filter(has_text="raw").click()
    expect(offline.locator(".value")).to_contain_text("</script><b>x")
    offline.get_by_role("slider", name="Moment").fill("1")
    expect(offline.locator("#tree")).to_contain_text("Annual report")
    pages.asked = [url for url in pages.asked if not url.startswith("file:")]


def test_15_it_says_what_has_ended(pages: Pages, team: Team) -> None:
    fill(team)
    task = team("planner")
    page = pages.open(task.address)
    expect(page.locator(".foot")).to_contain_text("history is whole")
    task.drop()
    expect(page.get_by_role("status")).to_contain_text("This context has ended")
    task.set("again", 1)
    eventually(lambda: [row[0] for row in rows(page)] == ["again"], 10, "the next context")
    task.finish("reported")
    expect(page.get_by_role("status")).to_contain_text('Finished: "reported"')


def test_a_change_is_on_the_page_soon_after_its_commit(pages: Pages, team: Team) -> None:
    task = team("planner")
    task.set("counter", 0)
    page = pages.open(task.address)
    expect(page.locator("#tree [aria-level]").first).to_be_visible()
    page.evaluate("""() => {
        window.seen = {};
        new MutationObserver(() => {
            const text = document.querySelector('#tree [aria-level] > :nth-child(2)')?.textContent;
            window.seen[text] ??= Date.now();
        }).observe(document.body, {subtree: true, childList: true, characterData: true});
    }""")
    delays = []
    for number in range(1001, 1006):
        entry = task.set("counter", number)
        expect(page.get_by_role("gridcell", name=str(number), exact=True)).to_be_visible()
        delays.append(page.evaluate(f"() => window.seen['{number}']") - entry.updated_at.timestamp() * 1000)
        time.sleep(0.25)
    assert min(delays) < 300, delays
