"""One response's events."""

from __future__ import annotations

import pytest
from script import Script, pcm

from duologue.server import inputs
from duologue.server.formats import DELTA_MS


def test_sound_comes_in_pieces_that_every_client_can_take() -> None:
    s = Script()
    s.client("response.create")
    s.give(inputs.VoiceAudio(response_id="resp_1", audio=pcm(1000)))
    deltas = [e for e in s.events() if e["type"] == "response.output_audio.delta"]
    assert len(deltas) == 1000 // DELTA_MS


def test_speech_then_two_calls_are_three_items_in_order() -> None:
    s = Script()
    s.client("response.create")
    s.give(inputs.ModelText(response_id="resp_1", text="Both."))
    for number, name in enumerate(("first", "second")):
        s.give(inputs.ModelToolCall(response_id="resp_1", index=number, name=name, arguments="{}"))
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    output = s.events()[-2]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "function_call"]
    added = [e for e in s.events() if e["type"] == "response.output_item.added"]
    assert [e["output_index"] for e in added] == [0, 1, 2]
    chain = [(e["item"]["id"], e["previous_item_id"]) for e in s.events() if e["type"] == "conversation.item.added"]
    assert chain == [("item_1", None), ("item_2", "item_1"), ("item_3", "item_2")]


def test_a_response_that_was_cut_off_by_its_limit_says_so() -> None:
    s = Script(output_modalities=["text"])
    s.client("response.create")
    s.give(inputs.ModelText(response_id="resp_1", text="and then"))
    s.give(inputs.ModelDone(response_id="resp_1", reason="length"))
    response = s.events()[-2]["response"]
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_nothing_produced_is_nothing_billed(status: str) -> None:
    s = Script()
    s.client("response.create")
    if status == "cancelled":
        s.client("response.cancel")
    else:
        s.give(inputs.ModelFailed(response_id="resp_1", code="engine_unreachable", message="nobody there"))
    response = s.events()[-2]["response"]
    assert (response["status"], response["output"]) == (status, [])
    assert response["usage"]["total_tokens"] == 0


def test_an_item_deleted_while_it_is_written_stays_deleted() -> None:
    s = Script(output_modalities=["text"])
    s.client("response.create")
    s.give(inputs.ModelText(response_id="resp_1", text="secret"))
    s.client("conversation.item.delete", item_id="item_1")
    out = s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    assert "conversation.item.done" not in out
    assert len(s.machine.conversation.history) == 0
