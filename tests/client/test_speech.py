from __future__ import annotations

from duologue.client.speech import InputSpeech


def test_committed_sound_is_what_was_sent_since_the_last_commit_or_clear() -> None:
    speech = InputSpeech()
    speech.append(b"a" * 100)
    speech.mark_clear()
    speech.append(b"b" * 100)
    assert speech.pending_bytes == 100
    speech.mark_commit()
    speech.append(b"c" * 50)  # sent before the server confirms
    assert speech.committed("u") == b"b" * 100
    assert speech.pending_bytes == 50


def test_speech_that_was_committed_by_hand_ends_at_the_commit() -> None:
    speech = InputSpeech()
    speech.append(bytes(96) + b"x" * 96)
    speech.started("u", 2)
    speech.mark_commit()
    speech.append(b"y" * 96)
    assert speech.committed("u") == b"x" * 96


def test_an_hour_of_sound_is_not_kept() -> None:
    speech = InputSpeech()
    second = bytes(48_000)
    speech.started("u", 0)
    speech.stopped("u", 1000)
    assert speech.committed("u") == b""
    for _ in range(3600):
        speech.append(second)
    assert sum(map(len, speech._pieces)) <= 31 * 48_000
    speech.started("v", 3_599_000)
    speech.stopped("v", 3_600_000)
    assert len(speech.committed("v")) == 48_000
