"""The web view as an ASGI application: a page, what it needs, and what it asks for. Nothing here writes."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.responses import StreamingResponse as Streaming
from starlette.types import Receive, Scope, Send

import ccs
from ccs.aio import Context, Store
from ccs.ui.export import STATIC, json_lines, one_file
from ccs.ui.glance import Glance
from ccs.ui.guard import HEADERS, Guard
from ccs.ui.moments import changes_since, entry_with_versions, moment, when_of
from ccs.ui.page_stream import PageStream
from ccs.ui.plain_values import dumps

__all__ = ["WebView", "app"]

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}
# What history cannot tell, with the status of the answer.
_GONE = (ccs.HistoryCompacted, ccs.HistoryForked, ccs.HistoryDamaged, ccs.ContextGone)


def app(store: Store, *, token: str | None = None, hosts: Iterable[str] = (), prefix: str = "") -> WebView:
    """Returns the web view of a store of `ccs.aio` as an ASGI application, to be served or mounted elsewhere.

    It is opened with its token, once, as `?token=…` behind its address: `view.token`, a random one unless it is given. It
    answers to this machine's own names, and to `hosts` (names, with or without a port), as a proxy in front of it has.
    `prefix` is a path below which it answers too, for a proxy that passes on the whole path. It reads what the store's user
    may read, writes nothing, and leaves the store open. Raises `InvalidValue` for a store that blocks.
    """
    if not isinstance(store, Store):
        raise ccs.InvalidValue(
            f"the web view needs a store of ccs.aio, not {type(store).__module__}.{type(store).__name__}"
        )
    return WebView(store, Guard.of(token or secrets.token_urlsafe(24), hosts), _checked(prefix))


def _checked(prefix: str) -> str:
    if prefix and (not prefix.startswith("/") or prefix.startswith("//")):
        raise ccs.InvalidValue(f"the prefix is {prefix!r}: give a path that begins with a /")
    return prefix.rstrip("/")


class WebView:
    """The application. `stop()` ends the streams of all pages, so that a server can end at once."""

    def __init__(self, store: Store, guard: Guard, prefix: str) -> None:
        self._store = store
        self._guard = guard
        self._prefix = prefix
        self._glance = Glance(store)
        self._streams: set[PageStream] = set()
        self._stopped = False
        self._answers: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self._page,
            "/api/stream": self._stream,
            "/api/entry": self._entry,
            "/api/at": self._at,
            "/api/diff": self._diff,
            "/api/export.jsonl": self._json_lines,
            "/api/export.html": self._one_file,
        }

    def __repr__(self) -> str:
        return f"<WebView of {self._store.address}, {len(self._streams)} pages>"

    @property
    def token(self) -> str:
        """The token with which it is opened."""
        return self._guard.token

    def stop(self) -> None:
        """Ends the streams of all pages, and refuses new ones."""
        self._stopped = True
        for stream in self._streams:
            stream.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; see ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            request = Request(scope, receive)
            response = await self._answer(request)
            response.headers.update(HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
            await response(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, request: Request) -> Response:
        refusal = self._guard.refusal(request)
        if refusal:
            return refusal
        path = self._path(request.scope)
        if not path:
            query = request.url.query
            return RedirectResponse(f"{request.scope['path']}/{f'?{query}' if query else ''}", 307)
        return self._guard.admission(request, path) or await self._found(request, path)

    def _path(self, scope: Scope) -> str:
        """Returns the path within this view, wherever it is mounted, and whether or not a proxy has cut the prefix off."""
        path: str = scope["path"]
        for above in (scope.get("root_path") or "", self._prefix):
            if above and (path == above or path.startswith(f"{above}/")):
                path = path[len(above) :]
        return path

    async def _found(self, request: Request, path: str) -> Response:
        answer = self._answers.get(path)
        if answer is None:
            return _static(path)
        try:
            return await answer(request)
        except _GONE as error:
            facts = {"error": type(error).__name__, "text": str(error), "oldest": getattr(error, "oldest", 0)}
            return _json(facts, 410)
        except ccs.Forbidden as error:
            return _json({"error": "Forbidden", "text": str(error)}, 403)
        except ccs.Unavailable as error:
            return _json({"error": "Unavailable", "text": str(error)}, 503)
        except (ccs.CCSError, KeyError) as error:
            return _json({"error": type(error).__name__, "text": str(error)}, 400)

    async def _page(self, request: Request) -> Response:
        return HTMLResponse((STATIC / "index.html").read_text("utf-8"))

    async def _stream(self, request: Request) -> Response:
        cursor = request.headers.get("last-event-id") or request.query_params.get("since", "")
        since = int(cursor) if cursor.isdecimal() else None
        stream = PageStream(self._store, self._glance, request.query_params.get("context"), since)
        if self._stopped:
            stream.stop()
        return _Events(stream, self._streams)

    async def _entry(self, request: Request) -> Response:
        query = request.query_params
        when = when_of(query["at"]) if query.get("at") else None
        return _json(await entry_with_versions(self._context(request), query["path"], when))

    async def _at(self, request: Request) -> Response:
        return _json(await moment(self._context(request), when_of(request.query_params["when"])))

    async def _diff(self, request: Request) -> Response:
        query = request.query_params
        return _json(await changes_since(self._context(request), when_of(query["since"]), query.getlist("pattern")))

    async def _json_lines(self, request: Request) -> Response:
        context = self._context(request)
        when = when_of(request.query_params["at"]) if request.query_params.get("at") else None
        lines = json_lines(context, when, request.query_params.getlist("pattern"))
        return Streaming(lines, media_type="application/jsonl", headers=_saved_as(context, "jsonl"))

    async def _one_file(self, request: Request) -> Response:
        context = self._context(request)
        when = when_of(request.query_params["at"]) if request.query_params.get("at") else None
        return Response(await one_file(context, when), media_type="text/html", headers=_saved_as(context, "html"))

    def _context(self, request: Request) -> Context:
        return self._store.context(request.query_params["context"])


class _Events(Streaming):
    """A stream of events that ends with its page."""

    def __init__(self, stream: PageStream, streams: set[PageStream]) -> None:
        self._stream = stream
        self._streams = streams
        self._messages = stream.messages()
        super().__init__(self._messages, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._streams.add(self._stream)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.discard(self._stream)
            await self._messages.aclose()  # type: ignore[attr-defined]  # it is a generator


def _static(path: str) -> Response:
    name = path.removeprefix("/static/")
    file = STATIC / name
    if name == path or ".." in name.split("/") or file.suffix not in _TYPES or not file.is_file():
        return PlainTextResponse("There is no such page.\n", 404)
    return FileResponse(file, media_type=_TYPES[file.suffix], headers={"Cache-Control": "no-cache"})


def _json(value: Any, status: int = 200) -> Response:
    return Response(dumps(value), status, media_type="application/json")


def _saved_as(context: Context, ending: str) -> dict[str, str]:
    name = "".join(
        char if char.isascii() and (char.isalnum() or char in "-_.") else "-" for char in context.address[1:]
    )
    return {"Content-Disposition": f'attachment; filename="{name[:100]}.{ending}"'}
