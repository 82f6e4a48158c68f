"""Calls over HTTP: an SDP offer is answered, and a call is hung up. The beta's way of offering too."""

from __future__ import annotations

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from duologue.access.origins import is_loopback
from duologue.clock import unix_s
from duologue.errors import MissingExtra, ProtocolError
from duologue.server.admission import Admitted, Dialect, Door, Handshake, Refused, admit, model_of
from duologue.server.call_offers import SDP, CallOffer, read_call_offer
from duologue.server.calls import Calls
from duologue.server.rest import Handler, busy, guarded, read_body, refusal
from duologue.server.runner import RealtimeServer

CALLS = "/v1/realtime/calls"
KEY_REFUSED = 3000
"""The close code of a handshake that was refused for its key."""


def call_routes(server: RealtimeServer, door: Door, calls: Calls) -> list[Route]:
    """`POST /v1/realtime/calls`, the beta's `POST /v1/realtime`, and hanging up."""

    def dial(beta: bool) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                offer = read_call_offer(request.headers.get("content-type", ""), await read_body(request))
                decision = _decide(request, offer, door)
                if isinstance(decision, Refused):
                    server.meter.refused(decision.error.code or decision.error.type)
                    return refusal(decision.error, 401 if decision.close_code == KEY_REFUSED else 400)
                if reason := busy(server):
                    server.meter.refused(reason.code or reason.type)
                    return refusal(reason, 503)
                dialect: Dialect = "beta" if beta else Handshake(headers=request.headers).dialect
                near = request.client is not None and is_loopback(request.client.host)
                call_id, sdp = await calls.answer(offer.sdp, decision, dialect, near=near)
            except ProtocolError as error:
                return refusal(error, 413 if error.code == "request_too_large" else 400)
            except MissingExtra as missing:
                return refusal(ProtocolError(str(missing), type="server_error", code="webrtc_not_installed"), 501)
            return Response(sdp, 201, {"Location": f"{CALLS}/{call_id}"}, media_type=SDP)

        return answer

    async def hang_up(request: Request) -> Response:
        try:
            server.hang_up(request.path_params["call_id"])
        except ProtocolError as error:
            return refusal(error, 404)
        return Response()

    return [
        Route(CALLS, dial(beta=False), methods=["POST"]),
        Route("/v1/realtime", dial(beta=True), methods=["POST"]),
        Route(CALLS + "/{call_id}/hangup", guarded(door, hang_up), methods=["POST"]),
    ]


def _decide(request: Request, offer: CallOffer, door: Door) -> Admitted | Refused:
    """As for a WebSocket; what the request brings comes before what its client secret carries."""
    query = dict(request.query_params)
    query.pop("call_id", None)
    if offer.session is not None and (model := model_of(offer.session)):
        query["model"] = model
    decision = admit(Handshake(headers=request.headers, query=query), door, unix_s())
    if isinstance(decision, Admitted) and offer.session is not None:
        return replace(decision, initial=offer.session)
    return decision
