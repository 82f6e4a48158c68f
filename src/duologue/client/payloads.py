"""What handlers get and what callers give: event payloads, content parts, sound in any shape. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pybase64
from msgspec import Struct

from duologue.audio.pcm16 import sound_bytes
from duologue.client.grades import Grade, grade_of, grade_of_exception
from duologue.client.replay import Lost
from duologue.dialogue.cost import Cost, Totals
from duologue.errors import ConfigError
from duologue.protocol import server_events as ev
from duologue.protocol.items import InputAudio, InputImage, InputText
from duologue.protocol.responses import TranscriptionUsage, Usage


class RealtimeEvent(Struct, frozen=True, kw_only=True):
    """Payload of `realtime.event`: `time` in monotonic ms; `frame` is the JSON as it came, None for what was sent."""

    time: int
    source: Literal["client", "server"]
    event: Any
    frame: bytes | str | None = None


class ClientError(Struct, frozen=True, kw_only=True):
    """Payload of `error`: refused by the server (`event`), or failed on this side (`exception`). `grade`: `benign` (the
    conversation goes on), `retry` (the same may succeed later) or `fatal` (this key, model or account gets no further)."""

    message: str
    grade: Grade
    code: str | None = None
    event: ev.Error | None = None
    exception: Exception | None = None


def client_error(problem: Exception) -> ClientError:
    """What an `error` event carries for an exception."""
    return ClientError(message=str(problem), grade=grade_of_exception(problem), exception=problem)


def server_error(event: ev.Error) -> ClientError:
    """What an `error` event carries for one of the server's."""
    return ClientError(message=event.error.message, grade=grade_of(event), code=event.error.code, event=event)


class Reconnecting(Struct, frozen=True, kw_only=True):
    """Payload of `connection.reconnecting`: the next attempt is made after `delay_ms`. `planned`: the session nears its
    end, and the pause is used for a new one."""

    attempt: int
    delay_ms: int
    cause: str
    planned: bool = False


class Restored(Struct, frozen=True, kw_only=True):
    """Payload of `connection.restored`: what the new session knows (`items`) and what it does not (`lost`). `sent_audio_ms`:
    sound of the user that was said meanwhile, or not yet answered, and was sent now; `lost_audio_ms` was too much to keep.
    `cut_response`: an answer was under way and ended there."""

    attempts: int
    offline_ms: int
    items: int
    lost: tuple[Lost, ...]
    sent_audio_ms: int
    lost_audio_ms: int
    cut_response: bool
    planned: bool = False


class UsageUpdate(Struct, frozen=True, kw_only=True):
    """Payload of `usage.updated`: one response (`response_id`) or one transcript (`item_id`), and the sum so far. `cost` is
    None where the model has no price, or was not asked by tokens."""

    totals: Totals
    response_id: str | None = None
    item_id: str | None = None
    usage: Usage | TranscriptionUsage
    cost: Cost | None = None


class BudgetSpent(Struct, frozen=True, kw_only=True):
    """Payload of `budget.spent`: the conversation has cost `usd` and ends now, with a goodbye where there is one."""

    usd: float
    budget_usd: float


def content_part(part: Mapping[str, Any]) -> InputText | InputAudio | InputImage:
    """One content part of the user, by its names of today or of 2024. Raises ConfigError."""
    match part.get("type"):
        case "input_text" | "text":
            return InputText(text=str(part.get("text", "")))
        case "input_audio" | "audio":
            audio = part.get("audio", b"")
            return InputAudio(audio=_decoded(audio) if isinstance(audio, str) else sound_bytes(audio))
        case "input_image":
            return InputImage(image_url=str(part.get("image_url", "")))
        case kind:
            raise ConfigError(f"a message holds input_text, input_audio or input_image, not {kind!r}")


def _decoded(text: str) -> bytes:
    try:
        return pybase64.b64decode(text)
    except ValueError as problem:
        raise ConfigError(f"the audio of a message is bytes or base64: {problem}") from None
