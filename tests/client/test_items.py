from __future__ import annotations

from duologue.client.items import ConversationItem
from duologue.protocol.items import FunctionCallOutput, InputAudio, Message, OutputAudio, OutputText


def test_a_newer_version_never_wipes_what_came_before() -> None:
    item = ConversationItem("u")
    item.part(0).transcript.append("heard early")
    item.take(Message(id="u", role="user", status="completed", content=(InputAudio(transcript=None),)))
    assert (item.role, item.status, item.formatted.transcript) == ("user", "completed", "heard early")
    assert item.spoken


def test_parts_are_joined_in_their_order() -> None:
    item = ConversationItem("a")
    item.take(Message(id="a", role="assistant", content=(OutputText(text="one "), OutputAudio(transcript="three"))))
    item.part(2).text.append("two")
    item.part(1).add_audio(b"\1\0")
    item.part(1).add_audio(b"\2\0")
    assert (item.formatted.text, item.formatted.transcript) == ("one two", "three")
    assert item.formatted.audio == b"\1\0\2\0"


def test_outputs_have_no_tool_and_no_file() -> None:
    item = ConversationItem("o")
    item.take(FunctionCallOutput(id="o", call_id="c", output="42"))
    assert (item.type, item.call_id, item.formatted.output) == ("function_call_output", "c", "42")
    assert item.formatted.tool is None
    assert item.formatted.file is None
    assert "42" in repr(item)
