from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from duologue.client.verbs import TYPES, Verbs, differences, names_of
from duologue.errors import ConfigError
from duologue.protocol import client_events as ce
from duologue.protocol import server_events as ev
from duologue.protocol.items import FunctionCall, InputText, McpApprovalRequest, Message
from duologue.protocol.responses import Response


class Wire(Verbs):
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send_event(self, event: ce.ClientEvent | Mapping[str, Any]) -> None:
        self.sent.append(dict(event) if isinstance(event, Mapping) else msgspec.to_builtins(event))


def said(item_id: str, text: str) -> Message:
    return Message(id=item_id, role="user", content=(InputText(text=text),))


def test_words_of_transports_become_events() -> None:
    async def story() -> None:
        wire = Wire()
        await wire.request_response({"conversation": "none"})
        await wire.send_function_call_output("call_1", "42", respond=False)
        await wire.send_mcp_response(McpApprovalRequest(id="q_1", server_label="s", name="add"), False, reason="no")
        await wire.send_mcp_response("q_2", True)
        first, output, refused, allowed = wire.sent
        assert first == {"type": "response.create", "response": {"conversation": "none"}}
        assert (output["item"]["call_id"], output["item"]["output"]) == ("call_1", "42")
        assert refused["item"] == {
            "type": "mcp_approval_response", "approval_request_id": "q_1", "approve": False, "reason": "no",
        }  # fmt: skip
        assert allowed["item"]["approve"]
        assert "reason" not in allowed["item"]

    asyncio.run(story())


def test_a_history_is_made_another_by_what_differs() -> None:
    async def story() -> None:
        wire = Wire()
        old = [said("a", "one"), said("b", "two"), said("c", "three")]
        more = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "new"}]}
        await wire.reset_history(old, [old[0], more, said("c", "THREE")])
        kinds = [(each["type"], each.get("item_id") or each.get("previous_item_id")) for each in wire.sent]
        created = [each["item"]["id"] for each in wire.sent if "item" in each]
        assert kinds == [
            ("conversation.item.delete", "b"),
            ("conversation.item.delete", "c"),
            ("conversation.item.create", "a"),
            ("conversation.item.create", created[0]),
        ]
        with pytest.raises(ConfigError, match="no item"):
            await wire.reset_history([], [{"type": "poem"}])

    asyncio.run(story())
    old = [said("a", "one"), said("b", "two")]
    assert differences(old, old) == []
    with pytest.raises(ConfigError, match="places"):
        differences(old, old[::-1])


def test_an_event_has_the_names_that_transports_give_it() -> None:
    done = ev.ResponseDone(response=Response(id="r", status="completed"))
    assert names_of(done) == ("turn_done", "usage_update")
    request = McpApprovalRequest(id="q", server_label="s", name="add")
    assert names_of(ev.ConversationItemDone(item=request)) == ("item_update", "mcp_approval_request")
    assert names_of(ev.ConversationItemDone(item=FunctionCall(name="f", call_id="c"))) == ("item_update",)
    assert names_of(ev.InputAudioBufferCleared()) == ()
    assert TYPES["audio"] == ("response.output_audio.delta",)


def test_whoever_has_verbs_can_send() -> None:
    with pytest.raises(NotImplementedError):
        asyncio.run(Verbs().request_response())
