"""The session machine told as traces: exact milliseconds, no clock, no sleep."""

from __future__ import annotations

from script import FRAME_MS, SILENCE, SPEECH, Script, pcm

from duologue.server import inputs
from duologue.server.rules import Rules


def types(script: Script) -> list[str]:
    return [str(event["type"]) for event in script.events()]


def answer(script: Script, response_id: str, text: str = "Hello there.", audio_ms: int = 1000) -> list[str]:
    out = script.give(inputs.ModelText(response_id=response_id, text=text))
    out += script.give(inputs.VoiceAudio(response_id=response_id, audio=pcm(audio_ms)))
    out += script.give(inputs.VoiceMark(response_id=response_id, characters=len(text)))
    return out


def test_text_turn_has_the_order_of_the_wire() -> None:
    s = Script(output_modalities=["text"])
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    assert s.client("conversation.item.create", item=item) == ["conversation.item.added", "conversation.item.done"]
    assert s.client("response.create") == ["response.created", "<StartModel>"]
    assert s.give(inputs.ModelText(response_id="resp_1", text="Hello")) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
    ]
    assert s.give(inputs.ModelDone(response_id="resp_1", reason="stop")) == [
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    done = s.events()[-2]["response"]
    assert done["status"] == "completed"
    assert done["status_details"] is None
    assert done["output"][0]["content"] == [{"type": "output_text", "text": "Hello"}]
    assert done["usage"]["total_tokens"] == done["usage"]["input_tokens"] + done["usage"]["output_tokens"]


def test_push_to_talk_waits_for_the_transcript_before_the_model_starts() -> None:
    s = Script(audio={"input": {"turn_detection": None, "transcription": {"model": "pocketsphinx"}}})
    assert s.client("input_audio_buffer.append", audio=pcm(500)) == ["<OpenUtterance>", "<FeedUtterance>"]
    assert s.client("input_audio_buffer.commit") == [
        "<FinishUtterance>",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert s.client("response.create") == ["response.created"]
    assert s.give(inputs.TranscriptReady(item_id="item_1", text="hello")) == [
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "<StartModel>",
    ]
    (start,) = s.requests()
    assert start.request.items[0].content[0].transcript == "hello"


def test_a_voice_turn_is_counted_in_audio_time() -> None:
    s = Script()
    s.hear(1024, SILENCE)
    s.hear(960, SPEECH)
    s.hear(320, SILENCE)
    started = next(e for e in s.events() if e["type"] == "input_audio_buffer.speech_started")
    stopped = next(e for e in s.events() if e["type"] == "input_audio_buffer.speech_stopped")
    assert started["audio_start_ms"] == 1024 - 300
    assert stopped["audio_end_ms"] == 1024 + 960 + 224  # seven frames make up 200 ms of silence
    assert types(s)[-4:] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    assert {e["item_id"] for e in s.events() if "item_id" in e} == {"item_1"}


def test_barge_in_cancels_and_late_output_is_dropped() -> None:
    s = Script()
    s.client("response.create")
    answer(s, "resp_1")
    out = s.hear(160, SPEECH)
    assert out == [
        "<OpenUtterance>",
        "<FeedUtterance>",
        "input_audio_buffer.speech_started",
        "<StopModel>",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    done = s.events()[-2]["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    assert answer(s, "resp_1") == []


def test_barge_in_may_be_switched_off_and_the_turn_is_answered_afterwards() -> None:
    s = Script(audio={"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}})
    s.client("response.create")
    s.hear(320, SPEECH)
    s.hear(320, SILENCE)
    assert types(s).count("response.created") == 1
    assert s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))[-3:] == [
        "response.done",
        "rate_limits.updated",
        "response.created",
    ]


def test_truncation_keeps_what_was_heard() -> None:
    s = Script()
    s.client("response.create")
    answer(s, "resp_1", "One two three four.", 2000)
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    assert s.client("conversation.item.truncate", item_id="item_1", audio_end_ms=1000) == [
        "conversation.item.truncated"
    ]
    s.client("conversation.item.retrieve", item_id="item_1")
    (part,) = s.events()[-1]["item"]["content"]
    assert part["transcript"] == "One two"
    assert len(part["audio"]) == -(-len(pcm(1000)) // 3) * 4


def test_truncation_beyond_the_sound_is_refused_but_a_started_millisecond_counts() -> None:
    s = Script()
    s.client("response.create")
    s.give(inputs.VoiceAudio(response_id="resp_1", audio=bytes(48 * 360 + 30)))
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    assert s.client("conversation.item.truncate", item_id="item_1", audio_end_ms=362) == ["error"]
    assert s.events()[-1]["error"]["message"] == "Audio content of 361ms is already shorter than 362ms"
    assert s.client("conversation.item.truncate", item_id="item_1", audio_end_ms=361) == ["conversation.item.truncated"]


def test_an_item_may_be_truncated_while_it_is_spoken() -> None:
    s = Script()
    s.client("response.create")
    answer(s, "resp_1", "One two three four.", 2000)
    assert s.client("conversation.item.truncate", item_id="item_1", audio_end_ms=0) == ["conversation.item.truncated"]
    s.client("response.cancel")
    s.client("conversation.item.retrieve", item_id="item_1")
    assert s.events()[-1]["item"]["content"] == [{"type": "output_audio", "transcript": "", "audio": ""}]


def test_a_tool_call_is_answered_by_its_output() -> None:
    s = Script()
    s.client("response.create")
    answer(s, "resp_1", "Let me look.")
    out = s.give(inputs.ModelToolCall(response_id="resp_1", index=0, name="look", arguments=""))
    assert out[-2:] == ["response.output_item.added", "conversation.item.added"]
    added = s.events()[-1]["item"]
    assert added["status"] == "in_progress"
    assert added["arguments"] == ""
    s.give(inputs.ModelToolCall(response_id="resp_1", index=0, name=None, arguments='{"a":1}'))
    assert s.give(inputs.ModelDone(response_id="resp_1", reason="stop")) == [
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    call = s.events()[-2]["response"]["output"][1]
    assert (call["status"], call["arguments"]) == ("completed", '{"a":1}')
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
    assert s.client("conversation.item.create", item=output)[0] == "conversation.item.added"
    stranger = {"type": "function_call_output", "call_id": "call_nobody", "output": "{}"}
    assert s.client("conversation.item.create", item=stranger) == ["error"]


def test_only_one_response_at_a_time_in_the_conversation_but_any_number_beside_it() -> None:
    s = Script()
    s.client("response.create")
    assert s.client("response.create", event_id="again") == ["error"]
    error = s.events()[-1]["error"]
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "again")
    aside = {"conversation": "none", "input": [], "output_modalities": ["text"], "metadata": {"topic": "x"}}
    assert s.client("response.create", response=aside) == ["response.created", "<StartModel>"]
    assert s.events()[-1]["response"]["metadata"] == {"topic": "x"}
    out = s.give(inputs.ModelText(response_id="resp_2", text="hi"))
    assert "conversation.item.added" not in out
    assert s.hear(160, SPEECH).count("response.done") == 1
    assert s.give(inputs.ModelDone(response_id="resp_2", reason="stop"))[-2] == "response.done"


def test_lost_speech_fails_the_response_that_was_to_answer_it() -> None:
    s = Script(audio={"input": {"turn_detection": None, "transcription": {"model": "x", "language": "ko"}}})
    s.client("input_audio_buffer.append", audio=pcm(300))
    s.client("input_audio_buffer.commit")
    s.client("response.create")
    failed = inputs.TranscriptFailed(item_id="item_1", code="unsupported_language", message="English only.")
    assert s.give(failed) == [
        "conversation.item.input_audio_transcription.failed",
        "response.done",
        "rate_limits.updated",
    ]
    details = s.events()[-2]["response"]["status_details"]
    assert details["error"]["code"] == "unsupported_language"
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    s.client("conversation.item.create", item=item)
    assert s.client("response.create") == ["response.created", "<StartModel>"]


def test_a_recognizer_that_gives_up_in_mid_speech_is_reported_once_there_is_an_item() -> None:
    s = Script(audio={"input": {"turn_detection": None, "transcription": {"model": "x"}}})
    s.client("input_audio_buffer.append", audio=pcm(300))
    assert s.give(inputs.TranscriptFailed(item_id="item_1", code="engine_crashed", message="gone")) == []
    assert s.client("input_audio_buffer.commit")[-1] == "conversation.item.input_audio_transcription.failed"
    assert s.client("response.create") == ["response.created", "response.done", "rate_limits.updated"]


def test_switching_to_manual_in_mid_speech_loses_nothing() -> None:
    s = Script()
    s.hear(320, SPEECH)
    s.manual()
    s.client("input_audio_buffer.append", audio=pcm(100))
    assert s.client("input_audio_buffer.commit")[-3:] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    ledger = s.machine.audio_ledger()
    assert ledger.committed_bytes == len(pcm(420))
    assert ledger.appended_bytes == ledger.committed_bytes + ledger.cleared_bytes + ledger.buffered_bytes


def test_switching_there_and_back_in_mid_speech_keeps_the_item() -> None:
    s = Script()
    s.hear(320, SPEECH)
    s.manual()
    s.client(
        "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
    )
    s.hear(320, SILENCE)
    assert types(s).count("input_audio_buffer.speech_started") == 1
    stopped = next(e for e in s.events() if e["type"] == "input_audio_buffer.speech_stopped")
    assert stopped["item_id"] == "item_1"


def test_silence_after_an_answer_is_a_turn_when_idle_timeout_is_set() -> None:
    s = Script(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}})
    s.client("response.create")
    answer(s, "resp_1", audio_ms=2000)
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    assert s.machine.next_deadline_ms() == 7000
    s.now_ms = 6999
    assert s.give(inputs.Tick()) == []
    s.now_ms = 7000
    assert s.give(inputs.Tick())[:2] == ["input_audio_buffer.timeout_triggered", "input_audio_buffer.committed"]


def test_nobody_waits_for_silence_once_turns_are_made_by_hand() -> None:
    s = Script(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}})
    s.hear(320, SPEECH)
    s.client("response.create")
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    s.manual()
    s.now_ms = 60_000
    assert s.give(inputs.Tick()) == []


def test_a_session_ends_after_an_hour_and_says_so() -> None:
    s = Script()
    s.now_ms = 3_600_000
    assert s.give(inputs.Tick()) == ["error", "<Hangup>"]
    assert s.events()[-1]["error"]["code"] == "session_expired"
    assert s.client("response.create") == []
    assert s.machine.next_deadline_ms() is None


def test_a_host_may_bound_a_session_more_tightly() -> None:
    s = Script(rules=Rules(frame_ms=FRAME_MS, session_seconds=90))
    assert s.machine.next_deadline_ms() == 90_000
    s.now_ms = 90_000
    s.give(inputs.Tick())
    assert s.events()[-1]["error"]["message"] == "Your session hit the maximum duration of 90 seconds."


def test_an_update_is_taken_whole_or_not_at_all() -> None:
    s = Script()
    bad = {"type": "realtime", "instructions": "new", "audio": {"output": {"speed": 9}}}
    assert s.client("session.update", session=bad, event_id="e1") == ["error"]
    assert s.events()[-1]["error"] | {"message": ""} == {
        "type": "invalid_request_error",
        "code": "decimal_above_max_value",
        "message": "",
        "param": "session.audio.output.speed",
        "event_id": "e1",
    }
    assert s.machine.settings.instructions != "new"


def test_the_voice_cannot_change_once_it_was_heard() -> None:
    s = Script(audio={"output": {"voice": "ash"}})
    s.client("response.create")
    answer(s, "resp_1")
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    update = {"type": "realtime", "audio": {"output": {"voice": "verse"}}}
    assert s.client("session.update", session=update) == ["error"]
    assert s.events()[-1]["error"]["code"] == "cannot_update_voice"
    update["audio"]["output"]["voice"] = "ash"
    assert s.client("session.update", session=update) == ["session.updated"]


def test_half_samples_are_carried_over() -> None:
    whole, split = Script(), Script()
    whole.client("input_audio_buffer.append", audio=pcm(100))
    for size in (1, 4, 5, 4790):
        split.client("input_audio_buffer.append", audio=bytes(size))
    assert whole.machine.audio_ledger() == split.machine.audio_ledger()
