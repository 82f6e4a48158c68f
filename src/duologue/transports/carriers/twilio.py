"""Twilio Media Streams (`<Connect><Stream>`): JSON messages, µ-law at 8 kHz. Pure.

https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

import msgspec
import pybase64
from msgspec import Struct

from duologue.transports.carriers.base import CallStarted, Frame, LineEvent, text
from duologue.transports.carriers.messages import Dtmf, Mark, Media, Stop, event_of


class _StartDetails(Struct, rename="camel"):
    call_sid: str
    custom_parameters: dict[str, str] = {}


class _Start(Struct, tag_field="event", tag="start", rename="camel"):
    stream_sid: str
    start: _StartDetails


_DECODER = msgspec.json.Decoder(_Start | Media | Mark | Dtmf | Stop)


class Twilio:
    """The framing of Twilio."""

    name = "twilio"

    def read(self, frame: Frame) -> LineEvent | None:
        try:
            said = _DECODER.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if isinstance(said, _Start):
            start = said.start
            return CallStarted(call_id=start.call_sid, stream_id=said.stream_sid, parameters=start.custom_parameters)
        return event_of(said)

    def media(self, call: CallStarted, sound: bytes) -> Frame:
        payload = pybase64.b64encode_as_string(sound)
        return text({"event": "media", "streamSid": call.stream_id, "media": {"payload": payload}})

    def mark(self, call: CallStarted, name: str) -> Frame:
        return text({"event": "mark", "streamSid": call.stream_id, "mark": {"name": name}})

    def clear(self, call: CallStarted) -> Frame:
        return text({"event": "clear", "streamSid": call.stream_id})
