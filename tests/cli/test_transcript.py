"""A conversation as lines, event by event."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from duologue.cli.transcript import Line, Transcript
from duologue.client.payloads import BudgetSpent, ClientError, Reconnecting, Restored, UsageUpdate
from duologue.dialogue.cost import Cost, Totals
from duologue.protocol.codec import decode_server_event
from duologue.protocol.responses import Usage

USAGE = {"total_tokens": 53, "input_tokens": 40, "output_tokens": 13}


def event(kind: str, **fields: Any) -> Any:
    return decode_server_event(msgspec.json.encode({"type": kind, "event_id": "e", **fields}))


def created(response_id: str = "resp_1") -> Any:
    return event("response.created", response={"id": response_id, "status": "in_progress", "conversation_id": "c"})


def done(status: str = "completed", **fields: Any) -> Any:
    response = {"id": "resp_1", "status": status, "conversation_id": "c", "usage": USAGE, **fields}
    return event("response.done", response=response)


def words(text: str, item_id: str = "item_2") -> Any:
    place = {"response_id": "resp_1", "item_id": item_id, "output_index": 0, "content_index": 0}
    return event("response.output_audio_transcript.delta", delta=text, **place)


def test_a_spoken_turn() -> None:
    talk = Transcript()
    assert talk.apply(event("input_audio_buffer.speech_started", item_id="item_1", audio_start_ms=0), 1_000) == []
    assert talk.state == "hearing"
    committed = event("input_audio_buffer.committed", item_id="item_1", previous_item_id=None)
    assert talk.apply(committed, 3_000) == []
    assert talk.busy
    said = event(
        "conversation.item.input_audio_transcription.completed", item_id="item_1", content_index=0, transcript=" hello "
    )
    assert talk.apply(said, 3_050) == [Line(who="you", text="hello")]
    talk.apply(created(), 3_060)
    talk.apply(words("Good "), 3_310)
    talk.apply(words("morning."), 3_320)
    assert (talk.state, talk.words) == ("speaking", "Good morning.")
    cost = UsageUpdate(
        response_id="resp_1",
        usage=msgspec.convert(USAGE, Usage),
        cost=Cost(input_usd=0.001, output_usd=0.0005),
        totals=Totals(usd=0.0015),
    )
    talk.apply(cost, 3_400)
    assert talk.apply(done(), 3_400) == [Line(who="it", text="Good morning.", aside="0.31 s · 53 tokens · $0.0015")]
    assert (talk.state, talk.words, talk.busy, talk.usd, talk.answers) == ("ready", "", False, 0.0015, 1)


def test_two_questions_typed_at_once_have_each_their_latency() -> None:
    talk = Transcript()
    talk.asked(1_000)
    talk.asked(1_100)
    lines = []
    for at_ms in (1_500, 2_100):
        for happened in (created(), words("Yes."), done()):
            lines += talk.apply(happened, at_ms)
    assert [line.aside.split(" · ")[0] for line in lines] == ["0.50 s", "1.00 s"]
    assert not talk.busy


def test_an_answer_that_was_cut_is_shown_as_far_as_it_came() -> None:
    talk = Transcript()
    talk.asked(0)
    talk.apply(created(), 0)
    talk.apply(words("One two"), 10)
    talk.apply(event("input_audio_buffer.speech_started", item_id="item_3", audio_start_ms=0), 20)
    (line,) = talk.apply(done("cancelled"), 20)
    assert line.text == "One two …"
    assert talk.state == "hearing"
    cut = event("conversation.item.truncated", item_id="item_2", content_index=0, audio_end_ms=1_240)
    assert talk.apply(cut, 30) == [Line(who="note", text="interrupted after 1.2 s of the answer")]


def test_tools_and_their_outputs() -> None:
    talk = Transcript()
    call = {"type": "function_call", "id": "item_2", "name": "get_weather", "call_id": "c", "arguments": '{"a":1}'}
    place = {"response_id": "resp_1", "output_index": 0}
    assert talk.apply(event("response.output_item.done", item=call, **place), 0) == [
        Line(who="tool", text='get_weather {"a":1}')
    ]
    output = {"type": "function_call_output", "id": "item_3", "call_id": "c", "output": "x" * 300}
    (line,) = talk.apply(event("conversation.item.added", item=output, previous_item_id="item_2"), 0)
    assert line.text == f"→ {'x' * 200}…"


def test_a_failed_answer_says_why() -> None:
    talk = Transcript()
    talk.asked(0)
    details = {"type": "failed", "error": {"type": "server_error", "code": "x", "message": "the model is away"}}
    assert talk.apply(done("failed", status_details=details), 0) == [Line(who="error", text="the model is away")]
    assert talk.apply(done("failed"), 0) == [Line(who="error", text="the answer failed")]
    assert not talk.busy


@pytest.mark.parametrize(
    ("happened", "text"),
    [
        (ClientError(message="no", grade="benign"), "no"),
        (Reconnecting(attempt=1, delay_ms=1_500, cause="1006"), "connection lost (1006); the next attempt is in 1.5 s"),
        (
            Restored(
                attempts=1, offline_ms=2_000, items=4, lost=(), sent_audio_ms=0, lost_audio_ms=0, cut_response=False
            ),
            "connected again after 2.0 s; the new session knows 4 items",
        ),
        (BudgetSpent(usd=0.11, budget_usd=0.1), "the budget of $0.1 is spent"),
    ],
)
def test_what_else_is_told(happened: Any, text: str) -> None:
    assert [line.text for line in Transcript().apply(happened, 0)] == [text]


def test_speech_that_was_not_understood_is_told() -> None:
    kind = "conversation.item.input_audio_transcription"
    nothing = event(f"{kind}.completed", item_id="i", content_index=0, transcript=" ")
    failed = event(f"{kind}.failed", item_id="i", content_index=0, error={"message": "no recognizer"})
    lines = [line for each in (nothing, failed) for line in Transcript().apply(each, 0)]
    assert [line.text for line in lines] == ["(nothing was understood)", "(not transcribed: no recognizer)"]


def test_a_turn_that_ends_with_a_key_is_asked_once() -> None:
    talk = Transcript()
    talk.asked(1_000)
    talk.apply(event("input_audio_buffer.committed", item_id="item_1", previous_item_id=None), 1_010)
    talk.apply(words("Yes."), 1_400)
    assert talk.apply(done(), 1_500)[0].aside.startswith("0.40 s")
    assert not talk.busy
