"""What every carrier's framing comes down to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from duologue.audio.spec import ULAW_8K, AudioSpec

Frame = bytes | str
"""One WebSocket message: text, or bytes where the carrier sends sound in binary messages."""


class CallStarted(Struct, frozen=True, kw_only=True):
    """The first thing a stream says: whose call it is and how its sound is coded, both ways.

    `parameters` are what the application gave the carrier for this stream.
    """

    call_id: str
    stream_id: str = ""
    parameters: Mapping[str, str] = {}
    spec: AudioSpec = ULAW_8K


class Heard(Struct, frozen=True, kw_only=True):
    """Sound of the caller; `at_ms` is its place in the stream, None where the carrier does not say."""

    sound: bytes
    at_ms: int | None = None


class Reached(Struct, frozen=True, kw_only=True):
    """Everything that was sent before the mark has been played, or was cleared."""

    mark: str


class Dialled(Struct, frozen=True, kw_only=True):
    """A key of the caller's telephone: `0-9`, `*`, `#`, `A-D`."""

    digit: str


class CallEnded(Struct, frozen=True, kw_only=True):
    """The stream is over, as the carrier says."""

    reason: str = ""


LineEvent = CallStarted | Heard | Reached | Dialled | CallEnded


def text(message: object) -> str:
    """A message as JSON text."""
    return msgspec.json.encode(message).decode()


class Carrier(Protocol):
    """One carrier's framing; it keeps no state. What it does not know or cannot read means nothing to it: None."""

    name: str

    def read(self, frame: Frame) -> LineEvent | None:
        """What a message of the carrier says."""

    def media(self, call: CallStarted, sound: bytes) -> Frame:
        """The message that plays `sound`, coded as the call is."""

    def mark(self, call: CallStarted, name: str) -> Frame:
        """The message that is answered by `Reached` once all sound before it was played."""

    def clear(self, call: CallStarted) -> Frame:
        """The message that throws away what was sent and not yet played."""
