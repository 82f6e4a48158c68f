"""Who speaks next: the response sequencer and the tools at work, with the tasks that send what they decide."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from duologue.client.toolbox import Toolbox
from duologue.dialogue.sequencer import ResponseSequencer
from duologue.dialogue.tools import error_text
from duologue.errors import DuologueError, NotConnected, TransportClosed
from duologue.ids import IdSource
from duologue.protocol import client_events as ce
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.items import FunctionCall, FunctionCallOutput, InputText, Message
from duologue.protocol.responses import ResponseCreateParams
from duologue.protocol.server_events import ServerEvent

_RUNNING = '{"status": "running", "note": "The result comes later. Say so in a few words."}'
_NEWS = "The tool {name} that was called earlier (call {call_id}) has now answered:\n{output}"
_AT_ONCE = 64
_log = logging.getLogger(__name__)


class Turns:
    """Of one conversation. `send` waits while the connection is being restored. At most 64 tools run at a time: a further
    call is answered with an error."""

    def __init__(
        self,
        toolbox: Toolbox,
        send: Callable[[ce.ClientEvent], Awaitable[None]],
        failed: Callable[[Exception], None],
        new_id: IdSource,
    ) -> None:
        self.sequencer = ResponseSequencer(new_id)
        self.cancelled: set[str] = set()
        """Responses that were stopped: what still comes of them is not heard."""
        self.running: dict[str, str] = {}
        """Call ids of the tools at work, with their names."""
        self._toolbox = toolbox
        self._send = send
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """True when no answer is under way or asked for, and no tool is at work."""
        return self.sequencer.active is None and not self.sequencer.asked and not self.running

    async def want(self, params: ResponseCreateParams | None = None) -> None:
        """Ask for an answer as soon as one may be asked for. Raises NotConnected, TransportClosed."""
        await self._ask(self.sequencer.want(params))

    async def want_last(self, params: ResponseCreateParams) -> None:
        """Ask for one more answer; every other wish is dropped."""
        await self._ask(self.sequencer.want_last(params))

    async def cancel(self) -> None:
        """Stop the answer under way, or the one that was asked for."""
        if (cancel := self.cancelling()) is not None:
            await self._send(cancel)

    def cancelling(self) -> ce.ResponseCancel | None:
        """What stops the answer of this moment, to be sent: a later one is not meant. Nothing more of it is heard."""
        response_id = self.sequencer.active
        if response_id is not None and response_id not in self.cancelled:
            self.cancelled.add(response_id)
            return ce.ResponseCancel(response_id=response_id)
        # Asked for and not yet begun: it has no id, and the server takes events in order.
        return ce.ResponseCancel() if response_id is None and self.sequencer.asked else None

    def apply(self, event: ServerEvent | UnknownEvent) -> None:
        """Follow what the server did, and send what is due now."""
        if wishes := self.sequencer.apply(event):
            self.start(self._ask(wishes), "ask for a response")

    def call(self, response_id: str, call: FunctionCall) -> None:
        """The model calls a tool of ours: run it beside the stream. A call that is told twice runs once."""
        call_id = call.call_id
        if not isinstance(call_id, str) or call_id in self.running:
            return
        self.sequencer.call_started(response_id, call_id)
        if len(self.running) >= _AT_ONCE:
            full = error_text(f"{_AT_ONCE} tools are at work already")
            self.start(self._deliver(response_id, call_id, full), f"refuse {call.name}")
            return
        self.running[call_id] = call.name
        work = self._news if self._toolbox.in_background(call.name) else self._answer
        self.start(work(response_id, call_id, call), f"tool {call.name}")

    def take(self, response_id: str, call: FunctionCall) -> None:
        """A call that somebody else answers: no response is asked for before `answer`."""
        if isinstance(call.call_id, str):
            self.running[call.call_id] = call.name
            self.sequencer.call_started(response_id, call.call_id)

    async def answer(self, response_id: str, call: FunctionCall, output: str, *, respond: bool) -> None:
        """Answer a call that was taken. Raises NotConnected, TransportClosed."""
        if isinstance(call.call_id, str) and call.call_id in self.running:
            await self._deliver(response_id, call.call_id, output, respond=respond)

    async def _answer(self, response_id: str, call_id: str, call: FunctionCall) -> None:
        try:
            output = await self._toolbox.run(call.name, call.arguments)
            await self._deliver(response_id, call_id, output)
        finally:
            self.running.pop(call_id, None)

    async def _news(self, response_id: str, call_id: str, call: FunctionCall) -> None:
        try:
            await self._deliver(response_id, call_id, _RUNNING)
        finally:
            self.running.pop(call_id, None)
        output = await self._toolbox.run(call.name, call.arguments)
        text = _NEWS.format(name=call.name, call_id=call_id, output=output)
        await self._send(ce.ConversationItemCreate(item=Message(role="system", content=(InputText(text=text),))))
        await self.want()

    async def _deliver(self, response_id: str, call_id: str, output: str, *, respond: bool = True) -> None:
        await self._send(ce.ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output=output)))
        self.running.pop(call_id, None)
        await self._ask(self.sequencer.call_answered(response_id, call_id, respond=respond))

    async def _ask(self, wishes: Sequence[ce.ResponseCreate]) -> None:
        for wish in wishes:
            await self._send(wish)

    def lost(self, *, again: bool) -> None:
        """The connection ended, and another will take its place; tools go on."""
        self.cancelled.clear()
        self.sequencer.lost(again=again)

    def resumed(self) -> None:
        """The conversation is restored: send what waited."""
        if wishes := self.sequencer.resumed():
            self.start(self._ask(wishes), "ask for a response")

    # Tasks

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something beside the stream; what it raises is told as an error, not raised."""
        task = asyncio.get_running_loop().create_task(self._guard(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (TransportClosed, NotConnected):
            _log.debug("the connection ended before an event could be sent")
        except Exception as problem:
            if not isinstance(problem, DuologueError):
                _log.exception("a task of the client failed")
            self._failed(problem)

    def stop(self) -> None:
        """Cancel what runs."""
        for task in self._tasks:
            task.cancel()

    async def finish(self) -> None:
        """Cancel what runs and wait until it has ended; the caller's own task is left alone."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
