from __future__ import annotations

import pytest

from duologue.client.conversation import RealtimeConversation
from duologue.console.items import divide, view
from duologue.protocol.codec import decode_server_event


def conversation(*frames: str) -> RealtimeConversation:
    talk = RealtimeConversation()
    for frame in frames:
        talk.apply(decode_server_event(frame))
    return talk


USER = (
    '{"type":"input_audio_buffer.committed","event_id":"e","item_id":"u"}',
    '{"type":"conversation.item.added","event_id":"e","previous_item_id":null,"item":{"id":"u","type":"message",'
    '"role":"user","status":"completed","content":[{"type":"input_audio","transcript":null}]}}',
)


def test_speech_awaits_its_words_only_where_they_may_come() -> None:
    (item,) = conversation(*USER).items
    assert view(item, heard_ms=0, received_ms=0, transcribed=True).awaiting_transcript
    assert not view(item, heard_ms=0, received_ms=0, transcribed=False).awaiting_transcript


def test_a_failed_transcription_says_why() -> None:
    failed = (
        '{"type":"conversation.item.input_audio_transcription.failed","event_id":"e","item_id":"u","content_index":0,'
        '"error":{"message":"only English"}}'
    )
    (item,) = conversation(*USER, failed).items
    seen = view(item, heard_ms=0, received_ms=0, transcribed=True)
    assert (seen.problem, seen.awaiting_transcript) == ("only English", False)


def test_speech_without_words_awaits_none() -> None:
    heard = (
        '{"type":"conversation.item.input_audio_transcription.completed","event_id":"e","item_id":"u",'
        '"content_index":0,"transcript":""}'
    )
    (item,) = conversation(*USER, heard).items
    seen = view(item, heard_ms=0, received_ms=0, transcribed=True)
    assert (seen.no_words, seen.awaiting_transcript) == (True, False)


def test_a_failed_transcription_has_a_name_to_translate() -> None:
    failed = (
        '{"type":"conversation.item.input_audio_transcription.failed","event_id":"e","item_id":"u","content_index":0,'
        '"error":{"code":"engine_crashed","message":"gone"}}'
    )
    (item,) = conversation(*USER, failed).items
    assert view(item, heard_ms=0, received_ms=0, transcribed=True).problem_code == "recognizer-crashed"


def test_a_cut_answer_tells_what_was_heard_and_what_was_not() -> None:
    talk = conversation(
        '{"type":"conversation.item.added","event_id":"e","item":{"id":"a","type":"message","role":"assistant",'
        '"status":"in_progress","content":[]}}',
        '{"type":"response.output_audio_transcript.delta","event_id":"e","response_id":"r","item_id":"a",'
        '"output_index":0,"content_index":0,"delta":"one two three four"}',
        '{"type":"conversation.item.truncated","event_id":"e","item_id":"a","content_index":0,"audio_end_ms":500}',
    )
    (item,) = talk.items
    seen = view(item, heard_ms=500, received_ms=1000, transcribed=True)
    assert (seen.text, seen.unheard, seen.cut_ms, seen.audio_ms) == ("one two", "three four", 500, 1000)


@pytest.mark.parametrize(
    ("cut_ms", "heard"),
    [
        (0, ""),
        (100, ""),
        (300, "one"),
        (520, "one two"),
        (990, "one two three"),
        (1000, "one two three"),
        (2000, "one two three"),
    ],
)
def test_words_are_divided_at_the_nearest_word(cut_ms: int, heard: str) -> None:
    said, rest = divide("one two three", cut_ms, 1000)
    assert said.strip() == heard
    assert (said + rest) == "one two three"


def test_without_sound_nothing_is_divided() -> None:
    assert divide("text", 5, 0) == ("text", "")
