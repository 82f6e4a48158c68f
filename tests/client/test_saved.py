from __future__ import annotations

import pytest

from duologue.client.replay import Lost
from duologue.client.saved import SavedConversation, from_json, to_json
from duologue.errors import ConfigError
from duologue.protocol.items import FunctionCall, FunctionCallOutput, InputAudio, InputText, Message


def test_a_conversation_comes_back_as_it_went() -> None:
    saved = SavedConversation(
        settings={"instructions": "be kind", "audio": {"input": {"turn_detection": None}}},
        items=(
            Message(id="u", role="user", content=(InputText(text="hi"), InputAudio(audio=b"\0\1"))),
            FunctionCall(id="f", call_id="c", name="feed", arguments="{}"),
            FunctionCallOutput(id="o", call_id="c", output="fed"),
        ),
        lost=(Lost(item_id="x", reason="gone"),),
    )
    assert from_json(to_json(saved)) == saved


def test_keys_of_remote_tools_stay_out() -> None:
    tool = {"type": "mcp", "server_label": "x", "authorization": "hunter2", "headers": {"Key": "hunter2"}}
    content = to_json(SavedConversation(settings={"tools": [tool]}))
    assert b"hunter2" not in content
    assert from_json(content).settings == {"tools": [{"type": "mcp", "server_label": "x"}]}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"items":[{"type":"thought"}]}', b'{"strange":1}', b"\xff"])
def test_other_files_are_refused_in_words(content: bytes) -> None:
    with pytest.raises(ConfigError, match="no saved conversation"):
        from_json(content)
    with pytest.raises(ConfigError, match="format 99"):
        from_json(b'{"duologue":99}')
