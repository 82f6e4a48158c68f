"""Vonage voice over WebSocket (`connect` to an endpoint of type `websocket`): sound as binary messages of PCM16. Pure.

The rate is what the application asked for in `content-type` (8, 16 or 24 kHz). A `notify` comes back once the sound before
it was played. https://developer.vonage.com/en/voice/voice-api/concepts/websockets
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from duologue.audio.spec import AudioSpec
from duologue.transports.carriers.base import CallEnded, CallStarted, Dialled, Frame, Heard, LineEvent, Reached, text

_CONNECTED = "websocket:connected"
_RATE = re.compile(r"audio/l16\s*;\s*rate=(8000|16000|24000)", re.IGNORECASE)


class _Payload(Struct):
    mark: str


class _Notify(Struct, tag_field="event", tag="websocket:notify"):
    payload: _Payload


class _Dtmf(Struct, tag_field="event", tag="websocket:dtmf"):
    digit: str


class _Cleared(Struct, tag_field="event", tag="websocket:cleared"):
    pass


_DECODER = msgspec.json.Decoder(_Notify | _Dtmf | _Cleared)


class Vonage:
    """The framing of Vonage. The call's id is the header `uuid`, where the application passes it on."""

    name = "vonage"

    def read(self, frame: Frame) -> LineEvent | None:
        if isinstance(frame, bytes):
            return Heard(sound=frame[: len(frame) & ~1])
        try:
            said = _DECODER.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _started(frame)
        match said:
            case _Notify(payload=payload):
                return Reached(mark=payload.mark)
            case _Dtmf(digit=digit):
                return Dialled(digit=digit)
        return None

    def media(self, call: CallStarted, sound: bytes) -> Frame:
        return sound

    def mark(self, call: CallStarted, name: str) -> Frame:
        return text({"action": "notify", "payload": {"mark": name}})

    def clear(self, call: CallStarted) -> Frame:
        return text({"action": "clear"})


def _started(frame: str) -> LineEvent | None:
    """The first message holds the application's own headers beside the event's name."""
    try:
        said = msgspec.json.decode(frame, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    if said.pop("event", None) != _CONNECTED:
        return None
    coding = str(said.pop("content-type", ""))
    rate = _RATE.match(coding)
    if rate is None:
        return CallEnded(reason=f"the stream is coded as {coding}: ask Vonage for audio/l16;rate=16000")
    parameters = {name: value for name, value in said.items() if isinstance(value, str)}
    spec = AudioSpec(rate_hz=int(rate[1]))
    return CallStarted(call_id=parameters.get("uuid", ""), parameters=parameters, spec=spec)
