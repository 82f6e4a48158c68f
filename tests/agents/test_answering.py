from __future__ import annotations

import asyncio

import pytest
from acting import ScriptLlm, ScriptStt, Use
from rtc import LoudTts
from test_pains import at
from test_scenarios import play, weather
from wire import ToneVad, serving

from duologue.agents.agent import RealtimeAgent
from duologue.agents.session import RealtimeSession
from duologue.errors import ConnectFailed
from duologue.server.runner import Engines, RealtimeServer


def test_a_browsers_call_is_answered_by_an_agent_of_ours() -> None:
    """Rows 23 and 15: offer, answer and the control beside the call in one step, and its end is told."""
    peers = pytest.importorskip("duologue.transports.rtc_peer")

    async def story() -> None:
        llm = ScriptLlm(Use("weather", '{"city":"Rome"}'), "Warm.")
        server = RealtimeServer(Engines(vad=ToneVad(), stt=ScriptStt(), llm=llm, tts=LoudTts()))
        agent = RealtimeAgent("Ann", "Be brief.", tools=[weather])
        async with serving(server) as url:
            session = RealtimeSession(agent, model="script", settings=at(url))  # a server at home wants no key
            browser = peers.Peer(loopback=True)
            await browser.accept(await session.answer_webrtc_offer(await browser.offer()))
            await browser.connected()
            told = []
            ended = asyncio.Event()
            session.on("*", lambda event: told.append(event.type))
            session.on("session_ended", lambda event: ended.set())
            await session.send_message("Rome?")
            async for event in session:
                if event.type == "agent_end" and event.text:
                    assert event.text.strip() == "Warm."
                    break
            assert "tool_end" in told
            assert llm.requests[0].instructions == "Be brief."
            await browser.close()
            await asyncio.wait_for(ended.wait(), 20)
            await session.close()

    play(story)


def test_a_refused_offer_is_told_with_its_status() -> None:
    async def story() -> None:
        async with serving(
            RealtimeServer(Engines(vad=ToneVad(), stt=ScriptStt(), llm=ScriptLlm(), tts=LoudTts()))
        ) as url:
            session = RealtimeSession(RealtimeAgent("Ann"), settings=at(url, api_key="sk-any"))
            with pytest.raises(ConnectFailed) as problem:
                await session.answer_webrtc_offer("no offer")
            assert problem.value.status == 400
        with pytest.raises(ConnectFailed) as problem:
            await session.answer_webrtc_offer("no offer", url="http://127.0.0.1:9/v1/realtime")
        assert problem.value.retryable

    play(story)
