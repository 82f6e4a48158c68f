"""The HTTP side of sessions: client secrets in GA's way and in the beta's two, and the list of models."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from duologue.access.secrets import NONCE_BYTES
from duologue.clock import unix_s
from duologue.errors import ProtocolError
from duologue.ids import random_id
from duologue.protocol.session import AnySession
from duologue.server.admission import Door, Handshake, check_key, check_model, key_of, model_of, no_translation
from duologue.server.config import first_session
from duologue.server.mcp import refuse_servers, shown, tools_in
from duologue.server.mcp_calls import installed
from duologue.server.offers import Order, answer, beta_answer, make_key, read_beta_order, read_order
from duologue.server.runner import RealtimeServer

MAX_BODY_BYTES = 1024 * 1024
RETRY_AFTER_S = 5

Handler = Callable[[Request], Awaitable[Response]]


def refusal(error: ProtocolError, status: int = 400) -> JSONResponse:
    """An error as HTTP says it. 503 says when to come back."""
    details = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    return JSONResponse({"error": details}, status, headers)


def busy(server: RealtimeServer) -> ProtocolError | None:
    """Why the server takes no session now; None where it does."""
    if server.draining:
        return ProtocolError("The server is shutting down.", type="server_error", code="server_shutting_down")
    if server.full:
        message = f"This server holds {server.limits.max_sessions} sessions at a time, and all are taken."
        return ProtocolError(message, type="server_error", code="session_limit_reached")
    return None


def guarded(door: Door, handler: Handler) -> Handler:
    """The handler behind the same keys as the WebSocket; a client secret opens sessions, and nothing else."""

    async def guard(request: Request) -> Response:
        key = key_of(Handshake(headers=request.headers))
        try:
            if check_key(key, door, unix_s()) is not None and door.api_keys:
                raise ProtocolError("A client secret only opens sessions: use an API key.", code="invalid_api_key")
        except ProtocolError as error:
            return refusal(error, 401)
        try:
            return await handler(request)
        except ProtocolError as error:
            return refusal(error, 413 if error.code == "request_too_large" else 400)

    return guard


async def read_body(request: Request) -> bytes:
    """The body, as far as it is of a sensible size. Raises ProtocolError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            message = f"The body is larger than {MAX_BODY_BYTES} bytes."
            raise ProtocolError(message, code="request_too_large")
    return bytes(body)


def session_routes(server: RealtimeServer, door: Door) -> list[Route]:
    """What a web application calls before its users connect."""

    async def client_secrets(request: Request) -> Response:
        order = read_order(await read_body(request))
        return offer(order, answer)

    async def sessions(request: Request) -> Response:
        order = read_beta_order(await read_body(request), transcribes=False)
        return offer(order, partial(beta_answer, temperature=order.temperature))

    async def transcription_sessions(request: Request) -> Response:
        return offer(read_beta_order(await read_body(request), transcribes=True), beta_answer)

    def offer(order: Order, say: Callable[..., bytes]) -> Response:
        if reason := busy(server):
            return refusal(reason, 503)
        settings = effective(order.session)
        key = make_key(order, signing_key=door.signing_key, nonce=os.urandom(NONCE_BYTES), now_s=unix_s())
        return Response(say(key, replace(settings, expires_at=0)), media_type="application/json")

    def effective(asked: AnySession) -> AnySession:
        """What a session that begins with these settings shows. Raises ProtocolError."""
        model = model_of(asked) or door.default_model
        if model_of(asked):
            check_model(model, door)
        refuse_servers(installed(), server.limits.reach, tools_in(asked), "session.tools")
        return shown(first_session(session_id=random_id("sess"), model=model, now_s=unix_s(), seconds=0, wish=asked))

    async def translations(_: Request) -> Response:
        raise no_translation()

    async def models(_: Request) -> Response:
        names = door.models or (door.default_model,)
        listed: list[dict[str, Any]] = [
            {"id": name, "object": "model", "created": 0, "owned_by": "duologue"} for name in names
        ]
        return JSONResponse({"object": "list", "data": listed})

    return [
        Route("/v1/realtime/client_secrets", guarded(door, client_secrets), methods=["POST"]),
        Route("/v1/realtime/sessions", guarded(door, sessions), methods=["POST"]),
        Route("/v1/realtime/transcription_sessions", guarded(door, transcription_sessions), methods=["POST"]),
        Route("/v1/realtime/translations/client_secrets", guarded(door, translations), methods=["POST"]),
        Route("/v1/models", guarded(door, models), methods=["GET"]),
    ]
