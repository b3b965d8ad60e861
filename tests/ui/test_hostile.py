"""The page among enemies: values that would be markup, servers that go away, history that breaks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import ccs
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import eventually, scaled
from tests.ui.conftest import Pages, Served, serve
from tests.ui.test_page import rows

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>${alert(1)}"\'\u202egnp'


def test_values_paths_and_names_of_agents_are_text(
    pages: Pages, valkey: str, view_namespace: str, tmp_path: Path
) -> None:
    with ccs.connect(valkey, agent=HOSTILE, namespace=view_namespace) as store:
        task = store.task(f"{HOSTILE}{secrets.token_hex(3)}")
        task.set(HOSTILE.replace("/", "-"), {HOSTILE: HOSTILE})
        task.send(HOSTILE, HOSTILE)
        task.publish(HOSTILE.replace("/", "-"), HOSTILE)
        with task.claim(HOSTILE, note=HOSTILE), task.join(HOSTILE, meta=HOSTILE):
            page = pages.open(task.address, path=HOSTILE.replace("/", "-"))
            expect(page.locator(".value")).to_contain_text("<img src=x")
            for number in "123456":
                page.keyboard.press(number)
                expect(page.get_by_role("tabpanel")).to_contain_text("window.hacked=1")
                assert "\u202e" not in page.locator("#page").inner_text()
            page.locator("summary").click()
            with page.expect_download() as download:
                page.get_by_role("link", name="This page").click()
            download.value.save_as(tmp_path / "saved.html")
    offline = pages.listen(page.context.new_page())
    offline.goto((tmp_path / "saved.html").as_uri())
    expect(offline.locator("#tree")).to_contain_text("window.hacked=1")
    for one in (page, offline):
        assert one.evaluate("() => [window.hacked, document.images.length]") == [None, 0]
    pages.asked = [url for url in pages.asked if not url.startswith("file:")]


@pytest.fixture
def own_view(own_server: PrivateServer, view_namespace: str) -> Iterator[Served]:
    served = serve("--store", own_server.url, "--namespace", view_namespace)
    yield served
    served.stop()


@pytest.fixture
def wire(own_view: Served) -> Iterator[Proxy]:
    with Proxy(urlsplit(own_view.base).port or 0) as proxy:
        yield proxy


@pytest.fixture
def own_pages(browser: Any, own_view: Served, wire: Proxy) -> Iterator[Pages]:
    """Pages that reach the view over a wire that can be cut."""
    opened = Pages(
        browser, Served(own_view.process, own_view.url.replace(str(urlsplit(own_view.base).port), str(wire.port)))
    )
    yield opened
    opened.close()


@pytest.fixture
def own_task(own_server: PrivateServer, view_namespace: str) -> Iterator[ccs.Context]:
    with ccs.connect(own_server.url, agent="writer", namespace=view_namespace) as store:
        yield store.task("own", keep_commits=20)


def test_a_page_that_was_cut_off_resumes_where_it_was(own_pages: Pages, own_task: ccs.Context, wire: Proxy) -> None:
    own_task.set_many({"a": 1, "b": 2})
    page = own_pages.open(own_task.address)
    eventually(lambda: len(rows(page)) == 2, 10, "the tree")
    own_task.set("a", 2)
    eventually(lambda: [row[1] for row in rows(page)[:1]] == ["2"], 10, "the change")
    wire.refuse()
    own_task.set("c", 3)
    expect(page.get_by_role("status")).to_contain_text("Behind since")
    with page.expect_response(lambda answer: "api/stream" in answer.url and answer.ok) as again:
        wire.refuse(False)
    eventually(lambda: [row[0] for row in rows(page)] == ["a", "b", "c"], 10, "what was missed")
    headers = again.value.request.all_headers()
    assert int(headers.get("last-event-id") or again.value.url.partition("since=")[2]) > 0
    expect(page.get_by_role("status")).to_be_empty()


def test_history_that_no_longer_reaches_back_is_told(own_pages: Pages, own_task: ccs.Context, wire: Proxy) -> None:
    own_task.set("a", 1)
    page = own_pages.open(own_task.address)
    eventually(lambda: len(rows(page)) == 1, 10, "the tree")
    wire.refuse()
    for number in range(400):
        own_task.set("a", number)
    wire.refuse(False)
    expect(page.get_by_role("status")).to_contain_text("no longer reaches back")
    eventually(lambda: [row[1] for row in rows(page)[:1]] == ["399"], 10, "the present")
    expect(page.locator(".foot")).to_contain_text("history reaches back to")


def test_a_store_that_does_not_answer_is_told(
    own_pages: Pages, own_task: ccs.Context, own_server: PrivateServer
) -> None:
    own_task.set("a", 1)
    page = own_pages.open(own_task.address)
    eventually(lambda: len(rows(page)) == 1, 10, "the tree")
    own_server.pause()
    expect(page.get_by_role("status")).to_contain_text("the store does not answer")
    own_server.resume()
    expect(page.get_by_role("status")).to_be_empty()
    own_task.set("a", 2)
    eventually(lambda: [row[1] for row in rows(page)[:1]] == ["2"], 10, "the next change")


def test_the_view_ends_within_a_second_with_pages_open(own_pages: Pages, own_task: ccs.Context) -> None:
    own_task.set("a", 1)
    several = [own_pages.open(own_task.address) for _ in range(2)]
    for page in several:
        eventually(lambda page=page: len(rows(page)) == 1, 10, "the tree")
    process = own_pages.view.process
    began = time.monotonic()
    process.terminate()
    assert process.wait(timeout=scaled(10)) == 0
    assert time.monotonic() - began < scaled(1.5)
    expect(several[0].get_by_role("status")).to_contain_text("Behind since")
