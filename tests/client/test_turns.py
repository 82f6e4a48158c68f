from __future__ import annotations

import asyncio
import json
from typing import Any

from duologue.client.toolbox import Toolbox
from duologue.client.turns import Turns
from duologue.ids import CountingIds
from duologue.protocol import client_events as ce
from duologue.protocol.codec import decode_server_event, encode
from duologue.protocol.items import FunctionCall, FunctionCallOutput, Message


class Bench:
    """Turns whose events are kept instead of sent."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[ce.ClientEvent] = asyncio.Queue()
        self.toolbox = Toolbox()
        self.turns = Turns(self.toolbox, self._send, lambda problem: None, CountingIds())

    async def _send(self, event: ce.ClientEvent) -> None:
        await self.sent.put(event)

    async def next(self) -> Any:
        return await asyncio.wait_for(self.sent.get(), 5)

    def response(self, name: str, status: str, response_id: str = "r1") -> None:
        response = {"id": response_id, "status": status, "conversation_id": "c"}
        frame = json.dumps({"type": f"response.{name}", "event_id": "e", "response": response})
        self.turns.apply(decode_server_event(frame))


def call(name: str, call_id: str = "c1") -> FunctionCall:
    return FunctionCall(id=f"i_{call_id}", call_id=call_id, name=name, arguments="{}")


def test_a_background_tool_is_acknowledged_at_once_and_its_result_is_news() -> None:
    async def story() -> None:
        bench = Bench()
        release = asyncio.Event()

        async def dig() -> str:
            await release.wait()
            return "gold"

        bench.toolbox.add(None, dig, background=True)
        bench.response("created", "in_progress")
        bench.turns.call("r1", call("dig"))
        at_once = (await bench.next()).item
        assert isinstance(at_once, FunctionCallOutput)
        assert "running" in at_once.output
        bench.response("done", "completed")
        assert isinstance(await bench.next(), ce.ResponseCreate)
        bench.response("created", "in_progress", "r2")
        assert not bench.turns.running
        release.set()
        news = (await bench.next()).item
        assert isinstance(news, Message)
        assert b"gold" in encode(ce.ConversationItemCreate(item=news))
        assert bench.sent.empty()
        bench.response("done", "completed", "r2")
        assert isinstance(await bench.next(), ce.ResponseCreate)
        await bench.turns.finish()

    asyncio.run(story())


def test_a_call_that_is_told_twice_runs_once() -> None:
    async def story() -> None:
        bench = Bench()
        release = asyncio.Event()

        async def dig() -> str:
            await release.wait()
            return "gold"

        bench.toolbox.add(None, dig)
        bench.response("created", "in_progress")
        bench.turns.call("r1", call("dig"))
        bench.turns.call("r1", call("dig"))
        assert bench.turns.running == {"c1": "dig"}
        assert not bench.turns.idle
        release.set()
        await bench.next()
        bench.response("done", "completed")
        assert isinstance(await bench.next(), ce.ResponseCreate)
        assert bench.sent.empty()
        await bench.turns.finish()

    asyncio.run(story())


def test_too_many_tools_at_once_are_refused_and_answered() -> None:
    async def story() -> None:
        bench = Bench()

        async def wait() -> None:
            await asyncio.Event().wait()

        bench.toolbox.add(None, wait)
        for number in range(65):
            bench.turns.call("r1", call("wait", f"c{number}"))
        refused = (await bench.next()).item
        assert refused.call_id == "c64"
        assert "64 tools" in refused.output
        await bench.turns.finish()
        assert not bench.turns.running

    asyncio.run(story())


def test_a_wish_of_a_lost_connection_is_sent_to_the_next_one() -> None:
    async def story() -> None:
        bench = Bench()
        await bench.turns.want()
        await bench.next()
        bench.turns.lost(again=False)
        await bench.turns.want()
        assert bench.sent.empty()
        bench.turns.resumed()
        assert isinstance(await bench.next(), ce.ResponseCreate)
        bench.response("created", "in_progress")
        bench.response("done", "completed")
        assert bench.sent.empty()

    asyncio.run(story())


def test_a_call_that_somebody_else_took_is_answered_once_and_held_until_then() -> None:
    async def story() -> None:
        bench = Bench()
        bench.response("created", "in_progress")
        bench.turns.take("r1", call("theirs"))
        bench.response("done", "completed")
        assert not bench.turns.idle
        await bench.turns.answer("r1", call("theirs"), "42", respond=True)
        await bench.turns.answer("r1", call("theirs"), "43", respond=True)
        output, wish = await bench.next(), await bench.next()
        assert output.item.output == "42"
        assert isinstance(wish, ce.ResponseCreate)
        assert bench.sent.empty()

    asyncio.run(story())


def test_what_is_cancelled_is_the_answer_of_that_moment() -> None:
    """The user speaks, and by the time the cancel can be sent the next answer has begun."""

    async def story() -> None:
        bench = Bench()
        bench.response("created", "in_progress")
        cancel = bench.turns.cancelling()
        assert cancel is not None
        assert cancel.response_id == "r1"
        assert bench.turns.cancelling() is None
        bench.response("done", "cancelled")
        bench.response("created", "in_progress", "r2")
        assert bench.turns.cancelled == {"r1"}

    asyncio.run(story())
