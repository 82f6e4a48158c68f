"""What the model can still read."""

from __future__ import annotations

from script import FRAME_MS, Script

from duologue.protocol.items import FunctionCall, FunctionCallOutput, InputText, Item, Message
from duologue.protocol.session import RetentionRatio, TokenLimits
from duologue.server import inputs
from duologue.server.commands import ReportDropped
from duologue.server.rules import Rules
from duologue.server.window import Window


def said(item_id: str, tokens: int) -> Message:
    return Message(id=item_id, role="user", content=(InputText(text="x" * (4 * tokens)),))


def read(window: Window, items: list[Item], truncation: object = "auto") -> list[str]:
    reading = window.read(tuple(items), ("y" * 40,), lambda item: 0, truncation, in_conversation=True)
    return [str(item.id) for item in reading.items]


def test_the_oldest_items_leave_first_and_stay_away() -> None:
    window = Window(220)  # half of it for the answer: 110 to read, 10 of them instructions
    items: list[Item] = [said("a", 50), said("b", 50)]
    assert read(window, items) == ["a", "b"]
    items.append(said("c", 20))
    assert read(window, items) == ["b", "c"]
    items[1] = said("b", 10)
    assert read(window, items) == ["b", "c"]


def test_a_retention_ratio_makes_room_for_several_turns() -> None:
    items: list[Item] = [said(name, 20) for name in "abcdef"]
    assert read(Window(220), items, RetentionRatio(retention_ratio=0.5)) == ["e", "f"]
    limits = TokenLimits(post_instructions=60)
    assert read(Window(10_000), items, RetentionRatio(retention_ratio=1, token_limits=limits)) == ["d", "e", "f"]


def test_calls_leave_together_with_their_outputs() -> None:
    call = FunctionCall(id="call", call_id="call_1", name="look", arguments="z" * 80)
    output = FunctionCallOutput(id="output", call_id="call_1", output="z" * 80)
    assert read(Window(220), [call, said("a", 30), output, said("b", 50)]) == ["a", "b"]
    assert read(Window(220), [said("a", 70), call, output]) == ["call", "output"]
    assert read(Window(220), [call, said("a", 70), output]) == ["call", "output"]


def cached(window: Window, items: list[Item], preamble: str = "y" * 400) -> tuple[int, int]:
    reading = window.read(tuple(items), (preamble,), lambda item: 0, "auto", in_conversation=True)
    assert reading.read.cached_tokens_details
    details = reading.read.cached_tokens_details
    assert details.text_tokens + details.audio_tokens + details.image_tokens == reading.read.cached_tokens
    return reading.read.text_tokens, reading.read.cached_tokens


def test_an_unchanged_beginning_is_cached_in_blocks_of_64() -> None:
    window = Window(32_768)
    assert cached(window, [said("a", 50)]) == (150, 0)
    assert cached(window, [said("a", 50), said("b", 50)]) == (200, 128)
    assert cached(window, [said("a", 51), said("b", 50)]) == (201, 64)
    assert cached(window, [said("a", 51)], "other") == (53, 0)


def small(**session: object) -> Script:
    return Script(rules=Rules(frame_ms=FRAME_MS, context_tokens=200), instructions="", **session)


def turn(s: Script, tokens: int) -> list[str]:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x" * (4 * tokens)}]}
    s.client("conversation.item.create", item=item)
    return s.client("response.create")


def test_a_session_goes_on_when_its_context_is_full() -> None:
    s = small(output_modalities=["text"])
    assert turn(s, 60) == ["response.created", "<StartModel>"]
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    assert turn(s, 60) == ["response.created", "<ReportDropped>", "<StartModel>"]
    assert [c.item_ids for c in s.commands if isinstance(c, ReportDropped)] == [("item_1",)]
    s.give(inputs.ModelDone(response_id="resp_2", reason="stop"))
    assert s.events()[-2]["response"]["usage"]["input_tokens"] == 60
    assert "error" not in s.client("conversation.item.retrieve", item_id="item_1")


def test_an_item_that_is_put_in_again_is_read_again() -> None:
    s = small(output_modalities=["text"])
    turn(s, 60)
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    turn(s, 60)
    s.give(inputs.ModelDone(response_id="resp_2", reason="stop"))
    s.client("conversation.item.delete", item_id="item_1")
    again = {"type": "message", "id": "item_1", "role": "user", "content": [{"type": "input_text", "text": "again"}]}
    s.client("conversation.item.create", item=again, previous_item_id="root")
    s.client("response.create")
    assert [str(item.id) for item in s.requests()[-1].request.items] == ["item_1", "item_2"]


def test_without_truncation_a_full_context_is_an_error() -> None:
    s = small(truncation="disabled")
    turn(s, 60)
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    assert turn(s, 60) == ["response.created", "response.done", "rate_limits.updated"]
    response = s.events()[-2]["response"]
    error = response["status_details"]["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "context_length_exceeded")
    assert response["usage"]["total_tokens"] == 0
    s.client("session.update", session={"type": "realtime", "truncation": "auto"})
    assert s.client("response.create")[-1] == "<StartModel>"
