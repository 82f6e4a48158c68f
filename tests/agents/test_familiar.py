from __future__ import annotations

import asyncio
import json

from test_scenarios import play

from duologue import agents
from duologue.agents import familiar
from duologue.agents.link import Link
from duologue.agents.settings import SessionSettings
from duologue.transports.phone import Frame, PhonePort


def test_every_name_can_be_imported_from_the_agents() -> None:
    for name in familiar.__all__:
        assert getattr(agents, name) is getattr(familiar, name)
    assert agents.tool is agents.function_tool
    assert agents.handoff is agents.realtime_handoff


def test_a_call_of_twilios_is_a_transport() -> None:
    """Row 21."""

    class Socket:
        def __init__(self) -> None:
            start = {"streamSid": "MZ1", "callSid": "CA1", "mediaFormat": {"encoding": "audio/x-mulaw"}}
            self.frames = [json.dumps({"event": "start", "streamSid": "MZ1", "start": start})]

        async def receive(self) -> Frame | None:
            if self.frames:
                return self.frames.pop()
            await asyncio.Event().wait()
            return None

        async def send(self, frame: Frame) -> None: ...

        async def close(self) -> None: ...

    async def story() -> None:
        async with agents.TwilioRealtimeTransportLayer(Socket()) as call:
            assert isinstance(call, PhonePort)
            link = Link(call, SessionSettings(), None, None)
            assert link.formats() == {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_ulaw"}

    play(story)
