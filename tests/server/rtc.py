"""A caller over WebRTC for tests of the whole path: real UDP on loopback, Opus both ways."""

from __future__ import annotations

import asyncio
import json
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace
from wire import CharacterTts, simple_engines

from duologue.engines.base import VoiceSettings
from duologue.server.runner import Engines
from duologue.transports.webrtc import WebRtcTransport, connect

TIMEOUT_S = 30
LOUD = 200


def wave(ms: int, loudness: int = 0x2000) -> bytes:
    """A square wave of 1 kHz: unlike the constant sounds of other tests it is still there after Opus."""
    return array("h", [loudness] * 12 + [-loudness] * 12).tobytes() * ms


class LoudTts(CharacterTts):
    """Speaks ten milliseconds a character, audibly."""

    async def speak(self, text: str, settings: VoiceSettings) -> AsyncIterator[bytes]:
        async for sound in super().speak(text, settings):
            yield wave(len(sound) // 48)


def loud_engines() -> Engines:
    return replace(simple_engines(), tts=LoudTts())


def level(pcm: bytes) -> float:
    """Mean magnitude of PCM16."""
    values = array("h", pcm)
    return sum(map(abs, values)) / max(1, len(values))


class RtcCaller:
    """One call. `until` reads on to an event type and keeps everything that came; sound is gathered beside."""

    def __init__(self, transport: WebRtcTransport) -> None:
        self.transport = transport
        self.events: list[dict[str, Any]] = []
        self.frames = transport.__aiter__()
        self.sounds: list[bytes] = []
        self.last_loud_s = 0.0
        self._came = asyncio.Event()
        self._ear = asyncio.create_task(self._listen(), name="test-ear")

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while sound := await self.transport.port.read():
            self.sounds.append(sound)
            if level(sound) > LOUD:
                self.last_loud_s = loop.time()
            self._came.set()

    @property
    def loud_ms(self) -> int:
        """How much of what was heard so far was not silent."""
        return sum(len(sound) // 48 for sound in self.sounds if level(sound) > LOUD)

    async def hears(self, loud_ms: int) -> None:
        """Wait until that much sound has come from now on."""
        self.sounds.clear()
        await self.has_heard(loud_ms)

    async def has_heard(self, loud_ms: int) -> None:
        """Wait until that much sound has come since `sounds` was cleared."""
        async with asyncio.timeout(TIMEOUT_S):
            while self.loud_ms < loud_ms:
                self._came.clear()
                await self._came.wait()

    async def quiet(self, ms: int = 400) -> None:
        """Wait until nothing was heard for that long."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_S):
            while loop.time() < self.last_loud_s + ms / 1000:
                self._came.clear()
                await self._came.wait()

    async def send(self, kind: str, **fields: Any) -> None:
        await self.transport.send(json.dumps({"type": kind, **fields}).encode())

    async def receive(self) -> dict[str, Any]:
        event = json.loads(await asyncio.wait_for(anext(self.frames), TIMEOUT_S))
        self.events.append(event)
        return event

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """Everything up to the next event of that type, that one included."""
        start = len(self.events)
        while (await self.receive())["type"] != kind:
            pass
        return self.events[start:]

    async def configure(self, **session: Any) -> dict[str, Any]:
        await self.send("session.update", session={"type": "realtime", **session})
        return (await self.until("session.updated"))[-1]["session"]

    async def say(self, text: str) -> None:
        part = {"type": "input_text", "text": text}
        await self.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})

    def speak(self, ms: int) -> None:
        """Talk for that long; silence follows by itself."""
        self.transport.port.write(wave(ms))

    async def close(self) -> None:
        await self.transport.close()
        await self._ear


@asynccontextmanager
async def dialing(
    url: str, *, query: str = "?model=scripted", api_key: str = "sk-any", **options: Any
) -> AsyncIterator[RtcCaller]:
    """A caller that has read `session.created`; `url` is that of the WebSocket."""
    caller = RtcCaller(await connect(f"{url}{query}", api_key=api_key, **options))
    try:
        await caller.until("session.created")
        yield caller
    finally:
        await caller.close()
