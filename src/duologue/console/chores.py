"""What a call does beside itself: things sent from places that must not wait, and things due after a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from duologue.errors import DuologueError

log = logging.getLogger(__name__)


class Chores:
    """Named timers, at most one of a name, and short jobs. `close` ends them all, but never what a timer has set off."""

    def __init__(self) -> None:
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._set_off: set[asyncio.Task[None]] = set()

    def do(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do it soon; a connection that has just ended is no news."""
        self._start(work, name, self._jobs)

    def after(self, name: str, seconds: float, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do it after a while, instead of what was due under this name."""
        self.cancel(name)

        def due() -> None:
            del self._timers[name]
            # Ending a call is such an act: it must not be ended with the call's own jobs.
            self._start(act(), name, self._set_off)

        self._timers[name] = asyncio.get_running_loop().call_later(seconds, due)

    def due(self, name: str) -> bool:
        """True while something is to be done under this name."""
        return name in self._timers

    def cancel(self, name: str) -> None:
        """It is not to be done any more; harmless if it was not."""
        if timer := self._timers.pop(name, None):
            timer.cancel()

    def close(self) -> None:
        """The call is over."""
        for name in tuple(self._timers):
            self.cancel(name)
        for job in tuple(self._jobs):
            job.cancel()

    def _start(self, work: Coroutine[Any, Any, None], name: str, group: set[asyncio.Task[None]]) -> None:
        async def run() -> None:
            try:
                await work
            except DuologueError as problem:
                log.debug("%s: %s", name, problem)
            except Exception:
                log.exception("%s failed by a defect", name)

        task = asyncio.create_task(run(), name=f"console-{name}")
        group.add(task)
        task.add_done_callback(group.discard)
