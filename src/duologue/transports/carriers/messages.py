"""The JSON messages that carriers have in common, and what they say. Pure."""

from __future__ import annotations

from msgspec import Struct

from duologue.transports.carriers.base import CallEnded, Dialled, Heard, LineEvent, Reached


class MediaDetails(Struct):
    """Sound; `timestamp` in ms of the stream, where the carrier counts so."""

    payload: bytes
    timestamp: str | int = ""
    track: str = "inbound"


class Media(Struct, tag_field="event", tag="media"):
    """Sound of the caller, or of ourselves on another track."""

    media: MediaDetails


class Name(Struct):
    """What a mark is called."""

    name: str


class Mark(Struct, tag_field="event", tag="mark"):
    """All sound before the mark has been played."""

    mark: Name


class Digit(Struct):
    """A key of the telephone."""

    digit: str


class Dtmf(Struct, tag_field="event", tag="dtmf"):
    """The caller pressed a key."""

    dtmf: Digit


class Stop(Struct, tag_field="event", tag="stop"):
    """The call is over."""


def event_of(said: object, *, counted: bool = True) -> LineEvent | None:
    """What a message says. `counted`: its timestamps are places in the stream."""
    match said:
        case Media(media=media):
            stamp = str(media.timestamp) if counted else ""
            at_ms = int(stamp) if stamp.isdecimal() else None
            return Heard(sound=media.payload, at_ms=at_ms) if media.track == "inbound" else None
        case Mark(mark=mark):
            return Reached(mark=mark.name)
        case Dtmf(dtmf=dtmf):
            return Dialled(digit=dtmf.digit)
        case Stop():
            return CallEnded(reason="the caller hung up")
    return None
