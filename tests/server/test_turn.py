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


def semantic(eagerness: str = "auto") -> TurnDetector:
    detector = TurnDetector(SemanticVad(eagerness=eagerness), origin_ms=0, frame_ms=32)
    edges(detector, [0.9] * 10)
    return detector


def pause_of(detector: TurnDetector, score: float | None) -> int:
    """How long the turn stays open in silence, when every question about it is answered with `score`."""
    for frame in range(1, 1000):
        if detector.frame(0.1) is not None:
            return frame * 32
        if detector.wants_judgement:
            detector.judgement_asked()
            detector.judged(score)
    raise AssertionError("never over")


@pytest.mark.parametrize(
    ("eagerness", "finished_ms", "unknown_ms", "open_ms"),
    [("high", 256, 672, 2016), ("medium", 320, 992, 4000), ("auto", 320, 992, 4000), ("low", 416, 1600, 8000)],
)
def test_eagerness_decides_how_long_to_wait(eagerness: str, finished_ms: int, unknown_ms: int, open_ms: int) -> None:
    assert pause_of(semantic(eagerness), 0.97) == finished_ms
    assert pause_of(semantic(eagerness), None) == unknown_ms
    assert pause_of(semantic(eagerness), 0.02) == open_ms


def test_a_long_pause_is_judged_a_few_times() -> None:
    detector, asked = semantic("low"), []
    for frame in range(1, 240):
        assert detector.frame(0.1) is None
        if detector.wants_judgement:
            detector.judgement_asked()
            detector.judged(0.0)
            asked.append(frame * 32)
    assert asked == [224, 352, 544, 832, 1248, 1888, 2848, 4288, 6432]


def test_a_judgement_holds_until_the_pause_is_over() -> None:
    detector = semantic()
    edges(detector, [0.1] * 8)
    detector.judged(0.02)
    edges(detector, [0.9] * 3)
    assert pause_of(detector, None) == 992


def test_a_judgement_that_comes_too_late_changes_nothing() -> None:
    detector = semantic()
    edges(detector, [0.1] * 8 + [0.9])
    detector.judged(0.99)
    assert edges(detector, [0.1] * 20) == []


def test_a_change_to_semantic_in_mid_pause_asks_for_judgement() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=5000), origin_ms=0, frame_ms=32)
    edges(detector, [0.9] * 10 + [0.1] * 10)
    assert not detector.wants_judgement
    detector.adjust(SemanticVad(eagerness="high"))
    assert detector.wants_judgement
    detector.judged(0.95)
    assert edges(detector, [0.1]) == [SpeechStopped(audio_ms=21 * 32)]
