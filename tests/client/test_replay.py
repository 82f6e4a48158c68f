from __future__ import annotations

from duologue.client.conversation import RealtimeConversation
from duologue.client.replay import Confirmations, Lost, plan
from duologue.protocol import server_events as ev
from duologue.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
)


def told(*items: Item) -> RealtimeConversation:
    conversation = RealtimeConversation()
    for item in items:
        conversation.apply(ev.ConversationItemDone(event_id="e", previous_item_id="?", item=item))
    return conversation


def test_every_kind_of_item_is_told_as_a_server_takes_it() -> None:
    picture = InputImage(image_url="data:image/png;base64,AA==")
    conversation = told(
        Message(id="s", role="system", content=(InputText(text="be kind"),)),
        Message(id="u", role="user", content=(InputAudio(transcript="what is this"), picture)),
        Message(id="a", role="assistant", content=(OutputAudio(transcript="a cat"),)),
        FunctionCall(id="f", call_id="c", name="feed", arguments='{"n":1}'),
        FunctionCallOutput(id="o", call_id="c", output="fed"),
        Message(id="w", role="user", content=(InputAudio(audio=b"\1\0"),)),
    )
    found = plan(conversation.items)
    assert found.lost == ()
    assert found.items == (
        Message(id="s", role="system", content=(InputText(text="be kind"),)),
        Message(id="u", role="user", content=(InputText(text="what is this"), picture)),
        Message(id="a", role="assistant", content=(OutputText(text="a cat"),)),
        FunctionCall(id="f", call_id="c", name="feed", arguments='{"n":1}'),
        FunctionCallOutput(id="o", call_id="c", output="fed"),
        Message(id="w", role="user", content=(InputAudio(audio=b"\1\0"),)),
    )


def test_what_cannot_be_told_says_why() -> None:
    conversation = told(
        FunctionCall(id="f", call_id="c", name="feed"),
        FunctionCallOutput(id="o", call_id="gone", output="fed"),
        McpListTools(id="m", server_label="x"),
        McpCall(id="n", server_label="x", name="look"),
        Message(id="u", role="user", content=(InputAudio(),)),
        Message(id="a", role="assistant", content=()),
    )
    assert [lost.item_id for lost in plan(conversation.items).lost] == ["f", "o", "n", "u", "a"]
    running = plan(conversation.items, running={"c"})
    assert [item.id for item in running.items] == ["f"]


def test_words_that_were_not_heard_are_not_told() -> None:
    conversation = told(Message(id="a", role="assistant", content=()))
    conversation.apply(
        ev.ResponseOutputAudioDelta(
            event_id="e", response_id="r", item_id="a", output_index=0, content_index=0, delta=bytes(96_000)
        )
    )
    words = ev.ResponseOutputAudioTranscriptDone(
        event_id="e", response_id="r", item_id="a", output_index=0, content_index=0, transcript="one two three four"
    )
    conversation.apply(words)
    conversation.apply(ev.ConversationItemTruncated(event_id="e", item_id="a", content_index=0, audio_end_ms=1000))
    assert plan(conversation.items).items[0].content == (OutputText(text="one two"),)  # type: ignore[union-attr]
    conversation.apply(ev.ConversationItemTruncated(event_id="e", item_id="a", content_index=0, audio_end_ms=0))
    assert plan(conversation.items).lost == (Lost(item_id="a", reason="nothing of it was heard"),)


def test_confirmations_know_what_was_taken_and_what_was_refused() -> None:
    items = (
        Message(id="a", role="user", content=(InputText(text="x"),)),
        Message(id="b", role="user", content=(InputText(text="y"),)),
    )
    confirmations = Confirmations(items, ["e1", "e2"])
    added = ev.ConversationItemAdded(event_id="e", previous_item_id=None, item=items[0])
    assert confirmations.echoes(added)
    for _ in range(2):
        confirmations.apply(added)
    assert not confirmations.done
    refused = ev.ErrorDetails(type="invalid_request_error", message="no", event_id="e2")
    confirmations.apply(ev.Error(event_id="e", error=refused))
    assert confirmations.done
    assert confirmations.taken == 1
    assert confirmations.refused == [Lost(item_id="b", reason="no")]
    stranger = Message(id="c", role="user", content=())
    assert not confirmations.echoes(ev.ConversationItemAdded(event_id="e", previous_item_id=None, item=stranger))
