"""Who listens to a session: handlers by name, and loops, each with a queue of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from duologue.agents.events import ALIASES, NAMES, AnySessionEvent, AudioData
from duologue.client.backlog import Backlog
from duologue.client.emitter import Emitter
from duologue.errors import ConfigError

WAITING = 4096
"""So many events wait for one loop; then its oldest is dropped."""
_EARLY = 256


class Audience:
    """`on` and `off` for handlers, `events` for loops. What came before the first loop began is kept for it, but for sound
    and the history: 256 events."""

    def __init__(self, describe: Callable[[Exception], Any]) -> None:
        self._emitter = Emitter(describe)
        self._handled = False
        self._loops: list[Backlog[AnySessionEvent]] = []
        self._early: deque[AnySessionEvent] | None = deque(maxlen=_EARLY)
        self.over = False

    def on(self, name: str, handler: Callable[[Any], Any] | None = None) -> Any:
        """Call `handler(event)` at every event of that name, `*` for all; without a handler a decorator."""
        self._handled = True
        return self._emitter.on(_known(name), handler)

    def off(self, name: str, handler: Callable[[Any], Any] | None = None) -> None:
        """Forget a handler, or all of that name."""
        self._emitter.off(_known(name), handler)

    def heard(self, name: str) -> bool:
        """Whether anybody wants events of that name."""
        return bool(self._loops) or self._emitter.heard(name) or self._emitter.heard("*")

    def tell(self, event: AnySessionEvent) -> None:
        """Tell all who listen; nothing that they do comes back."""
        if self._handled:
            self._emitter.emit(event.type, event)
            self._emitter.emit("*", event)
        if self._early is not None and not isinstance(event, AudioData):
            self._early.append(event)
        for loop in self._loops:
            loop.put(event)

    def whisper(self, event: AnySessionEvent) -> None:
        """Tell only those who asked for it by name."""
        self._emitter.emit(event.type, event)

    def begin(self) -> None:
        """A new connection: loops may begin again."""
        self.over = False
        for loop in self._loops:
            loop.over = False

    def end(self) -> None:
        """Nothing more will come: loops end when they have seen the rest."""
        self.over = True
        for loop in self._loops:
            loop.end()

    async def finish(self) -> None:
        """Let handlers end what they do, for a second."""
        await self._emitter.finish()

    async def events(self) -> AsyncIterator[AnySessionEvent]:
        """Every event from now on, for this loop alone; the first loop also gets what came before it."""
        mine: Backlog[AnySessionEvent] = Backlog(WAITING, self._early or ())
        mine.over = self.over
        self._early = None
        self._loops.append(mine)
        try:
            while events := await mine.some():
                while events:
                    yield events.popleft()
        finally:
            self._loops.remove(mine)


def _known(name: str) -> str:
    name = ALIASES.get(name, name)
    if name != "*" and name not in NAMES:
        raise ConfigError(f"a session has no event {name!r}; known: {', '.join(sorted(NAMES))}")
    return name
