from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from duologue.audio.g711 import ulaw_decode, ulaw_encode
from duologue.audio.pcm16 import silence
from duologue.audio.resample import Resampler, resample
from duologue.engines.base import SpeechHints, SttSettings, Transcript
from duologue.engines.framing import DATA, END, Frame
from duologue.engines.pocketsphinx import PocketsphinxStt, _wanted
from duologue.engines.pocketsphinx_worker import NICENESS
from duologue.engines.worker import Worker
from duologue.errors import EngineError

pytest.importorskip("pocketsphinx")

Clip = Callable[[str], bytes]

HINTS = SpeechHints(
    phrases=(
        "hello",
        "stop",
        "tell me the time",
        "[what is the] weather [like] in <city> [today]",
        "remember that my <thing> is <name>",
        "turn (on|off) it",
        "turn on the <room> light",
        "count to <number>",
        "what is <number> times <number>",
    ),
    slots={
        "city": ("paris", "seoul", "tokyo", "new york", "london", "berlin", "xqzt"),
        "thing": ("name", "dog"),
        "name": ("anna", "bob"),
        "room": ("kitchen", "garden"),
        "number": ("seven", "eight", "ten", "twenty"),
    },
)
SPOKEN = {
    "hello": "hello",
    "stop": "stop",
    "tell_me_the_time": "tell me the time",
    "weather_in_paris": "what is the weather in paris",
    "weather_in_paris_kal16": "what is the weather in paris",
    "weather_in_seoul": "what is the weather in seoul",
    "weather_in_tokyo": "what is the weather in tokyo",
    "remember_my_name_is_anna": "remember that my name is anna",
    "turn_on_the_kitchen_light": "turn on the kitchen light",
    "count_to_twenty": "count to twenty",
    "seven_times_eight": "what is seven times eight",
}


class Watched(asyncio.Queue[Frame | EngineError]):
    """Notes what is put into it."""

    def __init__(self, kinds: list[int]) -> None:
        super().__init__()
        self._kinds = kinds

    def put_nowait(self, item: Frame | EngineError) -> None:
        if isinstance(item, Frame):
            self._kinds.append(item.kind)


@asynccontextmanager
async def recognizer() -> AsyncIterator[PocketsphinxStt]:
    engine = PocketsphinxStt(workers=1)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def heard(
    engine: PocketsphinxStt, sound: bytes, hints: SpeechHints = HINTS, chunk: int = 4_800, *, narrow: bool = False
) -> Transcript:
    utterance = engine.open(SttSettings(hints=hints, narrowband=narrow))
    for at in range(0, len(sound), chunk):
        utterance.feed(sound[at : at + chunk])
        await asyncio.sleep(0)
    utterance.finish()
    results = [result async for result in utterance.results()]
    assert isinstance(results[-1], Transcript)
    return results[-1]


def test_what_the_grammar_knows_is_heard_exactly(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            texts = {name: (await heard(engine, clip(name))).text for name in SPOKEN}
            assert texts == SPOKEN

    asyncio.run(check())


def test_a_telephone_line_leaves_enough_to_be_understood(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            texts = {}
            for name in (*SPOKEN, "noise", "click", "breath"):
                line = resample(ulaw_decode(ulaw_encode(resample(clip(name), 24_000, 8_000))), 8_000, 24_000)
                texts[name] = (await heard(engine, line, narrow=True)).text
            right = [name for name, words in SPOKEN.items() if texts[name] == words]
            assert len(right) >= 8, texts
            assert not {texts[name] for name in ("noise", "click", "breath")} & set(SPOKEN.values())

    asyncio.run(check())


def test_other_speech_is_not_turned_into_a_command(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            apples = await heard(engine, clip("out_of_grammar_apples"))
            assert apples.text.startswith("she bought three apples")
            assert "old ship left" in (await heard(engine, clip("out_of_grammar_ship"))).text
            for name in ("noise", "click", "breath"):
                assert (await heard(engine, clip(name))).text == ""
            assert (await heard(engine, silence(1_000))).text == ""
            assert (await heard(engine, b"")).text == ""

    asyncio.run(check())


def test_without_hints_the_language_model_listens(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            assert (await heard(engine, clip("tell_me_the_time"), SpeechHints())).text == "tell me the time"
            unusable = SpeechHints(phrases=("xqzt <city>",))
            assert (await heard(engine, clip("hello"), unusable)).text == "hello"

    asyncio.run(check())


def test_chunking_and_neighbours_are_invisible(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            for name in ("weather_in_seoul", "out_of_grammar_ship"):
                whole = await heard(engine, clip(name), chunk=1_000_000)
                await heard(engine, clip("weather_in_paris_kal16"))
                pieces = [heard(engine, clip(name), chunk=2 * random.Random(n).randint(50, 4_000)) for n in range(3)]
                assert await asyncio.gather(*pieces) == [whole] * 3

    asyncio.run(check())


def test_the_answer_comes_soon_after_the_end(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            await heard(engine, clip("hello"))  # The grammar is compiled with the first utterance.
            utterance = engine.open(SttSettings(hints=HINTS))

            async def listen() -> list[str]:
                return [result.text async for result in utterance.results()]

            listening = asyncio.create_task(listen(), name="listen")
            sound = clip("weather_in_paris")
            for at in range(0, len(sound), 3_840):
                utterance.feed(sound[at : at + 3_840])
                await asyncio.sleep(0.02)  # Four times as fast as speech.
            started = time.perf_counter()
            utterance.finish()
            assert await listening == ["what is the weather in paris"]
            assert time.perf_counter() - started < 0.5

    asyncio.run(check())


def test_the_process_that_keeps_the_time_of_calls_goes_before_the_workers() -> None:
    if not hasattr(os, "getpriority"):
        pytest.skip("no priorities here")

    async def check() -> None:
        async with recognizer() as engine:
            own = os.getpriority(os.PRIO_PROCESS, 0)
            for pid in engine.worker_pids:
                assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, own + NICENESS)

    asyncio.run(check())


def test_a_killed_worker_fails_the_utterance_and_the_next_one_works(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            utterance = engine.open(SttSettings(hints=HINTS))
            utterance.feed(silence(500))
            os.kill(engine.worker_pids[0], signal.SIGKILL)
            with pytest.raises(EngineError) as failed:
                async for _ in utterance.results():
                    pass
            assert failed.value.code == "engine_crashed"
            assert failed.value.retryable
            assert (await heard(engine, clip("hello"))).text == "hello"

    asyncio.run(check())


def test_an_abandoned_utterance_keeps_nothing(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            kept = [engine.open(SttSettings(hints=HINTS)) for _ in range(40)]
            for utterance in kept:
                utterance.feed(silence(100))
            assert engine._workers[0].load == 0  # nobody listens: the worker knows nothing of them
            utterance = engine.open(SttSettings(hints=HINTS))
            waiting = asyncio.ensure_future(anext(aiter(utterance.results())))
            await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            assert (await heard(engine, clip("stop"))).text == "stop"
            assert engine._workers[0].load == 0

    asyncio.run(check())


@pytest.mark.parametrize("hints", [SpeechHints(), HINTS], ids=["language model", "grammar"])
def test_a_failed_utterance_leaves_nothing_in_the_worker(clip: Clip, hints: SpeechHints) -> None:
    sound = Resampler(24_000, 16_000).feed(clip("out_of_grammar_ship"))

    async def check() -> None:
        worker = Worker("pocketsphinx", "duologue.engines.pocketsphinx_worker")
        try:
            for _ in range(3):
                call = await worker.call(_wanted(hints))
                call.send(DATA, sound)
                call.send(END)
                call.send(END)  # its decoders have ended: the second end fails
                with pytest.raises(EngineError) as failed:
                    _ = [answer async for answer in call.data()]
                assert failed.value.code == "engine_failed"
                frames: list[int] = []
                call.answers = Watched(frames)
                worker._calls[call.number] = call  # what the worker still says of it would arrive here
                other = await worker.call(_wanted(SpeechHints()))
                other.send(DATA, sound)
                other.send(END)
                assert len([answer async for answer in other.data()]) == 1
                assert frames == []
                del worker._calls[call.number]
        finally:
            await worker.close()

    asyncio.run(check())


def test_other_languages_are_refused_with_a_remedy() -> None:
    async def check() -> None:
        utterance = PocketsphinxStt().open(SttSettings(language="ko"))
        utterance.feed(silence(100))
        utterance.finish()
        with pytest.raises(EngineError) as refused:
            async for _ in utterance.results():
                pass
        assert refused.value.code == "unsupported_language"
        assert "--stt-url" in str(refused.value)

    asyncio.run(check())


def test_without_the_package_the_engine_starts_and_every_utterance_tells_the_remedy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    async def check() -> None:
        engine = PocketsphinxStt()
        await engine.start()
        assert "--stt-url" in caplog.text
        utterance = engine.open(SttSettings())
        utterance.feed(silence(100))
        utterance.finish()
        with pytest.raises(EngineError) as missing:
            await _last(utterance.results())
        assert missing.value.code == "engine_missing"
        assert "--stt-url" in str(missing.value)
        await engine.close()

    asyncio.run(check())


def test_what_was_said_so_far_is_told_when_asked(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            utterance = engine.open(SttSettings(hints=HINTS))
            results = asyncio.create_task(_last(utterance.results()), name="results")
            sound = clip("weather_in_paris") + bytes(9_600)
            cut = 48 * (300 + 1_160)  # the end of "in"
            utterance.feed(sound[:cut] + bytes(9_600))
            async with asyncio.timeout(10):
                while (so_far := await utterance.so_far()) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0)  # the results are yet to be iterated over
            assert so_far == "what is the weather in"
            utterance.feed(sound[cut:])
            async with asyncio.timeout(10):
                assert await utterance.so_far() == "what is the weather in paris"
            utterance.finish()
            assert await utterance.so_far() is None
            assert (await results).text == "what is the weather in paris"

    asyncio.run(check())


def test_who_asks_a_worker_that_dies_gets_no_answer_and_does_not_hang(clip: Clip) -> None:
    async def check() -> None:
        async with recognizer() as engine:
            utterance = engine.open(SttSettings(hints=HINTS))
            results = asyncio.create_task(_last(utterance.results()), name="results")
            utterance.feed(clip("weather_in_paris"))
            os.kill(engine.worker_pids[0], signal.SIGSTOP)
            asked = asyncio.create_task(utterance.so_far(), name="asked")
            await asyncio.sleep(0)
            os.kill(engine.worker_pids[0], signal.SIGKILL)
            async with asyncio.timeout(10):
                assert await asked is None
                with pytest.raises(EngineError):
                    await results

    asyncio.run(check())


async def _last(results: AsyncIterator[Any]) -> Any:
    return [result async for result in results][-1]
