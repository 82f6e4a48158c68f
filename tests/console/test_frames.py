from __future__ import annotations

import json
from base64 import b64encode

import pytest

from duologue.console.frames import body, sound, summarise

PCM = bytes(range(256)) * 30


def frame(**event: object) -> bytes:
    return json.dumps(event).encode()


def test_ids_are_found_wherever_the_event_carries_them() -> None:
    seen = summarise(
        frame(type="response.done", response={"id": "resp_1", "status": "completed", "output": []}),
        by="server",
        t_ms=5,
        trace_offset=9,
    )
    assert (seen.response, seen.note, seen.trace_offset, seen.t_ms) == ("resp_1", "completed", 9, 5)
    seen = summarise(
        frame(type="conversation.item.added", item={"id": "item_1", "type": "message"}),
        by="server",
        t_ms=0,
        trace_offset=0,
    )
    assert seen.item == "item_1"


def test_sound_is_not_searched_but_words_are() -> None:
    append = summarise(
        frame(type="input_audio_buffer.append", audio=b64encode(PCM).decode()), by="client", t_ms=0, trace_offset=0
    )
    assert append.text == ""
    assert append.size > len(PCM)
    delta = summarise(
        frame(type="response.output_text.delta", item_id="i", delta="Bonjour"), by="server", t_ms=0, trace_offset=0
    )
    assert delta.note == "Bonjour"
    assert delta.matches("bonjour")


def test_errors_show_code_and_message() -> None:
    seen = summarise(
        frame(type="error", error={"code": "invalid_value", "message": "No."}), by="server", t_ms=0, trace_offset=0
    )
    assert seen.note == "invalid_value No."


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "(not an event)"),
        (b"\xff\xfe", "(not an event)"),
        (b"[1]", "(not an event)"),
        (b'{"type": 7}', "(not an event)"),
        (b'{"type": "x", "item": 3}', "x"),
        (b'{"type": "y", "error": "text"}', "y"),
        (b"[" * 100_000, "(not an event)"),
    ],
)
def test_strange_frames_become_rows_too(data: bytes, kind: str) -> None:
    assert summarise(data, by="server", t_ms=0, trace_offset=0).type == kind
    assert body(0, data).size == len(data)
    assert sound(data) == b""


def test_a_body_is_readable_and_its_sound_reachable() -> None:
    data = frame(type="response.output_audio.delta", item_id="item_1", delta=b64encode(PCM).decode())
    shown = body(3, data)
    assert shown.audio_ms == 160
    assert "[7680 bytes of sound, 160 ms]" in shown.json
    assert sound(data) == PCM


def test_sound_inside_an_item_is_trimmed_too() -> None:
    content = [{"type": "input_audio", "audio": b64encode(PCM).decode(), "transcript": None}]
    data = frame(type="conversation.item.retrieved", item={"id": "i", "content": content})
    assert "bytes of sound" in body(0, data).json
    assert sound(data) == PCM


def test_a_long_text_delta_is_no_sound() -> None:
    data = frame(type="response.output_text.delta", delta="word " * 40)
    assert body(0, data).audio_ms == 0
    assert "word word" in body(0, data).json
