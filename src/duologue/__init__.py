"""Duologue: the open Python stack for realtime voice. Names load on first use, so that `import duologue` costs little."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duologue.client.api import RealtimeAPI
    from duologue.client.client import RealtimeClient
    from duologue.client.conversation import RealtimeConversation
    from duologue.client.endpoint import ConnectionOptions
    from duologue.client.reconnect import ReconnectPolicy
    from duologue.client.thin import OpenAIRealtimeWebRTC, OpenAIRealtimeWebSocket

__version__ = "0.1.0"
__all__ = [
    "ConnectionOptions",
    "OpenAIRealtimeWebRTC",
    "OpenAIRealtimeWebSocket",
    "RealtimeAPI",
    "RealtimeClient",
    "RealtimeConversation",
    "ReconnectPolicy",
    "__version__",
]

_HOMES = {
    "ConnectionOptions": "duologue.client.endpoint",
    "OpenAIRealtimeWebRTC": "duologue.client.thin",
    "OpenAIRealtimeWebSocket": "duologue.client.thin",
    "RealtimeAPI": "duologue.client.api",
    "RealtimeClient": "duologue.client.client",
    "RealtimeConversation": "duologue.client.conversation",
    "ReconnectPolicy": "duologue.client.reconnect",
}


def __getattr__(name: str) -> Any:
    """Import the public class `name` from its home."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'duologue' has no attribute {name!r}")
