"""What every recognizer keeps to: the embedded one, and one behind HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from duologue.engines.base import SpeechHints, SttSettings, Transcript
from duologue.engines.openai_stt import HttpStt
from duologue.engines.pocketsphinx import PocketsphinxStt

Open = Callable[[], Any]
Clip = Callable[[str], bytes]
HINTS = SpeechHints(phrases=("hello", "stop", "tell me the time"))


@pytest.fixture(params=["pocketsphinx", "http"])
def recognizer(request: pytest.FixtureRequest, http_server: Any, clip: Clip) -> Open:
    texts = {clip(name): name.replace("_", " ") for name in ("hello", "stop", "tell_me_the_time")}

    async def transcribe(received: Any, wire: Any) -> None:
        said = [text for sound, text in texts.items() if sound in received.body]
        await wire.answer(b'{"text": "%s"}' % (said[0].encode() if said else b""))

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            if request.param == "pocketsphinx":
                pytest.importorskip("pocketsphinx")
                engine: Any = PocketsphinxStt(workers=1)
            else:
                engine = HttpStt(await stack.enter_async_context(http_server(transcribe)), "m")
            stack.push_async_callback(engine.close)
            await engine.start()
            yield engine

    return opened


async def heard(engine: Any, sound: bytes, chunk: int = 4_800) -> str:
    utterance = engine.open(SttSettings(hints=HINTS))
    results = utterance.results()
    for at in range(0, len(sound), chunk):
        utterance.feed(sound[at : at + chunk])
        await asyncio.sleep(0)
    utterance.finish()
    utterance.finish()
    utterance.feed(bytes(960))  # Late sound is nobody's.
    whole = [result async for result in results]
    assert [type(result) for result in whole].count(Transcript) == 1
    assert isinstance(whole[-1], Transcript)
    return whole[-1].text


def test_one_transcript_however_the_sound_is_cut(recognizer: Open, clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            assert [await heard(engine, clip("hello"), size) for size in (480, 5_000, 10**6)] == ["hello"] * 3
            assert await heard(engine, b"") == ""

    asyncio.run(check())


def test_two_sessions_at_once(recognizer: Open, clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            texts = await asyncio.gather(*(heard(engine, clip(name)) for name in ("hello", "stop", "tell_me_the_time")))
            assert texts == ["hello", "stop", "tell me the time"]

    asyncio.run(check())


def test_cancelling_one_utterance_leaves_the_next(recognizer: Open, clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            utterance = engine.open(SttSettings(hints=HINTS))
            utterance.feed(clip("stop"))
            waiting = asyncio.ensure_future(anext(utterance.results()))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            utterance.feed(clip("stop"))
            utterance.finish()
            assert await heard(engine, clip("hello")) == "hello"

    asyncio.run(check())
