"""What a session's parts want done, in order: the one list that all of them write to, and the one clock they read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from duologue.errors import ProtocolError
from duologue.ids import IdSource
from duologue.protocol import server_events as wire
from duologue.server.commands import Command, Send

E = TypeVar("E", bound=wire.ServerEvent)


class Outbox:
    """Collects the commands of one input. `now_ms` is the time of that input."""

    def __init__(self, new_id: IdSource, now_ms: int) -> None:
        self.new_id = new_id
        self.now_ms = now_ms
        self._commands: list[Command] = []

    def begin(self, now_ms: int) -> None:
        """A new input: what the last one led to has been taken."""
        self.now_ms = now_ms
        self._commands = []

    @property
    def commands(self) -> list[Command]:
        """What this input led to so far."""
        return self._commands

    def do(self, *commands: Command) -> None:
        """More to be done."""
        self._commands += commands

    def emit(self, kind: type[E], **fields: Any) -> None:
        """Send a new event."""
        self._commands.append(Send(event=kind(event_id=self.new_id("event"), **fields)))

    def send(self, events: Iterable[wire.ServerEvent]) -> None:
        """Send events that have their ids."""
        self._commands += [Send(event=event) for event in events]

    def refuse(self, error: ProtocolError, event_id: str | None = None) -> None:
        """Tell the client that something is not possible; the session goes on."""
        details = wire.ErrorDetails(
            type=error.type,
            code=error.code,
            message=error.message,
            param=error.param,
            event_id=error.event_id or event_id,
        )
        self.emit(wire.Error, error=details)
