"""Transcription sessions, and transcripts while they grow (duologue.server.transcripts)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import pytest
from script import SILENCE, SPEECH, Script, pcm

from duologue.errors import ProtocolError
from duologue.protocol.items import text_of
from duologue.protocol.session import Audio, AudioInput, RealtimeSession, TranscriptionSession
from duologue.server import inputs
from duologue.server.commands import ExpectSpeech, OpenUtterance
from duologue.server.config import first_session

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"


def scribe(**audio_input: Any) -> Script:
    start = first_session(session_id="sess_1", model="", now_s=0, seconds=60, transcriber="pocketsphinx", wish=None)
    s = Script(start=start)
    if audio_input:
        s.client("session.update", session={"type": "transcription", "audio": {"input": audio_input}})
    return s


def test_the_session_shows_what_it_is() -> None:
    session = scribe().events()[0]["session"]
    assert (session["type"], session["object"]) == ("transcription", "realtime.transcription_session")
    assert session["audio"]["input"]["turn_detection"] == {
        "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200,
    }  # fmt: skip
    assert session["audio"]["input"]["transcription"]["model"] == "pocketsphinx"
    assert "output" not in session["audio"]


def test_a_spoken_turn_is_transcribed_and_not_answered() -> None:
    s = scribe()
    out = s.hear(320, SPEECH) + s.hear(320, SILENCE)
    assert [name for name in out if not name.startswith("<")] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert s.give(inputs.TranscriptReady(item_id="item_1", text="hello there")) == [DELTA, COMPLETED]
    assert s.events()[-1]["usage"] == {"type": "duration", "seconds": 0.544}


def test_each_clip_of_a_message_has_its_own_sound_and_words() -> None:
    s = Script(audio={"input": {"transcription": {"model": "m"}}})
    clips = [pcm(100, SPEECH), pcm(200, SPEECH)]
    content = [{"type": "input_audio", "audio": b64encode(clip).decode()} for clip in clips]
    content.insert(1, {"type": "input_text", "text": "and"})
    item = {"type": "message", "id": "mine", "role": "user", "content": content}
    out = s.client("conversation.item.create", item=item)
    assert out.count("<OpenUtterance>") == 2
    first, second = [c.item_id for c in s.commands if isinstance(c, OpenUtterance)]
    assert s.client("response.create") == ["response.created"]
    assert s.give(inputs.TranscriptReady(item_id=second, text="two")) == [DELTA, COMPLETED]
    assert (s.events()[-1]["item_id"], s.events()[-1]["content_index"]) == ("mine", 2)
    assert s.events()[-1]["usage"]["seconds"] == 0.2
    assert s.give(inputs.TranscriptReady(item_id=first, text="one")) == [DELTA, COMPLETED, "<StartModel>"]
    assert text_of(s.requests()[0].request.items[0]) == "one and two"
    s.client("conversation.item.retrieve", item_id="mine")
    parts = s.events()[-1]["item"]["content"]
    assert [part.get("transcript") for part in parts] == ["one", None, "two"]
    assert [b64decode(part["audio"]) for part in parts if part["type"] == "input_audio"] == clips


def test_an_item_that_takes_another_s_place_is_waited_for_instead() -> None:
    s = Script(audio={"input": {"transcription": {"model": "m"}}})
    clip = {"type": "input_audio", "audio": b64encode(pcm(100, SPEECH)).decode()}
    item = {"type": "message", "id": "mine", "role": "user", "content": [clip]}
    s.client("conversation.item.create", item=item)
    s.client("response.create")
    out = s.client("conversation.item.create", item=item)
    assert [name for name in out if name.startswith("<")] == [
        "<AbortUtterance>", "<OpenUtterance>", "<FeedUtterance>", "<FinishUtterance>"
    ]  # fmt: skip
    first, second = [c.item_id for c in s.commands if isinstance(c, OpenUtterance)]
    assert s.give(inputs.TranscriptReady(item_id=first, text="late")) == []
    written = {**item, "content": [{"type": "input_text", "text": "in words"}]}
    assert s.client("conversation.item.create", item=written)[-1] == "<StartModel>"
    assert s.give(inputs.TranscriptReady(item_id=second, text="late")) == []
    assert text_of(s.requests()[0].request.items[0]) == "in words"


@pytest.mark.parametrize("response", [{}, {"conversation": "none", "input": []}])
def test_there_are_no_responses(response: dict[str, Any]) -> None:
    s = scribe()
    assert s.client("response.create", response=response, event_id="e") == ["error"]
    error = s.events()[-1]["error"]
    assert (error["param"], error["event_id"]) == ("type", "e")
    assert "transcription session" in error["message"]


def test_updates_keep_the_kind_of_session() -> None:
    s = scribe(turn_detection={"type": "server_vad", "silence_duration_ms": 700}, transcription={"model": "m"})
    session = s.events()[-1]["session"]
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 700
    assert "create_response" not in session["audio"]["input"]["turn_detection"]
    assert session["audio"]["input"]["transcription"] == {"model": "m", "language": None, "prompt": None}
    assert s.client("session.update", session={"type": "realtime", "instructions": "x"}) == ["error"]
    s.client("session.update", session={"type": "transcription", "include": ["x"]})
    assert s.events()[-1]["error"]["param"] == "session.include[0]"
    include = ["item.input_audio_transcription.logprobs"]
    assert s.client("session.update", session={"type": "transcription", "include": include}) == ["session.updated"]


def test_language_and_prompt_reach_the_recognizer() -> None:
    s = scribe(transcription={"model": "m", "language": "ko", "prompt": "weather"}, turn_detection=None)
    s.hear(200, SPEECH)
    opened = next(c for c in s.commands if type(c).__name__ == "OpenUtterance")
    assert (opened.language, opened.prompt) == ("ko", "weather")


def test_keywords_are_a_part_of_the_prompt_and_an_only_language_is_the_language() -> None:
    s = scribe(transcription={"model": "m", "keywords": ["Oslo", "Bergen"], "languages": ["no"]}, turn_detection=None)
    s.hear(200, SPEECH)
    opened = next(c for c in s.commands if type(c).__name__ == "OpenUtterance")
    assert (opened.language, opened.prompt) == ("no", "Oslo, Bergen")


def guess(s: Script, *texts: str) -> list[str]:
    return [name for text in texts for name in s.give(inputs.TranscriptGuess(item_id="item_1", text=text))]


def test_guesses_wait_for_their_item() -> None:
    s = scribe(turn_detection=None, transcription={"model": "m"})
    s.hear(200, SPEECH)
    assert guess(s, "one two", "one two three") == []
    assert s.client("input_audio_buffer.commit")[-2:] == ["conversation.item.done", DELTA]
    assert guess(s, "one two three four") == [DELTA]
    s.give(inputs.TranscriptReady(item_id="item_1", text="one two three four"))
    deltas = [e["delta"] for e in s.events() if e["type"] == DELTA]
    assert deltas[0] == "one two"
    assert "".join(deltas) == s.events()[-1]["transcript"]


def test_with_a_delay_words_come_while_they_are_spoken() -> None:
    s = scribe(turn_detection=None, transcription={"model": "m", "delay": "minimal"})
    s.hear(200, SPEECH)
    assert guess(s, "one two", "one two three") == [DELTA, DELTA]
    s.client("input_audio_buffer.commit")
    s.give(inputs.TranscriptReady(item_id="item_1", text="one two three"))
    assert "".join(e["delta"] for e in s.events() if e["type"] == DELTA) == s.events()[-1]["transcript"]
    bad = {"type": "transcription", "audio": {"input": {"transcription": {"delay": "soon"}}}}
    assert s.client("session.update", session=bad) == ["error"]


def test_a_conversation_shows_growing_transcripts_too() -> None:
    s = Script(audio={"input": {"turn_detection": None, "transcription": {"model": "m"}}})
    s.hear(200, SPEECH)
    s.client("input_audio_buffer.commit")
    assert guess(s, "one two", "one two three") == [DELTA]
    s.give(inputs.TranscriptFailed(item_id="item_1", code="x", message="gone"))
    assert guess(s, "one two three four") == []


def test_a_session_may_begin_with_settings() -> None:
    wish = TranscriptionSession(audio=Audio(input=AudioInput(turn_detection=None)))
    start = first_session(session_id="s", model="", now_s=0, seconds=60, wish=wish)
    assert isinstance(start, TranscriptionSession)
    wish2 = RealtimeSession(instructions="be brief")
    talk = first_session(session_id="s", model="m", now_s=0, seconds=60, wish=wish2)
    assert isinstance(talk, RealtimeSession)
    assert (talk.instructions, talk.model, talk.expires_at) == ("be brief", "m", 60)
    with pytest.raises(ProtocolError):
        first_session(session_id="s", model="", now_s=0, seconds=60, transcriber="x", wish=wish2)


def test_the_recognizer_is_told_what_to_expect_whenever_that_changes() -> None:
    s = Script()
    tool = {"type": "function", "name": "weather", "parameters": {}}
    s.client("session.update", session={"type": "realtime", "tools": [tool]})
    s.client("session.update", session={"type": "realtime", "instructions": "Be brief."})
    transcription = {"audio": {"input": {"transcription": {"model": "x", "language": "en", "prompt": "names"}}}}
    s.client("session.update", session={"type": "realtime", **transcription})
    expected = [command for command in s.commands if isinstance(command, ExpectSpeech)]
    assert [(e.language, e.prompt, len(e.tools)) for e in expected[-2:]] == [(None, None, 1), ("en", "names", 1)]
    assert len(expected) == 3  # the first one as the session began
