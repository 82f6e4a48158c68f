"""The embedded judge of whether the user has finished: rules about words and melody, no model. The score is pure."""

from __future__ import annotations

from math import exp, log2

from duologue.engines.melody import Melody, melody
from duologue.engines.phrases import completeness

LEAST_PAUSE_MS = 200
# Weights of the evidence, as log odds. Pitch separates weakly in the clips they were set with (`tests/clips/turns`, the
# half `tuned`): a finished sentence ends 1.4 to 5.5 semitones below the speaker's median, an unfinished one 0 to 3.
_BASE = -0.3
_DEPTH = 0.45
_TYPICAL_DEPTH = 1.4
_SLOPE = 0.1
_RISE = 2.0
"""A pitch that ends this far above the median asks a question: the user waits for an answer."""
_QUESTION = 2.0
_PAUSE = 0.3
"""For each doubling of the pause: who has been silent for long is rather done."""


class RuleEndOfTurn:
    """Takes about 3 ms of processor for a tail of 3 s. Without words it goes by the sound alone."""

    name = "rules"

    async def start(self) -> None:
        """Nothing to prepare."""

    async def close(self) -> None:
        """Nothing to stop."""

    async def score(self, audio: bytes, transcript: str | None) -> float:
        return score(melody(audio), transcript)


def score(heard: Melody, transcript: str | None) -> float:
    """How likely the user has finished, 0 to 1; `transcript` None or empty where no words are known."""
    fall = -heard.depth - _TYPICAL_DEPTH
    odds = _BASE + _DEPTH * _bounded(fall, -1.5, 4.0) + _SLOPE * _bounded(-heard.slope, -2.0, 4.0)
    if heard.depth > _RISE and heard.slope > _RISE:
        odds += _QUESTION
    odds += _PAUSE * max(0.0, log2(max(heard.pause_ms, 1) / LEAST_PAUSE_MS))
    if transcript:
        odds += completeness(transcript)
    return 1 / (1 + exp(-odds))


def _bounded(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
