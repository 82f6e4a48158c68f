from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from duologue.audio.pcm16 import pack
from duologue.audio.wav import pack_wav
from duologue.engines.base import VoiceSettings
from duologue.engines.openai_tts import HttpTts
from duologue.errors import EngineError

TONE = pack([3_000, 3_000, -3_000, -3_000] * 3_000)


async def collect(engine: HttpTts, text: str = "Hello", **settings: Any) -> bytes:
    try:
        return b"".join([chunk async for chunk in engine.speak(text, VoiceSettings(**settings))])
    finally:
        await engine.close()


def speak(http_server: Any, body: bytes, kind: str = "audio/pcm", **options: Any) -> bytes:
    async def run() -> bytes:
        async def handler(_: Any, wire: Any) -> None:
            await wire.head(content_type=kind)
            for at in range(0, len(body), 777):
                await wire.send(body[at : at + 777])

        async with http_server(handler) as url:
            return await collect(HttpTts(url, "m", **options))

    return asyncio.run(run())


def test_pcm_as_it_comes(http_server: Any) -> None:
    assert speak(http_server, TONE) == TONE


def test_a_wav_head_and_half_a_sample_are_dropped(http_server: Any) -> None:
    assert speak(http_server, pack_wav(TONE) + b"\1", kind="application/octet-stream") == TONE


def test_very_short_sound_is_kept(http_server: Any) -> None:
    assert speak(http_server, b"\1\0\2\0") == b"\1\0\2\0"


def test_another_rate(http_server: Any) -> None:
    assert len(speak(http_server, TONE, sample_rate=16_000)) == pytest.approx(len(TONE) * 1.5, abs=4)


@pytest.mark.parametrize("kind", ["application/json", "audio/mpeg", "text/html"])
def test_what_is_no_pcm_is_not_played(http_server: Any, kind: str) -> None:
    with pytest.raises(EngineError, match="instead of pcm"):
        speak(http_server, TONE, kind=kind)


def test_what_is_sent(http_server: Any) -> None:
    async def run() -> Any:
        seen = []

        async def handler(request: Any, wire: Any) -> None:
            seen.append(json.loads(request.body))
            await wire.answer(TONE, content_type="audio/pcm")

        async with http_server(handler) as url:
            await collect(HttpTts(url, "kokoro"), "Hi", voice="sage", speed=1.2)
            await collect(HttpTts(url, "kokoro", voice="af_sky"), "Hi", voice="sage")
        return seen

    first, second = asyncio.run(run())
    assert first == {"model": "kokoro", "input": "Hi", "voice": "sage", "speed": 1.2, "response_format": "pcm"}
    assert second["voice"] == "af_sky"


def test_the_first_sound_comes_while_the_server_still_speaks(http_server: Any) -> None:
    async def run() -> bool:
        gone: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def handler(_: Any, wire: Any) -> None:
            await wire.answer(TONE, content_type="audio/pcm")
            gone.set_result(await wire.closed_by_client())

        async with http_server(handler) as url:
            engine = HttpTts(url, "m")
            sound: Any = engine.speak("Hello", VoiceSettings())
            assert TONE.startswith(await anext(sound))
            await sound.aclose()
            closed = await asyncio.wait_for(gone, 5)
            await engine.close()
            return closed

    assert asyncio.run(run())


def test_failure_names_the_option() -> None:
    with pytest.raises(EngineError, match="--tts-url"):
        asyncio.run(collect(HttpTts("http://127.0.0.1:9/v1", "m")))
