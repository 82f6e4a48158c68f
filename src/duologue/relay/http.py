"""The relay over HTTP: what a web application asks before its users call, and what those who run it ask."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from duologue.access.origins import is_loopback
from duologue.access.secrets import NONCE_BYTES
from duologue.clock import unix_s
from duologue.errors import ProtocolError
from duologue.protocol.codec import decode_client_event
from duologue.relay.callers import LONGEST_CREDENTIAL, Knock, identify, is_open, issue
from duologue.relay.commands import Caller
from duologue.relay.metrics import CONTENT_TYPE
from duologue.relay.server import Relay, refusal
from duologue.relay.settings import Callers
from duologue.relay.shapes import strict_parse

MAX_BODY_BYTES = 256 * 1024
SHORTEST_SECONDS, LONGEST_SECONDS = 10, 7200
_STATUSES = {"host_not_allowed": 403, "origin_not_allowed": 403, "not_found": 404, "request_too_large": 413}

_PASSED_ON = (400, 404, 409, 413, 422, 429)
"""What an upstream's answer may blame on the caller; with all others it is the relay that was not served."""

Handler = Callable[[Request, Caller], Awaitable[Response]]


class UpstreamRefused(ProtocolError):
    """The upstream has answered a request with an error: `status` is what the caller gets of it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, code="upstream_refused")
        self.status = status if status in _PASSED_ON else 502


def status_routes(relay: Relay) -> list[Route]:
    """What those who run the relay ask."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "calls": relay.calls})

    async def ready(_: Request) -> Response:
        if relay.draining:
            return _http(ProtocolError("The relay is shutting down.", type="server_error", code="draining"), 503)
        if max(relay.calls, relay.seats.taken) >= relay.setup.settings.limits.sessions:
            return _http(ProtocolError("The relay is full.", type="server_error", code="full"), 503)
        return JSONResponse({"status": "ready", "calls": relay.calls})

    async def metrics(_: Request, caller: Caller) -> Response:
        readers = {token.user for token in relay.setup.settings.callers.tokens if token.metrics}
        if caller.how != "loopback" and (caller.how != "token" or caller.user not in readers):
            raise ProtocolError("Metrics are not for callers.", code="invalid_api_key")
        return Response(relay.metrics.page(), media_type=CONTENT_TYPE)

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", guarded(relay, metrics))]


def secret_routes(relay: Relay) -> list[Route]:
    """Client secrets of the relay's own, asked for as those of the hosted API."""

    async def client_secrets(request: Request, caller: Caller) -> Response:
        setup = relay.setup
        asked = read_order(await read_body(request), setup.settings.callers.secret_seconds)
        expires_at = unix_s() + asked.seconds
        claims = {} if asked.session is None else {"session": asked.session}
        value = issue(caller, claims, setup.keys, nonce=os.urandom(NONCE_BYTES), expires_at=expires_at)
        if len(value) > LONGEST_CREDENTIAL:
            raise ProtocolError("The session is too long to travel in a secret.", code="session_too_large")
        session = asked.session or {"type": "realtime"}
        return JSONResponse({"value": value, "expires_at": expires_at, "session": session})

    path = "/v1/realtime/client_secrets"
    return [
        Route(path, guarded(relay, client_secrets), methods=["POST"]),
        Route(path, preflight(relay), methods=["OPTIONS"]),
    ]


class Order(Struct, frozen=True, kw_only=True):
    """A client secret that was asked for."""

    session: dict[str, Any] | None
    seconds: int


def read_order(body: bytes, seconds: int) -> Order:
    """The body of a request for a client secret; `seconds`: how long one lives by default. Raises ProtocolError."""
    asked = strict_parse(b'{"type":"","body":' + (body.strip() or b"{}") + b"}")["body"]
    if not isinstance(asked, dict) or asked.keys() - {"session", "expires_after"}:
        raise ProtocolError("The body is an object with 'session' and 'expires_after' at most.", code="invalid_json")
    wish = asked.get("expires_after") or {}
    seconds = wish.get("seconds", seconds) if isinstance(wish, dict) else 0
    if not isinstance(seconds, int) or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        where = "expires_after.seconds"
        message = f"Invalid '{where}': {SHORTEST_SECONDS} to {LONGEST_SECONDS} seconds."
        raise ProtocolError(message, code="invalid_value", param=where)
    session = asked.get("session")
    if session is not None:
        decode_client_event(msgspec.json.encode({"type": "session.update", "session": session}))
    return Order(session=session, seconds=seconds)


def guarded(relay: Relay, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler behind the same credentials as the WebSocket; errors as HTTP says them."""

    async def guard(request: Request) -> Response:
        setup = relay.setup
        knock = Knock(headers=dict(request.headers), peer=request.client.host if request.client else "")
        try:
            caller = identify(knock, setup.settings.callers, setup.keys, unix_s())
        except ProtocolError as error:
            relay.metrics.refused(error.code or "no_key")
            response = _http(error, _STATUSES.get(error.code or "", 401))
        else:
            try:
                response = await handler(request, caller)
            except UpstreamRefused as error:
                response = _http(error, error.status)
            except ProtocolError as error:
                status = 503 if error.type == "server_error" else 400
                response = _http(
                    error, _STATUSES.get(error.code or "", 401 if error.code == "invalid_api_key" else status)
                )
        response.headers.update(cors(request.headers.get("origin"), setup.settings.callers))
        return response

    return guard


def preflight(relay: Relay) -> Callable[[Request], Awaitable[Response]]:
    """What a browser asks before it sends a page's request."""

    async def answer(request: Request) -> Response:
        allowed = cors(request.headers.get("origin"), relay.setup.settings.callers)
        if not allowed:
            return Response(status_code=403)
        # SDKs add headers of their own to Authorization and Content-Type
        wished = request.headers.get("access-control-request-headers", "authorization, content-type")
        headers = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": wished}
        return Response(status_code=204, headers={**allowed, **headers, "Access-Control-Max-Age": "600"})

    return answer


def cors(origin: str | None, callers: Callers) -> dict[str, str]:
    """The headers that let a page read the answer; none for pages that may not."""
    if origin is None:
        return {}
    known = origin.lower() in {allowed.lower().rstrip("/") for allowed in callers.origins}
    host = origin.partition("://")[2].rpartition(":")[0] or origin.partition("://")[2]
    if not (known or not callers.origins or (is_open(callers) and is_loopback(host))):
        return {}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Location", "Vary": "Origin"}


async def read_body(request: Request) -> bytes:
    """The body, as far as it is of a sensible size. Raises ProtocolError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ProtocolError(f"The body is larger than {MAX_BODY_BYTES} bytes.", code="request_too_large")
    return bytes(body)


def _http(error: ProtocolError, status: int) -> Response:
    said = refusal(error, status)
    return Response(said.body, said.status, dict(said.headers))
