"""Several responses beside each other (duologue.server.responses, duologue.server.outbox)."""

from __future__ import annotations

from script import SPEECH, Script, pcm

from duologue.server import inputs
from duologue.server.commands import OpenUtterance, ReportEstimate

CLIP = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": pcm(300)}]}


def test_sound_in_a_response_s_own_input_is_transcribed_first_and_told_to_nobody() -> None:
    s = Script(audio={"input": {"transcription": {"model": "x"}}})
    aside = {"conversation": "none", "input": [CLIP], "output_modalities": ["text"]}
    out = s.client("response.create", response=aside)
    assert out == ["response.created", "<OpenUtterance>", "<FeedUtterance>", "<FinishUtterance>"]
    item_id = next(c.item_id for c in s.commands if isinstance(c, OpenUtterance))
    assert s.give(inputs.TranscriptReady(item_id=item_id, text="toronto")) == ["<StartModel>"]
    (start,) = s.requests()
    assert start.request.items[0].content[0].transcript == "toronto"
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    usage = s.events()[-2]["response"]["usage"]
    assert usage["input_token_details"]["audio_tokens"] == 3
    assert s.machine.conversation.sound(item_id) is None
    assert len(s.machine.conversation.history) == 0


def test_own_sound_that_cannot_be_understood_fails_that_response_only() -> None:
    s = Script()
    s.client("response.create")
    s.client("response.create", response={"conversation": "none", "input": [CLIP]})
    item_id = next(c.item_id for c in s.commands if isinstance(c, OpenUtterance))
    out = s.give(inputs.TranscriptFailed(item_id=item_id, code="x", message="gone"))
    assert out == ["response.done", "rate_limits.updated"]
    assert s.machine.active_response_id == "resp_1"


def test_any_response_can_be_cancelled_by_its_id() -> None:
    s = Script()
    s.client("response.create")
    for _ in range(2):
        s.client("response.create", response={"conversation": "none", "metadata": {"topic": "aside"}})
    assert s.client("response.cancel", response_id="resp_3")[:2] == ["<StopModel>", "response.done"]
    assert s.events()[-2]["response"]["metadata"] == {"topic": "aside"}
    assert s.client("response.cancel") == ["<StopModel>", "response.done", "rate_limits.updated"]
    assert s.events()[-2]["response"]["id"] == "resp_1"
    assert s.client("response.cancel", response_id="resp_1") == ["error"]
    assert s.client("response.cancel", response_id="resp_2")[0] == "<StopModel>"


def test_own_input_may_still_join_the_conversation() -> None:
    s = Script(output_modalities=["text"])
    text = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    s.client("response.create", response={"input": [text]})
    assert s.machine.active_response_id == "resp_1"
    assert "conversation.item.added" in s.give(inputs.ModelText(response_id="resp_1", text="hello"))


def test_only_the_default_conversation_s_response_is_interrupted() -> None:
    s = Script()
    s.client("response.create", response={"conversation": "none", "input": []})
    assert "response.done" not in s.hear(320, SPEECH)


def test_speed_changes_between_responses_only() -> None:
    s = Script()
    s.client("response.create")
    update = {"type": "realtime", "audio": {"output": {"speed": 1.25}}}
    assert s.client("session.update", session=update) == ["error"]
    assert s.events()[-1]["error"]["param"] == "session.audio.output.speed"
    same = {"type": "realtime", "tracing": "auto", "audio": {"output": {"speed": 1}}}
    assert s.client("session.update", session=same) == ["session.updated"]
    s.client("response.cancel")
    assert s.client("session.update", session=update) == ["session.updated"]
    s.client("response.create")
    assert s.requests()[-1].voice.speed == 1.25


def test_a_custom_voice_is_shown_by_its_name() -> None:
    s = Script()
    s.client("response.create", response={"audio": {"output": {"voice": {"id": "voice_1"}}}})
    assert s.events()[-1]["response"]["audio"]["output"]["voice"] == "voice_1"
    assert s.requests()[0].voice.voice == "voice_1"


def test_each_response_tells_what_of_its_usage_no_engine_counted() -> None:
    s = Script(output_modalities=["text"])
    for number, counted in ((1, {}), (2, {"input_tokens": 70, "output_tokens": 9})):
        s.client("response.create")
        s.give(inputs.ModelText(response_id=f"resp_{number}", text="four by four"))
        s.give(inputs.ModelDone(response_id=f"resp_{number}", reason="stop", **counted))
    usage = next(event for event in s.events() if event["type"] == "response.done")["response"]["usage"]
    assert [command for command in s.commands if isinstance(command, ReportEstimate)] == [
        ReportEstimate(input_tokens=usage["input_tokens"], output_tokens=3),
        ReportEstimate(input_tokens=0, output_tokens=0),
    ]
