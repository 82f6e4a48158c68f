"""The telephone line over HTTP: the hosted API's routes for deciding about calls, and two of our own for dialling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from duologue.access.origins import is_loopback
from duologue.errors import MissingExtra, ProtocolError
from duologue.protocol.codec import parse
from duologue.server.admission import Door
from duologue.server.call_offers import SDP, read_call_offer
from duologue.server.offers import read_order
from duologue.server.rest import busy, guarded, read_body, refusal
from duologue.server.runner import RealtimeServer
from duologue.server.sip import Declined, SipDesk
from duologue.server.webrtc import CALLS
from duologue.transports.sip import DECLINED

_Body = TypeVar("_Body", bound=Struct)
SIP = "/v1/realtime/sip/calls"


class _Reject(Struct, frozen=True, forbid_unknown_fields=True):
    status_code: int = DECLINED


class _Refer(Struct, frozen=True, forbid_unknown_fields=True):
    target_uri: str


class _Press(Struct, frozen=True, forbid_unknown_fields=True):
    digit: str


def sip_routes(server: RealtimeServer, door: Door, desk: SipDesk) -> list[Route]:
    """`accept`, `reject` and `refer` of a call; dialling (`POST …/sip/calls?From=sip:…`, an SDP offer), pressing keys."""

    async def dial(request: Request) -> Response:
        offer = read_call_offer(request.headers.get("content-type", ""), await read_body(request))
        if reason := busy(server):
            return refusal(reason, 503)
        near = request.client is not None and is_loopback(request.client.host)
        try:
            call_id, sdp = await desk.dial(offer.sdp, dict(request.query_params), near=near)
        except Declined as declined:
            return refusal(declined, declined.status if declined.status < 600 else 403)
        except MissingExtra as missing:
            return refusal(ProtocolError(str(missing), type="server_error", code="webrtc_not_installed"), 501)
        return Response(sdp, 201, {"Location": f"{CALLS}/{call_id}"}, media_type=SDP)

    async def accept(request: Request) -> Response:
        settings = parse(await read_body(request))
        order = read_order(msgspec.json.encode({"session": settings}))
        await desk.accept(_call_id(request), order.session)
        return Response()

    async def reject(request: Request) -> Response:
        desk.reject(_call_id(request), _read(await read_body(request) or b"{}", _Reject).status_code)
        return Response()

    async def refer(request: Request) -> Response:
        desk.refer(_call_id(request), _read(await read_body(request), _Refer).target_uri)
        return Response()

    async def press(request: Request) -> Response:
        await desk.press(_call_id(request), _read(await read_body(request), _Press).digit)
        return Response()

    def route(path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
        return Route(path, guarded(door, _found(handler)), methods=["POST"])

    return [
        route(SIP, dial),
        route(SIP + "/{call_id}/dtmf", press),
        route(CALLS + "/{call_id}/accept", accept),
        route(CALLS + "/{call_id}/reject", reject),
        route(CALLS + "/{call_id}/refer", refer),
    ]


def _call_id(request: Request) -> str:
    return str(request.path_params["call_id"])


def _found(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A call that is not there is 404, as everywhere in HTTP."""

    async def found(request: Request) -> Response:
        try:
            return await handler(request)
        except ProtocolError as error:
            if error.param != "call_id":
                raise
            return refusal(error, 404)

    return found


def _read(body: bytes, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError) as problem:
        raise ProtocolError(f"The body cannot be used: {problem}.", code="invalid_request_error") from None
