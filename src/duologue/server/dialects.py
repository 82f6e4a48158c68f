"""One client's dialect: how its frames become events, and events its frames. Pure."""

from __future__ import annotations

from collections import deque

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from duologue.protocol.client_events import ClientEvent, SessionUpdate
from duologue.protocol.codec import decode_client_event, encode, parse
from duologue.protocol.dialect import TEMPERATURE, client_event_to_ga, server_event_to_beta
from duologue.protocol.server_events import (
    Error,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)


class Ga:
    """A client that speaks as the server does inside."""

    def read(self, frame: bytes | str) -> ClientEvent:
        """A frame as an event. Raises ProtocolError."""
        return decode_client_event(frame)

    def write(self, event: ServerEvent) -> list[bytes]:
        """An event as frames."""
        return [encode(event)]


class _Update(Struct, frozen=True, kw_only=True):
    name: str
    temperature: float | None


class Beta:
    """A client of the beta. It is shown the temperature that it chose, as soon as the update with it is taken.

    GA knows no temperature, so the update goes in without it, and under a name by which its answer is recognized:
    each update has exactly one, in order. The names begin with `mark`, which must be an id that no client can guess,
    and end with the update's own id. `temperature` is what was chosen before the session began.
    """

    def __init__(self, mark: str, temperature: float | None = None) -> None:
        self._mark = mark
        self._temperature = TEMPERATURE if temperature is None else temperature
        self._updates: deque[_Update] = deque()
        self._count = 0

    def read(self, frame: bytes | str) -> ClientEvent:
        """A frame as an event. Raises ProtocolError."""
        event = decode_client_event(client_event_to_ga(frame))
        if not isinstance(event, SessionUpdate):
            return event
        self._count += 1
        wish = parse(frame)["session"].get("temperature")
        own = event.event_id if isinstance(event.event_id, str) else ""
        self._updates.append(_Update(name=f"{self._mark} {self._count} {own}", temperature=wish))
        return replace(event, event_id=self._updates[-1].name)

    def write(self, event: ServerEvent) -> list[bytes]:
        """An event as frames."""
        if isinstance(event, SessionUpdated) and self._updates:
            wish = self._updates.popleft().temperature
            self._temperature = self._temperature if wish is None else wish
        if isinstance(event, Error) and (name := event.error.event_id or "").startswith(f"{self._mark} "):
            # In a call others update the session too: theirs may have been taken for this one's answer.
            self._updates = deque(update for update in self._updates if update.name != name)
            event = replace(event, error=replace(event.error, event_id=" ".join(name.split(" ")[2:]) or None))
        frames = server_event_to_beta(event)
        match event:
            case SessionCreated() | SessionUpdated():
                return [self._shown(frame, "session") for frame in frames]
            case ResponseCreated() | ResponseDone():
                return [self._shown(frame, "response") for frame in frames]
        return frames

    def _shown(self, frame: bytes, field: str) -> bytes:
        if self._temperature == TEMPERATURE:
            return frame
        event = parse(frame)
        if "temperature" in event[field]:
            event[field]["temperature"] = self._temperature
        return msgspec.json.encode(event)
