"""The door of the web console: refuses what does not come from its own page, and adds the headers that keep it so."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duologue.access.origins import Gate, is_loopback

TILES = "https://tile.openstreetmap.org"
_POLICY = "; ".join(
    (
        "default-src 'self'",
        f"img-src 'self' {TILES}",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "strict-origin-when-cross-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), speaker-selection=(self), camera=(), geolocation=()",
    "cache-control": "no-cache",
}


class Guard:
    """ASGI middleware. Sockets and `/api` need Host, Origin and cookie; all else a right Host.

    `GET /` hands out the cookie: bound to loopback to whoever asks by a loopback name, bound elsewhere only to who
    brings the `token` of the start address.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through or refuse."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        verdict = self._verdict(scope, headers)
        if verdict != "ok":
            await self._refuse(verdict, scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        elif scope["path"] == "/":
            await self._front_door(headers, scope, receive, send)
        else:
            await self._app(scope, receive, _dressed(send))

    def _verdict(self, scope: Scope, headers: Headers) -> str:
        if scope["type"] == "websocket" or scope["path"].startswith("/api"):
            return self._gate.judge(headers)
        return "ok" if self._gate.host_allowed(headers.get("host", "")) else "host"

    async def _front_door(self, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        cookie = {"set-cookie": self._gate.set_cookie()}
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if is_loopback(self._gate.bind):
            await self._app(scope, receive, _dressed(send, cookie))
        elif hmac.compare_digest(token.encode(), self._gate.secret.encode()):
            # The token leaves the address bar, where it could be copied or seen.
            response = RedirectResponse("/", status_code=303, headers=cookie)
            await response(scope, receive, _dressed(send))
        elif self._gate.cookie_valid(headers.get("cookie", "")):
            await self._app(scope, receive, _dressed(send))
        else:
            await self._refuse("token", scope, receive, send)

    async def _refuse(self, verdict: str, scope: Scope, receive: Receive, send: Send) -> None:
        reasons = {
            "host": "this address is not one that the console was opened under",
            "origin": "only the console's own page may do this",
            "cookie": "open the console's page first",
            "token": "open the address that the console printed when it started: it holds a token",
        }
        if scope["type"] == "websocket":
            # Closing before accepting is HTTP 403.
            await send({"type": "websocket.close", "code": 1008, "reason": reasons[verdict]})
            return
        response = PlainTextResponse(f"403: {reasons[verdict]}\n", status_code=403)
        await response(scope, receive, _dressed(send))


def _dressed(send: Send, extra: dict[str, str] | None = None) -> Send:
    async def dress(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in {**HEADERS, **(extra or {})}.items():
                headers[name] = value
        await send(message)

    return dress
