"""What is run inside Pyodide, in workerd: each function is one request. It returns what the test then judges."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from duologue.client.client import RealtimeClient
from duologue.client.thin import OpenAIRealtimeWebSocket
from duologue.errors import ConnectFailed, DuologueError
from duologue.testing import conformance
from duologue.transports import cloudflare
from duologue.transports.base import EventTransport
from duologue.transports.js_socket import JsSocket
from duologue.transports.runtime import default_transport, javascript, runtime


async def where() -> dict[str, Any]:
    """What the core thinks of the place."""
    return {
        "platform": sys.platform,
        "runtime": runtime(),
        "transport": default_transport(),
        "agent": javascript().navigator.userAgent,
        "sockets_library": "websockets" in sys.modules,
    }


async def conversation(url: str, key: str) -> dict[str, Any]:
    """A whole client: settings, a tool, an answer in words and sound."""
    asked: list[str] = []
    client = RealtimeClient(url, api_key=key)

    @client.tool
    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: Its name.
        """
        asked.append(city)
        return "It is sunny with 21 degrees."

    async with client:
        await client.send_user_message_content("What is the weather in Paris?")
        said = ""
        while "21" not in said:
            update = await client.wait_for_next("conversation.item.completed", 20)
            said = update.item.formatted.transcript if update.item.role == "assistant" else ""
        return {"tool": asked, "said": said, "sound_bytes": len(update.item.formatted.audio)}


async def thin(url: str) -> dict[str, Any]:
    """The thin client with flat names; interrupted in mid-answer."""
    wire = OpenAIRealtimeWebSocket(url=url)
    kinds: list[str] = []
    states: list[str] = []
    wire.on("*", lambda event: kinds.append(event.__struct_config__.tag))
    wire.on("connection_change", states.append)
    await wire.connect(
        api_key="any",
        initial_session_config={"modalities": ["audio"], "output_audio_format": "g711_ulaw", "turn_detection": None},
    )
    await wire.send_message("count to twenty")
    first = await wire.wait_for_next("audio", 20)
    await wire.interrupt()
    done = await wire.wait_for_next("turn_done", 20)
    await wire.close()
    return {
        "rate_hz": wire.playback.rate_hz,
        "first_bytes": len(first.delta),
        "status": done.response.status,
        "kinds": kinds,
        "states": states,
    }


async def refused(url: str) -> dict[str, Any]:
    """A server that says no."""
    try:
        await cloudflare.connect(url, timeout_s=5)
    except ConnectFailed as failure:
        return {"status": failure.status, "body": failure.body, "retryable": failure.retryable, "text": str(failure)}
    return {}


async def unreachable(url: str) -> dict[str, Any]:
    """Nobody there, no such kind of address, an answer that never comes."""
    told = []
    for address in (url, "nonsense"):
        try:
            await cloudflare.connect(address, timeout_s=2)
        except DuologueError as failure:
            told.append([type(failure).__name__, str(failure)])
    return {"told": told}


async def echo(url: str, key: str) -> dict[str, Any]:
    """Large frames and the peer's own close over a fetch that was upgraded."""
    transport = await cloudflare.connect(url, api_key=key, headers={"X-Trace": "1"}, subprotocols=["realtime"])
    sent = [b'{"text":"%s"}' % ("é🎙️" * size).encode() for size in (1, 100_000)]
    for frame in sent:
        await transport.send(frame)
    frames = transport.__aiter__()
    came = [conformance.data(await anext(frames)) for _ in sent]
    await transport.send(b'{"bye":4000}')
    rest = [frame async for frame in transport]
    assert transport.closed is not None
    return {
        "same": came == sent,
        "rest": len(rest),
        "closed": [transport.closed.code, transport.closed.reason, transport.closed.by],
    }


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[EventTransport, EventTransport]]:
    """The two ends of the runtime's own WebSocketPair."""
    ends = [JsSocket(end) for end in javascript().Object.values(javascript().WebSocketPair.new())]
    for end in ends:
        end._socket.accept()
    yield ends[0], ends[1]
    await asyncio.gather(*(end.close() for end in ends))


async def conforms(name: str) -> dict[str, Any]:
    """One check of the conformance suite. The runtime's sockets do not tell how much waits in them."""
    [check] = [check for check in conformance.CHECKS if conformance.name_of(check) == name]
    await check(pair, conformance.Traits(frame_bytes=1024 * 1024, pressure_bytes=0))
    return {"kept": name}
