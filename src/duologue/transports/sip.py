"""Telephone calls over SIP: the trunk carries the sound to the provider, and the application decides over HTTP.

A webhook announces a call; `SipCalls.incoming` verifies it. The `SipCall` is then accepted with a session's settings,
rejected, referred elsewhere or hung up; `attach` gives the events of an accepted call as an EventTransport. Sound never
comes by here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from msgspec import Struct

from duologue.access.webhooks import verify
from duologue.errors import ConfigError, ConnectFailed
from duologue.protocol.session import RealtimeSession
from duologue.transports.base import EventTransport
from duologue.transports.websocket import connect

API_URL = "https://api.openai.com/v1"
DECLINED = 603
"""The SIP status of a rejected call where nobody says otherwise."""
_EVENT = "realtime.call.incoming"
_TIMEOUT_S = 10.0
_BODY_SHOWN = 2000
_OWN_OF_THE_LINE = ("format",)
_FIXED_DETECTION = ("threshold", "prefix_padding_ms", "silence_duration_ms")


class SipHeader(Struct, frozen=True, kw_only=True):
    """One header of the INVITE."""

    name: str
    value: str


class _Data(Struct, frozen=True, kw_only=True):
    call_id: str
    sip_headers: tuple[SipHeader, ...] = ()
    sip_media_security: str | None = None


class _Webhook(Struct, frozen=True, kw_only=True):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


class WebhookRefused(ConfigError):
    """A webhook that must not be believed: answer it with HTTP 400. `why`: `incomplete`, `forged`, `stale`, `malformed`."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the webhook is {why}: it is not from your provider, or the webhook secret is another one")
        self.why = why


class SipCall:
    """One call, from its announcement on."""

    def __init__(self, calls: SipCalls, call_id: str, headers: tuple[SipHeader, ...] = (), security: str | None = None):
        self.call_id = call_id
        self.headers = headers
        self.media_security = security
        self._calls = calls

    def __repr__(self) -> str:
        return f"<SipCall {self.call_id} from {self.header('From') or 'unknown'}>"

    def header(self, name: str) -> str:
        """A header of the INVITE (`From`, `To`, `X-…`), empty where it has none of that name."""
        return next((header.value for header in self.headers if header.name.lower() == name.lower()), "")

    async def accept(self, session: Mapping[str, Any] | RealtimeSession) -> None:
        """Answer the call with a session's settings. Raises ConfigError for a setting that a line has not, ConnectFailed."""
        await self._calls.post(self.call_id, "accept", line_session(session))

    async def reject(self, status_code: int = DECLINED) -> None:
        """Do not answer: 486 is busy, 603 declined. Raises ConnectFailed."""
        await self._calls.post(self.call_id, "reject", {"status_code": status_code})

    async def refer(self, target_uri: str) -> None:
        """Hand the caller over to `tel:…` or `sip:…`. Raises ConfigError, ConnectFailed."""
        if not target_uri.startswith(("tel:", "sip:", "sips:")):
            raise ConfigError(f"{target_uri!r} is no target of a call: write tel:+4930123456 or sip:desk@example.org")
        await self._calls.post(self.call_id, "refer", {"target_uri": target_uri})

    async def hangup(self) -> None:
        """End the call. Raises ConnectFailed."""
        await self._calls.post(self.call_id, "hangup", None)

    async def attach(self) -> EventTransport:
        """The call's events, both ways: hand it to a client or a session. Raises ConnectFailed."""
        return await self._calls.attach(self.call_id)


class SipCalls:
    """The calls of one account, at OpenAI or any server with the same paths. The key is kept here and shown nowhere.

    `webhook_secret` is the one that the provider signs with. Use as `async with`, or call `close`.
    """

    def __init__(self, api_key: str, *, webhook_secret: str = "", base_url: str = API_URL) -> None:
        self._base = base_url.rstrip("/")
        self._key = api_key
        self._secret = webhook_secret
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_S, headers=headers)

    def __repr__(self) -> str:
        return f"<SipCalls at {self._base}>"

    async def __aenter__(self) -> SipCalls:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections to the provider; calls go on."""
        await self._http.aclose()

    def incoming(self, body: bytes, headers: Mapping[str, str], *, now_s: int) -> SipCall | None:
        """The call that a webhook announces; None for one about anything else. `body`: its exact bytes, `now_s`: seconds
        since 1970. Raises WebhookRefused, and ConfigError without a webhook secret."""
        if not self._secret:
            raise ConfigError("calls are announced by signed webhooks: SipCalls(api_key, webhook_secret='whsec_…')")
        try:
            refusal = verify(body, headers, secret=self._secret, now_s=now_s)
        except ValueError as problem:
            raise ConfigError(str(problem)) from None
        if refusal:
            raise WebhookRefused(refusal)
        try:
            webhook = msgspec.json.decode(body, type=_Webhook)
            if webhook.type != _EVENT:
                return None
            data = msgspec.json.decode(webhook.data, type=_Data)
        except (msgspec.DecodeError, ValueError):
            raise WebhookRefused("malformed") from None
        return SipCall(self, data.call_id, data.sip_headers, data.sip_media_security)

    def call(self, call_id: str) -> SipCall:
        """A call that is known by its id, as after a restart."""
        return SipCall(self, call_id)

    async def post(self, call_id: str, action: str, body: Mapping[str, Any] | None) -> None:
        """One decision about a call. Raises ConnectFailed."""
        url = f"{self._base}/realtime/calls/{call_id}/{action}"
        try:
            answer = await self._http.post(url, json=body) if body is not None else await self._http.post(url)
        except httpx.HTTPError as problem:
            reason = f"{type(problem).__name__}: {problem}"
            raise ConnectFailed(url, reason, retryable=True) from None
        if not answer.is_success:
            status, text = answer.status_code, answer.text[:_BODY_SHOWN]
            retryable = status == 429 or status >= 500
            raise ConnectFailed(url, f"{action} was refused", status=status, body=text, retryable=retryable)

    async def attach(self, call_id: str) -> EventTransport:
        """The events of a call. Raises ConnectFailed."""
        parts = urlsplit(f"{self._base}/realtime")
        return await connect(parts._replace(query=f"call_id={call_id}").geturl(), api_key=self._key)


def line_session(session: Mapping[str, Any] | RealtimeSession) -> dict[str, Any]:
    """Settings as a SIP line takes them: GA's, without those that are the line's own. Raises ConfigError, naming each."""
    settings = dict(msgspec.to_builtins(session) if isinstance(session, RealtimeSession) else session)
    settings["type"] = "realtime"
    audio = settings.get("audio")
    parts = audio if isinstance(audio, Mapping) else {}
    wrong = [
        f"audio.{side}.{name}"
        for side in ("input", "output")
        for name in _OWN_OF_THE_LINE
        if name in (parts.get(side) or {})
    ]
    detection = (parts.get("input") or {}).get("turn_detection") or {}
    wrong += [f"audio.input.turn_detection.{name}" for name in _FIXED_DETECTION if name in detection]
    if wrong:
        raise ConfigError(f"a SIP line has its own {', '.join(wrong)}: leave that out")
    return settings
