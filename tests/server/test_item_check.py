"""What may enter a conversation (duologue.server.item_check)."""

from __future__ import annotations

from base64 import b64encode

import pytest
from script import FRAME_MS, Script

from duologue.server.rules import Rules

PNG = "data:image/png;base64," + b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
JPEG = "data:image/jpeg;base64," + b64encode(b"\xff\xd8\xff\xe0rest").decode()


def message(*content: dict[str, object], **fields: object) -> dict[str, object]:
    return {"type": "message", "role": "user", "content": list(content), **fields}


def image(url: str, **fields: object) -> dict[str, object]:
    return message({"type": "input_image", "image_url": url, **fields})


@pytest.mark.parametrize("url", [PNG, JPEG])
def test_a_model_that_sees_is_shown_the_picture(url: str) -> None:
    s = Script(rules=Rules(frame_ms=FRAME_MS, sees_images=True))
    s.client("conversation.item.create", item=image(url, detail="low"))
    s.client("response.create")
    assert s.requests()[0].request.items[0].content[0].image_url == url


def test_a_model_that_does_not_see_says_so() -> None:
    s = Script()
    assert s.client("conversation.item.create", item=image(PNG)) == ["error"]
    assert s.events()[-1]["error"]["message"] == "The model of this server does not take images."
    assert s.client("response.create", response={"conversation": "none", "input": [image(PNG)]}) == ["error"]
    assert s.events()[-1]["error"]["param"] == "response.input[0].content[0].type"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        (image("https://example.com/cat.png"), "item.content[0].image_url"),
        (image("data:image/gif;base64,AAAA"), "item.content[0].image_url"),
        (image("data:image/png;base64,###"), "item.content[0].image_url"),
        (image("data:image/png;base64,AAAA"), "item.content[0].image_url"),
        (image(PNG, detail="huge"), "item.content[0].detail"),
        (message({"type": "output_text", "text": ""}), "item.content[0].type"),
        (message({"type": "input_image", "image_url": PNG}, role="system"), "item.content[0].type"),
        (message(id="x" * 33), "item.id"),
        ({"type": "function_call_output", "call_id": "call_x", "output": ""}, "item.call_id"),
        (
            {"type": "mcp_approval_response", "approval_request_id": "none", "approve": True},
            "item.approval_request_id",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(item: dict[str, object], param: str) -> None:
    s = Script(rules=Rules(frame_ms=FRAME_MS, sees_images=True))
    assert s.client("conversation.item.create", item=item, event_id="e") == ["error"]
    error = s.events()[-1]["error"]
    assert (error["param"], error["event_id"]) == (param, "e")


def test_a_call_of_the_client_s_may_be_answered() -> None:
    s = Script()
    s.client("conversation.item.create", item={"type": "function_call", "name": "look", "arguments": "{}"})
    call = s.events()[-1]["item"]
    assert call["call_id"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
    assert "error" not in s.client("conversation.item.create", item=output)
    s.client("response.create", response={"conversation": "none", "input": [call, {**output, "id": "other"}]})
    assert len(s.requests()[0].request.items) == 2
