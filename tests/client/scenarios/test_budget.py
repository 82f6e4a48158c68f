"""Usage is counted in tokens and dollars; when the budget is spent the conversation ends with a goodbye."""

from __future__ import annotations

import asyncio
from typing import Any

from scenery import Place, told

from duologue.dialogue.cost import Price, PriceTable


def test_a_spent_budget_ends_the_conversation_politely(place: Place) -> None:
    async def story() -> None:
        spent: list[Any] = []
        updates: list[Any] = []
        completed: list[Any] = []
        ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        client = place.client(budget_usd=0.000_001)
        price = Price(text_in=4.0, text_out=16.0, audio_out=64.0)
        client.prices = PriceTable(as_of="today", models={place.model: price})
        client.on("budget.spent", spent.append)
        client.on("usage.updated", updates.append)
        client.on("close", ended.set_result)
        client.on("conversation.item.completed", lambda update: completed.append(update.item.role))
        await client.connect()
        await client.send_user_message_content("Say hello.")
        closed = await asyncio.wait_for(ended, 40)
        assert (closed.code, closed.by, closed.reason) == (1000, "us", "the budget is spent")
        assert len(spent) == 1
        assert completed.count("assistant") == 2
        assert updates[0].cost.usd > 0
        assert client.usage.usd >= spent[0].usd >= 0.000_001
        assert client.usage.responses == 2
        await client.disconnect()

    told(story())
