"""Who may ask, and what every answer carries."""

import asyncio
import hmac
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pmm_jax.serve.limits import REQUEST_SECONDS

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
OPEN = ("/", "/page.js", "/page.css", "/openapi.json", "/healthz")
"""Paths that show nothing of gallery and model, and so need no token."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of every answer. Pictures of people are kept by no cache."""

Observe = Callable[[str, str, int, float], None]
"""Route, method, status and seconds of an answered request."""


def error(status: int, line: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse({"error": line}, status, headers)


class Guard:
    """Checks each request before the application sees it, and times and marks each answer.

    Without a token the server is for programs of this machine alone. A page of another site runs on
    this machine, too: it is kept out by its Origin, and where it has its own name lead here (DNS
    rebinding), by that name. With a token nobody gets in without it.
    """

    def __init__(self, app: ASGIApp, token: str | None, observe: Observe) -> None:
        self._app, self._observe = app, observe
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or have it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await (refusal or self._app)(scope, receive, marked)
        except TimeoutError:
            # 500 stands for no answer yet. Where one has begun, the server cuts it off.
            if status == 500:
                await error(503, "this took too long; try again")(scope, receive, marked)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if status not in (404, 405) else "other"
            self._observe(route, method, status, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._token is None and _name(host) not in LOOPBACK:
            return error(403, "without a token this server answers to localhost and 127.0.0.1 only")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return error(403, "pages of other origins get no answer here")
        if self._token is not None and scope["path"] not in OPEN:
            kind, _, given = headers.get("authorization", "").partition(" ")
            is_right = hmac.compare_digest(given.strip().encode(), self._token)
            if kind.lower() != "bearer" or not is_right:
                asks = {"WWW-Authenticate": "Bearer"}
                return error(401, "send the token: Authorization: Bearer TOKEN", asks)
        return None


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and (port.isdigit() or not port) else host.lower()
