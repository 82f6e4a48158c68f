"""Tools that run in the relay: what the caller sees, and when the model is asked to go on."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from told import Call, function_call, item_event, message, output_item, respond, response, secret_policy

from duologue.relay.hidden_tools import MOST_KNOWN, Hidden

RUN = ("run", "c1", "find_order", '{"n":1}')


def calling(*, aside: bool = False) -> Call:
    """The model has called the hidden tool; its response is not done yet."""
    call = Call(secret_policy()).opened()
    call << item_event("added", message("u"), None)
    assert len(call << response("created", **({"conversation_id": None} if aside else {}))) == 1
    open_call = function_call("i1", "c1", status="in_progress")
    assert call << output_item("added", open_call) == []
    assert call << item_event("added", open_call, "u") == []
    arguments = {"event_id": "e", "response_id": "r", "item_id": "i1", "output_index": 0, "call_id": "c1"}
    assert call << {"type": "response.function_call_arguments.delta", "delta": "{", **arguments} == []
    assert call << {"type": "response.function_call_arguments.done", "arguments": "{}", **arguments} == []
    assert call << item_event("done", function_call("i1", "c1"), "u") == []
    return call


def sent(told: list[Any]) -> list[str]:
    assert all(one[0] == "up" for one in told), told
    return [one[1]["type"] for one in told]


def test_a_hidden_call_runs_and_is_answered_out_of_sight() -> None:
    call = calling()
    assert call << output_item("done", function_call("i1", "c1")) == [RUN]
    ((_, done),) = call << response("done", output=[function_call("i1", "c1")])
    assert done["response"]["output"] == []
    output, ask = call.tool("c1", "42")
    assert output[1]["item"]["call_id"] == "c1"
    assert output[1]["item"]["output"] == "42"
    assert ask[1]["type"] == "response.create"
    made = output[1]["item"]
    # a server may give it an id of its own
    assert call << item_event("added", {**made, "id": "o1"}, "i1") == []
    assert call << item_event("added", made, "i1") == []
    assert call << item_event("done", made, "i1") == []
    ((_, answer),) = call << item_event("added", message("m"), made["id"])
    assert answer["previous_item_id"] == "u"


def test_a_call_runs_once() -> None:
    call = calling()
    call << output_item("done", function_call("i1", "c1"))
    assert call << output_item("done", function_call("i1", "c1")) == []
    told = call << response("done", output=[function_call("i1", "c1")])
    assert [one[0] for one in told] == ["down"]
    assert len(call.tool("c1", "42")) == 2
    assert call.tool("c1", "42") == []
    assert call.tool("unheard_of", "42") == []


def test_a_call_of_which_only_the_response_tells_runs_too() -> None:
    call = calling()
    assert (call << response("done", output=[function_call("i1", "c1")]))[1:] == [RUN]


def test_an_unfinished_call_does_not_run() -> None:
    call = calling()
    assert call << output_item("done", function_call("i1", "c1", status="incomplete")) == []


def test_nothing_runs_for_a_response_outside_of_the_conversation() -> None:
    call = calling(aside=True)
    assert call << output_item("done", function_call("i1", "c1")) == []


def test_an_answer_before_the_response_is_done_waits_for_it() -> None:
    call = calling()
    call << output_item("done", function_call("i1", "c1"))
    assert sent(call.tool("c1", "42")) == ["conversation.item.create"]
    told = call << response("done", output=[function_call("i1", "c1")])
    assert sent(told[1:]) == ["response.create"]


def test_two_calls_are_answered_by_one_response() -> None:
    call = calling()
    both = [function_call("i1", "c1"), function_call("i2", "c2")]
    for index, item in enumerate(both):
        call << output_item("done", item, index)
    call << response("done", output=both)
    assert sent(call.tool("c2", "2")) == ["conversation.item.create"]
    assert sent(call.tool("c1", "1")) == ["conversation.item.create", "response.create"]


def test_a_cancelled_response_is_not_continued() -> None:
    call = calling()
    call << output_item("done", function_call("i1", "c1"))
    call << response("done", output=[function_call("i1", "c1")], status="cancelled")
    assert sent(call.tool("c1", "1")) == ["conversation.item.create"]


def test_the_wish_waits_for_a_response_that_began_meanwhile() -> None:
    call = calling()
    call << output_item("done", function_call("i1", "c1"))
    call << response("done", output=[function_call("i1", "c1")])
    call << response("created", "r2")
    assert sent(call.tool("c1", "1")) == ["conversation.item.create"]
    assert sent((call << response("done", "r2"))[1:]) == ["response.create"]


def test_a_wish_that_lost_a_race_is_repeated_and_its_refusal_hidden() -> None:
    call = calling()
    call << output_item("done", function_call("i1", "c1"))
    call << response("done", output=[function_call("i1", "c1")])
    wish = call.tool("c1", "1")[1][1]
    refusal = {"type": "e", "code": "conversation_already_has_active_response", "message": "busy",
               "event_id": wish["event_id"]}  # fmt: skip
    assert call << {"type": "error", "event_id": "e", "error": refusal} == []
    assert sent((call << response("done", "r2"))[1:]) == ["response.create"]


def test_with_calls_of_its_own_the_caller_asks_for_the_answer() -> None:
    call = calling()
    call << output_item("done", function_call("i1", "c1"))
    own = function_call("i2", "c2", name="paint")
    ((_, seen),) = call << output_item("done", own, 1)
    assert (seen["output_index"], seen["item"]) == (0, own)
    told = call << response("done", output=[function_call("i1", "c1"), own])
    assert [item["id"] for item in told[0][1]["response"]["output"]] == ["i2"]
    assert call >> respond() == []
    assert sent(call.tool("c1", "1")) == ["conversation.item.create", "response.create"]
    assert call.tool("c1", "1") == []
    assert sent(call >> respond()) == ["response.create"]


def test_indices_count_what_is_visible() -> None:
    call = calling()
    ((_, seen),) = call << output_item("added", message("m"), 1)
    assert seen["output_index"] == 0
    part = {"type": "response.output_audio.delta", "event_id": "e", "response_id": "r", "item_id": "m",
            "output_index": 1, "content_index": 0, "delta": "AAAA"}  # fmt: skip
    assert call << part == [("down", {**part, "output_index": 0})]
    call << response("done")
    assert call << part == [("pass", "response.output_audio.delta")]


def test_arguments_of_a_call_that_was_not_announced_are_not_shown() -> None:
    call = Call(secret_policy()).opened()
    arguments = {"type": "response.function_call_arguments.delta", "event_id": "e", "response_id": "r",
                 "item_id": "x", "output_index": 0, "call_id": "c", "delta": "{"}  # fmt: skip
    assert call << arguments == []
    call << output_item("added", function_call("x", "c", name="paint", status="in_progress"))
    assert call << arguments == [("down", arguments)]


def test_the_predecessor_is_the_last_visible_item() -> None:
    call = calling()
    committed = {"type": "input_audio_buffer.committed", "event_id": "e", "previous_item_id": "i1", "item_id": "v"}
    assert (call << committed)[0][1]["previous_item_id"] == "u"
    assert (call << {"type": "conversation.item.deleted", "event_id": "e", "item_id": "u"})[0][1]["item_id"] == "u"
    assert (call << committed)[0][1]["previous_item_id"] is None
    assert call << {"type": "conversation.item.deleted", "event_id": "e", "item_id": "i1"} == []


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), max_size=30))
def test_predecessors_are_those_of_a_list(moves: list[tuple[int, bool, bool]]) -> None:
    """Against a plain list of all items: insert after any item, hide some, delete some."""
    hidden, items, secret = Hidden(), [""], set()
    for number, (place, hide, delete) in enumerate(moves):
        index = place % len(items)
        if delete and index:
            hidden.removed(items.pop(index))
            continue
        item = f"i{number}"
        hidden.placed(item, items[index] or None)
        items.insert(index + 1, item)
        if hide:
            secret.add(item)
            hidden.hide({"id": item})
    for index in range(1, len(items)):
        expected = next((item for item in reversed(items[:index]) if item not in secret), "")
        assert (hidden.visible(items[index - 1] or None) or "") == expected


def test_memory_is_bounded() -> None:
    hidden = Hidden()
    for number in range(MOST_KNOWN + 10):
        hidden.placed(f"i{number}", f"i{number - 1}")
    assert len(hidden._before) == MOST_KNOWN
    hidden.ids |= {"a", "b"}
    hidden.placed("a", "b")
    hidden.placed("b", "a")
    assert hidden.visible("a") is None
