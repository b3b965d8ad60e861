"""The web view in a real browser: one Chromium and one server for all tests of a process, a task and a page for each."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

import ccs
from tests.support.waiting import scaled

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 10.0


def chromium() -> str:
    """Returns where Chromium is. Skips the test where there is none, but in CI it fails."""
    found = os.environ.get("CCS_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("there is no chromium on the PATH")
    return found


@dataclass
class Served:
    """A running `ccs ui`."""

    process: subprocess.Popen[str]
    url: str

    @property
    def base(self) -> str:
        return self.url.partition("?")[0]

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.url).query)["token"][0]

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=scaled(10))


def serve(*arguments: str, **environment: str) -> Served:
    """Starts a view. Its URL comes on a line of its own, at once."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from ccs.cli import main; sys.exit(main())", "ui", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, **environment},
    )
    assert process.stdout
    url = process.stdout.readline().strip()
    assert url.startswith("http://"), (url, process.communicate())
    return Served(process, url)


@pytest.fixture(scope="session")
def view_namespace() -> str:
    return f"ui{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def view(server_urls: Callable[[str], str], view_namespace: str) -> Iterator[Served]:
    """The view of the shared server."""
    pytest.importorskip("uvicorn")
    served = serve("--store", server_urls("valkey"), "--namespace", view_namespace, "--host", "swarm.example:8443")
    yield served
    served.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """One for the tests of a module: while playwright runs, no other event loop can run in this thread."""
    path = chromium()
    sync_api = pytest.importorskip("playwright.sync_api")
    sync_api.expect.set_options(timeout=scaled(_PATIENCE) * 1000)
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def team(valkey: str, view_namespace: str) -> Iterator[Callable[[str], ccs.Context]]:
    """One task of this test's own, as each of several agents; each has a store of its own."""
    name = f"t-{secrets.token_hex(4)}"
    stores: dict[str, ccs.Store] = {}

    def as_agent(agent: str) -> ccs.Context:
        if agent not in stores:
            stores[agent] = ccs.connect(valkey, agent=agent, namespace=view_namespace).__enter__()
        return stores[agent].task(name)

    yield as_agent
    for store in stores.values():
        store.__exit__(None, None, None)


class Pages:
    """Opens pages of a view, and notes what they asked for and complained of."""

    def __init__(self, browser: object, view: Served) -> None:
        self.browser = browser
        self.view = view
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.contexts: list[object] = []

    def open(self, context: str = "", *, scheme: str = "light", width: int = 1280, height: int = 760, **query: str):  # type: ignore[no-untyped-def]  # playwright may be missing
        room = self.browser.new_context(  # type: ignore[attr-defined]
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            accept_downloads=True,
            reduced_motion="reduce",
        )
        room.set_default_timeout(scaled(_PATIENCE) * 1000)
        self.contexts.append(room)
        page = self.listen(room.new_page())
        page.goto(f"{self.view.base}?{urlencode({'context': context, 'token': self.view.token, **query})}")
        return page

    def listen(self, page):  # type: ignore[no-untyped-def]
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("request", lambda request: self.asked.append(request.url))
        return page

    def close(self) -> None:
        for room in self.contexts:
            room.close()  # type: ignore[attr-defined]


@pytest.fixture
def pages(browser: object, view: Served) -> Iterator[Pages]:
    """Pages that complain of nothing, and ask nobody else for anything."""
    opened = Pages(browser, view)
    yield opened
    opened.close()
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith((view.base, "data:", "blob:"))] == []
