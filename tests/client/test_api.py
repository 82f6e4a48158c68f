from __future__ import annotations

import asyncio
import json

import pytest

from duologue.client.api import RealtimeAPI
from duologue.errors import NotConnected, TransportClosed
from duologue.protocol.client_events import InputAudioBufferCommit
from duologue.transports.memory import memory_pair


def test_events_by_name_in_both_directions() -> None:
    async def story() -> None:
        near, far = memory_pair()
        api, names = RealtimeAPI(transport=near), []
        api.on("client.*", lambda event: names.append("client"))
        api.on("server.input_audio_buffer.cleared", lambda event: names.append("cleared"))
        with pytest.raises(NotConnected):
            await api.send("response.create")
        await api.connect()
        await api.connect()
        event_id = await api.send("response.create", {"response": {"instructions": "hi"}})
        await api.send_event(InputAudioBufferCommit())
        frames = far.__aiter__()
        sent = json.loads(await anext(frames))
        assert sent == {"event_id": event_id, "type": "response.create", "response": {"instructions": "hi"}}
        assert json.loads(await anext(frames)) == {"type": "input_audio_buffer.commit"}
        await far.send(b'{"type":"input_audio_buffer.cleared","event_id":"e"}')
        await api.wait_for_next("server.*", 1)
        assert names == ["client", "client", "cleared"]
        closed: list[TransportClosed] = []
        api.on("close", closed.append)
        await api.disconnect(4001, "enough")
        await api.disconnect()
        assert [(end.code, end.by) for end in closed] == [(4001, "us")]
        assert not api.is_connected

    asyncio.run(asyncio.wait_for(story(), 10))


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    assert RealtimeAPI().url == "wss://api.openai.com/v1/realtime?model=gpt-realtime"
    assert asyncio.run(RealtimeAPI().key()) == "sk-env"
    local = RealtimeAPI("ws://127.0.0.1:8000/v1/realtime", model="a b")
    assert local.url == "ws://127.0.0.1:8000/v1/realtime?model=a+b"
    assert asyncio.run(local.key()) is None
    assert asyncio.run(RealtimeAPI("wss://evilopenai.com/v1/realtime").key()) is None
    assert "sk-mine" not in repr(RealtimeAPI("ws://h/?model=x", api_key="sk-mine"))
