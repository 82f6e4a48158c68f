"""Plivo audio streams (`<Stream bidirectional="true">`): JSON messages, µ-law at 8 kHz. Pure.

https://www.plivo.com/docs/voice-agents/audio-streaming
"""

from __future__ import annotations

import msgspec
import pybase64
from msgspec import Struct

from duologue.transports.carriers.base import CallEnded, CallStarted, Frame, LineEvent, Reached, text
from duologue.transports.carriers.messages import Dtmf, Media, Stop, event_of


class _MediaFormat(Struct, frozen=True):
    encoding: str = "audio/x-mulaw"


class _StartDetails(Struct, rename="camel"):
    call_id: str
    stream_id: str
    media_format: _MediaFormat = _MediaFormat()


class _Start(Struct, tag_field="event", tag="start"):
    start: _StartDetails
    extra_headers: str = ""


class _Played(Struct, tag_field="event", tag="playedStream"):
    name: str


_DECODER = msgspec.json.Decoder(_Start | Media | _Played | Dtmf | Stop)


class Plivo:
    """The framing of Plivo. A media timestamp is Unix time there, so it says nothing about the place in the stream."""

    name = "plivo"

    def read(self, frame: Frame) -> LineEvent | None:
        try:
            said = _DECODER.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        match said:
            case _Start(start=start, extra_headers=extra):
                if start.media_format.encoding != "audio/x-mulaw":
                    reason = (
                        f"the stream is coded as {start.media_format.encoding}: ask Plivo for audio/x-mulaw;rate=8000"
                    )
                    return CallEnded(reason=reason)
                return CallStarted(call_id=start.call_id, stream_id=start.stream_id, parameters=_parameters(extra))
            case _Played(name=name):
                return Reached(mark=name)
        return event_of(said, counted=False)

    def media(self, call: CallStarted, sound: bytes) -> Frame:
        payload = pybase64.b64encode_as_string(sound)
        media = {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": payload}
        return text({"event": "playAudio", "media": media})

    def mark(self, call: CallStarted, name: str) -> Frame:
        return text({"event": "checkpoint", "streamId": call.stream_id, "name": name})

    def clear(self, call: CallStarted) -> Frame:
        return text({"event": "clearAudio", "streamId": call.stream_id})


def _parameters(extra: str) -> dict[str, str]:
    """`name=value;name=value`, or a JSON object."""
    try:
        return msgspec.json.decode(extra, type=dict[str, str])
    except msgspec.DecodeError:
        pairs = (pair.partition("=") for pair in extra.replace(",", ";").split(";"))
        return {name.strip(): value.strip() for name, sign, value in pairs if sign}
