"""What handlers get and what callers give: event payloads, content parts, sound in any shape. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pybase64
from msgspec import Struct

from duologue.errors import ConfigError
from duologue.protocol import server_events as ev
from duologue.protocol.items import InputAudio, InputImage, InputText


class RealtimeEvent(Struct, frozen=True, kw_only=True):
    """Payload of `realtime.event`: `time` in monotonic ms; `frame` is the JSON as it came, None for what was sent."""

    time: int
    source: Literal["client", "server"]
    event: Any
    frame: bytes | str | None = None


class ClientError(Struct, frozen=True, kw_only=True):
    """Payload of `error`: refused by the server (`event`), or failed on this side (`exception`)."""

    message: str
    code: str | None = None
    event: ev.Error | None = None
    exception: Exception | None = None


def client_error(problem: Exception) -> ClientError:
    """What an `error` event carries for an exception."""
    return ClientError(message=str(problem), exception=problem)


def content_part(part: Mapping[str, Any]) -> InputText | InputAudio | InputImage:
    """One content part of the user, by its names of today or of 2024. Raises ConfigError."""
    match part.get("type"):
        case "input_text" | "text":
            return InputText(text=str(part.get("text", "")))
        case "input_audio" | "audio":
            audio = part.get("audio", b"")
            return InputAudio(audio=_decoded(audio) if isinstance(audio, str) else pcm_bytes(audio))
        case "input_image":
            return InputImage(image_url=str(part.get("image_url", "")))
        case kind:
            raise ConfigError(f"a message holds input_text, input_audio or input_image, not {kind!r}")


def _decoded(text: str) -> bytes:
    try:
        return pybase64.b64decode(text)
    except ValueError as problem:
        raise ConfigError(f"the audio of a message is bytes or base64: {problem}") from None


def pcm_bytes(audio: Any) -> bytes:
    """Bytes of anything that holds int16 samples or bytes. Raises TypeError."""
    view = memoryview(audio)
    if view.format not in ("h", "<h", "b", "B", "c"):
        raise TypeError(f"sound is bytes or 16-bit samples, not items of format {view.format!r}")
    return view.tobytes()
