from __future__ import annotations

import asyncio
from typing import Any

from duologue.client.meter import Meter
from duologue.client.purse import Purse, Till
from duologue.client.toolbox import Toolbox
from duologue.client.turns import Turns
from duologue.dialogue.cost import parse_prices
from duologue.dialogue.playback import PlaybackLedger
from duologue.ids import CountingIds
from duologue.protocol import client_events as ce
from duologue.protocol.responses import Response, Usage
from duologue.protocol.server_events import ResponseCreated, ResponseDone, ServerEvent
from duologue.protocol.session import RealtimeSession

PRICES = parse_prices('as_of = "today"\n[models.m]\ntext_in = 1')


class House:
    """A purse with all that it touches."""

    def __init__(self, goodbye: str | None, model: str = "m") -> None:
        self.told: list[str] = []
        self.sent: asyncio.Queue[ce.ClientEvent] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.playback = PlaybackLedger()
        self.turns = Turns(Toolbox(), self._send, lambda problem: None, CountingIds())
        till = Till(emit=lambda name, event: self.told.append(name), stop_listening=self._deaf, leave=self._leave)
        self.purse = Purse(Meter(1.0, PRICES), self.turns, self.playback, till, goodbye)
        self.purse.in_force(RealtimeSession(model=model))

    async def _send(self, event: ce.ClientEvent) -> None:
        await self.sent.put(event)

    async def _deaf(self) -> None:
        self.told.append("deaf")

    async def _leave(self, reason: str) -> None:
        self.told.append(reason)
        self.gone.set()

    def hears(self, event: ServerEvent) -> None:
        self.turns.apply(event)
        self.purse.apply(event)

    def answered(self, response_id: str, tokens: int) -> None:
        response: dict[str, Any] = {"id": response_id, "conversation_id": "c"}
        self.hears(ResponseCreated(event_id="e", response=Response(status="in_progress", **response)))
        usage = Usage(input_tokens=tokens)
        self.hears(ResponseDone(event_id="e", response=Response(status="completed", usage=usage, **response)))


def test_the_goodbye_is_the_last_answer_and_is_heard_to_its_end() -> None:
    async def story() -> None:
        house = House("Say goodbye.")
        house.answered("r1", 500_000)
        assert house.told == ["usage.updated"]
        house.answered("r2", 500_000)
        goodbye = await asyncio.wait_for(house.sent.get(), 5)
        assert isinstance(goodbye, ce.ResponseCreate)
        await house.turns.want()
        assert house.sent.empty()
        house.playback.received("a", 0, 24_000)
        house.playback.finished("a", 0)
        house.playback.advance(0)
        house.answered("r3", 1)
        assert not house.gone.is_set()
        house.playback.advance(24_000)
        await asyncio.wait_for(house.gone.wait(), 5)
        assert house.told == ["usage.updated"] * 2 + ["budget.spent", "deaf", "usage.updated", "the budget is spent"]

    asyncio.run(story())


def test_without_a_goodbye_it_ends_at_once_and_without_a_price_it_says_so() -> None:
    async def story() -> None:
        house = House(None)
        house.answered("r1", 2_000_000)
        await asyncio.wait_for(house.gone.wait(), 5)
        assert house.told == ["usage.updated", "budget.spent", "the budget is spent"]
        assert house.sent.empty()
        strange = House(None, model="unheard-of")
        strange.purse.in_force(RealtimeSession(model="unheard-of"))
        strange.answered("r1", 2_000_000)
        assert strange.told == ["error", "usage.updated"]

    asyncio.run(story())
