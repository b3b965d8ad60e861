"""Who may look: every request is checked for its `Host`, its origin and its cookie, before anything is read.

The view listens on this machine only, but every page in the same browser can send requests to it. A page from elsewhere
whose name was made to lead here (DNS rebinding) has a foreign `Host`. One that sends a request across sites has a foreign
`Origin`, or says so in `Sec-Fetch-Site`; it cannot have the cookie. And other users of this machine do not have the token.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ccs._http import LOOPBACK, host_in

__all__ = ["HEADERS", "Guard"]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every answer carries."""

_TOKEN = "Open the URL that `ccs ui` has printed: it carries the token of this view, which changes with each start.\n"


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks requests. `hosts` are names, with or without a port, by which the view is reached besides this machine's own."""

    token: str
    hosts: frozenset[str]

    @classmethod
    def of(cls, token: str, hosts: Iterable[str]) -> Guard:
        """Returns a guard for a token, and for the names of proxies."""
        return cls(token, frozenset(host.lower() for host in hosts))

    @property
    def cookie(self) -> str:
        """The name of the cookie. Cookies do not tell ports apart, so each token has its own."""
        return f"ccs-ui-{hashlib.sha256(self.token.encode()).hexdigest()[:12]}"

    def refusal(self, request: Request) -> Response | None:
        """Returns the answer to a request that is refused whoever sends it; None if it may be looked at."""
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("This view is read-only.\n", 405, {"Allow": "GET, HEAD"})
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return PlainTextResponse("This view is not reached by that name; see --host.\n", 403)
        origin = request.headers.get("origin")
        if origin is not None and not self._is_same(origin, hosts[0]):
            return PlainTextResponse("Another page asks; only this view's own may.\n", 403)
        if self._is_foreign(request):
            return PlainTextResponse("Another site asks; only this view's own pages may.\n", 403)
        return None

    def admission(self, request: Request, path: str) -> Response | None:
        """Returns the answer to who is not let in yet, or has brought the token and gets the cookie; else None."""
        given = request.query_params.get("token")
        if given is not None and hmac.compare_digest(given.encode(), self.token.encode()):
            return self._welcome(request, path)
        held = request.cookies.get(self.cookie, "")
        if hmac.compare_digest(held.encode(), self.token.encode()):
            return None
        return PlainTextResponse(_TOKEN, 403)

    def _welcome(self, request: Request, path: str) -> Response:
        rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
        # Relative, so that it holds below any prefix; the page itself is the last segment, which is empty.
        here = f"./{path.rpartition('/')[2]}"
        answer = RedirectResponse(f"{here}?{urlencode(rest)}" if rest else here, 303)
        # Lax, not strict: else who follows the URL from another site would be sent on without the cookie just set.
        answer.set_cookie(self.cookie, self.token, path="/", httponly=True, samesite="lax")
        return answer

    def _is_ours(self, host: str) -> bool:
        name = host_in(f"//{host}")
        return name in LOOPBACK or host.lower() in self.hosts or name in self.hosts

    def _is_same(self, origin: str, host: str) -> bool:
        netloc = _netloc(origin)
        return netloc is not None and (netloc == host.lower() or netloc in self.hosts)

    def _is_foreign(self, request: Request) -> bool:
        site = request.headers.get("sec-fetch-site", "none")
        followed = request.headers.get("sec-fetch-mode") == "navigate" and request.headers.get("sec-fetch-dest") in (
            "document",
            None,
        )
        return site not in ("same-origin", "none") and not followed


def _netloc(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None
