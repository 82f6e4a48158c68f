"""The score of the embedded judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from duologue.engines import registry
from duologue.engines.base import EndOfTurn
from duologue.engines.end_of_turn import score
from duologue.engines.melody import Melody
from duologue.errors import ConfigError

LEVEL = Melody(pause_ms=200, speech_ms=1_000, slope=0.0, depth=0.0, decay_db=0.0)
FALL = Melody(pause_ms=200, speech_ms=1_000, slope=-3.0, depth=-4.0, decay_db=6.0)
RISE = Melody(pause_ms=200, speech_ms=1_000, slope=4.0, depth=5.0, decay_db=6.0)


def test_words_weigh_more_than_the_melody() -> None:
    assert score(FALL, "what is the weather in") < 0.15
    assert score(LEVEL, "what is the weather in paris") > 0.7


def test_without_words_the_melody_decides() -> None:
    for words in (None, ""):
        assert score(LEVEL, words) < 0.35 < 0.7 < score(FALL, words)
        assert score(RISE, words) > 0.6


def test_a_long_silence_counts() -> None:
    later = Melody(pause_ms=1_600, speech_ms=1_000, slope=0.0, depth=0.0, decay_db=0.0)
    assert score(later, None) > score(LEVEL, None) + 0.1


@pytest.mark.parametrize("sound", [b"", b"\x01", bytes(9_600), bytes(range(256)) * 100])
@pytest.mark.parametrize("words", [None, "", "what is the", "\x00", "what is the weather in paris"])
def test_whatever_it_hears_it_answers_with_a_probability(sound: bytes, words: str | None) -> None:
    judge: EndOfTurn = registry.create("eot")
    assert 0 <= asyncio.run(judge.score(sound, words)) <= 1


def test_it_is_a_function_of_sound_and_words(clip: Callable[[str], bytes]) -> None:
    judge: EndOfTurn = registry.create("eot", "rules")
    sound = clip("weather_in_paris")
    first, again = (asyncio.run(judge.score(sound, "what is the weather in paris")) for _ in range(2))
    assert first == again > 0.85
    assert asyncio.run(judge.score(sound, "what is the weather in")) < 0.15


def test_another_judge_is_found_by_path() -> None:
    assert registry.create("eot", "duologue.engines.end_of_turn:RuleEndOfTurn").name == "rules"
    with pytest.raises(ConfigError, match="unknown eot engine 'oracle': use one of rules"):
        registry.create("eot", "oracle")
