"""What every speech detector keeps to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from duologue.audio.pcm16 import silence
from duologue.engines.registry import ENGINES, create

Clip = Callable[[str], bytes]


@pytest.fixture(params=sorted(ENGINES["vad"]))
def vad(request: pytest.FixtureRequest) -> Any:
    engine = create("vad", request.param)
    asyncio.run(engine.start())
    yield engine
    asyncio.run(engine.close())


def test_chunking_is_invisible(vad: Any, clip: Clip) -> None:
    sound, chance = clip("weather_in_paris"), random.Random(4)
    whole = vad.open().feed(sound)
    stream, pieces, at = vad.open(), [], 0
    while at < len(sound):
        size = chance.randint(0, 2_500)  # Odd sizes too: a chunk may end inside a sample.
        pieces += stream.feed(sound[at : at + size])
        at += size
    assert pieces == whole
    assert len(whole) * vad.frame_ms == pytest.approx(len(sound) / 48, abs=vad.frame_ms + 15)


@pytest.mark.parametrize("name", ["hello", "stop", "weather_in_paris", "remember_my_name_is_anna"])
def test_speech_is_heard_where_it_is(vad: Any, clip: Clip, name: str) -> None:
    probabilities = vad.open().feed(silence(300) + clip(name) + silence(600))
    heard = [number * vad.frame_ms for number, probability in enumerate(probabilities) if probability > 0.5]
    assert 700 <= heard[0] <= 950
    assert heard[-1] < len(probabilities) * vad.frame_ms - 600
    assert max(probabilities) > 0.9


def test_silence_is_no_speech(vad: Any) -> None:
    assert max(vad.open().feed(silence(3_000))) < 0.5


def test_all_frames_are_probabilities(vad: Any) -> None:
    chance = random.Random(5)
    for probability in vad.open().feed(chance.randbytes(96_000)):
        assert 0 <= probability <= 1


def test_sessions_do_not_hear_each_other(vad: Any, clip: Clip) -> None:
    first, second = clip("hello"), clip("weather_in_seoul")
    alone = vad.open().feed(first), vad.open().feed(second)
    one, other = vad.open(), vad.open()
    heard: tuple[list[float], list[float]] = ([], [])
    for at in range(0, max(len(first), len(second)), 960):
        heard[0].extend(one.feed(first[at : at + 960]))
        heard[1].extend(other.feed(second[at : at + 960]))
    assert heard == alone


def test_a_new_stream_knows_nothing_of_the_last(vad: Any, clip: Clip) -> None:
    sound = clip("hello")
    first = vad.open().feed(sound)
    assert vad.open().feed(sound) == first
