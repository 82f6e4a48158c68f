"""Exact shapes, and the strict way for all else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.errors import ProtocolError
from duologue.relay.shapes import MAX_DEPTH, append_bytes, canonical, ends_in_words, strict_parse

APPEND = b'{"type":"input_audio_buffer.append","audio":"%s"}'


@pytest.mark.parametrize(
    "frame",
    [
        APPEND % b"AAAA",
        b'{"type": "input_audio_buffer.append", "audio": "AAAA"}',
        b'{"event_id":"evt_1","type":"input_audio_buffer.append","audio":"AAAA"}',
        b'{"event_id": "evt_1", "type": "input_audio_buffer.append", "audio": "AAAA"}',
    ],
)
def test_the_spellings_of_real_clients_are_known(frame: bytes) -> None:
    assert append_bytes(frame) == 3


def test_no_sound_is_sound_too() -> None:
    assert append_bytes(APPEND % b"") == 0


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b'"}',
        APPEND[:-4] % (),
        APPEND % b"AAA",
        APPEND % b"AA AA",
        APPEND % b"AA\nAA",
        APPEND % b"AA\\u0041A",
        APPEND % "ÄÄ".encode(),
        APPEND % b"AA\xff=",
        APPEND % b'AAAA","audio":"AAAA',
        APPEND % b'AAAA","type":"session.update","x":"',
        APPEND % b"AAAA" + b" ",
        b"\xef\xbb\xbf" + APPEND % b"AAAA",
        b" " + APPEND % b"AAAA",
        b'{"Type":"input_audio_buffer.append","audio":"AAAA"}',
        b'{"type":"input_audio_buffer.append","audio":"AAAA","x":""}',
        b'{"audio":"AAAA","type":"input_audio_buffer.append"}',
        b'{"ty\\u0070e":"input_audio_buffer.append","audio":"AAAA"}',
        b'{"event_id":"a\\"b","type":"input_audio_buffer.append","audio":"AAAA"}',
        b'{"type":"input_audio_buffer_append","audio":"AAAA"}',
        b'{"type":"input_audio_buffer.append","audio":"AAAA"}}',
        b'{"type":"input_audio_buffer.append","audio":["AAAA"}',
        "{'type':'input_audio_buffer.append','audio':'AAAA'}".encode("utf-16"),
    ],
)
def test_other_frames_have_no_exact_shape(frame: bytes) -> None:
    assert append_bytes(frame) is None


@given(st.binary(max_size=200))
def test_an_exact_shape_is_what_json_makes_of_it(audio: bytes) -> None:
    text = base64.b64encode(audio)
    assert append_bytes(APPEND % text) == len(audio)


@given(st.binary(min_size=1, max_size=60))
def test_whatever_has_the_exact_shape_means_that_to_every_reader(payload: bytes) -> None:
    frame = APPEND % payload
    if append_bytes(frame) is None:
        return
    pairs = json.loads(frame, object_pairs_hook=list)
    assert [key for key, _ in pairs] == ["type", "audio"]
    assert pairs[0][1] == "input_audio_buffer.append"


@pytest.mark.parametrize("end", [b"", b'"', b"}", b'"} ', b'"}}', b'"]', b'","x":""}', b'=="}', b'AA=AA"}'])
def test_sound_ends_the_frame(end: bytes) -> None:
    for start in (b"", b'"event_id":"e",'):
        assert append_bytes((APPEND % b"AAAA").replace(b'"}', end).replace(b'"type"', start + b'"type"')) is None


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (b'a word"}', True),
        (b'"}', True),
        (b'a","obfuscation":"Zx9"}', True),
        (b'a", "obfuscation": ""}', True),
        (b'a","obfuscation":"Z x"}', False),
        (b'a","obfuscation":"Zx"} ', False),
        (b'a","x":"Zx"}', False),
        (b'a"} ', False),
        (b'a"', False),
        (b"a", False),
        (b"", False),
        (b'a\\"}', False),
        (b'a\n"}', False),
        (b'a\xff"}', False),
    ],
)
def test_words_that_stand_for_themselves(rest: bytes, words: bool) -> None:
    assert ends_in_words(b'{"delta":"' + rest, 10) is words


STRICT: list[tuple[str, bytes]] = [
    ("stands twice", b'{"type":"a","type":"b"}'),
    ("stands twice", b'{"type":"a","session":{"x":1,"x":2}}'),
    ("stands twice", b'{"type":"a","b":[{"x":1,"x":1}]}'),
    ("stands twice", b'{"type":"a","ty\\u0070e":"b"}'),
    ("spelled with escapes", b'{"ty\\u0070e":"b"}'),
    ("spelled with escapes", b'{"type":"b","session":{"instruct\\u0069ons":"x"}}'),
    ("not valid JSON", b'\xef\xbb\xbf{"type":"a"}'),
    ("not a JSON object", b'[{"type":"a"}]'),
    ("not a JSON object", b'"type"'),
    ("not valid JSON", b'{"type":"a"}{"type":"b"}'),
    ("not valid JSON", b'{"type":"a",}'),
    ("not valid JSON", b"{'type':'a'}"),
    ("not valid JSON", b'{"type":"a"/**/}'),
    ("not valid JSON", b'{"type":"a\nb"}'),
    ("not valid JSON", b""),
    ("not valid Unicode", b'{"type":"\xff"}'),
    ("not valid Unicode", b'{"type":"\xc0\xaf"}'),
    ("not valid Unicode", b'{"type":"a","x":"\\ud800"}'),
    ("not valid Unicode", b'{"type":"a","\\udc00":1}'),
    ("'type' field is missing", b'{"type":5}'),
    ("'type' field is missing", b'{"type":["session.update"]}'),
    ("'type' field is missing", b'{"Type":"a"}'),
    ("NaN is not JSON", b'{"type":"a","x":NaN}'),
    ("Infinity is not JSON", b'{"type":"a","x":-Infinity}'),
    ("out of range", b'{"type":"a","x":1e999}'),
    ("digits", b'{"type":"a","x":' + b"9" * 18 + b"}"),
    ("digits", b'{"type":"a","x":' + b"9" * 5000 + b"}"),
    ("nested deeper", b'{"type":"a","x":' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}"),
    ("not valid JSON", b'{"type":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("too long", b'{"type":"a","event_id":"' + b"x" * 600 + b'"}'),
    ("not valid JSON", '{"type":"a"}'.encode("utf-16-le")),
    ("not valid", '{"type":"a"}'.encode("utf-16")),
    ("not valid JSON", b'{"type":"a"\x00}'),
]


@pytest.mark.parametrize(("why", "frame"), STRICT, ids=range(len(STRICT)))
def test_what_two_readers_could_disagree_on_is_refused(why: str, frame: bytes) -> None:
    with pytest.raises(ProtocolError, match=why):
        strict_parse(frame)


def test_a_refusal_names_the_event() -> None:
    with pytest.raises(ProtocolError) as caught:
        strict_parse(b'{"type":"a","event_id":"mine","x":1,"x":2}')
    assert (caught.value.event_id, caught.value.code) == ("mine", "invalid_json")


@pytest.mark.parametrize(
    "frame",
    [
        b' {"type" : "a"}\n',
        '{"type":"a","이름":1}'.encode(),
        b'{"type":"a","\\uc774\\ub984":1}',
        b'{"type":"a","x":"\\ud83d\\ude00 \\u0041 \\\\"}',
        b'{"type":"a","x":"say \\"a\\\\u0062\\": 1"}',
        b'{"x":' + b"[" * 60 + b"]" * 60 + b',"type":"a"}',
        b'{"type":"a","x":1.5e3,"y":-12345678901234567}',
    ],
)
def test_plain_events_are_taken_in_any_spelling(frame: bytes) -> None:
    event = strict_parse(frame)
    assert event == json.loads(frame)
    assert json.loads(canonical(event)) == event


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), values, max_size=4))
def test_what_was_judged_is_what_is_sent(body: dict[str, Any]) -> None:
    event = {**body, "type": "a", "event_id": "mine"}
    parsed = strict_parse(json.dumps(event, ensure_ascii=False).encode())
    assert parsed == event
    assert strict_parse(canonical(parsed)) == parsed


def test_what_has_no_spelling_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"not supported|unsupported|Encoding"):
        canonical({"x": object()})
