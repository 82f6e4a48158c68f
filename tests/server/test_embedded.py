"""The embedded engines behind the server, spoken to with recorded speech over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from wire import Caller, calling, serving

from duologue.audio.pcm16 import rms
from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav
from duologue.engines import registry
from duologue.engines.end_of_turn import RuleEndOfTurn
from duologue.server.runner import Engines, RealtimeServer

CLIPS = Path(__file__).parent.parent / "clips"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Retrieves the weather for a given lat, lng coordinate pair. Specify a label for the location.",
    "parameters": {
        "type": "object",
        "properties": {
            "lat": {"type": "number", "description": "Latitude"},
            "lng": {"type": "number", "description": "Longitude"},
            "location": {"type": "string", "description": "Name of the location"},
        },
        "required": ["lat", "lng", "location"],
    },
}
DIAL = {
    "type": "function",
    "name": "frobnicate",
    "description": "Turns the dial of a machine to a colour.",
    "parameters": {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["red", "green"], "description": "Colour of the dial"}},
        "required": ["colour"],
    },
}


def clip(name: str) -> bytes:
    """A recorded sentence as PCM16 at 24 kHz."""
    wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
    return resample(wav.mono(), wav.spec.rate_hz, 24_000)


async def speak(caller: Caller, name: str, *, silence_ms: int = 0) -> None:
    audio = clip(name) + bytes(48 * silence_ms)
    for start in range(0, len(audio), 4800):
        await caller.send("input_audio_buffer.append", audio=b64encode(audio[start : start + 4800]).decode())


@asynccontextmanager
async def embedded(**instead: Any) -> AsyncIterator[tuple[Caller, Engines]]:
    kinds: tuple[registry.Kind, ...] = ("vad", "stt", "llm", "tts", "eot")
    engines = Engines(**{kind: instead.get(kind) or registry.create(kind) for kind in kinds})
    async with serving(RealtimeServer(engines)) as url, calling(url) as caller:
        yield caller, engines


def listening(**detection: Any) -> dict[str, Any]:
    vad = {"type": "server_vad", "silence_duration_ms": 500, **detection} if detection.pop("on", True) else None
    return {"input": {"turn_detection": vad, "transcription": {"model": "pocketsphinx"}}}


def transcript(events: list[dict[str, Any]]) -> str:
    completed = "conversation.item.input_audio_transcription.completed"
    return str(next(e["transcript"] for e in events if e["type"] == completed))


def test_a_question_by_voice_calls_the_tool_and_speaks_its_answer() -> None:
    async def story() -> None:
        async with embedded() as (caller, _):
            await caller.configure(tools=[WEATHER], audio=listening())
            await speak(caller, "weather_in_paris", silence_ms=800)
            events = await caller.until("response.done")
            assert transcript(events) == "what is the weather in paris"
            (call,) = events[-1]["response"]["output"]
            arguments = json.loads(call["arguments"])
            assert (call["name"], arguments["location"]) == ("get_weather", "Paris")
            assert abs(arguments["lat"] - 48.85) < 0.1
            assert abs(arguments["lng"] - 2.35) < 0.1
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"temperature": 21.5}'}
            await caller.send("conversation.item.create", item=output)
            await caller.send("response.create")
            events = await caller.until("response.done")
            said = events[-1]["response"]["output"][0]["content"][0]["transcript"]
            assert "21.5" in said
            item_id = events[-1]["response"]["output"][0]["id"]
            await caller.send("conversation.item.retrieve", item_id=item_id)
            kept = (await caller.until("conversation.item.retrieved"))[-1]["item"]["content"][0]
            assert len(kept["audio"]) > 48_000

    asyncio.run(story())


def test_push_to_talk_understands_and_is_heard() -> None:
    async def story() -> None:
        async with embedded() as (caller, _):
            await caller.configure(audio=listening(on=False))
            await speak(caller, "seven_times_eight")
            await caller.send("input_audio_buffer.commit")
            await caller.send("response.create")
            events = await caller.until("response.done")
            assert "fifty six" in events[-1]["response"]["output"][0]["content"][0][
                "transcript"
            ].lower() or "56" in str(events[-1]["response"]["output"][0]["content"][0]["transcript"])
            sound = [e["delta"] for e in events if e["type"] == "response.output_audio.delta"]
            assert sound

    asyncio.run(story())


class NotingJudge(RuleEndOfTurn):
    """The embedded judge; keeps the words it was shown and what it made of them."""

    def __init__(self) -> None:
        self.shown: list[tuple[str | None, float]] = []

    async def score(self, audio: bytes, transcript: str | None) -> float:
        verdict = await super().score(audio, transcript)
        self.shown.append((transcript, verdict))
        return verdict


def test_a_pause_is_judged_by_the_words_so_far() -> None:
    async def story() -> None:
        judge = NotingJudge()
        async with embedded(eot=judge) as (caller, _):
            audio = {"input": {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "pocketsphinx"}}}
            await caller.configure(audio=audio, tools=[WEATHER])
            await speak(caller, "weather_in_paris", silence_ms=4_000)
            stopped = (await caller.until("input_audio_buffer.speech_stopped"))[-1]
            await caller.until("response.done")
        words, verdict = judge.shown[-1]
        assert words == "what is the weather in paris"
        assert verdict > 0.8
        heard_ms = len(clip("weather_in_paris")) // 48
        assert stopped["audio_end_ms"] < heard_ms + 600  # sound alone waits a second

    asyncio.run(story())


def test_a_tool_nobody_has_seen_is_understood_by_voice_and_by_text() -> None:
    async def story() -> None:
        async with embedded() as (caller, _):
            await caller.configure(tools=[DIAL], output_modalities=["text"])
            await caller.say("turn the dial to green please")
            await caller.send("response.create")
            (call,) = (await caller.until("response.done"))[-1]["response"]["output"]
            assert (call["name"], json.loads(call["arguments"])) == ("frobnicate", {"colour": "green"})

    asyncio.run(story())


def test_noise_is_not_speech() -> None:
    async def story() -> None:
        async with embedded() as (caller, _):
            await caller.configure(audio=listening())
            for name in ("click", "breath"):
                await speak(caller, name, silence_ms=800)
            await caller.say("hello")
            await caller.send("response.create")
            events = await caller.until("response.done")
            assert not [e for e in events if e["type"].startswith("input_audio_buffer.speech")]

    asyncio.run(story())


def test_another_language_is_refused_with_the_remedy() -> None:
    async def story() -> None:
        async with embedded() as (caller, _):
            await caller.configure(
                audio={"input": {"turn_detection": None, "transcription": {"model": "pocketsphinx", "language": "ko"}}}
            )
            await speak(caller, "hello")
            await caller.send("input_audio_buffer.commit")
            failed = (await caller.until("conversation.item.input_audio_transcription.failed"))[-1]["error"]
            assert failed["code"] == "unsupported_language"
            assert "--stt-url" in failed["message"]
            await caller.say("안녕하세요")
            await caller.send("response.create")
            events = await caller.until("response.done")
            assert events[-1]["response"]["status"] == "completed"
            assert [e for e in events if e["type"] == "response.output_audio.delta"]

    asyncio.run(story())


def test_the_recognizer_dies_in_mid_utterance_and_the_session_goes_on() -> None:
    async def story() -> None:
        async with embedded() as (caller, engines):
            await caller.configure(audio=listening(on=False))
            await speak(caller, "weather_in_paris")
            await caller.send("input_audio_buffer.clear")
            await caller.until("input_audio_buffer.cleared")
            await speak(caller, "hello")
            for pid in engines.stt.worker_pids:  # type: ignore[attr-defined]
                os.kill(pid, signal.SIGKILL)
            await caller.send("input_audio_buffer.commit")
            await caller.send("response.create")
            events = await caller.until("response.done")
            assert "conversation.item.input_audio_transcription.failed" in [e["type"] for e in events]
            assert events[-1]["response"]["status"] == "failed"
            await speak(caller, "hello")
            await caller.send("input_audio_buffer.commit")
            await caller.send("response.create")
            events = await caller.until("response.done")
            assert transcript(events) == "hello"
            assert events[-1]["response"]["status"] == "completed"

    asyncio.run(story())


def test_the_voice_dies_in_mid_sentence_and_the_session_goes_on() -> None:
    async def story() -> None:
        async with embedded() as (caller, engines):
            os.kill(engines.tts.worker_pid, signal.SIGKILL)  # type: ignore[attr-defined]
            statuses = []
            for _ in range(2):
                await caller.say("hello")
                await caller.send("response.create")
                statuses.append((await caller.until("response.done"))[-1]["response"]["status"])
            assert statuses[-1] == "completed"

    asyncio.run(story())


def test_what_is_spoken_can_be_heard() -> None:
    async def story() -> None:
        async with embedded() as (caller, _):
            await caller.say("count to three")
            await caller.send("response.create")
            done = (await caller.until("response.done"))[-1]["response"]
            await caller.send("conversation.item.retrieve", item_id=done["output"][0]["id"])
            kept = (await caller.until("conversation.item.retrieved"))[-1]["item"]["content"][0]
            from base64 import b64decode

            assert rms(b64decode(kept["audio"])) > 0.01

    asyncio.run(story())
