"""What a conversation is after its connection was replaced: against a server that can be cut off at any event."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from duologue.client.client import RealtimeClient
from duologue.client.endpoint import ConnectionOptions
from duologue.client.payloads import ClientError, Restored
from duologue.client.reconnect import ReconnectPolicy
from duologue.errors import DuologueError, TransportClosed
from duologue.testing.hostile import Cut, HostileServer
from duologue.transports.base import EventTransport
from duologue.transports.websocket import connect

QUICK = ReconnectPolicy(first_delay_ms=1, longest_delay_ms=5, give_up_ms=3_000)
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
# session.created, session.updated, the question twice, response.created, the item twice, three words and three sounds
IN_THE_ANSWER = 13


async def restored_of(client: RealtimeClient) -> Restored:
    found: Restored = await client.wait_for_next("connection.restored", 5)
    return found


def run(story: Any) -> None:
    asyncio.run(asyncio.wait_for(story(), 20))


def test_an_answer_that_was_cut_off_stays_as_far_as_it_came() -> None:
    async def story() -> None:
        async with (
            HostileServer([Cut(after=IN_THE_ANSWER)]) as server,
            RealtimeClient(server.url, reconnect=QUICK) as client,
        ):
            back = asyncio.create_task(restored_of(client), name="back")
            await client.send_user_message_content([{"type": "text", "text": "what is this?"}, PICTURE])
            restored = await back
            assert (restored.cut_response, restored.items, restored.lost) == (True, 2, ())
            cut_off = client.conversation.items[-1]
            assert (cut_off.status, cut_off.completed) == ("incomplete", True)
            question, answer = [event["item"] for event in server.sessions[1].received if "item" in event]
            assert question["content"] == [{"type": "input_text", "text": "what is this?"}, PICTURE]
            assert answer["content"] == [{"type": "output_text", "text": cut_off.formatted.transcript.strip()}]
            assert [event["type"] for event in server.sessions[1].received].count("response.create") == 0

    run(story)


def test_what_was_not_heard_of_an_old_answer_is_cut_here_without_a_word_to_the_server() -> None:
    async def story() -> None:
        async with (
            HostileServer([Cut(after=IN_THE_ANSWER)]) as server,
            RealtimeClient(server.url, reconnect=QUICK) as client,
        ):
            back = asyncio.create_task(restored_of(client), name="back")
            await client.send_user_message_content("hello")
            await back
            item = client.conversation.items[-1]
            assert client.playback.pending_ms == 300
            client.playback.advance(2_400)
            await client.interrupt()
            assert (item.cut_ms, client.playback.pending_ms) == (100, 0)
            await client.clear_input_audio()
            await server.sessions[1].heard("input_audio_buffer.clear")
            types = [event["type"] for event in server.sessions[1].received]
            assert "conversation.item.truncate" not in types

    run(story)


def test_a_call_that_is_attached_to_is_joined_again_without_telling_it_anything() -> None:
    async def story() -> None:
        async with HostileServer([Cut(after=5)]) as server:
            options = ConnectionOptions(call_id="rtc_1")
            async with RealtimeClient(server.url, reconnect=QUICK, connection=options) as client:
                assert client.realtime.url.endswith("?call_id=rtc_1")
                back = asyncio.create_task(restored_of(client), name="back")
                await client.send_user_message_content("hello", respond=False)
                await client.send_user_message_content("hello", respond=False)
                await back
                await client.clear_input_audio()
                await server.sessions[1].heard("input_audio_buffer.clear")
                assert [event["type"] for event in server.sessions[1].received] == ["input_audio_buffer.clear"]

    run(story)


def test_what_is_asked_meanwhile_waits_and_is_told_when_there_is_no_way_back() -> None:
    async def story() -> None:
        policy = ReconnectPolicy(first_delay_ms=1, longest_delay_ms=5, give_up_ms=30)
        async with HostileServer([Cut(after=1)]) as server:
            client = RealtimeClient(server.url, reconnect=policy)
            await client.connect()
            gone = asyncio.create_task(client.wait_for_next("connection.reconnecting", 5), name="gone")
            events = asyncio.create_task(_all(client), name="events")
            server.stop_listening()
            await gone
            assert not client.is_connected
            with pytest.raises(DuologueError):
                await client.send_user_message_content("hello")
            assert [type(event).__name__ for event in await events] == ["SessionCreated"]
            assert await asyncio.wait_for(_ended(client), 5)
            await client.disconnect()

    run(story)


async def _all(client: RealtimeClient) -> list[Any]:
    return [event async for event in client]


async def _ended(client: RealtimeClient) -> bool:
    with pytest.raises(DuologueError):
        await client.append_input_audio(b"\0\0")
    return True


def test_a_turn_whose_commit_was_never_confirmed_is_said_and_committed_again() -> None:
    async def story() -> None:
        async with (
            HostileServer([Cut(after=2)]) as server,
            RealtimeClient(server.url, reconnect=QUICK) as client,
        ):
            await client.wait_for_session_created(5)
            back = asyncio.create_task(restored_of(client), name="back")
            await client.append_input_audio(b"\1\0" * 4800)
            await client.create_response()
            assert (await back).sent_audio_ms == 200
            await server.sessions[1].heard("response.create")
            types = [event["type"] for event in server.sessions[1].received if "audio_buffer" in event["type"]]
            assert types == ["input_audio_buffer.append", "input_audio_buffer.commit"]
            assert server.sessions[1].audio == b"\1\0" * 4800
            said: list[bytes] = []
            async for _ in client:
                said = [item.formatted.audio for item in client.conversation.items if item.spoken]
                if said and client.conversation.items[-1].role == "assistant":
                    break
            assert said == [b"\1\0" * 4800]

    run(story)


@pytest.mark.parametrize("status", [401, 403])
def test_a_door_that_is_closed_on_the_way_back_ends_it_with_what_it_said(status: int) -> None:
    async def story() -> None:
        doors = 0

        def door(connection: ServerConnection, request: Request) -> Response | None:
            nonlocal doors
            doors += 1
            return connection.respond(HTTPStatus(status), "your key was revoked") if doors > 1 else None

        async def drop(connection: ServerConnection) -> None:
            await connection.recv()
            connection.transport.abort()

        async with serve(drop, "127.0.0.1", 0, process_request=door) as server:
            problems: list[ClientError] = []
            client = RealtimeClient(
                f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", api_key="sk-1", reconnect=QUICK
            )
            client.on("error", problems.append)
            await client.connect()
            await client.wait_for_next("close", 5)
            assert doors == 2
            assert [problem.grade for problem in problems] == ["fatal"]
            assert f"HTTP {status}: your key was revoked" in problems[0].message
            await client.disconnect()

    run(story)


def test_a_defect_on_the_way_back_ends_it_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    async def story() -> None:
        async with HostileServer([Cut(after=1)]) as server:
            client = RealtimeClient(server.url, reconnect=QUICK)
            await client.connect()
            monkeypatch.setattr("duologue.client.lasting.plan", broken)
            closed = await client.wait_for_next("close", 5)
            assert "a defect" in closed.reason
            with pytest.raises(DuologueError):
                await client.send_user_message_content("hello")
            await client.disconnect()
            await server.left()

    run(story)


def test_events_go_on_across_connections() -> None:
    async def story() -> None:
        async with HostileServer([Cut(after=3)]) as server, RealtimeClient(server.url, reconnect=QUICK) as client:
            seen: list[str] = []
            await client.send_user_message_content("hello")
            async for event in client:
                seen.append(type(event).__name__)
                if seen[-1] == "ResponseDone":
                    break
            assert seen.count("SessionCreated") == 2
            assert "hello" in server.sessions[1].texts.values()

    run(story)


def test_a_loop_that_ends_with_a_conversation_begins_no_new_one(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        server = await HostileServer([]).__aenter__()
        client = RealtimeClient(server.url, reconnect=QUICK)
        await client.connect()

    run(story)
    gc.collect()
    assert "Task was destroyed" not in caplog.text


class Abrupt:
    """A transport that knows of its end before anything of it was read."""

    closed = TransportClosed(3000, "no such key")

    async def send(self, frame: bytes) -> None:
        raise self.closed.again()

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        yield b'{"type":"error","event_id":"e","error":{"type":"t","code":"invalid_api_key","message":"no"}}'

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """It is closed."""


def test_an_end_that_is_faster_than_what_came_before_it_is_told_as_it_was() -> None:
    async def story() -> None:
        made = 0

        async def open_one() -> EventTransport:
            nonlocal made
            made += 1
            return await connect(server.url) if made == 1 else Abrupt()

        async with HostileServer([Cut(after=4)]) as server:
            ended = asyncio.get_running_loop().create_future()
            problems: list[ClientError] = []
            client = RealtimeClient(transport=open_one, reconnect=QUICK)
            client.on_next("close", ended.set_result)
            client.on("error", problems.append)
            await client.connect()
            await client.send_user_message_content("hello")
            assert (await asyncio.wait_for(ended, 5)).code == 3000
            with pytest.raises(TransportClosed, match="no such key"):
                await client.connect()
            assert {problem.code for problem in problems} == {"invalid_api_key"}

    run(story)
