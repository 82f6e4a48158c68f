"""A conversation that outlives its connections: connects again, tells the new session what was, and sends what was said
meanwhile. The decisions are those of the machine in `reconnect`."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

from duologue.client.api import RealtimeAPI
from duologue.client.conversation import RealtimeConversation
from duologue.client.gap import GapBuffer
from duologue.client.payloads import ClientError, Reconnecting, Restored, client_error
from duologue.client.reconnect import GiveUp, Leave, Look, Reconnect, ReconnectPolicy, Retry
from duologue.client.replay import Confirmations, Lost, Plan, plan
from duologue.clock import unix_s
from duologue.errors import DuologueError, NotConnected, TransportClosed
from duologue.protocol import client_events as ce
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent

_log = logging.getLogger(__name__)
_ANSWER_S = 10.0
_CONFIRM_S = 5.0
_CHUNK_MS = 200


class Hooks(Struct, frozen=True, kw_only=True):
    """What the owner of the conversation does at each turn of its life."""

    greet: Callable[[], Awaitable[None]]
    """Send the settings to the new connection."""
    send: Callable[[ce.ClientEvent], Awaitable[None]]
    """Send one event to the connection, ready or not."""
    calm: Callable[[], bool]
    """Whether nobody speaks and nothing is under way."""
    lost: Callable[[], bool]
    """The connection is gone, another will come; returns whether an answer was cut off."""
    back: Callable[[], None]
    """The conversation is restored."""
    over: Callable[[TransportClosed, ClientError | None], None]
    """It has ended for good."""
    emit: Callable[[str, object], None]
    vad: Callable[[], bool]
    """Whether the server finds the turns."""
    running: Callable[[], set[str]]
    """Call ids of tools at work."""


class Lasting:
    """The life of one conversation; `conversation` is what gets replayed. Its tasks end with `stop`."""

    def __init__(
        self,
        api: RealtimeAPI,
        policy: ReconnectPolicy | None,
        conversation: RealtimeConversation,
        hooks: Hooks,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._api = api
        self._machine = Reconnect(policy, jitter)
        self._conversation = conversation
        self._hooks = hooks
        self.connection = 0
        """Counts the connections of the conversation."""
        self._up = asyncio.Event()
        self._ended = asyncio.Event()
        self._commits: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cause: ClientError | None = None
        self._confirmations: Confirmations | None = None
        self._confirmed = asyncio.Event()
        self._begun = asyncio.Event()
        self._gap = GapBuffer(0)

    @property
    def restoring(self) -> bool:
        """True while there is no connection and one is being made."""
        return self._machine.state in ("leaving", "retrying")

    @property
    def over(self) -> bool:
        """True when it has ended for good."""
        return self._machine.state == "over"

    async def begin(self) -> None:
        """The first connection is open: send what the conversation already holds. Raises TransportClosed."""
        told = plan(self._conversation.items, self._hooks.running())
        if told.items and not self._api.options.call_id:
            await self._tell(told)
        self._machine.opened(self._api.clock())
        self._ended.clear()
        self._up.set()

    @property
    def will_return(self) -> bool:
        """Whether a connection that ended may be followed by another: known for sure once its last events were read."""
        return self._machine.lasting and not self.over and self._machine.state != "idle"

    async def ready(self) -> None:
        """Wait while the conversation is being restored. Raises NotConnected, TransportClosed where it has ended."""
        while not self._api.is_connected or self.restoring:
            if self.restoring:
                await self._up.wait()
            elif self.will_return:
                # The connection has ended, and what came before its end is still being read.
                await self._ended.wait()
            else:
                raise self._api.over()

    def hold(self, piece: bytes) -> bool:
        """Sound of the user: True where there is no connection now, and the sound was kept for the next one."""
        if not self.restoring:
            return False
        self._gap.put(piece)
        return True

    def retold(self, item_id: str) -> bool:
        """Whether the session knows the item only as it was replayed."""
        return self.restoring or (self._confirmations is not None and item_id in self._confirmations.ids)

    def forget_sound(self) -> None:
        """The user took back what was not yet sent."""
        self._gap.clear()

    # What happens

    def saw(self, event: ev.ServerEvent | UnknownEvent, error: ClientError | None) -> bool:
        """Follow the server; True for an echo of what was replayed, which tells nothing new."""
        if isinstance(event, ev.SessionCreated):
            self._begun.set()
            expires_at = event.session.expires_at
            if isinstance(expires_at, int) and expires_at:
                self._do(self._machine.expires((expires_at - unix_s()) * 1000, self._api.clock()))
        elif error is not None and error.grade != "benign":
            self._cause = error
        confirmations = self._confirmations
        if confirmations is None:
            return False
        confirmations.apply(event)
        if confirmations.done:
            self._confirmed.set()
        return confirmations.echoes(event)

    def closed(self, why: TransportClosed) -> None:
        """The connection ended."""
        self._ended.set()
        step = self._machine.closed(why, self._cause, self._api.clock())
        if isinstance(step, GiveUp):
            self._end(step.closed, step.cause)
        elif isinstance(step, Retry):
            self._recover(step)
        elif self.over:
            self._end(why, self._cause)

    async def stop(self) -> None:
        """End it now, also in the middle of waiting for another attempt."""
        self._machine.left()
        self._up.set()
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait([self._task])

    def _end(self, why: TransportClosed, cause: ClientError | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._up.set()
        self._hooks.over(why, cause)

    # The end of a session comes near

    def _do(self, steps: list[Look] | list[Look | Leave]) -> None:
        for step in steps:
            match step:
                case Look(delay_ms=delay_ms):
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000, self._look)
                case Leave():
                    self._up.clear()
                    self._task = asyncio.get_running_loop().create_task(self._leave(), name="leave an old session")

    def _look(self) -> None:
        self._do(self._machine.tick(self._api.clock(), self._hooks.calm()))

    async def _leave(self) -> None:
        await self._api.hang_up(1000, "moving to a new session")

    # A new connection

    def _recover(self, first: Retry) -> None:
        self._up.clear()
        self.connection += 1
        speech = self._conversation.input
        bytes_per_ms = speech.bytes_per_ms
        policy = self._machine.policy or ReconnectPolicy()
        self._gap = GapBuffer(policy.audio_ms * bytes_per_ms)
        self._commits = speech.unconfirmed()
        unanswered = speech.unanswered(self._hooks.vad())
        if unanswered and not self._api.options.call_id:
            self._gap.put(unanswered)
        cut = self._hooks.lost()
        before = self._task
        self._task = asyncio.get_running_loop().create_task(self._or_over(first, cut, before), name="reconnect")

    async def _or_over(self, first: Retry, cut: bool, before: asyncio.Task[None] | None) -> None:
        """Come back, or tell the end: nobody may wait for a connection that nobody makes."""
        try:
            await self._return(first, cut, before)
        except Exception as problem:
            _log.exception("reconnecting failed")
            self._machine.left()
            self._end(TransportClosed(1006, f"reconnecting failed: {problem}", by="us"), client_error(problem))
            await self._api.hang_up(1011, "reconnecting failed")

    async def _return(self, first: Retry, cut: bool, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        started_ms = self._api.clock()
        retry = first
        while True:
            self._hooks.emit(
                "connection.reconnecting",
                Reconnecting(attempt=retry.attempt, delay_ms=retry.delay_ms, cause=retry.cause, planned=retry.planned),
            )
            await asyncio.sleep(retry.delay_ms / 1000)
            self._cause = None
            try:
                told, lost = await self._restore()
                sent_bytes = await self._send_gap()
            except (DuologueError, TimeoutError) as problem:
                step = self._machine.failed(_said(problem), self._cause, self._api.clock())
                if isinstance(step, GiveUp):
                    self._end(step.closed, step.cause)
                    return
                if step is None:
                    return
                self._rewind()
                retry = step
                continue
            break
        now_ms = self._api.clock()
        bytes_per_ms = self._conversation.input.bytes_per_ms
        self._machine.opened(now_ms)
        self._ended.clear()
        self._up.set()
        self._hooks.emit(
            "connection.restored",
            Restored(
                attempts=retry.attempt,
                offline_ms=now_ms - started_ms,
                items=told,
                lost=lost,
                sent_audio_ms=sent_bytes // bytes_per_ms,
                lost_audio_ms=self._gap.dropped_bytes // bytes_per_ms,
                cut_response=cut,
                planned=first.planned,
            ),
        )
        self._hooks.back()

    def _rewind(self) -> None:
        """What was sent to a connection that ended at once is said again to the next."""
        speech = self._conversation.input
        self._commits = speech.unconfirmed() + self._commits
        if sent := speech.unanswered(vad=False):
            self._gap.put_back(sent)
        self._conversation.restart_input()

    async def _restore(self) -> tuple[int, tuple[Lost, ...]]:
        """Connect, and bring the new session to where the old one was: how many items it took, and what it lacks."""
        self._begun.clear()
        self._confirmations = None
        # One that was made and stayed silent is still there.
        await self._api.hang_up()
        await self._api.connect()
        await self._or_end(self._begun, _ANSWER_S)
        if self._api.options.call_id:
            # The call lives at the server: its session knows everything.
            return 0, ()
        await self._hooks.greet()
        told = plan(self._conversation.items, self._hooks.running())
        if not told.items:
            return 0, told.lost
        confirmations = await self._tell(told)
        try:
            await self._or_end(self._confirmed, _CONFIRM_S)
        except TimeoutError:
            # A server that does not confirm items may have taken them all the same.
            return len(told.items) - len(confirmations.refused), (*told.lost, *confirmations.refused)
        return confirmations.taken, (*told.lost, *confirmations.refused)

    async def _tell(self, told: Plan) -> Confirmations:
        event_ids = [self._api.new_id("event") for _ in told.items]
        self._confirmed.clear()
        self._confirmations = Confirmations(told.items, event_ids)
        for item, event_id in zip(told.items, event_ids, strict=True):
            await self._hooks.send(ce.ConversationItemCreate(event_id=event_id, item=item))
        return self._confirmations

    async def _or_end(self, happened: asyncio.Event, patience_s: float) -> None:
        """Wait for an event of the new connection. Raises TransportClosed where that ends first, TimeoutError."""
        loop = asyncio.get_running_loop()
        waiting = loop.create_task(happened.wait(), name="wait for the server")
        closing = loop.create_task(self._api.ended(), name="wait for an end")
        try:
            async with asyncio.timeout(patience_s):
                await asyncio.wait((waiting, closing), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise self._api.over()
        finally:
            for future in (waiting, closing):
                future.cancel()
            await asyncio.gather(waiting, closing, return_exceptions=True)

    async def _send_gap(self) -> int:
        """Send the kept sound, and what comes in while it is being sent. Returns the number of bytes."""
        sent = 0
        speech = self._conversation.input
        while self._commits:
            # A turn counts as said and committed before it is sent: what a drop cuts off is sent again whole.
            turn = self._commits.pop(0)
            speech.append(turn)
            speech.mark_commit()
            await self._say(turn)
            await self._hooks.send(ce.InputAudioBufferCommit())
            sent += len(turn)
        while piece := self._gap.take():
            speech.append(piece)
            await self._say(piece)
            sent += len(piece)
        if not self._api.is_connected:
            raise self._api.over()
        return sent

    async def _say(self, piece: bytes) -> None:
        step = _CHUNK_MS * self._conversation.input.bytes_per_ms
        for start in range(0, len(piece), step):
            await self._hooks.send(ce.InputAudioBufferAppend(audio=piece[start : start + step]))


def _said(problem: DuologueError | TimeoutError) -> DuologueError:
    if isinstance(problem, TimeoutError):
        return TransportClosed(1006, "connected, but no session began")
    return TransportClosed() if isinstance(problem, NotConnected) else problem
