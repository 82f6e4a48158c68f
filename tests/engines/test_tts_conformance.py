"""What every voice keeps to: the embedded one, and one behind HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import pytest

from duologue.audio.pcm16 import pack, rms
from duologue.engines.base import VoiceSettings
from duologue.engines.espeak import EspeakTts
from duologue.engines.openai_tts import HttpTts
from duologue.errors import EngineError

TONE = pack([3_000, 3_000, -3_000, -3_000] * 6_000)

Open = Callable[[], Any]


@pytest.fixture(params=["espeak", "http"])
def voice(request: pytest.FixtureRequest, http_server: Any) -> Open:
    async def speak(_: Any, wire: Any) -> None:
        await wire.head(content_type="audio/pcm")
        for at in range(0, len(TONE), 4_801):
            await wire.send(TONE[at : at + 4_801])

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            if request.param == "espeak":
                engine: Any = EspeakTts()
            else:
                engine = HttpTts(await stack.enter_async_context(http_server(speak)), "m")
            stack.push_async_callback(engine.close)
            await engine.start()
            yield engine

    return opened


async def spoken(engine: Any, text: str, **settings: Any) -> bytes:
    return b"".join([chunk async for chunk in engine.speak(text, VoiceSettings(**settings))])


def test_speech_is_sound_in_whole_samples(voice: Open) -> None:
    async def check() -> None:
        async with voice() as engine:
            chunks = [chunk async for chunk in engine.speak("Hello, how are you today?", VoiceSettings())]
            assert all(chunk and len(chunk) % 2 == 0 for chunk in chunks)
            assert rms(b"".join(chunks)) > 0.03
            assert 500 < sum(map(len, chunks)) / 48 < 5_000

    asyncio.run(check())


@pytest.mark.parametrize("text", ["", "  \n", "..."])
def test_nothing_to_say(voice: Open, text: str) -> None:
    async def check() -> None:
        async with voice() as engine:
            assert len(await spoken(engine, text)) % 2 == 0

    asyncio.run(check())


def test_closing_stops_the_voice_and_it_speaks_again(voice: Open) -> None:
    async def check() -> None:
        async with voice() as engine:
            async with aclosing(engine.speak("one two three four five. " * 100, VoiceSettings())) as sound:
                await anext(sound)
            assert rms(await spoken(engine, "Here again.")) > 0.03

    asyncio.run(check())


def test_two_speak_at_once(voice: Open) -> None:
    async def check() -> None:
        async with voice() as engine:
            alone = await spoken(engine, "The first of two.")
            first, second = await asyncio.gather(
                spoken(engine, "The first of two."), spoken(engine, "And this is the second one, which is longer.")
            )
            assert len(first) == pytest.approx(len(alone), rel=0.02)
            assert len(second) >= len(first)

    asyncio.run(check())


def test_cancelling_is_clean(voice: Open) -> None:
    async def check() -> None:
        async with voice() as engine:
            task = asyncio.create_task(spoken(engine, "one two three four. " * 200))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await spoken(engine, "Hello.")

    asyncio.run(check())


def test_a_killed_worker_fails_the_call_and_the_next_one_works() -> None:
    async def check() -> None:
        engine = EspeakTts()
        await engine.start()
        try:
            sound = engine.speak("one two three four five. " * 100, VoiceSettings())
            await anext(sound)
            assert engine.worker_pid
            os.kill(engine.worker_pid, signal.SIGKILL)
            with pytest.raises(EngineError) as failed:
                async for _ in sound:
                    pass
            assert failed.value.code == "engine_crashed"
            assert failed.value.retryable
            assert await spoken(engine, "Back again.")
        finally:
            await engine.close()

    asyncio.run(check())
