"""The client against the server of this house, over a real socket, spoken to with recorded speech."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from duologue.audio.pcm16 import rms
from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav
from duologue.client.client import RealtimeClient
from duologue.engines import registry
from duologue.server.runner import Engines, RealtimeServer
from duologue.transports.memory import memory_pair

CLIPS = Path(__file__).parent.parent / "clips"


def clip(name: str) -> bytes:
    wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
    return resample(wav.mono(), wav.spec.rate_hz, 24_000)


def test_a_spoken_question_runs_a_python_function_and_the_answer_is_heard() -> None:
    async def story() -> None:
        engines = Engines(
            vad=registry.create("vad"),
            stt=registry.create("stt"),
            llm=registry.create("llm"),
            tts=registry.create("tts"),
        )
        near, far = memory_pair()
        async with RealtimeServer(engines).running() as server, asyncio.TaskGroup() as group:
            group.create_task(server.serve(far, model="scripted"), name="server")
            client = RealtimeClient(transport=near)
            asked: list[str] = []

            @client.tool
            def get_weather(lat: float, lng: float, location: str) -> dict[str, object]:
                """Retrieves the weather for a place.

                Args:
                    lat: Latitude
                    lng: Longitude
                    location: Name of the location
                """
                asked.append(location)
                return {"temperature": {"value": 21.5, "units": "°C"}}

            await client.update_session(
                turn_detection={"type": "server_vad", "silence_duration_ms": 500},
                input_audio_transcription={"model": "pocketsphinx"},
            )
            await client.connect()
            audio = clip("weather_in_paris") + bytes(48 * 800)
            for start in range(0, len(audio), 960):
                await client.append_input_audio(audio[start : start + 960])
            while (item := await client.wait_for_next_completed_item(20)).role != "assistant":
                pass
            assert asked == ["Paris"]
            assert "21.5" in item.formatted.transcript
            assert rms(item.formatted.audio) > 0.01
            question = client.conversation.items[0]
            assert question.formatted.transcript == "what is the weather in paris"
            assert rms(question.formatted.audio) > 0.01

            # Half a second of the answer was played when the listener had enough.
            client.playback.played_item(item.id, 12_000)
            truncated = asyncio.create_task(client.realtime.wait_for_next("server.conversation.item.truncated", 5))
            await asyncio.sleep(0)
            await client.interrupt()
            assert (await truncated).audio_end_ms == 500
            await client.disconnect()

    asyncio.run(story())
