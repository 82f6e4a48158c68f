"""The client's wishes about items."""

from __future__ import annotations

import msgspec
import pytest
from script import Script, pcm

from duologue.errors import ProtocolError
from duologue.ids import CountingIds
from duologue.protocol.client_events import ConversationItemCreate
from duologue.server.conversation import Conversation


def create(conversation: Conversation, item: dict[str, object], after: str | None = None) -> tuple[str, str | None]:
    event = msgspec.convert(
        {"type": "conversation.item.create", "item": item, "previous_item_id": after}, ConversationItemCreate
    )
    stored, previous = conversation.create(event, CountingIds())
    return str(stored.id), previous


def typed(item_id: str) -> dict[str, object]:
    return {"type": "message", "id": item_id, "role": "user", "content": [{"type": "input_text", "text": item_id}]}


def test_items_go_where_they_were_put() -> None:
    conversation = Conversation()
    assert create(conversation, typed("a")) == ("a", None)
    assert create(conversation, typed("b")) == ("b", "a")
    assert create(conversation, typed("c"), "a") == ("c", "a")
    assert create(conversation, typed("d"), "root") == ("d", None)
    assert create(conversation, typed("e"), "") == ("e", "b")
    assert list(conversation.history) == ["d", "a", "c", "b", "e"]
    conversation.delete("b")
    assert conversation.history.previous_id("e") == "c"


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "no"}]},
        {"type": "message", "role": "system", "content": [{"type": "input_audio", "audio": ""}]},
        {"type": "message", "role": "user", "content": [{"type": "output_text", "text": "no"}]},
        {"type": "function_call_output", "call_id": "call_nobody", "output": "{}"},
        typed("x" * 33),
    ],
)
def test_items_that_make_no_sense_are_refused(item: dict[str, object]) -> None:
    conversation = Conversation()
    with pytest.raises(ProtocolError):
        create(conversation, item)
    assert len(conversation.history) == 0


def test_a_clip_sent_as_an_item_is_transcribed() -> None:
    s = Script()
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": pcm(200)}]}
    assert s.client("conversation.item.create", item=item) == [
        "conversation.item.added",
        "conversation.item.done",
        "<OpenUtterance>",
        "<FeedUtterance>",
        "<FinishUtterance>",
    ]
    assert s.events()[-1]["item"]["content"] == [{"type": "input_audio", "transcript": None}]


def test_a_retrieved_item_says_what_it_is() -> None:
    s = Script()
    s.client("conversation.item.create", item=typed("a"))
    assert "object" not in s.events()[-1]["item"]
    s.client("conversation.item.retrieve", item_id="a")
    assert s.events()[-1]["item"]["object"] == "realtime.item"


def test_an_id_that_is_taken_replaces_the_item_where_it_stands() -> None:
    conversation = Conversation()
    for item_id in ("a", "b", "a"):
        where = create(conversation, typed(item_id))
    assert where == ("a", "a")
    assert list(conversation.history) == ["a", "b"]
