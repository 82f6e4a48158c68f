"""The wire below a session, for what the session has no words for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from duologue.client.client import RealtimeClient
from duologue.errors import NotConnected
from duologue.protocol.client_events import ClientEvent, ResponseCreate
from duologue.transports.base import EventTransport


class Wire:
    """Raw events, in and out, whatever carries them. Handlers may be set before there is a connection."""

    def __init__(self) -> None:
        self._client: RealtimeClient | None = None
        self._handlers: list[tuple[str, Callable[[Any], Any]]] = []
        self.connection: EventTransport | None = None
        """A WebRTC call, with its `port` and `call_id`; None for other transports."""

    def attach(self, client: RealtimeClient) -> None:
        """A session connects: from now on this is its client."""
        self._client = client
        for name, handler in self._handlers:
            client.realtime.on(name, handler)

    @property
    def status(self) -> Literal["connected", "disconnected"]:
        """Whether events can be sent now."""
        return "connected" if self._client is not None and self._client.is_connected else "disconnected"

    def on(self, name: str, handler: Callable[[Any], Any] | None = None) -> Any:
        """Call `handler(event)` at every server event of that type, `*` for all; `client.*` hears what is sent."""
        if handler is None:
            return lambda function: self.on(name, function)
        whole = name if name.startswith(("client.", "server.")) else f"server.{name}"
        self._handlers.append((whole, handler))
        if self._client is not None:
            self._client.realtime.on(whole, handler)
        return handler

    def off(self, name: str, handler: Callable[[Any], Any]) -> None:
        """Forget a handler."""
        whole = name if name.startswith(("client.", "server.")) else f"server.{name}"
        self._handlers = [each for each in self._handlers if each != (whole, handler)]
        if self._client is not None:
            self._client.realtime.off(whole, handler)

    async def send_event(self, event: ClientEvent | Mapping[str, Any]) -> None:
        """Send a client event, typed or as a mapping with its `type`. A `response.create` waits for its turn like any other
        wish for an answer. Raises NotConnected, TransportClosed, ConfigError."""
        client = self._client
        if client is None:
            raise NotConnected()
        fields = dict(event) if isinstance(event, Mapping) else None
        if isinstance(event, ResponseCreate):
            fields = msgspec.to_builtins(event)
        if fields is None:
            assert not isinstance(event, Mapping)
            await client.realtime.send_event(event)
        elif fields.get("type") == "response.create":
            await client.create_response(**(fields.get("response") or {}))
        else:
            await client.realtime.send(str(fields.pop("type", "")), fields)
