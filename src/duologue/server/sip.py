"""A telephone line without a carrier: the server plays the provider, so that an application for calls can be tried here.

Whoever dials offers WebRTC in the place of a trunk. The application is told by a signed webhook, accepts with a session's
settings, rejects or refers, and joins the session by the call's id, all as it does with the hosted API.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import httpx
import msgspec
from msgspec import Struct

from duologue.access.webhooks import sign
from duologue.clock import unix_s
from duologue.errors import ConfigError, ProtocolError
from duologue.ids import random_id
from duologue.protocol.server_events import InputAudioBufferDtmfEventReceived
from duologue.protocol.session import AnySession, RealtimeSession
from duologue.server.admission import Admitted, no_call
from duologue.server.calls import Calls
from duologue.server.runner import RealtimeServer
from duologue.transports.sip import DECLINED, line_session

RING_S = 30.0
"""How long a call rings before it counts as not answered."""
TRIES_S = (0.0, 0.5, 2.0)
"""Pauses before each attempt to deliver a webhook: what is not answered with 2xx is sent again."""
UNAVAILABLE = 480
DIGITS = "0123456789*#ABCD"
log = logging.getLogger(__name__)


class Webhook(Struct, frozen=True, kw_only=True):
    """Where calls are announced, and the secret (`whsec_…`) that signs them."""

    url: str
    secret: str

    def __repr__(self) -> str:
        return f"<Webhook {self.url}>"


class Declined(ProtocolError):
    """The application did not take the call: `status` is the SIP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, code="call_declined")
        self.status = status


class Ringing:
    """A call that was announced and not yet decided."""

    def __init__(self) -> None:
        self.decision: asyncio.Future[AnySession] = asyncio.get_running_loop().create_future()
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class SipDesk:
    """Takes calls that are dialled here, and the application's decisions about them."""

    def __init__(self, server: RealtimeServer, calls: Calls, webhook: Webhook, model: str) -> None:
        self._server = server
        self._calls = calls
        self._webhook = webhook
        self._model = model
        self._ringing: dict[str, Ringing] = {}

    async def dial(self, sdp: str, headers: Mapping[str, str], *, near: bool) -> tuple[str, str]:
        """A call comes in with these SIP headers; rings until the application has decided. Gives its id and the answering
        SDP. Raises Declined, ProtocolError and MissingExtra; cancelling it hangs up."""
        call_id = random_id("rtc")
        ringing = self._ringing[call_id] = Ringing()
        telling = asyncio.create_task(self._announce(call_id, headers, ringing), name=f"webhook {call_id}")
        try:
            try:
                async with asyncio.timeout(RING_S):
                    session = await ringing.decision
            except TimeoutError:
                raise Declined(UNAVAILABLE, f"Nobody answered within {RING_S:g} s.") from None
            model = session.model if isinstance(session, RealtimeSession) and isinstance(session.model, str) else ""
            admitted = Admitted(model=model or self._model, intent="conversation", initial=session)
            answer = await self._calls.answer(sdp, admitted, "ga", near=near, call_id=call_id)
            _settle(ringing.answered, None)
            return answer
        except Exception as failed:
            _settle(ringing.answered, failed)
            raise
        finally:
            self._ringing.pop(call_id, None)
            telling.cancel()
            _settle(ringing.answered, no_call(call_id))
            await asyncio.gather(telling, ringing.answered, return_exceptions=True)

    async def accept(self, call_id: str, session: AnySession) -> None:
        """Answer a call that rings; returns once its session is there. Raises ProtocolError."""
        try:
            line_session(msgspec.to_builtins(session))
        except ConfigError as error:
            raise ProtocolError(str(error), code="invalid_value", param="session") from None
        ringing = self._rings(call_id)
        ringing.decision.set_result(session)
        await asyncio.shield(ringing.answered)

    def reject(self, call_id: str, status_code: int = DECLINED) -> None:
        """Decline a call that rings. Raises ProtocolError."""
        if not 400 <= status_code <= 699:
            message = f"Invalid 'status_code': {status_code} declines no call; SIP does so with 400 to 699."
            raise ProtocolError(message, code="invalid_value", param="status_code")
        refused = Declined(status_code, f"The call was declined with {status_code}.")
        self._rings(call_id).decision.set_exception(refused)

    def refer(self, call_id: str, target_uri: str) -> None:
        """Hand the caller over; here nobody is at the other end, so the call ends. Raises ProtocolError."""
        if not target_uri.startswith(("tel:", "sip:", "sips:")):
            message = "Invalid 'target_uri': expected a tel: or sip: address."
            raise ProtocolError(message, code="invalid_value", param="target_uri")
        self._server.hang_up(call_id, f"referred to {target_uri}")

    async def press(self, call_id: str, digit: str) -> None:
        """The caller presses a key. Raises ProtocolError."""
        if len(digit) != 1 or digit not in DIGITS:
            raise ProtocolError(f"Invalid 'digit': one of {DIGITS}.", code="invalid_value", param="digit")
        await self._server.tell(call_id, InputAudioBufferDtmfEventReceived(event=digit, received_at=unix_s()))

    def _rings(self, call_id: str) -> Ringing:
        ringing = self._ringing.get(call_id)
        if ringing is None or ringing.decision.done():
            raise no_call(call_id)
        return ringing

    async def _announce(self, call_id: str, headers: Mapping[str, str], ringing: Ringing) -> None:
        """Tell the application, more than once where it does not answer; in the end the call is not available."""
        event = {
            "id": random_id("evt"),
            "object": "event",
            "created_at": unix_s(),
            "type": "realtime.call.incoming",
            "data": {
                "call_id": call_id,
                "sip_headers": [{"name": name, "value": value} for name, value in headers.items()],
            },
        }
        body, webhook_id, problem = msgspec.json.encode(event), random_id("wh"), ""
        async with httpx.AsyncClient(trust_env=False, timeout=RING_S) as http:
            for pause_s in TRIES_S:
                await asyncio.sleep(pause_s)
                signed = sign(body, secret=self._webhook.secret, webhook_id=webhook_id, now_s=unix_s())
                try:
                    answer = await http.post(
                        self._webhook.url, content=body, headers={**signed, "Content-Type": "application/json"}
                    )
                except (httpx.HTTPError, httpx.InvalidURL) as failed:
                    problem = f"{type(failed).__name__}: {failed}"
                    continue
                if answer.is_success:
                    return
                problem = f"HTTP {answer.status_code}"
        log.warning("the webhook %s was not taken: %s", self._webhook.url, problem)
        if not ringing.decision.done():
            ringing.decision.set_exception(Declined(UNAVAILABLE, f"The webhook could not be delivered: {problem}."))


def _settle(answered: asyncio.Future[None], problem: Exception | None) -> None:
    if answered.done():
        return
    if problem is None:
        answered.set_result(None)
    else:
        answered.set_exception(problem)
