"""Frames as the event list shows them: a summary for the row, a body with its sound trimmed, the sound by itself. Pure."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import msgspec
from msgspec import Raw, Struct

from duologue.audio.spec import BYTES_PER_MS
from duologue.console.feed import LoggedEvent
from duologue.console.views import By, EventBody

SEARCHABLE_BYTES = 65_536
"""A filter reads at most this much of one event."""
SOUND_IN_DELTA = ("response.output_audio.delta", "response.audio.delta")
_NOTE_CHARS = 60


class _Part(Struct):
    id: str = ""
    status: str = ""


class _Problem(Struct):
    code: str | None = None
    message: str = ""


class _Peek(Struct):
    type: str = ""
    item_id: str = ""
    response_id: str | None = ""
    item: _Part | None = None
    response: _Part | None = None
    delta: Raw = Raw(b"")
    audio: Raw = Raw(b"")
    transcript: str = ""
    text: str = ""
    name: str = ""
    error: _Problem | None = None


_peek = msgspec.json.Decoder(_Peek)


def summarise(frame: bytes | str, *, by: By, t_ms: int, trace_offset: int) -> LoggedEvent:
    """What the event list needs of a frame; never raises, a frame that is no event gets the type `(not an event)`."""
    data = frame.encode() if isinstance(frame, str) else bytes(frame)
    try:
        seen = _peek.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        seen = _Peek(type=_type_of(data))
    sound = bool(seen.audio) or seen.type in SOUND_IN_DELTA
    return LoggedEvent(
        t_ms=t_ms,
        by=by,
        type=seen.type,
        size=len(data),
        item=seen.item_id or (seen.item.id if seen.item else ""),
        response=seen.response_id or (seen.response.id if seen.response else ""),
        note=_note(seen, sound),
        text="" if sound else data[:SEARCHABLE_BYTES].decode(errors="replace"),
        trace_offset=trace_offset,
    )


def body(number: int, frame: bytes) -> EventBody:
    """The frame laid out for reading, its sound replaced by a note of its length."""
    try:
        event = json.loads(frame)
    except (ValueError, RecursionError):
        return EventBody(n=number, json=frame.decode(errors="replace"), size=len(frame), audio_ms=0)
    found: list[int] = []
    trimmed = _trim(event, event.get("type", "") if isinstance(event, dict) else "", found)
    text = json.dumps(trimmed, indent=2, ensure_ascii=False)
    return EventBody(n=number, json=text, size=len(frame), audio_ms=sum(found) // BYTES_PER_MS)


def sound(frame: bytes) -> bytes:
    """All sound inside a frame, as PCM16; empty if there is none or it is not base64."""
    try:
        return b"".join(_sounds(json.loads(frame)))
    except (ValueError, RecursionError):
        return b""


def _type_of(data: bytes) -> str:
    try:
        event = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "(not an event)"
    kind = event.get("type") if isinstance(event, dict) else None
    return kind if isinstance(kind, str) and kind else "(not an event)"


def _note(seen: _Peek, sound: bool) -> str:
    if seen.error is not None:
        return " ".join(part for part in (seen.error.code or "", seen.error.message) if part)[: 2 * _NOTE_CHARS]
    if seen.delta and not sound:
        return _short(str(msgspec.json.decode(seen.delta)))
    if seen.transcript or seen.text or seen.name:
        return _short(seen.transcript or seen.text or seen.name)
    return seen.response.status if seen.response and seen.type == "response.done" else ""


def _short(text: str) -> str:
    return text if len(text) <= _NOTE_CHARS else text[: _NOTE_CHARS - 1] + "…"


def _is_sound(key: str, value: Any, kind: str) -> bool:
    return (
        isinstance(value, str) and len(value) > 64 and (key == "audio" or (key == "delta" and kind in SOUND_IN_DELTA))
    )


def _trim(value: Any, kind: str, found: list[int]) -> Any:
    if isinstance(value, dict):
        out = {}
        for key, inner in value.items():
            if _is_sound(key, inner, kind):
                size = len(inner) * 3 // 4 - inner[-2:].count("=")
                found.append(size)
                out[key] = f"[{size} bytes of sound, {size // BYTES_PER_MS} ms]"
            else:
                out[key] = _trim(inner, kind, found)
        return out
    return [_trim(inner, kind, found) for inner in value] if isinstance(value, list) else value


def _sounds(value: Any, kind: str | None = None) -> list[bytes]:
    if isinstance(value, list):
        return [part for inner in value for part in _sounds(inner, kind)]
    if not isinstance(value, dict):
        return []
    kind = value.get("type", "") if kind is None else kind
    parts: list[bytes] = []
    for key, inner in value.items():
        parts += [b64decode(inner)] if _is_sound(key, inner, kind or "") else _sounds(inner, kind)
    return parts
