"""Edges of speech, counted in audio time."""

from __future__ import annotations

import pytest

from duologue.protocol.session import SemanticVad, ServerVad
from duologue.server.turn import Edge, SpeechStarted, SpeechStopped, TurnDetector


def edges(detector: TurnDetector, probabilities: list[float]) -> list[Edge]:
    return [edge for p in probabilities if (edge := detector.frame(p)) is not None]


def make(**settings: object) -> TurnDetector:
    return TurnDetector(ServerVad(threshold=0.5, silence_duration_ms=200, **settings), origin_ms=1000, frame_ms=32)


def test_speech_starts_at_its_first_frame_and_stops_after_the_silence() -> None:
    assert edges(make(), [0.1] * 10 + [0.9] * 20 + [0.1] * 20) == [
        SpeechStarted(audio_ms=1000 + 320),
        SpeechStopped(audio_ms=1000 + 320 + 640 + 224),
    ]


def test_one_loud_frame_is_a_click() -> None:
    assert edges(make(), [0.1, 0.99, 0.1, 0.99, 0.1]) == []


def test_speech_goes_on_a_little_below_the_threshold() -> None:
    assert edges(make(), [0.9] * 3 + [0.4] * 30) == [SpeechStarted(audio_ms=1000)]
    assert len(edges(make(), [0.9] * 3 + [0.3] * 30)) == 2


def test_new_settings_hold_from_the_next_frame() -> None:
    detector = make()
    edges(detector, [0.9] * 10)
    detector.adjust(ServerVad(threshold=0.5, silence_duration_ms=640))
    assert edges(detector, [0.1] * 19) == []
    assert edges(detector, [0.1]) == [SpeechStopped(audio_ms=1000 + 960)]


@pytest.mark.parametrize(("eagerness", "frames"), [("high", 13), ("auto", 22), ("low", 38)])
def test_eagerness_decides_how_long_to_wait(eagerness: str, frames: int) -> None:
    detector = TurnDetector(SemanticVad(eagerness=eagerness), origin_ms=0, frame_ms=32)
    edges(detector, [0.9] * 10)
    assert edges(detector, [0.1] * (frames - 1)) == []
    assert len(edges(detector, [0.1])) == 1
