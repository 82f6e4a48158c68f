"""Telnyx media streaming, bidirectional with RTP payloads: JSON messages, PCMU or PCMA at 8 kHz. Pure.

https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming
"""

from __future__ import annotations

import msgspec
import pybase64
from msgspec import Struct

from duologue.audio.spec import ALAW_8K, ULAW_8K
from duologue.transports.carriers.base import CallEnded, CallStarted, Frame, LineEvent, text
from duologue.transports.carriers.messages import Dtmf, Mark, Media, Stop, event_of

_SPECS = {"PCMU": ULAW_8K, "PCMA": ALAW_8K}


class _MediaFormat(Struct, frozen=True):
    encoding: str = "PCMU"


class _StartDetails(Struct):
    call_control_id: str
    media_format: _MediaFormat = _MediaFormat()
    from_: str = msgspec.field(default="", name="from")
    to: str = ""
    client_state: str | None = None


class _Start(Struct, tag_field="event", tag="start"):
    start: _StartDetails
    stream_id: str = ""


_DECODER = msgspec.json.Decoder(_Start | Media | Mark | Dtmf | Stop)


class Telnyx:
    """The framing of Telnyx. A stream in a coding that is not known here is ended at once."""

    name = "telnyx"

    def read(self, frame: Frame) -> LineEvent | None:
        try:
            said = _DECODER.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return _started(said.start, said.stream_id) if isinstance(said, _Start) else event_of(said)

    def media(self, call: CallStarted, sound: bytes) -> Frame:
        return text({"event": "media", "media": {"payload": pybase64.b64encode_as_string(sound)}})

    def mark(self, call: CallStarted, name: str) -> Frame:
        return text({"event": "mark", "mark": {"name": name}})

    def clear(self, call: CallStarted) -> Frame:
        return text({"event": "clear"})


def _started(start: _StartDetails, stream_id: str) -> LineEvent:
    spec = _SPECS.get(start.media_format.encoding)
    if spec is None:
        return CallEnded(reason=f"the stream is coded as {start.media_format.encoding}: ask Telnyx for PCMU or PCMA")
    given = {"from": start.from_, "to": start.to, "client_state": start.client_state or ""}
    parameters = {name: value for name, value in given.items() if value}
    return CallStarted(call_id=start.call_control_id, stream_id=stream_id, parameters=parameters, spec=spec)
