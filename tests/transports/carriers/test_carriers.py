"""Each carrier's messages as it publishes them (what they share: duologue.transports.carriers.messages), and odd ones."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.audio.spec import ALAW_8K, ULAW_8K, AudioSpec
from duologue.transports.carriers.base import CallEnded, CallStarted, Carrier, Dialled, Heard, Reached
from duologue.transports.carriers.plivo import Plivo
from duologue.transports.carriers.telnyx import Telnyx
from duologue.transports.carriers.twilio import Twilio
from duologue.transports.carriers.vonage import Vonage

SOUND = b"\x01\x02\x03\xff"
PAYLOAD = base64.b64encode(SOUND).decode()
CARRIERS: list[Carrier] = [Twilio(), Telnyx(), Plivo(), Vonage()]
by_name = pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)

TWILIO_START = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {"callSid": "CA1", "tracks": ["inbound"], "customParameters": {"desk": "2"}},
    "streamSid": "MZ1",
}
TELNYX_START = {
    "event": "start",
    "sequence_number": "1",
    "start": {
        "call_control_id": "v3:1",
        "from": "+4930",
        "to": "+4940",
        "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
    },
    "stream_id": "s1",
}
PLIVO_START = {
    "event": "start",
    "sequenceNumber": 0,
    "start": {"callId": "c1", "streamId": "s1", "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000}},
    "extra_headers": "desk=2;lang=ko",
}
VONAGE_START = {"event": "websocket:connected", "content-type": "audio/l16;rate=16000", "uuid": "u1", "desk": "2"}


@pytest.mark.parametrize(
    ("carrier", "message", "event"),
    [
        (Twilio(), {"event": "connected", "protocol": "Call", "version": "1.0.0"}, None),
        (Twilio(), TWILIO_START, CallStarted(call_id="CA1", stream_id="MZ1", parameters={"desk": "2"}, spec=ULAW_8K)),
        (
            Twilio(),
            {"event": "media", "media": {"track": "inbound", "timestamp": "120", "payload": PAYLOAD}},
            Heard(sound=SOUND, at_ms=120),
        ),
        (Twilio(), {"event": "media", "media": {"track": "outbound", "timestamp": "1", "payload": PAYLOAD}}, None),
        (Twilio(), {"event": "mark", "streamSid": "MZ1", "mark": {"name": "0:8"}}, Reached(mark="0:8")),
        (
            Telnyx(),
            TELNYX_START,
            CallStarted(
                call_id="v3:1", stream_id="s1", parameters={"from": "+4930", "to": "+4940"}, spec=ALAW_8K
            ),
        ),
        (Telnyx(), {"event": "media", "media": {"timestamp": "x", "payload": PAYLOAD}}, Heard(sound=SOUND)),
        (Telnyx(), {"event": "mark", "mark": {"name": "0:8"}}, Reached(mark="0:8")),
        (Telnyx(), {"event": "dtmf", "dtmf": {"digit": "5"}}, Dialled(digit="5")),
        (
            Plivo(),
            PLIVO_START,
            CallStarted(call_id="c1", stream_id="s1", parameters={"desk": "2", "lang": "ko"}, spec=ULAW_8K),
        ),
        (Plivo(), PLIVO_START | {"extra_headers": '{"desk":"2"}'}, CallStarted(
            call_id="c1", stream_id="s1", parameters={"desk": "2"}, spec=ULAW_8K)),
        (Plivo(), {"event": "media", "media": {"timestamp": 1790000000000, "payload": PAYLOAD}}, Heard(sound=SOUND)),
        (Plivo(), {"event": "playedStream", "streamId": "s1", "name": "0:8"}, Reached(mark="0:8")),
        (Plivo(), {"event": "clearedAudio", "streamId": "s1"}, None),
        (Plivo(), {"event": "dtmf", "dtmf": {"digit": "#", "timestamp": "1"}}, Dialled(digit="#")),
        (Vonage(), VONAGE_START, CallStarted(
            call_id="u1", parameters={"uuid": "u1", "desk": "2"}, spec=AudioSpec(rate_hz=16_000))),
        (Vonage(), {"event": "websocket:notify", "payload": {"mark": "0:8"}}, Reached(mark="0:8")),
        (Vonage(), {"event": "websocket:dtmf", "digit": "*", "duration": 260}, Dialled(digit="*")),
        (Vonage(), {"event": "websocket:cleared"}, None),
    ],
)  # fmt: skip
def test_what_a_message_says(carrier: Carrier, message: dict[str, Any], event: object) -> None:
    assert carrier.read(json.dumps(message)) == event


def test_vonage_sends_sound_as_it_is() -> None:
    assert Vonage().read(SOUND + b"\x07") == Heard(sound=SOUND), "half a sample is no sound"


@pytest.mark.parametrize(
    ("carrier", "start"),
    [
        (Telnyx(), {**TELNYX_START, "start": {"call_control_id": "1", "media_format": {"encoding": "OPUS"}}}),
        (
            Plivo(),
            {**PLIVO_START, "start": {"callId": "1", "streamId": "1", "mediaFormat": {"encoding": "audio/x-l16"}}},
        ),
        (Vonage(), {**VONAGE_START, "content-type": "audio/opus"}),
    ],
)
def test_a_coding_that_is_not_known_ends_the_stream_and_says_what_to_ask_for(
    carrier: Carrier, start: dict[str, Any]
) -> None:
    ended = carrier.read(json.dumps(start))
    assert isinstance(ended, CallEnded)
    assert f"ask {carrier.name.title()} for" in ended.reason


@pytest.mark.parametrize(
    ("carrier", "played", "marked", "cleared"),
    [
        (
            Twilio(),
            {"event": "media", "streamSid": "s1", "media": {"payload": PAYLOAD}},
            {"event": "mark", "streamSid": "s1", "mark": {"name": "0:8"}},
            {"event": "clear", "streamSid": "s1"},
        ),
        (
            Telnyx(),
            {"event": "media", "media": {"payload": PAYLOAD}},
            {"event": "mark", "mark": {"name": "0:8"}},
            {"event": "clear"},
        ),
        (
            Plivo(),
            {"event": "playAudio", "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": PAYLOAD}},
            {"event": "checkpoint", "streamId": "s1", "name": "0:8"},
            {"event": "clearAudio", "streamId": "s1"},
        ),
        (Vonage(), None, {"action": "notify", "payload": {"mark": "0:8"}}, {"action": "clear"}),
    ],
)
def test_what_we_say(carrier: Carrier, played: Any, marked: Any, cleared: Any) -> None:
    call = CallStarted(call_id="c1", stream_id="s1")
    frame = carrier.media(call, SOUND)
    assert frame == SOUND if played is None else json.loads(frame) == played
    assert json.loads(carrier.mark(call, "0:8")) == marked
    assert json.loads(carrier.clear(call)) == cleared


@by_name
@given(junk=st.one_of(st.text(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["start", "media", "mark", "dtmf"]),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["event", "media", "payload", "start", "mark", "name", "dtmf", "content-type"]), inner),
).map(json.dumps)))  # fmt: skip
def test_nothing_odd_gets_through(carrier: Carrier, junk: str) -> None:
    said = carrier.read(junk)
    assert said is None or isinstance(said, CallStarted | Heard | Reached | Dialled | CallEnded)


@by_name
@given(junk=st.binary())
def test_no_bytes_hurt(carrier: Carrier, junk: bytes) -> None:
    carrier.read(junk)
