"""What of a call goes into its recording."""

from __future__ import annotations

import json
from typing import Any

import pytest

from duologue.access.redaction import HIDDEN
from duologue.protocol.codec import decode_client_event, decode_server_event
from duologue.relay.redact import Redaction
from duologue.relay.settings import DEFAULT_LOCKS, Lock, Recordings

SOUND = "AQID" * 30
KEY = "sk-live-0123456789abcdef"


def kept(event: Any, *, locked: tuple[Lock, ...] = (), secrets: tuple[str, ...] = (), **recordings: Any) -> Any:
    frame = Redaction(Recordings(**recordings), locked, secrets).frame(json.dumps(event).encode())
    return None if frame is None else json.loads(frame)


def said(**part: Any) -> dict[str, Any]:
    item = {"type": "message", "id": "item_1", "role": "user", "content": [part]}
    return {"type": "conversation.item.create", "item": item}


CALL = {"type": "function_call", "id": "i", "call_id": "c", "name": "pay", "arguments": '{"iban":"DE"}'}
ANSWER = {"type": "function_call_output", "id": "i", "call_id": "c", "output": "4711"}
APPEND = {"type": "input_audio_buffer.append", "audio": SOUND}
SOUNDS = {"type": "response.output_audio.delta", "event_id": "e", "response_id": "r", "item_id": "i", "output_index": 0,
          "content_index": 0, "delta": SOUND}  # fmt: skip
WORDS = {**SOUNDS, "type": "response.output_audio_transcript.delta", "delta": "Hello Ann"}
ASKS = {"type": "response.function_call_arguments.delta", "event_id": "e", "response_id": "r", "item_id": "i",
        "output_index": 0, "call_id": "c", "delta": '{"iban"'}  # fmt: skip


def test_what_the_policy_does_not_name_is_recorded_as_it_was() -> None:
    for event in (APPEND, SOUNDS, WORDS, ASKS, said(type="input_text", text="Hello")):
        assert kept(event, locked=DEFAULT_LOCKS) == event


def test_keys_are_never_recorded() -> None:
    tool = {"type": "mcp", "server_label": "x", "server_url": "https://x", "authorization": "open sesame"}
    shown = json.dumps(kept({"type": "session.update", "session": {"type": "realtime", "tools": [tool]}}))
    assert "open sesame" not in shown
    assert "https://x" in shown
    for text in (KEY, f"my key is {KEY}", "Bearer abcdefghijkl"):
        assert KEY[-8:] not in json.dumps(kept(said(type="input_text", text=text)))
    told = kept({"type": "error", "error": {"message": "no house-key", "house-key": 1}}, secrets=("house-key",))
    assert "house-key" not in json.dumps(told)
    assert kept(f"{KEY} alone") == f"sk-{HIDDEN} alone"


def test_what_callers_send_in_place_of_locked_instructions_and_tools_is_hidden() -> None:
    tool = {"type": "function", "name": "t", "parameters": {}}
    update = {"type": "session.update", "session": {"type": "realtime", "instructions": "Be mine", "tools": [tool]}}
    hidden = {"type": "realtime", "instructions": HIDDEN, "tools": []}
    assert kept(update, locked=DEFAULT_LOCKS)["session"] == hidden
    respond = {"type": "response.create", "response": {"instructions": "Be mine", "prompt": {"id": "p"}}}
    assert kept(respond, locked=("prompt",))["response"] == {"instructions": HIDDEN, "prompt": None}
    assert kept(update, locked=("model",)) == update


@pytest.mark.parametrize("event", [APPEND, SOUNDS, said(type="input_audio", audio=SOUND)])
def test_hidden_sound_is_silence_of_the_same_length(event: dict[str, Any]) -> None:
    text = json.dumps(kept(event, hide=("audio",)))
    assert text.count("A" * len(SOUND)) == 1
    assert SOUND not in text


@pytest.mark.parametrize(("kind", "event", "word"), [
    ("text", WORDS, "Ann"),
    ("text", said(type="input_text", text="Ann"), "Ann"),
    ("text", {**WORDS, "type": "response.output_text.done", "text": "Ann"}, "Ann"),
    ("text", {"type": "conversation.item.input_audio_transcription.completed", "event_id": "e", "item_id": "i",
              "content_index": 0, "transcript": "Ann", "logprobs": [{"token": "Ann", "logprob": 0, "bytes": [1]}],
              "usage": {"type": "duration", "seconds": 1}}, "Ann"),
    ("images", said(type="input_image", image_url="data:image/png;base64,AAAA"), "png"),
    ("arguments", {"type": "conversation.item.create", "item": CALL}, "iban"),
    ("arguments", ASKS, "iban"),
    ("outputs", {"type": "conversation.item.create", "item": ANSWER}, "4711"),
    ("instructions", {"type": "response.create", "response": {"instructions": "Be brief"}}, "brief"),
    ("tools", {"type": "session.update", "session": {"type": "realtime", "tools": [
        {"type": "function", "name": "pay", "parameters": {}}]}}, "pay"),
])  # fmt: skip
def test_each_kind_of_content_is_hidden_and_the_event_is_still_one(kind: str, event: dict[str, Any], word: str) -> None:
    others = tuple({"audio", "images", "text", "instructions", "tools", "arguments", "outputs"} - {kind})
    assert word in json.dumps(kept(event, hide=others))
    shown = kept(event, hide=(kind,))
    assert word not in json.dumps(shown)
    frame = json.dumps(shown).encode()
    known = decode_server_event(frame) if "event_id" in shown else decode_client_event(frame)
    assert known.__struct_config__.tag == event["type"]
    assert kept(event, drop=(kind,)) == (None if "delta" in event else shown)


def test_dropped_pieces_are_not_recorded_at_all() -> None:
    for event in (APPEND, SOUNDS):
        assert kept(event, drop=("audio",)) is None
        assert kept(event, drop=("text", "arguments")) == event
    assert kept(WORDS, drop=("text",)) is None


def test_fields_by_their_path() -> None:
    event = {"type": "session.update", "session": {"type": "realtime", "metadata": {"name": "Ann", "age": 7}}}
    assert kept(event, hide=("$.session.metadata.*",))["session"]["metadata"] == {"name": HIDDEN, "age": None}
    assert kept(event, drop=("$.session.metadata.name",))["session"]["metadata"] == {"age": 7}
    assert kept(event, hide=("$.session.metadata.name.first", "$.metadata")) == event
    # lists are entered
    shown = kept(said(type="input_text", text="Hello"), hide=("$.item.content.text",))
    assert shown["item"]["content"] == [{"type": "input_text", "text": HIDDEN}]


@pytest.mark.parametrize("frame", [b"{bad secret", b'{"type":"x","s":' + b"[" * 9999, b"\xff secret"])
def test_what_cannot_be_read_is_told_by_its_size_where_something_is_to_be_hidden(frame: bytes) -> None:
    assert f"{len(frame)} bytes" in (Redaction(Recordings(hide=("text",)), (), ()).frame(frame) or b"").decode()
    shown = Redaction(Recordings(), (), (KEY,)).frame(frame.replace(b"secret", KEY.encode())) or b""
    assert KEY.encode() not in shown
    json.loads(shown)
