"""The user's side: buffer, detector and recognizer composed."""

from __future__ import annotations

import pytest
from script import SILENCE, SPEECH, Script, pcm

from duologue.server import inputs
from duologue.server.commands import FeedUtterance, JudgeTurn, OpenUtterance


def recognized(script: Script) -> bytes:
    return b"".join(c.audio for c in script.commands if isinstance(c, FeedUtterance))


def test_what_is_committed_is_what_was_recognized() -> None:
    s = Script()
    s.hear(500, SILENCE)
    for _ in range(31):
        s.hear(20, SPEECH)
    s.hear(400, SILENCE)
    committed = s.machine.conversation.sound("item_1")
    assert committed is not None
    assert recognized(s) == committed.audio


def test_push_to_talk_is_recognized_while_it_is_spoken() -> None:
    s = Script()
    s.manual()
    for _ in range(10):
        s.hear(33, SPEECH)
    assert len(recognized(s)) == len(pcm(330))
    s.client("input_audio_buffer.commit")
    assert len([c for c in s.commands if isinstance(c, OpenUtterance)]) == 1


@pytest.mark.parametrize("held_ms", [0, 99])
def test_next_to_nothing_cannot_be_committed(held_ms: int) -> None:
    s = Script()
    s.manual()
    s.hear(held_ms, SILENCE)
    assert s.client("input_audio_buffer.commit") == ["error"]
    error = s.events()[-1]["error"]
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert f"only has {held_ms}.00ms" in error["message"]


def test_clearing_in_mid_speech_forgets_the_speech() -> None:
    s = Script()
    s.hear(320, SPEECH)
    assert s.client("input_audio_buffer.clear") == ["<AbortUtterance>", "input_audio_buffer.cleared"]
    assert "input_audio_buffer.speech_stopped" not in s.hear(1000, SILENCE)


def test_a_commit_by_hand_in_mid_speech_ends_it_without_an_edge() -> None:
    s = Script()
    s.hear(320, SPEECH)
    assert s.client("input_audio_buffer.commit") == [
        "<FinishUtterance>",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert s.hear(1000, SILENCE) == []


def test_the_silence_before_going_manual_is_nobody_s_turn() -> None:
    s = Script()
    s.hear(1000, SILENCE)
    s.manual()
    assert s.machine.audio_ledger().buffered_bytes == 0


SEMANTIC = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}


def test_a_pause_is_judged_with_the_end_of_the_speech() -> None:
    s = Script(**SEMANTIC)
    s.hear(96, SPEECH)
    s.hear(32 * 30, SPEECH)
    assert s.hear(192, SILENCE).count("<JudgeTurn>") == 0
    assert s.hear(32, SILENCE).count("<JudgeTurn>") == 1
    asked = next(c for c in s.commands if isinstance(c, JudgeTurn))
    assert asked.item_id == "item_1"
    assert asked.audio == pcm(96 + 960, SPEECH) + pcm(224, SILENCE)
    s.give(inputs.TurnJudged(item_id="item_1", score=0.95))
    assert "input_audio_buffer.speech_stopped" in s.hear(96, SILENCE)


def test_no_more_than_three_seconds_are_judged() -> None:
    s = Script(**SEMANTIC)
    s.hear(32 * 400, SPEECH)
    s.hear(224, SILENCE)
    (asked,) = (c for c in s.commands if isinstance(c, JudgeTurn))
    assert asked.audio == pcm(3_000 - 224, SPEECH) + pcm(224, SILENCE)


@pytest.mark.parametrize("score", [0.0, 1.0, None])
def test_a_judgement_of_another_speech_changes_nothing(score: float | None) -> None:
    s = Script(**SEMANTIC)
    assert s.give(inputs.TurnJudged(item_id="item_1", score=score)) == []
    s.hear(960, SPEECH)
    s.hear(224, SILENCE)
    s.give(inputs.TurnJudged(item_id="item_7", score=score))
    assert "input_audio_buffer.speech_stopped" not in s.hear(736, SILENCE)
    assert "input_audio_buffer.speech_stopped" in s.hear(64, SILENCE)


def test_plain_vad_asks_nobody() -> None:
    s = Script()
    s.hear(960, SPEECH)
    assert "<JudgeTurn>" not in s.hear(160, SILENCE)
