"""The server of the web view: whom it lets in, what it answers, how it is mounted; without a browser."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import ccs
import ccs.aio
from tests.support.waiting import bounded
from tests.ui.conftest import Served, serve

pytest.importorskip("uvicorn")
from ccs._http import listening, shown_address, tokens_in
from ccs.ui import app
from ccs.ui.plain_values import plain, preview

ROOT = Path(__file__).parents[2]


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def ask(view: Served, path: str = "/", method: str = "GET", **headers: str) -> Answer:
    parts = urlsplit(view.base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=10)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host="Host" in given)
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders()
    with contextlib.closing(connection), connection.getresponse() as response:
        return Answer(response.status, response.headers, response.read())


@pytest.fixture
def cookie(view: Served) -> str:
    answer = ask(view, f"/?token={view.token}&context=/tasks/a&filter=x%20y")
    assert (answer.status, answer.headers["Location"]) == (303, "./?context=%2Ftasks%2Fa&filter=x+y")
    text = answer.headers["Set-Cookie"]
    assert "HttpOnly" in text
    assert "SameSite=lax" in text
    return text.partition(";")[0]


def test_nothing_is_shown_without_the_token(view: Served) -> None:
    for path in (
        "/",
        "/static/page.js",
        "/api/stream",
        "/api/entry?context=/tasks/a&path=b",
        "/nowhere",
        "/?token=wrong",
    ):
        assert ask(view, path).status == 403, path


def test_with_the_cookie_it_is_and_every_answer_has_its_policy(view: Served, cookie: str) -> None:
    for path, status in (
        ("/", 200),
        ("/static/page.js", 200),
        ("/static/vendor/sbom.cdx.json", 200),
        ("/nowhere", 404),
    ):
        answer = ask(view, path, Cookie=cookie)
        assert answer.status == status, path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert ask(view, "/static/../command.py", Cookie=cookie).status == 404
    assert ask(view, "/static/%2e%2e/command.py", Cookie=cookie).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
    ],
)
def test_foreign_hosts_and_origins_are_refused_even_with_the_cookie(
    view: Served, cookie: str, headers: dict[str, str]
) -> None:
    for path in ("/", "/api/stream?context=/tasks/a", "/static/page.js", f"/?token={view.token}"):
        assert ask(view, path, Cookie=cookie, **headers).status in (400, 403), path


def test_its_own_origin_and_the_names_it_was_given_are_not(view: Served, cookie: str) -> None:
    own = urlsplit(view.base).netloc
    assert ask(view, Cookie=cookie, Origin=f"http://{own}").status == 200
    assert ask(view, Cookie=cookie, Host="localhost:80").status == 200
    proxied = {"Host": "swarm.example:8443", "Origin": "https://swarm.example:8443"}
    assert ask(view, Cookie=cookie, **proxied).status == 200
    followed = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert ask(view, Cookie=cookie, **followed).status == 200


def test_it_is_read_only(view: Served, cookie: str) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(view, "/api/entry", method, Cookie=cookie).status == 405


def test_what_is_asked_wrongly_is_answered_in_words(view: Served, cookie: str) -> None:
    for path, error in (
        ("/api/entry?context=nowhere&path=a", "InvalidPath"),
        ("/api/entry?path=a", "KeyError"),
        ("/api/at?context=/tasks/a&when=yesterday", "InvalidValue"),
        ("/api/stream?context=/nowhere", "InvalidPath"),
    ):
        answer = ask(view, path, Cookie=cookie)
        assert (answer.status, json.loads(answer.body)["error"]) == (400, error), path


def events(view: Served, cookie: str, path: str, last: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The events of a stream up to one of a name: their ids, names and data."""
    parts = urlsplit(view.base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=10)
    connection.request("GET", path, headers={"Cookie": cookie})
    found: list[tuple[str, str, dict[str, Any]]] = []
    with contextlib.closing(connection), connection.getresponse() as response:
        fields: dict[str, str] = {}
        while not found or found[-1][1] != last:
            name, _, value = response.readline().decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "event" in fields:
                found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
                fields = {}
    return found


def test_a_stream_resumes_after_its_id_and_says_when_history_was_rewritten(
    view: Served, cookie: str, valkey: str, view_namespace: str
) -> None:
    with ccs.connect(valkey, agent="ann", namespace=view_namespace) as store:
        task = store.task("stream")
        first = task.set("a", 1)
        path = f"/api/stream?context={task.address}"
        assert events(view, cookie, path, "loaded")[-1][0] == str(first.revision)
        second = task.set("b", 2)
        told = events(view, cookie, f"{path}&since={first.revision}", "live")
        live = told[-1]
        assert "resumed" in [event[1] for event in told]
        assert "begin" not in [event[1] for event in told]
        assert ([row[0] for row in live[2]["rows"]], live[0]) == (["b"], str(second.revision))
        begun = events(view, cookie, f"{path}&since={first.revision + 1}", "begin")[-1]
        assert begun[2]["why"] == "forked"
        assert events(view, cookie, f"{path}&since=1", "begin")[-1][2]["why"] == "gone"


def test_each_commit_is_told_once_before_or_live(view: Served, cookie: str, valkey: str, view_namespace: str) -> None:
    with ccs.connect(valkey, agent="ann", namespace=view_namespace) as store:
        task = store.task("once")
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                task.increment("n")

        writer = threading.Thread(target=write)
        writer.start()
        task.wait_for("n", lambda n: n >= 20, timeout=10)
        told = events(view, cookie, f"/api/stream?context={task.address}", "past")
        stop.set()
        writer.join()
        ticks = [tick[3] for _, _, data in told for tick in data.get("ticks", [])]
        assert len(ticks) == len(set(ticks)) > 0


def test_the_token_file_is_made_for_its_user_alone_and_read_again(tmp_path: Path) -> None:
    tokens = tokens_in(tmp_path / "token")
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert tokens_in(tmp_path / "token") == tokens


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"short", "at least 16"), (b" \n", "is empty"), (b"\xff" * 20, "token-file")],
    ids=["short", "empty", "no text"],
)
def test_a_token_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ccs.InvalidValue, match=told) as caught:
        tokens_in(file)
    assert str(file) in str(caught.value)
    with pytest.raises(ccs.InvalidValue, match="token-file"):
        tokens_in(tmp_path)


@pytest.mark.parametrize("where", ["8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:²"])
def test_what_is_no_host_and_port_is_refused(where: str) -> None:
    with pytest.raises(ccs.InvalidValue, match="give HOST:PORT"):
        listening(where)


def test_a_port_in_use_is_refused_with_the_reason() -> None:
    with listening("127.0.0.1:0") as first:
        first.listen()
        assert shown_address(first) == f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(ccs.CCSError, match=r"cannot listen on .*in use"):
            listening(shown_address(first))


def test_below_a_prefix_whether_or_not_the_proxy_cuts_it_off(valkey: str) -> None:
    view = serve("/tasks/a", "--store", valkey, "--prefix", "/swarm")
    try:
        assert urlsplit(view.url).path == "/swarm/"
        cookie = ask(view, f"/swarm/?token={view.token}").headers["Set-Cookie"].partition(";")[0]
        for path in ("/swarm/", "/swarm/static/page.js", "/", "/static/page.js"):
            assert ask(view, path, Cookie=cookie).status == 200, path
        bare = ask(view, "/swarm?context=/tasks/a", Cookie=cookie)
        assert (bare.status, bare.headers["Location"]) == (307, "/swarm/?context=/tasks/a")
        assert ask(view, "/swarms/", Cookie=cookie).status == 404
    finally:
        view.stop()


async def test_it_is_mounted_in_another_application(aconnect: Callable[..., ccs.aio.Store]) -> None:
    store = aconnect()
    view = app(store, token="a token of sixteen and more")
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/ui/",
        "root_path": "/ui",
        "query_string": b"token=a+token+of+sixteen+and+more",
        "headers": [(b"host", b"localhost:8000")],
    }
    await bounded(view(scope, receive, send))
    assert sent[0]["status"] == 303
    with pytest.raises(ccs.InvalidValue, match=r"ccs\.aio"):
        app(ccs.connect("memory://"))  # type: ignore[arg-type]


def test_the_built_wheel_serves_its_files(tmp_path: Path, valkey: str) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
        assert any(name.endswith("licenses/ccs/ui/static/vendor/lit-html.LICENSE") for name in archive.namelist())
    installed = tmp_path / "installed"
    view = serve("--store", valkey, PYTHONPATH=str(installed))
    try:
        cookie = ask(view, f"/?token={view.token}").headers["Set-Cookie"].partition(";")[0]
        for file in (ROOT / "ccs/ui/static").rglob("*"):
            if file.suffix in (".js", ".css", ".svg", ".json"):
                answer = ask(view, f"/static/{file.relative_to(ROOT / 'ccs/ui/static').as_posix()}", Cookie=cookie)
                assert (answer.status, answer.body) == (200, file.read_bytes()), file
        modules = subprocess.run(
            [sys.executable, "-c", "import ccs.ui; print(ccs.ui.__file__)"],
            env={**os.environ, "PYTHONPATH": str(installed)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert modules.stdout.startswith(str(installed))
    finally:
        view.stop()


def test_what_is_vendored_is_what_the_list_says() -> None:
    folder = ROOT / "ccs/ui/static/vendor"
    listed = json.loads((folder / "sbom.cdx.json").read_text("utf-8"))["components"]
    names = set()
    for component in listed:
        facts = {each["name"]: each["value"] for each in component["properties"]}
        data = (folder / facts["file"]).read_bytes()
        assert len(data) == int(facts["bytes"])
        assert hashlib.sha256(data).hexdigest() == component["hashes"][0]["content"]
        assert (folder / facts["license-file"]).is_file()
        names |= {facts["file"], facts["license-file"]}
    assert {file.name for file in folder.iterdir()} == names | {"sbom.cdx.json"}


def test_values_become_json_with_their_types() -> None:
    assert plain({"a": [1, 2**60, b"x", None, 0.5, float("nan")]}) == {
        "a": [1, {"$int": str(2**60)}, {"$bytes": "eA=="}, None, 0.5, {"$float": "nan"}]
    }
    assert plain({1: "x"}) == {"$map": [[1, "x"]]}
    assert plain({"$bytes": "no"}) == {"$map": [["$bytes", "no"]]}


def test_previews_are_short_and_look_at_the_beginning_only() -> None:
    assert preview({"title": "Annual", "pages": 3, "deep": {"a": [1, {"b": {"c": {}}}]}}) == (
        '{title: "Annual", pages: 3, deep: {a: [1, {b: {…}}]}}'
    )
    assert len(preview(["x" * 1000] * 1000)) <= 140
    assert preview("line\nbreak") == '"line\\nbreak"'
    assert preview(10**200000).startswith("an integer of")
