"""Ending a call from this side: when what is being said has been heard, and at the provider where the call is not ours."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from duologue.agents.spoken import Spoken
from duologue.audio.port import MediaPort
from duologue.client.client import RealtimeClient
from duologue.transports.sip import SipCalls

PATIENCE_S = 20.0
_log = logging.getLogger(__name__)


async def all_said(client: RealtimeClient, spoken: Spoken, sink: MediaPort | None) -> None:
    """Wait until the answer under way is complete and was played, for 20 seconds at most. What an application plays by
    itself is its own matter."""
    moved = asyncio.Event()

    def note(_: Any) -> None:
        moved.set()

    client.on("conversation.event", note)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while client.is_connected and (client.active_response or spoken.sounding):
                moved.clear()
                await moved.wait()
            if sink is not None:
                await sink.drained()
    except TimeoutError:
        _log.warning("the last answer was not heard within %g s: the call ends in the middle of it", PATIENCE_S)
    finally:
        client.off("conversation.event", note)


async def hang_up(client: RealtimeClient, call_id: str) -> None:
    """Let the provider end a call. Raises ConnectFailed."""
    parts = urlsplit(client.realtime.url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    base = urlunsplit((scheme, parts.netloc, parts.path.rstrip("/").removesuffix("/realtime"), "", ""))
    async with SipCalls(await client.realtime.key() or "", base_url=base) as calls:
        await calls.call(call_id).hangup()
