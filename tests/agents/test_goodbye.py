from __future__ import annotations

import asyncio
from typing import Any

from acting import ScriptLlm, Use, acting
from test_pains import at
from test_parts import Port
from test_scenarios import play

from duologue.agents.agent import RealtimeAgent
from duologue.agents.session import RealtimeSession

ANN = RealtimeAgent("Ann")


class Patient(Port):
    """A loudspeaker that plays until it is told that all was heard."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.heard = asyncio.Event(), asyncio.Event()

    async def drained(self) -> None:
        self.asked.set()
        await self.heard.wait()


def test_a_model_hangs_up_and_its_last_words_are_heard() -> None:
    """Row 24."""

    async def story() -> None:
        port = Patient()
        agent = RealtimeAgent("Ann")
        async with acting("memory", agent, ScriptLlm(("Goodbye!", Use("hang_up"))), output_port=port) as scene:
            agent.tools.append(scene.session.hang_up)
            await scene.session.update_agent(agent)
            await scene.sent_out("session.update", 3)
            (tool,) = next(found for each in scene.sent if (found := each.get("session", {}).get("tools")))
            assert tool["description"] == "Ends the call, when what is being said has been heard."
            await scene.session.send_message("Bye.")
            await asyncio.wait_for(port.asked.wait(), 10)
            assert scene.of("agent_end")[0].text.strip() == "Goodbye!"
            assert not scene.of("session_ended")
            port.heard.set()
            ended = await scene.until("session_ended")
            assert ended.clean
            assert sum(map(len, port.written)) > 0

    play(story)


def test_in_a_call_the_server_says_when_all_was_heard() -> None:
    async def story() -> None:
        agent = RealtimeAgent("Ann")
        async with acting("webrtc", agent, ScriptLlm("Goodbye!")) as scene:
            await scene.session.send_message("Bye.")
            await scene.until("audio_start")
            await scene.session.hang_up()
            types = [event["type"] for way, event in scene.wire if way == "<<"]
            assert "output_audio_buffer.stopped" in types
            assert (await scene.until("session_ended")).clean

    play(story)


def test_a_call_of_others_is_ended_at_the_provider() -> None:
    """Row 24. Row 15: its own session is told."""

    async def story() -> None:
        async with acting("webrtc", ANN, ScriptLlm()) as scene:
            call: Any = scene.session.transport.connection
            url = scene.session.settings.url
            assert url is not None
            beside = RealtimeSession(ANN, settings=at(url))
            await beside.connect(call_id=call.call_id)
            await beside.hang_up()
            await scene.until("session_ended")

    play(story)
