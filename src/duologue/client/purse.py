"""Money at work: usage is told as it comes, and when the budget is spent the conversation ends politely."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec import Struct

from duologue.client.meter import Meter
from duologue.client.payloads import BudgetSpent, ClientError
from duologue.client.turns import Turns
from duologue.dialogue.playback import PlaybackLedger
from duologue.errors import DuologueError
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.responses import ResponseCreateParams
from duologue.protocol.session import AnySession

GOODBYE = "Say in one short sentence that the time for this conversation is used up, and say goodbye."
_MARK = {"purpose": "goodbye"}
_ANSWER_S = 20.0
_PLAY_LOOKS = 300
_LOOK_S = 0.05


class Till(Struct, frozen=True, kw_only=True):
    """What the purse may do to the conversation."""

    emit: Callable[[str, object], None]
    stop_listening: Callable[[], Awaitable[None]]
    """Turn detection off: the server begins no answers any more."""
    leave: Callable[[str], Awaitable[None]]
    """End the connection for a reason."""


class Purse:
    """Of one conversation. `goodbye`: instructions for the last answer; None ends without a word."""

    def __init__(
        self, meter: Meter, turns: Turns, playback: PlaybackLedger, till: Till, goodbye: str | None = GOODBYE
    ) -> None:
        self.meter = meter
        self._turns = turns
        self._playback = playback
        self._till = till
        self._goodbye = goodbye
        self._closing = False
        self._warned = False
        self._silent = asyncio.Event()

    def in_force(self, session: AnySession) -> None:
        """The session says what it is billed for."""
        self.meter.in_force(session)
        model = self.meter.unpriced_model
        if model and not self._warned:
            self._warned = True
            words = f"there is no price for {model!r}, so the budget cannot be kept: give a table with `prices`"
            self._till.emit("error", ClientError(message=words, grade="benign", code="unknown_price"))

    def apply(self, event: ev.ServerEvent | UnknownEvent) -> None:
        """Count, tell, and end the conversation when the budget is spent."""
        update = self.meter.apply(event)
        if update is not None:
            self._till.emit("usage.updated", update)
        if isinstance(event, ev.ResponseDone) and self._turns.idle:
            self._silent.set()
        if self.meter.spent and not self._closing and self.meter.budget_usd is not None:
            self._closing = True
            spent = BudgetSpent(usd=self.meter.totals.usd, budget_usd=self.meter.budget_usd)
            self._till.emit("budget.spent", spent)
            self._turns.start(self._close(), "end of the budget")

    async def _close(self) -> None:
        if self._goodbye is not None:
            # A connection that is over needs no goodbye.
            with suppress(DuologueError):
                await self._say_goodbye(self._goodbye)
        await self._till.leave("the budget is spent")

    async def _say_goodbye(self, instructions: str) -> None:
        await self._till.stop_listening()
        self._silent.clear()
        await self._turns.want_last(ResponseCreateParams(instructions=instructions, tool_choice="none", metadata=_MARK))
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._silent.wait()
        except TimeoutError:
            return
        # The loudspeaker tells its progress when it is asked for, not when it is done.
        for _ in range(_PLAY_LOOKS):
            if not (self._playback.reported and self._playback.pending_ms):
                return
            await asyncio.sleep(_LOOK_S)
