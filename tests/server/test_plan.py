"""What a response is asked to do."""

from __future__ import annotations

import pytest
from script import Script, pcm

from duologue.server import inputs

TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}


def test_overrides_hold_for_one_response_only() -> None:
    s = Script(instructions="session", audio={"output": {"voice": "ash"}})
    s.client(
        "response.create",
        response={"instructions": "once", "audio": {"output": {"voice": "verse"}}, "max_output_tokens": 7},
    )
    start = s.requests()[0]
    assert (start.request.instructions, start.voice.voice, start.request.max_output_tokens) == ("once", "verse", 7)
    shown = s.events()[-1]["response"]
    assert (shown["max_output_tokens"], shown["audio"]["output"]["voice"]) == (7, "verse")
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    s.client("response.create", response={"instructions": None})
    assert s.requests()[1].request.instructions == "session"
    assert s.requests()[1].voice.voice == "ash"


def test_own_input_replaces_the_conversation_and_may_refer_to_it() -> None:
    s = Script()
    s.client("conversation.item.create", item={**TEXT, "id": "first"})
    aside = {"conversation": "none", "input": [{"type": "item_reference", "id": "first"}, TEXT]}
    s.client("response.create", response=aside)
    assert len(s.requests()[0].request.items) == 2
    s.client("response.create", response={"conversation": "none", "input": []})
    assert s.requests()[1].request.items == ()
    aside["input"] = [{"type": "item_reference", "id": "nobody"}]
    assert s.client("response.create", response=aside) == ["error"]


@pytest.mark.parametrize(
    ("response", "param"),
    [
        ({"conversation": "mine"}, "response.conversation"),
        ({"output_modalities": []}, "response.output_modalities"),
        ({"metadata": {"k" * 65: "v"}}, "response.metadata"),
        ({"tool_choice": "perhaps"}, "response.tool_choice"),
        ({"reasoning": {"effort": "heroic"}}, "response.reasoning.effort"),
        ({"tool_choice": {"type": "function", "name": "nobody"}}, "response.tool_choice"),
        ({"tools": [], "tool_choice": {"type": "mcp", "server_label": "nobody"}}, "response.tool_choice"),
    ],
)
def test_wishes_out_of_range_are_refused(response: dict[str, object], param: str) -> None:
    s = Script()
    assert s.client("response.create", response=response) == ["error"]
    assert s.events()[-1]["error"]["param"] == param
    assert s.machine.active_response_id is None


def test_a_response_waits_for_every_transcript_it_needs() -> None:
    s = Script()
    s.manual()
    for item in ("item_1", "item_2"):
        s.client("input_audio_buffer.append", audio=pcm(200))
        s.client("input_audio_buffer.commit")
        assert item in s.machine.conversation.history
    s.client("response.create")
    assert s.give(inputs.TranscriptReady(item_id="item_2", text="two")) == []
    assert s.give(inputs.TranscriptReady(item_id="item_1", text="one")) == ["<StartModel>"]
