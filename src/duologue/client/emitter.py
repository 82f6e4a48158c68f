"""Named events with handlers that cannot hurt the one who emits: they are synchronous, or run in a mailbox of their own."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from duologue.errors import TransportClosed

Handler = Callable[[Any], Any]
_MAILBOX = 4096
_log = logging.getLogger(__name__)


class _Mailbox:
    """Runs one asynchronous handler, event after event. When 4096 events wait, the oldest is dropped with a warning."""

    def __init__(self, name: str, handler: Handler, failed: Callable[[str, Exception], None]) -> None:
        self.name = name
        self.handler = handler
        self.task: asyncio.Task[None] | None = None
        self._failed = failed
        self._waiting: deque[Any] = deque(maxlen=_MAILBOX)

    def put(self, event: Any) -> None:
        if len(self._waiting) == _MAILBOX:
            _log.warning("a handler of %r is too slow: its oldest event was dropped", self.name)
        self._waiting.append(event)
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._run(), name=f"handler of {self.name}")

    async def _run(self) -> None:
        while self._waiting:
            try:
                await self.handler(self._waiting.popleft())
            except Exception as problem:
                self._failed(self.name, problem)


class Emitter:
    """`on`, `on_next` (`once`), `off`, `off_next`, `wait_for_next`, `clear_event_handlers`. Names are compared whole."""

    def __init__(self, describe: Callable[[Exception], Any] = lambda problem: problem) -> None:
        self.describe = describe
        """What an `error` event carries for an exception."""
        # Tuples, made anew at every change: whoever is being told goes through the handlers of that moment.
        self._handlers: dict[str, tuple[tuple[Handler, Handler | _Mailbox], ...]] = {}
        self._next: dict[str, list[tuple[Handler, Handler]]] = {}
        self._waiters: dict[str, list[asyncio.Future[Any]]] = {}
        self._mailboxes: list[_Mailbox] = []

    def on(self, name: str, handler: Handler | None = None) -> Any:
        """Call `handler(event)` at every `name`; without a handler a decorator. Asynchronous handlers run one event at a
        time, beside the stream. A handler that fails is reported as an `error` event and stays."""
        if handler is None:
            return lambda function: self.on(name, function)
        run: Handler | _Mailbox = handler
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None)):  # noqa: B004
            run = _Mailbox(name, handler, self._handler_failed)
            self._prune()
            self._mailboxes.append(run)
        self._handlers[name] = (*self._handlers.get(name, ()), (handler, run))
        return handler

    def on_next(self, name: str, handler: Handler) -> Handler:
        """Call `handler(event)` at the next `name` only."""

        called = False

        def first() -> bool:
            # An asynchronous handler runs later: until then more of the same may have come.
            nonlocal called
            again, called = called, True
            self.off(name, registered)
            return not again

        def once(event: Any) -> Any:
            return handler(event) if first() else None

        async def once_async(event: Any) -> None:
            if first():
                await handler(event)

        registered: Handler = once_async if inspect.iscoroutinefunction(handler) else once
        self._next.setdefault(name, []).append((handler, registered))
        self.on(name, registered)
        return handler

    once = on_next

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Forget one handler of `name`, or all of them; one that is not there is no error."""
        wrapped = [registered for own, registered in self._next.get(name, ()) if handler in (None, own, registered)]
        self._next[name] = [pair for pair in self._next.get(name, ()) if pair[1] not in wrapped]
        if not self._next[name]:
            del self._next[name]
        kept = tuple(
            pair
            for pair in self._handlers.get(name, ())
            if handler is not None and pair[0] != handler and pair[0] not in wrapped
        )
        self._handlers[name] = kept
        if not kept:
            del self._handlers[name]

    def off_next(self, name: str, handler: Handler | None = None) -> None:
        """Forget one handler of the next `name` only, or all of those; handlers of every `name` stay."""
        for own, registered in list(self._next.get(name, ())):
            if handler is None or handler == own:
                self.off(name, registered)

    def clear_event_handlers(self) -> None:
        """Forget all handlers."""
        self._handlers.clear()
        self._next.clear()

    @property
    def listened_to(self) -> bool:
        """Whether anybody listens to anything."""
        return bool(self._handlers or self._waiters)

    def heard(self, name: str) -> bool:
        """Whether anybody listens to `name`."""
        return name in self._handlers or name in self._waiters

    async def wait_for_next(self, name: str, timeout_s: float | None = None) -> Any:
        """The next `name`. Raises TimeoutError, or TransportClosed when the connection ends first."""
        future = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(name, []).append(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise TimeoutError(f"no {name!r} came within {timeout_s:g} s") from None
        finally:
            waiting = self._waiters.get(name, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._waiters.pop(name, None)

    def emit(self, name: str, event: Any) -> None:
        """Tell all who listen to `name`; nothing that they do comes back."""
        if self._waiters:
            for future in self._waiters.pop(name, ()):
                if not future.done():
                    future.set_result(event)
        for handler, run in self._handlers.get(name, ()):
            if type(run) is _Mailbox:
                run.put(event)
                continue
            try:
                answer = handler(event)
                if answer is not None and inspect.isawaitable(answer):
                    self._adopt(name, answer)
            except Exception as problem:
                self._handler_failed(name, problem)

    def fail_waiters(self, why: TransportClosed) -> None:
        """Nothing will come any more."""
        for futures in self._waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(why.again())
        self._waiters.clear()

    async def finish(self, patience_s: float = 1.0) -> None:
        """Let handlers end what they do, at most `patience_s`, then cancel them; the caller's own task is left alone."""
        current = asyncio.current_task()
        tasks = {box.task for box in self._mailboxes if box.task and not box.task.done() and box.task is not current}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=patience_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _adopt(self, name: str, answer: Any) -> None:
        """A plain function returned something to await (a lambda around a coroutine): give it a mailbox for this once."""

        async def run(_: Any) -> None:
            await answer

        self._prune()
        box = _Mailbox(name, run, self._handler_failed)
        self._mailboxes.append(box)
        box.put(None)

    def _prune(self) -> None:
        """Let go of the mailboxes of handlers that are off and have nothing left to do."""
        listening = {id(run) for pairs in self._handlers.values() for _, run in pairs}
        self._mailboxes = [
            box for box in self._mailboxes if id(box) in listening or (box.task is not None and not box.task.done())
        ]

    def _handler_failed(self, name: str, problem: Exception) -> None:
        _log.error("a handler of %r failed", name, exc_info=problem)
        if name != "error":
            self.report(problem)

    def report(self, problem: Exception) -> None:
        """Something went wrong that nobody can be told by an exception: an `error` event."""
        self.emit("error", self.describe(problem))
