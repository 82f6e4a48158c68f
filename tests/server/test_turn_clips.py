"""Turn detection on the labelled clips: the half it was not tuned with, next to plain silence."""

from __future__ import annotations

import asyncio
from functools import cache

import pytest
from bench.tables import percentile
from bench.turns import Outcome, judge, listened, no_words, takes, true_words

from duologue.protocol.session import SemanticVad, ServerVad, TurnDetection

pytest.importorskip("soxr")

PLAIN = ServerVad(silence_duration_ms=500)
HEARD = cache(listened)


def measured(settings: TurnDetection, words: object = no_words) -> Outcome:
    return asyncio.run(judge(HEARD("reported"), settings, words))  # type: ignore[arg-type]


def test_the_halves_share_neither_sentence_nor_voice() -> None:
    halves = [{take.text for take in takes(half)} for half in ("tuned", "reported")]
    assert all(len(half) == 12 for half in halves)
    assert not halves[0] & halves[1]


@pytest.mark.parametrize("eagerness", ["high", "medium", "low"])
def test_with_words_few_pauses_are_cut_and_answers_come_soon(eagerness: str) -> None:
    plain, semantic = measured(PLAIN), measured(SemanticVad(eagerness=eagerness), true_words)
    assert plain.cut_rate > 0.6
    assert semantic.cut_rate < 0.15  # what is left: "turn on the light, … in the kitchen" sounds finished
    assert percentile(semantic.delays_ms, 0.95) < percentile(plain.delays_ms, 0.5)


def test_by_sound_alone_it_lies_between_two_silences() -> None:
    """Not better than silence of its own length: the melody of these voices tells little, and waiting costs."""
    sound = measured(SemanticVad(eagerness="medium"))
    assert sound.cut_rate < measured(PLAIN).cut_rate - 0.15
    assert percentile(sound.delays_ms, 0.5) < percentile(measured(ServerVad(silence_duration_ms=1_000)).delays_ms, 0.5)
