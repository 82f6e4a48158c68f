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


KINDS = st.lists(st.sampled_from(["message", "hidden", "paint"]), max_size=4)


@given(st.lists(KINDS, max_size=4), st.randoms(use_true_random=False))
def test_any_conversation_is_whole_to_the_caller(answers: list[list[str]], random: Any) -> None:
    """Whatever the model mixes, the caller sees a conversation without gaps, and nothing of the hidden calls."""
    call, upstream, view = Call(secret_policy()).opened(), _Upstream(), _View()
    for number, kinds in enumerate(answers):
        waiting: list[str] = []
        for event in upstream.answer(f"r{number}", kinds):
            told = call << event
            view.look(told)
            waiting += [one[1] for one in told if one[0] == "run"]
            if waiting and random.random() < 0.3:
                view.look(call.tool(waiting.pop(), "42"))
        asked_before = view.asked
        for call_id in waiting:
            view.look(call.tool(call_id, "42"))
        assert view.asked - asked_before <= 1
        for item in view.made:
            view.look(call << upstream.added(item))
        view.made.clear()
        assert view.outputs[f"r{number}"] == [
            f"r{number}i{index}" for index, kind in enumerate(kinds) if kind != "hidden"
        ]
    assert view.asked == sum("hidden" in kinds and "paint" not in kinds for kinds in answers)


class _Upstream:
    """Speaks as the hosted API does."""

    def __init__(self) -> None:
        self.last: str | None = None

    def added(self, item: Any) -> Any:
        event = item_event("added", item, self.last)
        self.last = item["id"]
        return event

    def answer(self, response_id: str, kinds: list[str]) -> Any:
        yield response("created", response_id)
        items = []
        for index, kind in enumerate(kinds):
            item_id = f"{response_id}i{index}"
            name = "find_order" if kind == "hidden" else kind
            head = {"event_id": "e", "response_id": response_id, "item_id": item_id, "output_index": index}
            item = message(item_id) if kind == "message" else function_call(item_id, f"call_{item_id}", name)
            items.append(item)
            yield output_item("added", {**item, "status": "in_progress"}, index, response_id)
            yield self.added({**item, "status": "in_progress"})
            if kind == "message":
                yield {"type": "response.output_audio.delta", **head, "content_index": 0, "delta": "AAAA"}
            else:
                yield {
                    "type": "response.function_call_arguments.delta",
                    **head,
                    "call_id": item["call_id"],
                    "delta": "{",
                }
            yield output_item("done", item, index, response_id)
        yield response("done", response_id, output=items)


class _View:
    """What the caller has seen, and what went to the upstream."""

    def __init__(self) -> None:
        self.outputs: dict[str, list[str]] = {}
        self.made: list[Any] = []
        self.asked = 0
        self._last: str | None = None

    def look(self, told: list[Any]) -> None:
        for where, *rest in told:
            if where == "up":
                self.asked += rest[0]["type"] == "response.create"
                self.made += [rest[0]["item"]] if "item" in rest[0] else []
            elif where == "down":
                self._see(rest[0])

    def _see(self, event: Any) -> None:
        assert "find_order" not in str(event)
        if event["type"] == "conversation.item.added":
            assert event["previous_item_id"] == self._last
            self._last = event["item"]["id"]
        elif event["type"] == "response.created":
            self.outputs[event["response"]["id"]] = []
        elif event["type"] == "response.output_item.added":
            seen = self.outputs[event["response_id"]]
            assert event["output_index"] == len(seen)
            seen.append(event["item"]["id"])
        elif event["type"] == "response.done":
            assert [item["id"] for item in event["response"]["output"]] == self.outputs[event["response"]["id"]]
        elif "output_index" in event:
            assert self.outputs[event["response_id"]][event["output_index"]] == event.get(
                "item_id", event.get("item", {}).get("id")
            )
