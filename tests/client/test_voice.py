"""A whole telephone conversation: a caller behind a fake Twilio talks to the embedded server through a client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("starlette")
sys.path.append(str(Path(__file__).parent.parent / "transports"))

from fake_twilio import Phone, dialled
from phone_ear import RATE

from duologue.audio.g711 import ulaw_decode, ulaw_encode
from duologue.audio.pcm16 import rms
from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav
from duologue.client.client import RealtimeClient
from duologue.client.payloads import RealtimeEvent
from duologue.client.voice import Voice
from duologue.engines import registry
from duologue.protocol.client_events import ConversationItemTruncate
from duologue.server.runner import Engines, RealtimeServer
from duologue.transports.memory import memory_pair
from duologue.transports.phone import PhonePort

CLIPS = Path(__file__).parent.parent / "clips"
MS = RATE // 1000
WITHIN_MS = 60


def spoken(name: str) -> bytes:
    """A recorded sentence as a telephone carries it."""
    wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
    return ulaw_encode(resample(wav.mono(), wav.spec.rate_hz, RATE))


@asynccontextmanager
async def embedded() -> AsyncIterator[RealtimeClient]:
    """A client of a server in this process."""
    engines = Engines(
        vad=registry.create("vad"), stt=registry.create("stt"), llm=registry.create("llm"), tts=registry.create("tts")
    )
    near, far = memory_pair()
    async with RealtimeServer(engines).running() as server, asyncio.TaskGroup() as group:
        group.create_task(server.serve(far, model="scripted"), name="server")
        client = RealtimeClient(transport=near)
        detection = {"type": "server_vad", "silence_duration_ms": 500}
        await client.update_session(turn_detection=detection, input_audio_transcription={"model": "embedded"})
        async with client:
            yield client


def test_a_caller_asks_hears_the_answer_and_interrupts_it() -> None:
    """Nothing is said after the interruption, and what the model believes was heard is what the caller heard."""
    cut: list[int] = []
    told, ready = asyncio.Event(), asyncio.Event()

    def note(event: RealtimeEvent) -> None:
        if isinstance(event.event, ConversationItemTruncate):
            cut.append(event.event.audio_end_ms)

    async def answer(call: PhonePort) -> None:
        async with embedded() as client:
            voice = Voice(client, call)
            client.on("realtime.event", note)
            ready.set()
            async with asyncio.TaskGroup() as group:
                talking = group.create_task(voice.run(), name="voice")
                await told.wait()
                talking.cancel()
            voice.close()

    async def story(url: str) -> None:
        async with dialled(url, back_ms=40) as twilio:
            await ready.wait()
            twilio.say(spoken("count_to_twenty") + b"\xff" * (700 * MS))
            await twilio.until(lambda: len(twilio.ear.heard) > 1_500 * MS)
            assert rms(ulaw_decode(bytes(twilio.ear.heard))) > 0.02, "there is a voice"
            twilio.say(spoken("weather_in_paris"))
            await twilio.until(lambda: bool(cut))
            await twilio.until(lambda: bool(twilio.ear.cleared_at))
            heard_ms = len(twilio.ear.heard) / MS
            assert abs(cut[0] - heard_ms) <= WITHIN_MS + 2 * twilio.late_ms
            told.set()

    Phone(answer).run(story)
