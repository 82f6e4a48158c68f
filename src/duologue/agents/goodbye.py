"""When the last words of a call have been heard."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from duologue.agents.spoken import Spoken
from duologue.audio.port import MediaPort
from duologue.client.client import RealtimeClient

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
