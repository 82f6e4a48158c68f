"""`duologue.protocol.codec`, with the structs of `duologue.protocol.client_events`, `duologue.protocol.server_events`,
`duologue.protocol.responses` and `duologue.protocol.session` that it reads and writes."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import CLIENT_EVENTS, SERVER_EVENTS, anything, client_events, mutated, server_events, structs

from duologue.errors import ProtocolError
from duologue.protocol.client_events import (
    InputAudioBufferAppend,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)
from duologue.protocol.codec import (
    CLIENT_EVENT_TYPES,
    SERVER_EVENT_TYPES,
    UnknownEvent,
    decode_client_event,
    decode_server_event,
    encode,
)
from duologue.protocol.responses import ResponseCreateParams
from duologue.protocol.server_events import ResponseOutputAudioDelta, ResponseOutputTextDelta
from duologue.protocol.session import Audio, AudioInput, RealtimeSession


@pytest.mark.parametrize("kind", CLIENT_EVENTS, ids=lambda kind: kind.__name__)
def test_client_events_come_back_as_they_were_written(kind: type[msgspec.Struct]) -> None:
    @settings(max_examples=25)
    @given(structs(kind))
    def there_and_back(event: Any) -> None:
        assert decode_client_event(encode(event)) == event

    there_and_back()


@pytest.mark.parametrize("kind", SERVER_EVENTS, ids=lambda kind: kind.__name__)
def test_server_events_come_back_as_they_were_written(kind: type[msgspec.Struct]) -> None:
    @settings(max_examples=25)
    @given(structs(kind))
    def there_and_back(event: Any) -> None:
        assert decode_server_event(encode(event)) == event

    there_and_back()


def test_audio_is_bytes_here_and_base64_there() -> None:
    frame = encode(InputAudioBufferAppend(audio=b"\x00\xff\x10"))
    assert frame == b'{"type":"input_audio_buffer.append","audio":"AP8Q"}'
    delta = decode_server_event(
        '{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,'
        '"content_index":0,"delta":"AP8Q"}'
    )
    assert isinstance(delta, ResponseOutputAudioDelta)
    assert delta.delta == b"\x00\xff\x10"


def test_unset_and_null_are_two_things() -> None:
    cleared = SessionUpdate(session=RealtimeSession(audio=Audio(input=AudioInput(turn_detection=None))))
    assert encode(cleared) == (
        b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":null}}}}'
    )
    assert encode(SessionUpdate(session=RealtimeSession())) == (
        b'{"type":"session.update","session":{"type":"realtime"}}'
    )
    assert decode_client_event(encode(cleared)) == cleared


def test_what_clients_leave_out_or_null_is_fine() -> None:
    assert decode_client_event('{"type":"response.create"}') == ResponseCreate()
    assert decode_client_event('{"type":"response.create","response":{"instructions":null}}') == ResponseCreate(
        response=ResponseCreateParams(instructions=None)
    )
    assert decode_client_event('{"event_id":null,"type":"response.cancel"}') == ResponseCancel(event_id=None)


class TestUnknown:
    @given(
        kind=st.text("abc.", min_size=1, max_size=8).map("new.".__add__), body=st.dictionaries(st.text("xyz"), anything)
    )
    def test_an_unknown_event_is_kept_as_it_came(self, kind: str, body: dict[str, Any]) -> None:
        frame = json.dumps({"type": kind, "event_id": "e1", **body}, ensure_ascii=False).encode()
        event = decode_server_event(frame)
        assert isinstance(event, UnknownEvent)
        assert (event.type, event.event_id, event.problem) == (kind, "e1", "")
        again = json.loads(encode(event))
        assert again == json.loads(frame)
        assert list(again) == list(json.loads(frame))

    def test_numbers_that_no_float_holds_survive(self) -> None:
        frame = b'{"type":"new","n":123456789012345678901234567890,"x":1e400,"y":0.1000000000000000055}'
        assert encode(decode_server_event(frame)) == frame

    def test_unknown_fields_of_known_events_do_no_harm(self) -> None:
        event = decode_server_event(
            '{"type":"response.output_text.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,'
            '"content_index":0,"delta":"hi","mood":{"x":[1e400]}}'
        )
        assert isinstance(event, ResponseOutputTextDelta)
        assert event.delta == "hi"

    def test_a_known_event_with_other_fields_says_what_is_wrong(self) -> None:
        event = decode_server_event('{"type":"response.created","event_id":"e","response":7}')
        assert isinstance(event, UnknownEvent)
        assert event.type == "response.created"
        assert "response" in event.problem

    @pytest.mark.parametrize(
        "frame",
        ["", "{", "[]", "null", '{"type":5}', '{"event_id":"e"}', b"\xff", b'\xef\xbb\xbf{"type":"x"}', "[" * 50_000,
         b'{"type":"x","a":"\xff"}', '{"type":"\ud800"}'],
        ids=lambda frame: ascii(frame)[:40],
    )  # fmt: skip
    def test_what_is_no_event_is_an_error(self, frame: bytes | str) -> None:
        with pytest.raises(ProtocolError) as caught:
            decode_server_event(frame)
        assert caught.value.code == "invalid_event"


UPDATE = '{"type":"session.update","event_id":"e9","session":%s}'
ITEM = '{"type":"conversation.item.create","event_id":"e9","item":%s}'
CREATE = '{"type":"response.create","event_id":"e9","response":%s}'
VAD = UPDATE % '{"type":"realtime","audio":{"input":{"turn_detection":%s}}}'
HUGE = "9" * 5000

REFUSED: list[tuple[str, str | None, str | bytes]] = [
    ("invalid_json", None, ""),
    ("invalid_json", None, "hello"),
    ("invalid_json", None, '{"type":"response.create"'),
    ("invalid_json", None, b"\xff\xfe\x00"),
    ("invalid_json", None, b'\xef\xbb\xbf{"type":"response.create"}'),
    ("invalid_json", None, b'{"type":"response.cancel","response_id":"\xff"}'),
    ("invalid_json", None, '{"type":"response.create","event_id":"\ud800"}'),
    ("invalid_json", None, '{"type":"response.create","event_id":"\\ud800"}'),
    ("invalid_json", None, '{"type":"no\x00pe"}'),
    ("invalid_json", None, "[" * 100_000),
    ("invalid_json", None, UPDATE % ("[" * 100_000)),
    ("invalid_json", None, UPDATE % ('{"type":"realtime","zz":' + "[" * 100_000)),
    ("invalid_event", None, "[]"),
    ("invalid_event", None, "null"),
    ("invalid_event", None, '"response.create"'),
    ("invalid_event", None, '{"event_id":"e9"}'),
    ("invalid_event", None, '{"type":null,"event_id":"e9"}'),
    ("invalid_event", None, '{"type":["response.create"],"event_id":"e9"}'),
    ("invalid_value", "type", '{"type":"response.creat","event_id":"e9"}'),
    ("invalid_value", "type", '{"type":"","event_id":"e9"}'),
    ("invalid_type", "event_id", '{"type":"response.create","event_id":5}'),
    ("missing_required_parameter", "session", '{"type":"session.update","event_id":"e9"}'),
    ("missing_required_parameter", "session.type", UPDATE % "{}"),
    ("invalid_value", "session.type", UPDATE % '{"type":"session"}'),
    ("invalid_type", "session", UPDATE % "[]"),
    ("unknown_parameter", "session.modalities", UPDATE % '{"type":"realtime","modalities":["text"]}'),
    ("unknown_parameter", "session.audio.input.vad", UPDATE % '{"type":"realtime","audio":{"input":{"vad":null}}}'),
    ("unknown_parameter", "session.tools[1].strict",
     UPDATE % '{"type":"realtime","tools":[{"type":"function","name":"a"},{"type":"function","name":"b","strict":true}]}'),
    ("invalid_value", "session.output_modalities[0]", UPDATE % '{"type":"realtime","output_modalities":["video"]}'),
    ("invalid_value", "session.audio.input.turn_detection.type", VAD % '{"type":"psychic_vad"}'),
    ("missing_required_parameter", "session.audio.input.turn_detection.type", VAD % '{"threshold":0.5}'),
    ("invalid_value", "session.audio.input.turn_detection.eagerness", VAD % '{"type":"semantic_vad","eagerness":"so"}'),
    ("invalid_type", "session.audio.input.turn_detection.silence_duration_ms",
     VAD % '{"type":"server_vad","silence_duration_ms":200.5}'),
    ("invalid_type", "session.audio.input.format", UPDATE % '{"type":"realtime","audio":{"input":{"format":"pcm16"}}}'),
    ("invalid_value", None, UPDATE % f'{{"type":"realtime","max_output_tokens":{HUGE}}}'),
    ("invalid_value", None, UPDATE % '{"type":"realtime","zz":1e400}'),
    ("missing_required_parameter", "audio", '{"type":"input_audio_buffer.append","event_id":"e9"}'),
    ("invalid_type", "audio", '{"type":"input_audio_buffer.append","event_id":"e9","audio":null}'),
    ("invalid_value", "audio", '{"type":"input_audio_buffer.append","event_id":"e9","audio":"no base64!"}'),
    ("invalid_value", "item.type", ITEM % '{"type":"essay"}'),
    ("invalid_value", "item.role", ITEM % '{"type":"message","role":"robot","content":[]}'),
    ("invalid_value", "item.content[0].type",
     ITEM % '{"type":"message","role":"user","content":[{"type":"text","text":"x"}]}'),
    ("missing_required_parameter", "item.content[0].text",
     ITEM % '{"type":"message","role":"user","content":[{"type":"input_text"}]}'),
    ("missing_required_parameter", "item.output", ITEM % '{"type":"function_call_output","call_id":"c"}'),
    ("invalid_type", "audio_end_ms",
     '{"type":"conversation.item.truncate","event_id":"e9","item_id":"i","content_index":0,"audio_end_ms":1.5}'),
    ("missing_required_parameter", "item_id", '{"type":"conversation.item.delete","event_id":"e9"}'),
    ("invalid_type", "response.tool_choice", CREATE % '{"tool_choice":5}'),
    ("invalid_type", "response.metadata", CREATE % '{"metadata":{"a":1}}'),
    ("unknown_parameter", "response.voice", CREATE % '{"voice":"alloy"}'),
    ("missing_required_parameter", "response.input[0].id", CREATE % '{"input":[{"type":"item_reference"}]}'),
]  # fmt: skip


@pytest.mark.parametrize(("code", "param", "frame"), REFUSED, ids=lambda value: ascii(value)[:60])
def test_a_bad_client_event_is_refused_with_its_code_and_place(
    code: str, param: str | None, frame: str | bytes
) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_client_event(frame)
    error = caught.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    text = frame if isinstance(frame, str) else frame.decode("latin-1")
    named = '"event_id":"e9"' in text and code != "invalid_json"
    assert error.event_id == ("e9" if named else None)
    error.message.encode()  # it must fit on the wire


def test_messages_read_like_the_hosted_ones() -> None:
    def message(frame: str) -> str:
        with pytest.raises(ProtocolError) as caught:
            decode_client_event(frame)
        return caught.value.message

    assert message('{"type":"x"}').startswith("Invalid value: 'x'. Supported values are: 'session.update', ")
    assert message("{}") == "The 'type' field is missing."
    assert message(UPDATE % '{"type":"realtime","x":1}') == "Unknown parameter: 'session.x'."
    assert message(UPDATE % "{}") == "Missing required parameter: 'session.type'."
    assert message(UPDATE % '{"type":"session"}') == (
        "Invalid value: 'session'. Supported values are: 'realtime' and 'transcription'."
    )
    assert message(VAD % '{"type":"semantic_vad","eagerness":"so"}') == (
        "Invalid value: 'so'. Supported values are: 'auto', 'high', 'low' and 'medium'."
    )


def decoded(frame: bytes | str) -> None:
    """Only a ProtocolError may come out, and one that can be sent; what was taken must be writable again."""
    for decode in (decode_client_event, decode_server_event):
        try:
            event = decode(frame)
        except ProtocolError as error:
            for word in (error.message, error.code, error.param, error.event_id):
                assert word is None or word.encode() is not None
        else:
            encode(event)


@settings(max_examples=400)
@given(mutated(client_events) | mutated(server_events))
def test_nothing_but_a_protocol_error_escapes(frame: bytes) -> None:
    decoded(frame)
    decoded(frame.decode())


@settings(max_examples=200)
@given(mutated(client_events) | mutated(server_events), st.data())
def test_nothing_escapes_from_broken_bytes(frame: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(frame)))
    decoded(frame[:at] + data.draw(st.binary(max_size=3)) + frame[at + data.draw(st.integers(0, 3)) :])


@pytest.mark.parametrize("depth", [1, 100, 200, 900, 980, 1_000, 100_000])
def test_what_is_taken_can_be_sent_from_deeper_in_the_stack(depth: int) -> None:
    frame = UPDATE % (
        '{"type":"realtime","tools":[{"type":"function","name":"f","parameters":'
        + '{"a":' * depth + "1" + "}" * depth + "}]}"
    )  # fmt: skip
    if depth > 100:
        with pytest.raises(ProtocolError, match="invalid_json"):
            decode_client_event(frame)
        return
    event = decode_client_event(frame)

    def far_down(frames: int) -> bytes:
        return far_down(frames - 1) if frames else encode(event)

    assert decode_client_event(far_down(400)) == event


@given(st.binary() | st.text() | anything.map(json.dumps))
def test_nothing_escapes_from_any_frame(frame: bytes | str) -> None:
    decoded(frame)


def test_a_key_told_twice_harms_nobody() -> None:
    decoded('{"type":"response.create","type":"response.cancel"}')
    decoded('{"type":"session.update","session":{"type":"realtime"},"type":"x","session":[]}')


def test_types_are_listed_in_both_directions() -> None:
    assert len(CLIENT_EVENT_TYPES) == len(set(CLIENT_EVENT_TYPES)) == len(CLIENT_EVENTS)
    assert len(SERVER_EVENT_TYPES) == len(set(SERVER_EVENT_TYPES)) == len(SERVER_EVENTS)


@given(st.one_of(st.binary(max_size=64).map(lambda sound: b64encode(sound).decode()), st.text(max_size=12)))
def test_the_quick_way_for_sound_makes_the_same_event(delta: str) -> None:
    """Only where `type` comes first and the sound last is it taken; sound that is none is the same unknown event."""
    fields = {
        "response_id": "r",
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "event_id": "e",
        "delta": delta,
    }
    quick = msgspec.json.encode({"type": "response.output_audio.delta", **fields})
    slow = msgspec.json.encode({"event_id": "e", "type": "response.output_audio.delta", **fields})
    ours, theirs = decode_server_event(quick), decode_server_event(slow)
    assert type(ours) is type(theirs)
    if isinstance(ours, UnknownEvent):
        assert isinstance(theirs, UnknownEvent)
        assert "delta" in ours.problem
        assert "delta" in theirs.problem
    else:
        assert ours == theirs


@pytest.mark.parametrize(
    ("tail", "sound"),
    [
        (b'"delta":"QUJD"}', b"ABC"),
        (b'"delta":""}', b""),
        (b'"delta":"QUJD"} ', b"ABC"),
        (b'"delta":"QUJD","note":"QUJE"}', b"ABC"),
        (b'"delta":"QUJD","x\\"delta":"QUJE"}', b"ABC"),
        (b'"delta":"QUJD","x,\\"delta":"QUJE"}', b"ABC"),
        (b'"delta":"QUJD","note":"\\",\\"delta\\":\\"QUJE"}', b"ABC"),
        (b'"delta":"QUJD","more":{"a":1,"delta":"QUJE"}}', b"ABC"),
        (b'"delta":"QUJD","delta":"QUJE"}', b"ABD"),
        (b'"delta":"\\u0051UJD"}', b"ABC"),
        (b'"delta":"QUJ"}', None),
        (b'"delta":"QU-_"}', None),
        (b'"delta":7}', None),
        (b'"note":"QUJD"}', None),
    ],
)
def test_sound_is_found_in_frames_of_any_shape(tail: bytes, sound: bytes | None) -> None:
    head = b'{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i",'
    event = decode_server_event(head + b'"output_index":0,"content_index":0,' + tail)
    if sound is None:
        assert isinstance(event, UnknownEvent)
        assert event.problem
    else:
        assert isinstance(event, ResponseOutputAudioDelta)
        assert event.delta == sound


def test_half_a_frame_of_sound_is_no_event() -> None:
    whole = b'{"type":"response.output_audio.delta","a":{"event_id":"e","delta":"QUJD"}'
    for frame in (whole, whole[:-1], b'{"type":"response.output_audio.delta",'):
        with pytest.raises(ProtocolError):
            decode_server_event(frame)
