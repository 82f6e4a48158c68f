"""Who talks and listens in `bench.talkover`: a headset on two MediaPort wires, and a telephone behind Twilio's messages."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bench.rtc_callers import LOUD, level
from duologue.audio.g711 import ulaw_decode, ulaw_encode
from duologue.audio.pcm16 import Buffer
from duologue.audio.playout import Playout
from duologue.audio.port import Heard
from duologue.audio.resample import resample
from duologue.audio.spec import PCM16_24K, AudioSpec

FRAME_S = 0.02
FRAME_BYTES = 960
LINE_HZ = 8_000
LINE_FRAME_BYTES = 160


class Person:
    """A mouth and an ear. PCM16 mono at 24 kHz; the ear notes when it heard something last."""

    def __init__(self) -> None:
        self.last_loud_s = 0.0
        self.hears = asyncio.Event()
        self._words = b""

    def say(self, sound: bytes) -> None:
        """More to say."""
        self._words += sound

    def next_words(self) -> bytes:
        """The next 20 ms, silence where nothing is to be said."""
        frame, self._words = self._words[:FRAME_BYTES], self._words[FRAME_BYTES:]
        return frame.ljust(FRAME_BYTES, b"\0")

    def hear(self, sound: bytes) -> None:
        """Sound that leaves the loudspeaker in the 20 ms from now on."""
        if sound and level(sound) > LOUD:
            self.last_loud_s = time.monotonic() + FRAME_S
            self.hears.set()


class _Clock:
    """Ticks every 20 ms; late ones follow each other at once."""

    def __init__(self) -> None:
        self._due_s = 0.0

    async def tick(self) -> None:
        self._due_s = (self._due_s or time.monotonic()) + FRAME_S
        await asyncio.sleep(max(0.0, self._due_s - time.monotonic()))


class Headset:
    """A MediaPort that plays at the pace of time. `direct`: what is written is heard as it comes, which is in real time."""

    def __init__(self, person: Person, *, direct: bool) -> None:
        self._person = person
        self._direct = direct
        self._clock = _Clock()
        self._playout = Playout()

    @property
    def spec(self) -> AudioSpec:
        return PCM16_24K

    async def read(self) -> bytes:
        await self._clock.tick()
        self._person.hear(self._playout.pull(FRAME_BYTES // 2))
        return self._person.next_words()

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        if self._direct:
            self._person.hear(bytes(pcm))
            return True
        return self._playout.add(pcm, track_id)

    def clear(self) -> list[Heard]:
        self._playout.cut()
        return []

    def played_ms(self, track_id: str) -> int:
        return self._playout.count(track_id).offset // 24

    async def drained(self) -> None:
        """Nobody asks."""

    async def close(self) -> None:
        """Nothing to let go of."""


class Telephone:
    """The carrier's end of one media stream: 20 ms of µ-law each way, marks when they are reached, `clear` obeyed."""

    def __init__(self, person: Person, wire: ClientConnection) -> None:
        self._person = person
        self._wire = wire
        self._buffer: list[bytes | str] = []

    async def live(self) -> None:
        """The call, until the stream ends."""
        shape = {"encoding": "audio/x-mulaw", "sampleRate": LINE_HZ, "channels": 1}
        start = {"streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound"], "mediaFormat": shape}
        with suppress(ConnectionClosed):
            await self._send("start", start=start)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(), name="telephone: listen")
                await self._talk()

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._wire.send(json.dumps({"event": kind, "streamSid": "MZ1", **fields}))

    async def _talk(self) -> None:
        clock, at_ms = _Clock(), 0
        while True:
            await clock.tick()
            words = ulaw_encode(resample(self._person.next_words(), 24_000, LINE_HZ))
            payload = base64.b64encode(words.ljust(LINE_FRAME_BYTES, b"\xff")).decode()
            await self._send("media", media={"track": "inbound", "timestamp": str(at_ms), "payload": payload})
            await self._play()
            at_ms += 20

    async def _play(self) -> None:
        """The next 20 ms of what waits."""
        sound = b""
        while self._buffer and len(sound) < LINE_FRAME_BYTES:
            first = self._buffer.pop(0)
            if isinstance(first, str):
                await self._send("mark", mark={"name": first})
                continue
            missing = LINE_FRAME_BYTES - len(sound)
            sound += first[:missing]
            if first[missing:]:
                self._buffer.insert(0, first[missing:])
        self._person.hear(ulaw_decode(sound))

    async def _listen(self) -> None:
        async for frame in self._wire:
            message = json.loads(frame)
            match message["event"]:
                case "media":
                    self._buffer.append(base64.b64decode(message["media"]["payload"]))
                case "mark":
                    self._buffer.append(message["mark"]["name"])
                case "clear":
                    marks = [entry for entry in self._buffer if isinstance(entry, str)]
                    self._buffer.clear()
                    for mark in marks:
                        await self._send("mark", mark={"name": mark})
        raise ConnectionError("the application hung up")
