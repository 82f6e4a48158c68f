from __future__ import annotations

import asyncio
import logging

import pytest

from duologue.client.client import RealtimeClient
from duologue.transports.memory import memory_pair


def test_debug_logs_the_wire_without_sound_and_keys(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        near, far = memory_pair()
        client = RealtimeClient(transport=near, debug=True)
        await client.update_session(instructions="the key is sk-abcdef123456")
        await client.connect()
        await client.append_input_audio(bytes(4800))
        await far.send(b'{"type":"input_audio_buffer.cleared","event_id":"e"}')
        await client.realtime.wait_for_next("server.*", 2)
        await client.disconnect()

    with caplog.at_level(logging.DEBUG, "duologue.wire"):
        asyncio.run(story())
    lines = [record.getMessage() for record in caplog.records if record.name == "duologue.wire"]
    assert any(line.startswith("->") and "[4800 bytes of sound]" in line for line in lines)
    assert any(line.startswith("<-") and "input_audio_buffer.cleared" in line for line in lines)
    assert any(line.startswith("-- connection closed by us") for line in lines)
    assert "abcdef" not in "".join(lines)
