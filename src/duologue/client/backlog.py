"""Events that wait for a loop over them. Of too many the oldest is dropped: who tells them never waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

Event = TypeVar("Event")


class Backlog(Generic[Event]):
    """At most `most` events; one loop at a time takes them out.

    while events := await backlog.some():
        while events:
            yield events.popleft()
    """

    def __init__(self, most: int, before: Iterable[Event] = ()) -> None:
        self.over = False
        """Nothing more will come; set by `end`."""
        self._events: deque[Event] = deque(before, maxlen=most)
        self._moved = asyncio.Event()
        self._idle = False

    def put(self, event: Event) -> None:
        """It happened."""
        self._events.append(event)
        if self._idle:
            self._idle = False
            self._moved.set()

    def hold(self, most: int) -> None:
        """From now on so many may wait."""
        if self._events.maxlen != most:
            self._events = deque(self._events, maxlen=most)

    def end(self) -> None:
        """A loop ends when it has seen what waits."""
        self.over = True
        self._moved.set()

    async def some(self) -> deque[Event]:
        """What waits, as soon as there is any; empty when it is over. Cancelling it loses nothing."""
        while not self._events and not self.over:
            self._moved.clear()
            self._idle = True
            await self._moved.wait()
        return self._events
