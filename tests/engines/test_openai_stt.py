from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from duologue.audio.wav import parse_wav
from duologue.engines.base import SttSettings, Transcript
from duologue.engines.openai_stt import HttpStt
from duologue.errors import EngineError


async def transcribe(url: str, sound: bytes, settings: SttSettings | None = None) -> list[Any]:
    engine = HttpStt(url, "whisper", "sk-key")
    utterance = engine.open(settings or SttSettings())
    for at in range(0, len(sound), 4_801):
        utterance.feed(sound[at : at + 4_801])
    utterance.finish()
    try:
        return [result async for result in utterance.results()]
    finally:
        await engine.close()


def test_the_utterance_is_uploaded_as_wav(http_server: Any, clip: Callable[[str], bytes]) -> None:
    sound = clip("hello")

    async def run() -> tuple[Any, list[Any]]:
        seen = []

        async def handler(request: Any, wire: Any) -> None:
            seen.append(request)
            await wire.answer(b'{"text": " Hello. ", "usage": null}')

        async with http_server(handler) as url:
            results = await transcribe(url, sound, SttSettings(language="en", prompt="names"))
        return seen[0], results

    request, results = asyncio.run(run())
    assert results == [Transcript(text="Hello.")]
    assert request.line.startswith("POST /v1/audio/transcriptions ")
    assert request.headers["authorization"] == "Bearer sk-key"
    for name, value in (("model", "whisper"), ("language", "en"), ("prompt", "names"), ("response_format", "json")):
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in request.body
    wav = parse_wav(request.body[request.body.index(b"RIFF") :])
    assert wav.spec.rate_hz == 24_000
    assert wav.data == sound


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [(b"plain words\n", "text/plain", "plain words"), (b'{"text": ""}', "application/json", "")],
)
def test_other_answers(http_server: Any, body: bytes, kind: str, text: str) -> None:
    async def run() -> list[Any]:
        async def handler(_: Any, wire: Any) -> None:
            await wire.answer(body, content_type=kind)

        async with http_server(handler) as url:
            return await transcribe(url, bytes(9_600))

    assert asyncio.run(run()) == [Transcript(text=text)]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"segments": []}', b'{"text": 5}'])
def test_answers_without_a_text(http_server: Any, body: bytes) -> None:
    async def run() -> None:
        async def handler(_: Any, wire: Any) -> None:
            await wire.answer(body)

        async with http_server(handler) as url:
            await transcribe(url, bytes(9_600))

    with pytest.raises(EngineError) as failed:
        asyncio.run(run())
    assert failed.value.code == "engine_failed"


def test_failure_names_the_option() -> None:
    with pytest.raises(EngineError, match="--stt-url"):
        asyncio.run(transcribe("http://127.0.0.1:9/v1", bytes(9_600)))


def test_nothing_said_asks_nobody() -> None:
    assert asyncio.run(transcribe("http://127.0.0.1:9/v1", b"")) == [Transcript(text="")]


def test_an_utterance_too_long_for_one_upload_fails_at_once_and_keeps_nothing() -> None:
    async def run() -> None:
        engine = HttpStt("http://127.0.0.1:9/v1", "whisper")
        utterance = engine.open(SttSettings())
        for _ in range(27):
            utterance.feed(bytes(1024 * 1024))
        assert len(utterance._sound) == 0
        with pytest.raises(EngineError) as failed:  # without finish: there is nothing to wait for
            await anext(aiter(utterance.results()))
        assert failed.value.code == "audio_too_long"
        await engine.close()

    asyncio.run(asyncio.wait_for(run(), 10))
