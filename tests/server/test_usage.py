"""Token counts: estimates by the protocol's rates, overruled by engines that count."""

from __future__ import annotations

from duologue.protocol.items import InputAudio, InputText, Item, Message, OutputAudio
from duologue.server.inputs import ModelDone
from duologue.server.usage import count_input, count_output, settle

HEARD = Message(id="a", role="user", content=(InputAudio(transcript="hello"),))
TYPED = Message(id="b", role="user", content=(InputText(text="x" * 40),))
SAID = Message(id="c", role="assistant", content=(OutputAudio(transcript="y" * 8),))


def spoken_ms(item: Item) -> int:
    return {"a": 1630, "c": 1000}.get(str(item.id), 0)


def test_sound_is_counted_by_its_length_and_text_by_its_letters() -> None:
    read = count_input((HEARD, TYPED, SAID), "be kind", spoken_ms)
    assert (read.text_tokens, read.audio_tokens) == (2 + 10, 17 + 20)
    said = count_output((SAID,), spoken_ms)
    assert (said.text_tokens, said.audio_tokens) == (2, 20)


def test_the_sum_is_the_sum_of_its_parts_whoever_counts() -> None:
    read, said = count_input((HEARD,), "", spoken_ms), count_output((SAID,), spoken_ms)
    counted = ModelDone(response_id="r", reason="stop", input_tokens=70, output_tokens=9, cached_tokens=64)
    for done in (None, counted):
        usage = settle(read, said, done)
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        details = usage.input_token_details
        assert details.text_tokens + details.audio_tokens == usage.input_tokens
    assert usage.input_tokens == 70
    assert usage.input_token_details.cached_tokens == 64
