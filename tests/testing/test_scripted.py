"""The scripted server, and our client against the faults that it plays."""

from __future__ import annotations

import asyncio

import pytest

from duologue.client.client import RealtimeClient
from duologue.errors import TransportClosed
from duologue.protocol.responses import Response
from duologue.protocol.server_events import ResponseDone, SessionCreated
from duologue.protocol.session import RealtimeSession
from duologue.testing.scripted import Close, Drop, Expect, ScriptedServer, ScriptError, Send, Stall

CREATED = Send(SessionCreated(event_id="event_1", session=RealtimeSession(id="sess_1", model="scripted")))
DONE = Send(ResponseDone(event_id="event_9", response=Response(id="resp_1", status="completed")))


async def until_closed(client: RealtimeClient) -> TransportClosed:
    async for _ in client:
        pass
    assert client.realtime.closed is not None
    return client.realtime.closed


def test_a_script_is_played_and_what_came_is_kept() -> None:
    async def story() -> None:
        script = [CREATED, Expect("session.update", session={"type": "realtime"}), Expect("response.create"), DONE]
        async with ScriptedServer(script) as server, RealtimeClient(server.url) as client:
            assert (await client.wait_for_session_created(5)).id == "sess_1"
            done = asyncio.create_task(client.realtime.wait_for_next("server.response.done", 5))
            await client.send_user_message_content("hello")
            await done
        types = [event["type"] for event in server.received]
        assert types == ["session.update", "conversation.item.create", "response.create"]

    asyncio.run(story())


def test_a_script_that_was_not_followed_fails() -> None:
    async def story() -> None:
        async with ScriptedServer([CREATED, Expect("response.cancel")]) as server, RealtimeClient(server.url) as client:
            await client.wait_for_session_created(5)

    with pytest.raises(ScriptError, match="left in the middle"):
        asyncio.run(story())
    with pytest.raises(ScriptError, match="nobody connected"):
        asyncio.run(nobody())


async def nobody() -> None:
    async with ScriptedServer([CREATED]):
        pass


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        (Close(1001, "maximum duration"), 1001, True),
        (Close(4000, "no"), 4000, False),
        (Close(1011), 1011, True),
        (Drop(), 1006, True),
    ],
)
def test_an_end_says_why_and_whether_a_retry_helps(fault: Close | Drop, code: int, retryable: bool) -> None:
    async def story() -> None:
        async with ScriptedServer([CREATED, Expect("session.update"), fault]) as server:
            client = RealtimeClient(server.url, reconnect=False)
            await client.connect()
            closed = await asyncio.wait_for(until_closed(client), 10)
            assert (closed.code, closed.retryable) == (code, retryable)
            await client.disconnect()

    asyncio.run(story())


def test_broken_frames_and_unknown_events_do_not_end_the_conversation() -> None:
    async def story() -> None:
        noise = [
            '{"half":', "[]", "7", '""', '{"type":7}', '{"type":"error","error":5}', '{"type":"something.new","x":1}',
            '{"type":"response.output_audio.delta"}', '{"type":"conversation.item.added","item":{"type":"thought"}}',
        ]  # fmt: skip
        script = [CREATED, *(Send(frame) for frame in noise), Stall(0.01), DONE]
        problems: list[object] = []
        async with ScriptedServer(script) as server:
            client = RealtimeClient(server.url, reconnect=False)
            client.on("error", problems.append)
            done = asyncio.create_task(client.realtime.wait_for_next("server.response.done", 5))
            await client.connect()
            await done
            assert client.is_connected
            await client.disconnect()
        assert len(problems) >= 4

    asyncio.run(story())
