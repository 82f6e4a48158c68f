"""How much one server holds, and how much one client may ask of it."""

from __future__ import annotations

from msgspec import Struct

from duologue.server.reach import Reach
from duologue.server.rules import KEPT_AUDIO_BYTES

MIB = 1024 * 1024
MAX_FRAME_BYTES = 32 * MIB
"""A whole message: one append of 15 MiB is a third longer as base64."""


class Waiting(Struct, frozen=True, kw_only=True):
    """What waits in a server's queues."""

    inputs: int
    outbox_bytes: int


class Limits(Struct, frozen=True, kw_only=True):
    """The bounds of a server. Bytes of sound are bytes after base64."""

    max_sessions: int | None = None
    """Sessions at a time; None for as many as come."""
    session_seconds: int = 3600
    context_tokens: int = 32_768
    """What the model can hold, its answer included; beyond it a session's `truncation` decides."""
    tokens_per_minute: int = 2_000_000
    """What one session may spend; it comes back evenly, and `rate_limits.updated` tells what is left."""
    append_bytes: int = 15 * MIB
    buffered_audio_bytes: int = 64 * MIB
    """Sound that waits for a commit: 23 minutes of PCM."""
    kept_audio_bytes: int = KEPT_AUDIO_BYTES
    """Sound of a conversation's items that can be retrieved: the oldest is let go of first, its item stays."""
    inbox_bytes: int = 16 * MIB
    """Frames that wait to be handled. A faster sender is not read until there is room."""
    outbox_bytes: int = 8 * MIB
    """Events that wait to be taken by the client."""
    reach: Reach = Reach()
    """Which remote MCP servers sessions may name."""
    remote_list_s: float = 10.0
    """What a remote MCP server has to say what it offers; answers wait for it."""
    remote_call_s: float = 60.0
    """What a remote MCP tool has for its work."""
    slow_reader_s: float = 30.0
    """A client that takes nothing for this long, while its outbox is full, is cut off."""
