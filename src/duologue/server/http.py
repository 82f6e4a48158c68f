"""The server's ASGI app: the Realtime WebSocket in both dialects, calls, client secrets, health and metrics."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from duologue.clock import unix_s
from duologue.errors import ProtocolError, TransportClosed
from duologue.ids import random_id
from duologue.protocol.codec import encode
from duologue.protocol.server_events import Error, ErrorDetails
from duologue.server.admission import Door, Handshake, Refused, admit
from duologue.server.asgi import AsgiTransport
from duologue.server.calls import Calls
from duologue.server.metrics import CONTENT_TYPE, Metrics
from duologue.server.rest import busy, guarded, refusal, session_routes
from duologue.server.runner import RealtimeServer
from duologue.server.sip import SipDesk, Webhook
from duologue.server.sip_routes import sip_routes
from duologue.server.webrtc import call_routes
from duologue.transports.call_address import IceServer

BUSY_CLOSE_CODE = 1013
DRAINING_CLOSE_CODE = 1001
SIGNING_KEY_BYTES = 32

CORS = Middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_methods=["GET", "POST", "OPTIONS"],
    allow_headers=["*"],  # SDKs add headers of their own to Authorization and Content-Type
    expose_headers=["Location"],
    max_age=600,
)


def create_app(
    server: RealtimeServer,
    door: Door | None = None,
    *,
    sip: Webhook | None = None,
    ice_servers: Sequence[IceServer] = (),
) -> Starlette:
    """The app around a server; its lifespan starts and closes the engines.

    Without a door anybody is let in, and client secrets are valid as long as this app lives. Metrics are served where
    the server's meter is a `Metrics`. `sip`: telephone calls can be dialled here, and are announced there. `ice_servers`:
    one STUN and one TURN server at most, for WebRTC calls.
    """
    entrance = door or Door(signing_key=os.urandom(SIGNING_KEY_BYTES))
    if not entrance.default_model:
        name = entrance.models[0] if entrance.models else server.responder
        entrance = replace(entrance, default_model=name)

    calls = Calls(server, ice_servers)

    async def realtime(websocket: WebSocket) -> None:
        await _answer(websocket, server, entrance, translates=False)

    async def translations(websocket: WebSocket) -> None:
        await _answer(websocket, server, entrance, translates=True)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server.running():
            try:
                yield
            finally:
                await calls.close()

    return Starlette(
        routes=[
            WebSocketRoute("/v1/realtime", realtime),
            WebSocketRoute("/v1/realtime/translations", translations),
            *session_routes(server, entrance),
            *call_routes(server, entrance, calls),
            *(sip_routes(server, entrance, SipDesk(server, calls, sip, entrance.default_model)) if sip else ()),
            *_status_routes(server, entrance),
        ],
        middleware=[CORS],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )


def _status_routes(server: RealtimeServer, door: Door) -> list[Route]:
    """What those who run the server ask."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "sessions": server.sessions})

    async def ready(_: Request) -> Response:
        reason = busy(server)
        return refusal(reason, 503) if reason else JSONResponse({"status": "ready", "sessions": server.sessions})

    async def metrics(_: Request) -> Response:
        if not isinstance(server.meter, Metrics):
            raise HTTPException(404, "This server keeps no metrics.")
        return Response(server.meter.page(server), media_type=CONTENT_TYPE)

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", guarded(door, metrics))]


async def _answer(websocket: WebSocket, server: RealtimeServer, door: Door, *, translates: bool) -> None:
    handshake = Handshake(
        headers=websocket.headers,
        query=websocket.query_params,
        subprotocols=tuple(websocket.scope.get("subprotocols") or ()),
        translates=translates,
    )
    await websocket.accept(handshake.subprotocol)
    transport = AsgiTransport(websocket)
    decision = admit(handshake, door, unix_s())
    joins = None if isinstance(decision, Refused) else decision.call_id
    if not isinstance(decision, Refused) and joins is None and (reason := busy(server)):
        code = DRAINING_CLOSE_CODE if server.draining else BUSY_CLOSE_CODE
        decision = Refused(error=reason, close_code=code)
    if not isinstance(decision, Refused):
        try:
            if joins is not None:
                await server.join(joins, transport, handshake.dialect)
            else:
                await server.serve(
                    transport,
                    model=decision.model,
                    intent=decision.intent,
                    dialect=handshake.dialect,
                    initial=decision.initial,
                    temperature=decision.temperature,
                )
        except ProtocolError as error:
            decision = Refused(error=error)
    if isinstance(decision, Refused):
        server.meter.refused(decision.error.code or decision.error.type)
        await _refuse(transport, decision)


async def _refuse(transport: AsgiTransport, refused: Refused) -> None:
    """Say why in an event, then close: clients see events, but rarely the body of a refused handshake."""
    error = refused.error
    details = ErrorDetails(type=error.type, code=error.code, message=error.message, param=error.param)
    with suppress(TransportClosed):
        await transport.send(encode(Error(event_id=random_id("event"), error=details)))
    await transport.close(refused.close_code, refused.close_reason)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = refusal(ProtocolError(error.detail), error.status_code)
    response.headers.update(error.headers or {})
    return response
