"""The wire below a session, for what the session has no words for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from duologue.agents.history import HistoryItem, edits
from duologue.client.client import RealtimeClient
from duologue.client.emitter import Emitter
from duologue.client.verbs import TYPES, Verbs, names_of
from duologue.errors import NotConnected
from duologue.ids import random_id
from duologue.protocol.client_events import ClientEvent, ResponseCreate
from duologue.transports.base import EventTransport

if TYPE_CHECKING:
    from duologue.agents.session import RealtimeSession

Status = Literal["connecting", "connected", "disconnected"]


class Wire(Verbs):
    """Raw events, in and out, whatever carries them. Handlers may be set before there is a connection."""

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session
        self._client: RealtimeClient | None = None
        self._handlers: list[tuple[str, Callable[[Any], Any]]] = []
        self._named = Emitter()
        self._followed: set[str] = set()
        self.connection: EventTransport | None = None
        """A WebRTC call, with its `port` and `call_id`; None for other transports."""

    def attach(self, client: RealtimeClient) -> None:
        """A session connects: from now on this is its client."""
        self._client = client
        for name, handler in self._handlers:
            client.realtime.on(name, handler)
        for name in self._followed:
            client.realtime.on(name, self._retell)
        client.on("connection.reconnecting", lambda _: self._tell("connecting"))
        client.on("connection.restored", lambda _: self._tell("connected"))
        client.on("close", lambda _: self._tell("disconnected"))
        self._tell("connecting")

    def opened(self, connection: EventTransport | None) -> None:
        """The connection stands."""
        self.connection = connection
        self._tell("connected")

    @property
    def status(self) -> Status:
        """Whether events can be sent now."""
        return "connected" if self._client is not None and self._client.is_connected else "disconnected"

    def on(self, name: str, handler: Callable[[Any], Any] | None = None) -> Any:
        """Call `handler(event)` at every server event of that type, `*` for all; `client.*` hears what is sent. The names
        that transports of the agents SDKs have (`verbs.TYPES`) are understood; `connection_change` tells a Status."""
        if handler is None:
            return lambda function: self.on(name, function)
        if name == "connection_change" or name in TYPES:
            self._named.on(name, handler)
            self._follow(TYPES.get(name, ()))
            return handler
        whole = _whole(name)
        self._handlers.append((whole, handler))
        if self._client is not None:
            self._client.realtime.on(whole, handler)
        return handler

    def off(self, name: str, handler: Callable[[Any], Any]) -> None:
        """Forget a handler."""
        if name == "connection_change" or name in TYPES:
            self._named.off(name, handler)
            return
        whole = _whole(name)
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

    async def update_session_config(self, config: Mapping[str, Any]) -> None:
        """The same as the session's `update_config`."""
        await self._session.update_config(**config)

    async def reset_history(self, old: Sequence[HistoryItem], new: Sequence[HistoryItem]) -> None:
        """Make the conversation that was `old` what `new` says; what came after `old` stays where it is. Raises ConfigError.
        `update_history` looks at all that there is."""
        if self._client is None:
            raise NotConnected()
        known = {item.item_id for item in old}
        outputs = {item.call_id for item in old if hasattr(item, "call_id")}
        items = [item for item in self._client.conversation.items if item.id in known or item.call_id in outputs]
        for step in edits(items, new, random_id):
            await self._client.send_event(step)

    def _follow(self, types: Sequence[str]) -> None:
        for name in map(_whole, types):
            if name not in self._followed:
                self._followed.add(name)
                if self._client is not None:
                    self._client.realtime.on(name, self._retell)

    def _retell(self, event: Any) -> None:
        for name in names_of(event):
            self._named.emit(name, event)

    def _tell(self, status: Status) -> None:
        self._named.emit("connection_change", status)


def _whole(name: str) -> str:
    return name if name.startswith(("client.", "server.")) else f"server.{name}"
