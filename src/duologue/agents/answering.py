"""Calls of others that the application begins and ends by HTTP. A browser's offer is handed on with the agent's settings and
the application's key, so that the page has neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from duologue.client.client import RealtimeClient
from duologue.errors import ConnectFailed
from duologue.transports.call_address import call_id_of, calls_url
from duologue.transports.sip import SipCalls

_TIMEOUT_S = 15.0
_BODY_SHOWN = 2000


async def hand_on(client: RealtimeClient, offer: str, settings: Mapping[str, Any]) -> tuple[str, str]:
    """The provider's answer to an SDP offer, and the id of the call that it begins. Raises ConnectFailed."""
    address, model = calls_url(client.realtime.url)
    session = {"type": "realtime", **({"model": model} if model else {}), **settings}
    parts = {
        "sdp": (None, offer.encode(), "application/sdp"),
        "session": (None, msgspec.json.encode(session), "application/json"),
    }
    key = await client.realtime.key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, headers=headers) as http:
            reply = await http.post(address, files=parts)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise ConnectFailed(address, f"{type(problem).__name__}: {problem}", retryable=True) from None
    call_id = call_id_of(reply.headers.get("Location", ""))
    if not reply.is_success or call_id is None:
        status, body = reply.status_code, reply.text[:_BODY_SHOWN]
        raise ConnectFailed(address, "the server refused the call", status=status, body=body, retryable=status >= 500)
    return reply.text, call_id


async def hang_up(client: RealtimeClient, call_id: str) -> None:
    """Let the provider end a call. Raises ConnectFailed."""
    parts = urlsplit(client.realtime.url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    base = urlunsplit((scheme, parts.netloc, parts.path.rstrip("/").removesuffix("/realtime"), "", ""))
    async with SipCalls(await client.realtime.key() or "", base_url=base) as calls:
        await calls.call(call_id).hangup()
