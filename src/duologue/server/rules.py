"""What the host of a session decides, as against what its client may ask for."""

from __future__ import annotations

from msgspec import Struct

from duologue.engines.base import NoiseReducer
from duologue.server.reach import Reach

KEPT_AUDIO_BYTES = 16 * 1024 * 1024
"""Almost six minutes of sound that can still be retrieved."""


class Rules(Struct, frozen=True, kw_only=True):
    """The bounds of one session.

    `frame_ms` is the detector's; `sees_images` says whether the model takes pictures, `remote_tools` whether remote MCP
    servers can be connected and `reach` which, `noise` is what reduces noise, None where nothing does, `plays` whether
    the server plays the sound itself, as in a call. `context_tokens` is what the model can hold, its answer included.
    `tokens_per_minute` refills evenly. `kept_audio_bytes` bounds the sound of the conversation's items: the oldest is let
    go of first.
    """

    frame_ms: int = 32
    session_seconds: int = 3600
    context_tokens: int = 32_768
    tokens_per_minute: int = 2_000_000
    kept_audio_bytes: int = KEPT_AUDIO_BYTES
    sees_images: bool = False
    remote_tools: bool = False
    plays: bool = False
    reach: Reach = Reach()
    noise: NoiseReducer | None = None
