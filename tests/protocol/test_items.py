"""`duologue.protocol.items`."""

from __future__ import annotations

from duologue.protocol.items import (
    FunctionCall,
    InputAudio,
    InputImage,
    InputText,
    ItemReference,
    Message,
    OutputAudio,
    OutputText,
    item_id,
    text_of,
)


def test_an_item_without_an_id_has_none() -> None:
    assert item_id(FunctionCall(name="get_weather")) is None
    assert item_id(ItemReference(id="item_1")) == "item_1"


def test_the_text_of_a_message_is_all_that_was_said_or_written() -> None:
    said = Message(
        role="user",
        content=(
            InputText(text="Look:"),
            InputImage(image_url="data:image/png;base64,"),
            InputAudio(transcript="what is this"),
            InputAudio(audio=b"\0\0"),
        ),
    )
    assert text_of(said) == "Look: what is this"
    answered = Message(role="assistant", content=(OutputAudio(transcript="A cat."), OutputText(text="Felis catus")))
    assert text_of(answered) == "A cat. Felis catus"
    assert text_of(Message(role="assistant", content=(OutputAudio(transcript=None),))) == ""
