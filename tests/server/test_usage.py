"""Token counts: estimates by the protocol's rates, overruled by engines that count."""

from __future__ import annotations

from duologue.protocol.items import InputAudio, InputImage, InputText, Item, Message, OutputAudio
from duologue.server.commands import ReportEstimate
from duologue.server.inputs import ModelDone
from duologue.server.usage import add, count_output, estimate_in, item_tokens, settle

HEARD = Message(id="a", role="user", content=(InputAudio(transcript="hello"),))
TYPED = Message(id="b", role="user", content=(InputText(text="x" * 40),))
SAID = Message(id="c", role="assistant", content=(OutputAudio(transcript="y" * 8),))
SEEN = Message(id="d", role="user", content=(InputImage(image_url="data:", detail="low"),))


def spoken_ms(item: Item) -> int:
    return {"a": 1630, "c": 1000}.get(str(item.id), 0)


def test_sound_is_counted_by_its_length_and_text_by_its_letters() -> None:
    costs = [item_tokens(item, spoken_ms) for item in (HEARD, TYPED, SAID)]
    assert [(cost.text_tokens, cost.audio_tokens) for cost in costs] == [(0, 17), (10, 0), (0, 20)]
    said = count_output((SAID,), spoken_ms)
    assert (said.text_tokens, said.audio_tokens) == (2, 20)


def test_the_sum_is_the_sum_of_its_parts_whoever_counts() -> None:
    read, said = item_tokens(HEARD, spoken_ms), count_output((SAID,), spoken_ms)
    counted = ModelDone(response_id="r", reason="stop", input_tokens=70, output_tokens=9, cached_tokens=64)
    read = add(read, item_tokens(SEEN, spoken_ms))
    for done in (None, counted):
        usage = settle(read, said, done)
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        details = usage.input_token_details
        assert details.text_tokens + details.audio_tokens + details.image_tokens == usage.input_tokens
    assert usage.input_tokens == 70
    assert usage.input_token_details.cached_tokens == 64


def test_what_no_engine_counted_is_an_estimate() -> None:
    read, said = item_tokens(TYPED, spoken_ms), count_output((SAID,), spoken_ms)
    half = ModelDone(response_id="r", reason="stop", output_tokens=9)
    whole = ModelDone(response_id="r", reason="stop", input_tokens=70, output_tokens=9)
    parts = [estimate_in(settle(read, said, done), done) for done in (None, half, whole)]
    assert parts == [
        ReportEstimate(input_tokens=10, output_tokens=22),
        ReportEstimate(input_tokens=10, output_tokens=0),
        ReportEstimate(input_tokens=0, output_tokens=0),
    ]
