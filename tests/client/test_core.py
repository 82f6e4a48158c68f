from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from duologue.client.client import RealtimeClient
from duologue.client.payloads import ClientError
from duologue.errors import ConfigError
from duologue.transports.memory import MemoryTransport, memory_pair


class Far:
    """The server's end of a memory pair."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self._frames: AsyncIterator[bytes | str] = transport.__aiter__()

    async def take(self, type: str) -> Any:
        while True:
            event = json.loads(await asyncio.wait_for(anext(self._frames), 2))
            if event["type"] == type:
                return event

    async def send(self, type: str, **fields: Any) -> None:
        await self.transport.send(json.dumps({"type": type, "event_id": "e", **fields}).encode())


def test_a_loaded_conversation_is_told_to_the_server_and_only_once_to_the_program(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "talk.json"
        items = [
            {"type": "message", "id": "u", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "message", "id": "a", "role": "assistant", "content": [{"type": "output_text", "text": "ho"}]},
        ]
        path.write_text(json.dumps({"duologue": 1, "settings": {"instructions": "be kind"}, "items": items}))
        near, far = memory_pair()
        client, server = RealtimeClient(transport=near), Far(far)
        client.load(path)
        appended: list[str] = []
        client.on("conversation.item.appended", lambda update: appended.append(update.item.id))
        await client.connect()
        assert (await server.take("session.update"))["session"]["instructions"] == "be kind"
        for item in items:
            assert (await server.take("conversation.item.create"))["item"]["id"] == item["id"]
            await server.send("conversation.item.added", previous_item_id=None, item={**item, "status": "completed"})
        await server.send("input_audio_buffer.cleared")
        await client.realtime.wait_for_next("server.input_audio_buffer.cleared", 2)
        assert appended == []
        assert [item.id for item in client.conversation.items] == ["u", "a"]
        with pytest.raises(ConfigError, match="before connect"):
            client.load(path)
        client.save(path)
        await client.disconnect()
        saved = json.loads(path.read_text())
        assert [item["id"] for item in saved["items"]] == ["u", "a"]
        assert [each.name for each in tmp_path.iterdir()] == ["talk.json"]
        await client.reset()
        assert client.conversation.items == []

    asyncio.run(story())


def test_errors_come_graded_and_races_do_not_come() -> None:
    async def story() -> None:
        near, far = memory_pair()
        problems: list[ClientError] = []
        client, server = RealtimeClient(transport=near), Far(far)
        client.on("error", problems.append)
        await client.connect()
        for code in ("response_cancel_not_active", "unknown_parameter", "rate_limit_exceeded", "insufficient_quota"):
            await server.send("error", error={"type": "x", "message": code, "code": code})
        await server.send("input_audio_buffer.cleared")
        await client.realtime.wait_for_next("server.input_audio_buffer.cleared", 2)
        assert [(problem.code, problem.grade) for problem in problems] == [
            ("unknown_parameter", "benign"),
            ("rate_limit_exceeded", "retry"),
            ("insufficient_quota", "fatal"),
        ]
        await client.disconnect()

    asyncio.run(story())


def test_errors_of_the_wire_arrive_whatever_is_cleared_there() -> None:
    async def story() -> None:
        near, far = memory_pair()
        async with RealtimeClient(transport=near) as client:
            client.realtime.clear_event_handlers()
            waiting = asyncio.create_task(client.wait_for_next("error", 2), name="error")
            await asyncio.sleep(0)
            await far.send(b"not json")
            problem = await waiting
            assert isinstance(problem, ClientError)
            assert "not an event" in problem.message

    asyncio.run(story())


def test_sound_grows_its_item_whoever_listens_and_who_waits_for_it_gets_it() -> None:
    async def story() -> None:
        near, far = memory_pair()
        client, server = RealtimeClient(transport=near), Far(far)
        heard: list[Any] = []
        where = {"response_id": "r", "item_id": "a", "output_index": 0, "content_index": 0}
        await client.connect()
        client.on("conversation.event", lambda event: heard.append(event.type))
        for sound in ("AAA=", "AQE="):
            await server.send("response.output_audio.delta", **where, delta=sound)
        update = await client.wait_for_next("conversation.updated", 2)
        assert update.delta.audio == b"\0\0"
        await server.send("response.output_audio_transcript.delta", **where, delta="one")
        async for event in client:
            if event.type == "response.output_audio_transcript.delta":
                break
        item = client.conversation.get_item("a")
        assert item is not None
        assert (item.formatted.audio, item.formatted.transcript) == (b"\0\0\1\1", "one")
        assert client.playback.received_ms("a") == 2 * 1000 // 24_000
        client.on("conversation.updated", lambda update: heard.append(update.delta.audio))
        await server.send("response.output_audio.delta", **where, delta="AgI=")
        await server.send("response.output_audio.done", **where)
        await client.realtime.wait_for_next("server.response.output_audio.done", 2)
        assert heard == [
            "response.output_audio.delta",
            "response.output_audio.delta",
            "response.output_audio_transcript.delta",
            b"\2\2",
            "response.output_audio.delta",
            "response.output_audio.done",
        ]
        await client.disconnect()

    asyncio.run(asyncio.wait_for(story(), 10))
