from __future__ import annotations

import array
import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from duologue.client.client import RealtimeClient
from duologue.errors import ConfigError, ConnectFailed, NotConnected, TransportClosed
from duologue.protocol.items import InputText, Message
from duologue.protocol.server_events import ResponseOutputAudioDelta
from duologue.transports.memory import MemoryTransport, memory_pair


class Server:
    """The other end, as a script: `send` an event, `take` the next one of a type."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.frames: AsyncIterator[bytes | str] = transport.__aiter__()

    async def send(self, type: str, **fields: Any) -> None:
        await self.transport.send(json.dumps({"type": type, "event_id": "event_x", **fields}).encode())

    async def take(self, type: str) -> Any:
        while True:
            event = json.loads(await asyncio.wait_for(anext(self.frames), 2))
            if event["type"] == type:
                return event
            assert type == "error" or event["type"] in ("session.update", "conversation.item.create"), event

    async def response(self, response_id: str, status: str = "in_progress") -> None:
        name = "response.created" if status == "in_progress" else "response.done"
        await self.send(name, response={"id": response_id, "status": status, "conversation_id": "c"})

    async def speak(self, response_id: str, item_id: str, pcm: bytes) -> None:
        await self.send(
            "response.output_audio.delta", response_id=response_id, item_id=item_id, output_index=0, content_index=0,
            delta=base64.b64encode(pcm).decode(),
        )  # fmt: skip

    async def call(self, response_id: str, name: str, arguments: str, call_id: str) -> None:
        item = {"type": "function_call", "id": f"i_{call_id}", "name": name, "arguments": arguments, "call_id": call_id}
        await self.send("response.output_item.done", response_id=response_id, output_index=0, item=item)


def told(story: Callable[[RealtimeClient, Server], Awaitable[None]]) -> None:
    async def run() -> None:
        near, far = memory_pair()
        client = RealtimeClient(transport=near)
        before = asyncio.all_tasks()
        await story(client, Server(far))
        await client.disconnect()
        assert asyncio.all_tasks() == before

    asyncio.run(asyncio.wait_for(run(), 20))


def test_settings_go_out_at_connect_and_only_changes_later() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        await client.update_session(instructions="be kind", voice="verse", modalities=["text", "audio"])
        await client.connect()
        session = (await server.take("session.update"))["session"]
        assert session["instructions"] == "be kind"
        assert session["output_modalities"] == ["audio"]
        assert session["audio"] == {"input": {"turn_detection": None}, "output": {"voice": "verse"}}
        await client.update_session(turn_detection="server_vad", input_audio_format="g711_ulaw")
        session = (await server.take("session.update"))["session"]
        turn = {"turn_detection": {"type": "server_vad"}, "format": {"type": "audio/pcmu"}}
        assert session == {"type": "realtime", "audio": {"input": turn}}
        assert client.get_turn_detection_type() == "server_vad"
        with pytest.raises(ConfigError, match="colour"):
            await client.update_session(colour="red")

    told(story)


def test_parallel_tools_are_answered_by_one_response() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        @client.tool
        async def add(a: int, b: int) -> int:
            return a + b

        def broken(args: dict[str, Any]) -> None:
            raise LookupError(f"no {args['what']}")

        client.add_tool({"name": "broken", "parameters": {"type": "object", "properties": {"what": {}}}}, broken)
        await client.connect()
        tools = (await server.take("session.update"))["session"]["tools"]
        assert [tool["name"] for tool in tools] == ["add", "broken"]
        await server.response("r1")
        await server.call("r1", "add", '{"a":1,"b":2}', "c1")
        await server.call("r1", "broken", '{"what":"luck"}', "c2")
        await server.call("r1", "never_heard_of", "{}", "c3")
        outputs = {}
        for _ in range(3):
            item = (await server.take("conversation.item.create"))["item"]
            outputs[item["call_id"]] = item["output"]
        assert outputs["c1"] == "3"
        assert "no luck" in outputs["c2"]
        assert "never_heard_of" in outputs["c3"]
        await server.response("r1", "completed")
        await server.take("response.create")
        await server.response("r2")
        await server.response("r2", "completed")
        await client.delete_item("marker")
        await server.take("conversation.item.delete")  # and no second response.create before it

    told(story)


def test_a_tool_added_while_connected_reaches_the_server_before_what_follows() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        await client.connect()
        await server.take("session.update")
        client.add_tool({"name": "late", "parameters": {"type": "object"}}, lambda args: "x")
        await client.send_user_message_content("use it")
        assert [tool["name"] for tool in (await server.take("session.update"))["session"]["tools"]] == ["late"]
        assert (await server.take("conversation.item.create"))["item"]["content"] == [
            {"type": "input_text", "text": "use it"}
        ]

    told(story)


def test_interrupt_cancels_by_id_cuts_what_was_not_heard_and_drops_late_sound() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        heard: list[bytes] = []
        client.on("conversation.updated", lambda update: update.delta and heard.append(update.delta.audio))
        await client.connect()
        await server.take("session.update")
        await server.response("r1")
        await server.speak("r1", "a", bytes(48_000))
        await client.wait_for_next("conversation.updated", 2)
        client.playback.advance(6_000)
        await client.interrupt()
        assert (await server.take("response.cancel"))["response_id"] == "r1"
        cut = await server.take("conversation.item.truncate")
        assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("a", 0, 250)
        await server.speak("r1", "a", bytes(4_800))
        await server.response("r1", "cancelled")
        await client.realtime.wait_for_next("server.response.done", 2)
        assert len(heard) == 1

    told(story)


def test_cancel_response_takes_the_heard_samples_of_the_reference_client() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        await client.connect()
        await server.take("session.update")
        await server.response("r1")
        item = {"type": "message", "id": "a", "role": "assistant", "content": []}
        await server.send("response.output_item.added", response_id="r1", output_index=0, item=item)
        await server.speak("r1", "a", bytes(48_000))
        await client.wait_for_next("conversation.updated", 2)
        cancelled = await client.cancel_response("a", 12_345)
        assert cancelled is not None
        assert cancelled.id == "a"
        await server.take("response.cancel")
        assert (await server.take("conversation.item.truncate"))["audio_end_ms"] == 514

    told(story)


def test_manual_turns_commit_pending_sound_and_odd_bytes_raise() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        await client.connect()
        await server.take("session.update")
        await client.append_input_audio(array.array("h", [1, -1]))
        assert base64.b64decode((await server.take("input_audio_buffer.append"))["audio"]) == b"\1\0\xff\xff"
        with pytest.raises(ValueError, match="half a sample"):
            await client.send_user_message_content([{"type": "input_audio", "audio": b"odd"}])
        with pytest.raises(ValueError, match="half a sample"):
            await client.append_input_audio(b"123")
        with pytest.raises(TypeError):
            await client.append_input_audio(array.array("f", [0.5]))
        await client.create_response()
        await server.take("input_audio_buffer.commit")
        await server.take("response.create")
        await server.send("input_audio_buffer.committed", item_id="u", previous_item_id=None)
        item = {"type": "message", "id": "u", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        await server.send("conversation.item.added", item=item, previous_item_id=None)
        assert (await client.wait_for_next_item(2)).formatted.audio == b"\1\0\xff\xff"

    told(story)


def test_failing_and_slow_handlers_do_not_stop_the_stream() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        errors: list[Any] = []
        order: list[str] = []
        gate = asyncio.Event()

        async def slow(event: Any) -> None:
            await gate.wait()
            order.append(event.event.event_id)

        client.on("conversation.interrupted", lambda event: 1 / 0)
        client.on("error", errors.append)
        client.on("realtime.event", slow)
        await client.connect()
        await server.send("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        await server.send("a.type.of.tomorrow", shape="unknown")
        await server.transport.send(b"not json")
        await server.send("error", error={"type": "server_error", "message": "ouch", "code": "x"})
        await client.realtime.wait_for_next("server.error", 2)
        assert [type(error.exception).__name__ for error in errors] == [
            "ZeroDivisionError",
            "ProtocolError",
            "NoneType",
        ]
        assert errors[2].message == "ouch"
        gate.set()

    told(story)


def test_the_end_of_the_connection_is_told_to_all_who_wait() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        with pytest.raises(NotConnected):
            await client.create_response()
        closes: list[TransportClosed] = []
        client.on("close", closes.append)
        await client.connect()
        waiting = asyncio.create_task(client.wait_for_next_item())
        events = asyncio.create_task(_all(client))
        await asyncio.sleep(0)
        await server.transport.close(1011, "server fell over")
        with pytest.raises(TransportClosed, match="fell over"):
            await waiting
        assert await events == []
        assert [close.code for close in closes] == [1011]
        assert not client.is_connected
        with pytest.raises(TransportClosed):
            await client.append_input_audio(b"\0\0")

    told(story)


async def _all(client: RealtimeClient) -> list[Any]:
    return [event async for event in client]


def test_over_a_real_socket_with_a_reconnect() -> None:
    async def peer(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "session.created", "event_id": "e", "session": {"type": "realtime"}}))
        where = {"event_id": "e", "response_id": "r", "item_id": "a", "output_index": 0, "content_index": 0}
        async for message in socket:
            if json.loads(message)["type"] == "response.create":
                delta = base64.b64encode(bytes(4800)).decode()
                await socket.send(json.dumps({"type": "response.output_audio.delta", **where, "delta": delta}))
                await socket.close(1000, "that was all")

    async def story() -> None:
        async with serve(peer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            client = RealtimeClient(f"http://127.0.0.1:{port}/v1/realtime", api_key="sk-secret")
            assert "sk-secret" not in repr(client) + repr(client.realtime)
            for _ in range(2):
                async with client:
                    await client.wait_for_session_created(2)
                    await client.send_user_message_content([{"type": "input_text", "text": "hello"}])
                    deltas = [event async for event in client if isinstance(event, ResponseOutputAudioDelta)]
                    assert [len(event.delta) for event in deltas] == [4800]
        with pytest.raises(ConnectFailed):
            await client.connect()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_what_came_before_the_close_is_told_after_it() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        await client.connect()
        for name in ("one", "two"):
            await server.send(name)
        await server.transport.close()
        assert not client.is_connected
        assert [getattr(event, "type", "") for event in await _all(client)] == ["one", "two"]

    told(story)


def test_two_connects_at_once_make_one_connection() -> None:
    async def story() -> None:
        connections = 0

        async def peer(socket: ServerConnection) -> None:
            nonlocal connections
            connections += 1
            async for _ in socket:
                pass

        async with serve(peer, "127.0.0.1", 0) as server:
            client = RealtimeClient(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            await asyncio.gather(client.connect(), client.connect())
            assert client.is_connected
            await client.disconnect()
        assert connections == 1

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_second_loop_goes_on_where_the_first_stopped() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        await client.connect()
        for name in ("one", "two", "three"):
            await server.send(name)
        async for event in client:
            assert event.event_id == "event_x"
            break
        await client.send_user_message_content("between")
        await server.transport.close()
        assert [getattr(event, "type", "") for event in await _all(client)] == ["two", "three"]

    told(story)


def test_a_disconnect_while_connecting_ends_the_connect() -> None:
    async def run() -> None:
        asked = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()  # the client hangs up: nothing is left open
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        client = RealtimeClient(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        connecting = asyncio.create_task(client.connect(), name="connect")
        await asked.wait()
        await client.disconnect()
        with pytest.raises(ConnectFailed, match=r"disconnect\(\) was called"):
            await asyncio.wait_for(connecting, 2)
        assert not client.is_connected
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_where_the_settings_cannot_be_sent_nothing_stays_open() -> None:
    async def run() -> None:
        near, _ = memory_pair()
        client = RealtimeClient(transport=near)
        before = asyncio.all_tasks()
        client._profile.fields["tools"] = [{"name": object()}]  # what no server can be told
        with pytest.raises(ConfigError):
            await client.connect()
        assert not client.is_connected
        assert near.closed is not None
        assert asyncio.all_tasks() == before

    asyncio.run(asyncio.wait_for(run(), 20))


def test_each_who_finds_the_connection_closed_gets_an_exception_of_its_own() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        await client.connect()
        waiting = [asyncio.create_task(client.wait_for_next_item(), name=f"wait {n}") for n in range(2)]
        await server.take("session.update")
        await server.transport.close(1012, "restart")
        found = await asyncio.gather(*waiting, return_exceptions=True)
        for _ in range(2):
            with pytest.raises(TransportClosed) as caught:
                await client.clear_input_audio()
            found.append(caught.value)
        assert {str(problem) for problem in found} == {"connection closed by peer with 1012 (restart)"}
        assert len({id(problem) for problem in found}) == 4

    told(story)


def test_a_defect_in_a_task_of_the_client_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        await client.connect()
        client._toolbox._tools = None  # type: ignore[assignment]  # stands for a defect
        client._offer_tools()
        assert isinstance((await client.wait_for_next("error", 2)).exception, AttributeError)
        assert "a task of the client failed" in caplog.text

    told(story)


def test_items_of_any_kind_are_created_and_a_tool_can_be_taken_back() -> None:
    async def story(client: RealtimeClient, server: Server) -> None:
        client.add_tool({"name": "look", "parameters": {"type": "object"}}, lambda args: None)
        await client.connect()
        assert [tool["name"] for tool in (await server.take("session.update"))["session"]["tools"]] == ["look"]
        client.remove_tool("look")
        await client.create_item(Message(role="system", content=(InputText(text="be kind"),)), "root")
        assert (await server.take("session.update"))["session"]["tools"] == []
        created = await server.take("conversation.item.create")
        assert (created["item"]["role"], created["previous_item_id"]) == ("system", "root")
        item = {**created["item"], "id": "item_1", "status": "completed"}
        await server.send("conversation.item.added", item=item, previous_item_id=None)
        assert (await client.wait_for_next_item(2)).id == "item_1"
        assert [item.id for item in client.conversation.get_items()] == ["item_1"]

    told(story)
