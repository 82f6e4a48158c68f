"""Calls over WebRTC: the relay makes the call at the upstream with the policy's session, and supervises it by its id.

Sound and events go between caller and upstream directly, so single events cannot be judged. What the relay holds is the
length of the call, what it costs, its tools, and that the locked settings stay as they are: a breach hangs up.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from duologue.access.redaction import redacted
from duologue.errors import ProtocolError
from duologue.ids import random_id
from duologue.relay.call import Call, Terms
from duologue.relay.commands import Caller
from duologue.relay.dialects import Ga
from duologue.relay.http import UpstreamRefused, guarded, preflight, read_body
from duologue.relay.lines import Ear
from duologue.relay.policy import opening_session
from duologue.relay.server import Relay, first_event
from duologue.relay.setup import Setup
from duologue.relay.supervise import Supervisor

OFFER_SECONDS = 20.0
_log = logging.getLogger(__name__)


def call_routes(relay: Relay) -> list[Route]:
    """`POST /v1/realtime/calls`, as the hosted API answers it."""

    async def calls(request: Request, caller: Caller) -> Response:
        if relay.draining:
            raise ProtocolError("The relay is shutting down.", type="server_error", code="relay_shutting_down")
        setup = relay.setup
        offer = sdp_of(request.headers.get("content-type", ""), await read_body(request))
        # taken before the upstream is asked: offers that come at once are to find each other's
        seat = random_id("seat")
        guard: Guard | None = None
        try:
            await relay.take_seat(setup, caller, seat)
            answer = await _make(setup, offer, _session(setup, caller))
            call_id = urlsplit(answer.headers.get("location", "")).path.rpartition("/")[2]
            if not call_id:
                raise ProtocolError("The upstream named no call.", type="server_error", code="upstream_refused")
            guard = supervise(relay, setup, caller, call_id, seat)
        finally:
            if guard is None:
                relay.leave_seat(seat)
        # before the caller has the answer, and with it a way to say anything
        if not await guard.joined:
            raise ProtocolError("The call cannot be supervised.", type="server_error", code="upstream_refused")
        headers = {"Location": f"/v1/realtime/calls/{call_id}"}
        return Response(answer.content, 201, headers, media_type="application/sdp")

    path = "/v1/realtime/calls"
    return [
        Route(path, guarded(relay, calls), methods=["POST"]),
        Route(path, preflight(relay), methods=["OPTIONS"]),
    ]


def sdp_of(content_type: str, body: bytes) -> str:
    """The offer in a request: the body itself, or the part `sdp` of a form. A session in it is the policy's to say."""
    header = Message()
    header["Content-Type"] = content_type
    text = body
    if header.get_content_type() == "multipart/form-data":
        parts = body.split(b"--" + str(header.get_param("boundary", "")).encode())
        found = [part.partition(b"\r\n\r\n")[2] for part in parts if b'name="sdp"' in part.partition(b"\r\n\r\n")[0]]
        text = found[0].removesuffix(b"\r\n") if found else b""
    offer = text.decode(errors="replace")
    if not offer.startswith("v=0"):
        raise ProtocolError("There is no SDP offer in the request.", code="invalid_sdp", param="sdp")
    return offer


def _session(setup: Setup, caller: Caller) -> dict[str, Any]:
    try:
        return {"model": setup.settings.upstream.model, **opening_session(setup.policy, caller)}
    except ValueError as problem:
        _log.error("a call could not begin: %s", redacted(str(problem)))
        raise ProtocolError("The call could not begin.", type="server_error", code="server_error") from None


async def _make(setup: Setup, offer: str, session: dict[str, Any]) -> httpx.Response:
    form = {
        "sdp": (None, offer.encode(), "application/sdp"),
        "session": (None, msgspec.json.encode(session), "application/json"),
    }
    try:
        async with httpx.AsyncClient(timeout=OFFER_SECONDS) as client:
            answer = await client.post(_address(setup, "calls"), files=form, headers=setup.headers)
    except httpx.HTTPError as problem:
        said = f"The upstream cannot be reached: {type(problem).__name__}"
        raise ProtocolError(said, type="server_error", code="upstream_unreachable") from None
    if answer.status_code not in (200, 201):
        body = answer.text.replace(setup.upstream_key or "\0", "[redacted]")[:2000]
        said = f"The upstream refused the call with HTTP status {answer.status_code}: {redacted(body)}"
        raise UpstreamRefused(said, answer.status_code)
    return answer


def _address(setup: Setup, rest: str) -> str:
    parts = urlsplit(setup.settings.upstream.url)
    scheme = "https" if parts.scheme == "wss" else "http"
    return parts._replace(scheme=scheme, path=f"{parts.path.rstrip('/')}/{rest}", query="").geturl()


class Watched(Call):
    """A call of which only the upstream's side passes here: that is what is recorded."""

    def judge_upstream(self, frame: bytes) -> None:
        """As in `Call`."""
        self.record(False, frame)
        super().judge_upstream(frame)


def supervise(relay: Relay, setup: Setup, caller: Caller, call_id: str, seat: str) -> Guard:
    """Attach to a call that runs at the upstream, until it ends or has to end."""
    terms = Terms(
        setup=setup, caller=caller, to_caller=Ga(), to_upstream=Ga(), address=setup.address(call_id=call_id),
        first=first_event(caller), seat=seat, judge=Supervisor,
    )  # fmt: skip
    call = Watched(terms, relay)
    guard = Guard(relay, setup, call_id)
    relay.took(call)
    guard.ear = call.meet_caller(guard)
    return guard


class Guard:
    """Takes the place of the caller's line: there is nothing to send or to read, and closing it hangs up."""

    def __init__(self, relay: Relay, setup: Setup, call_id: str) -> None:
        self.ear: Ear | None = None
        self.joined: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """True once the call is supervised, False where that failed."""
        self._relay = relay
        self._setup = setup
        self._call_id = call_id

    @property
    def gone(self) -> bool:
        """The upstream says when the caller leaves."""
        return False

    def send(self, frame: bytes) -> None:
        """What would go to the caller, who has it from the upstream already."""

    def pause(self) -> None:
        """There is nothing to read."""

    def resume(self) -> None:
        """Called once the upstream's line is open."""
        if not self.joined.done():
            self.joined.set_result(True)

    def close(self, code: int, reason: str = "") -> None:
        """Hang up at the upstream, then the line is over."""
        if not self.joined.done():
            self.joined.set_result(False)
        self._relay.chore(self._hang_up(code, reason), f"hang-up {self._call_id}")

    async def _hang_up(self, code: int, reason: str) -> None:
        setup = self._setup
        try:
            # the call may be over already
            with suppress(httpx.HTTPError):
                async with httpx.AsyncClient(timeout=OFFER_SECONDS) as client:
                    await client.post(_address(setup, f"calls/{self._call_id}/hangup"), headers=setup.headers)
        finally:
            if self.ear is not None:
                self.ear.ended(code, reason)
