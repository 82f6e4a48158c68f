"""Twilio Media Streams (`<Connect><Stream>`): JSON messages, µ-law at 8 kHz. Pure.

https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

import msgspec
import pybase64
from msgspec import Struct

from duologue.transports.carriers.base import CallEnded, CallStarted, Dialled, Frame, Heard, LineEvent, Reached, text


class _Connected(Struct, tag_field="event", tag="connected"):
    pass


class _StartDetails(Struct, rename="camel"):
    call_sid: str
    custom_parameters: dict[str, str] = {}


class _Start(Struct, tag_field="event", tag="start", rename="camel"):
    stream_sid: str
    start: _StartDetails


class _MediaDetails(Struct):
    payload: bytes
    timestamp: str = ""
    track: str = "inbound"


class _Media(Struct, tag_field="event", tag="media"):
    media: _MediaDetails


class _Name(Struct):
    name: str


class _Mark(Struct, tag_field="event", tag="mark"):
    mark: _Name


class _Digit(Struct):
    digit: str


class _Dtmf(Struct, tag_field="event", tag="dtmf"):
    dtmf: _Digit


class _Stop(Struct, tag_field="event", tag="stop"):
    pass


_DECODER = msgspec.json.Decoder(_Connected | _Start | _Media | _Mark | _Dtmf | _Stop)


class Twilio:
    """The framing of Twilio."""

    name = "twilio"

    def read(self, frame: Frame) -> LineEvent | None:
        try:
            said = _DECODER.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        match said:
            case _Start(stream_sid=stream_id, start=start):
                return CallStarted(call_id=start.call_sid, stream_id=stream_id, parameters=start.custom_parameters)
            case _Media(media=media):
                stamp = media.timestamp
                at_ms = int(stamp) if stamp.isdecimal() else None
                return Heard(sound=media.payload, at_ms=at_ms) if media.track == "inbound" else None
            case _Mark(mark=mark):
                return Reached(mark=mark.name)
            case _Dtmf(dtmf=dtmf):
                return Dialled(digit=dtmf.digit)
            case _Stop():
                return CallEnded(reason="the caller hung up")
        return None

    def media(self, call: CallStarted, sound: bytes) -> Frame:
        payload = pybase64.b64encode_as_string(sound)
        return text({"event": "media", "streamSid": call.stream_id, "media": {"payload": payload}})

    def mark(self, call: CallStarted, name: str) -> Frame:
        return text({"event": "mark", "streamSid": call.stream_id, "mark": {"name": name}})

    def clear(self, call: CallStarted) -> Frame:
        return text({"event": "clear", "streamSid": call.stream_id})
