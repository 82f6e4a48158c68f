"""Calls over WebRTC, with real UDP on loopback: duologue.server.webrtc, duologue.server.calls, duologue.server.call,
duologue.server.guests, and what duologue.server.runner does for them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import pytest
from lossy import Hop
from rtc import RtcCaller, dialing, loud_engines
from test_embedded import WEATHER, clip
from wire import EchoLlm, calling, serving, types

from duologue.engines import registry
from duologue.errors import ConnectFailed
from duologue.protocol.session import RealtimeSession
from duologue.server.admission import Door
from duologue.server.limits import Limits
from duologue.server.runner import Engines, RealtimeServer
from duologue.transports.rtc_peer import Peer
from duologue.transports.webrtc import WebRtcTransport, connect

KEYED = Door(signing_key=b"k" * 32, api_keys=("sk-right",), models=("scripted",))
LONG = "word " * 200
"""Ten seconds of answer."""


def http_of(url: str) -> str:
    return url.replace("ws://", "http://")


async def ask(caller: RtcCaller, text: str) -> None:
    await caller.say(text)
    await caller.send("response.create")


def test_an_answer_is_heard_and_its_events_tell_when() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines())) as url, dialing(url) as caller:
            assert (caller.transport.call_id or "").startswith("rtc_")
            await ask(caller, "the weather is lovely today")
            await caller.hears(250)
            came = types(await caller.until("output_audio_buffer.stopped"))
            assert "response.output_audio.delta" not in came
            order = ("response.created", "response.output_audio.done", "response.done", "output_audio_buffer.stopped")
            assert [kind for kind in came if kind in order] == list(order)
            assert came.count("output_audio_buffer.started") == 1

    asyncio.run(story())


def test_speech_on_the_track_is_a_turn() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines())) as url, dialing(url) as caller:
            caller.speak(600)
            heard = await caller.until("input_audio_buffer.committed")
            assert types(heard)[:2] == ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"]
            done = (await caller.until("response.done"))[-1]["response"]
            (words,) = done["output"][0]["content"]
            assert words["transcript"].endswith("milliseconds.")
            await caller.hears(100)

    asyncio.run(story())


def test_who_interrupts_is_heard_at_once_and_the_server_truncates() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines())) as url, dialing(url) as caller:
            await ask(caller, LONG)
            done = (await caller.until("response.done"))[-1]["response"]
            await caller.hears(500)
            caller.speak(400)
            cut = await caller.until("conversation.item.truncated")
            assert types(cut)[-3:] == [
                "input_audio_buffer.speech_started",
                "output_audio_buffer.cleared",
                "conversation.item.truncated",
            ]
            assert (cut[-1]["item_id"], cut[-2]["response_id"]) == (done["output"][0]["id"], done["id"])
            assert 500 <= cut[-1]["audio_end_ms"] < 5000
            await caller.quiet()
            await caller.send("conversation.item.retrieve", item_id=cut[-1]["item_id"])
            item = (await caller.until("conversation.item.retrieved"))[-1]["item"]
            # ten milliseconds a character, cut back to a whole word
            said = len(item["content"][0]["transcript"])
            assert 0 <= cut[-1]["audio_end_ms"] // 10 - said <= 6

    asyncio.run(story())


def test_an_answer_that_is_still_being_made_is_cut_and_cancelled() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines())) as url, dialing(url) as caller:
            await ask(caller, "forever")
            await caller.hears(300)
            caller.speak(400)
            ending = await caller.until("response.done")
            assert ending[-1]["response"]["status_details"]["reason"] == "turn_detected"
            told = [kind for kind in types(ending) if kind.startswith(("output_audio_buffer", "conversation.item.tr"))]
            assert told == ["output_audio_buffer.started", "output_audio_buffer.cleared", "conversation.item.truncated"]

    asyncio.run(story())


def test_the_client_clears_the_buffer() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines())) as url, dialing(url) as caller:
            await ask(caller, LONG)
            await caller.until("output_audio_buffer.started")
            await caller.hears(200)
            await caller.send("output_audio_buffer.clear")
            assert types(await caller.until("conversation.item.truncated"))[-2] == "output_audio_buffer.cleared"
            await caller.quiet()
            await caller.send("output_audio_buffer.clear")  # nothing plays: nothing to tell
            await ask(caller, "and on we go")
            assert "output_audio_buffer.cleared" not in types(await caller.until("output_audio_buffer.stopped"))

    asyncio.run(story())


def test_a_tool_is_called_and_answered() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines())) as url, dialing(url) as caller:
            await caller.configure(tools=[{"type": "function", "name": "weather", "parameters": {"type": "object"}}])
            await ask(caller, "tool")
            (call,) = (await caller.until("response.done"))[-1]["response"]["output"]
            assert (call["name"], json.loads(call["arguments"])) == ("weather", {"city": "Paris"})
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
            await caller.send("conversation.item.create", item=output)
            await caller.send("response.create")
            assert (await caller.until("response.done"))[-1]["response"]["status"] == "completed"

    asyncio.run(story())


def test_a_supervisor_joins_by_the_calls_id() -> None:
    async def story() -> None:
        server = RealtimeServer(loud_engines())
        async with serving(server) as url, dialing(url) as caller:
            async with calling(url, f"call_id={caller.transport.call_id}") as guest:
                assert guest.events[0]["session"]["id"] == caller.events[0]["session"]["id"]
                await guest.configure(instructions="be brief")
                assert (await caller.until("session.updated"))[-1]["session"]["instructions"] == "be brief"
                await guest.say("the weather")
                await guest.send("response.create")
                theirs = await guest.until("response.done")
                ours = await caller.until("response.done")
                assert [e["event_id"] for e in ours][-5:] == [e["event_id"] for e in theirs][-5:]
                await caller.hears(100)
                assert server.sessions == 1
            await ask(caller, "the guest has left")
            await caller.until("response.done")
            async with calling(url, f"call_id={caller.transport.call_id}") as guest:
                await caller.close()
                await asyncio.wait_for(guest.socket.wait_closed(), 10)
                assert guest.socket.close_code == 1000

    asyncio.run(story())


def test_hanging_up_ends_the_call() -> None:
    async def story() -> None:
        server = RealtimeServer(loud_engines())
        async with serving(server) as url, dialing(url) as caller, httpx.AsyncClient() as http:
            place = f"{http_of(url)}/calls/{caller.transport.call_id}/hangup"
            assert (await http.post(place)).status_code == 200
            assert [json.loads(frame) async for frame in caller.frames] == []
            assert caller.transport.closed
            assert (await http.post(place)).status_code == 404
            assert server.sessions == 0

    asyncio.run(story())


def test_a_peer_that_leaves_ends_its_session_and_drain_ends_them_all() -> None:
    async def story() -> None:
        server = RealtimeServer(loud_engines())
        async with serving(server) as url:
            async with dialing(url):
                assert server.sessions == 1
            await asyncio.wait_for(server._empty.wait(), 10)
            async with dialing(url) as caller:
                await server.drain(0)
                assert [frame async for frame in caller.frames] == []
                with pytest.raises(ConnectFailed, match="HTTP 503"):
                    await connect(f"{url}?model=scripted", api_key="sk-any")

    asyncio.run(story())


def test_keys_models_and_limits_hold_for_calls() -> None:
    async def story() -> None:
        server = RealtimeServer(loud_engines(), limits=Limits(max_sessions=1))
        async with serving(server, KEYED) as url, httpx.AsyncClient() as http:

            async def refused(query: str, key: str) -> tuple[int | None, str]:
                with pytest.raises(ConnectFailed) as failure:
                    await connect(f"{url}{query}", api_key=key)
                return failure.value.status, json.loads(failure.value.body)["error"]["code"]

            assert await refused("?model=scripted", "sk-wrong") == (401, "invalid_api_key")
            assert await refused("?model=other", "sk-right") == (400, "invalid_model")
            assert await refused("", "sk-right") == (400, "missing_model")
            head = {"Authorization": "Bearer sk-right"}
            session = {"type": "realtime", "model": "scripted", "instructions": "from the key"}
            body = {"session": session}
            secret = (await http.post(f"{http_of(url)}/client_secrets", json=body, headers=head)).json()["value"]
            async with dialing(url, query="", api_key=secret) as caller:
                assert caller.events[0]["session"]["instructions"] == "from the key"
                assert await refused("?model=scripted", "sk-right") == (503, "session_limit_reached")
            await asyncio.wait_for(server._empty.wait(), 10)
            wish = RealtimeSession(model="scripted", instructions="from the form")
            async with dialing(url, query="", api_key="sk-right", session=wish) as caller:
                assert caller.events[0]["session"]["instructions"] == "from the form"

    asyncio.run(story())


def test_a_conversation_survives_a_bad_line() -> None:
    """A turn spoken, an answer heard and a tool called, with 5 % loss and 50 ms of jitter on the way."""

    async def story() -> None:
        hop = Hop(loss=0.05, jitter_s=0.05)
        await hop.open()
        async with serving(RealtimeServer(loud_engines())) as url, httpx.AsyncClient() as http:
            peer = Peer(loopback=True)
            head = {"Content-Type": "application/sdp", "Authorization": "Bearer any"}
            sdp = hop.offer(await peer.offer())
            reply = await http.post(f"{http_of(url)}/calls?model=scripted", content=sdp, headers=head)
            await peer.accept(hop.answer(reply.text))
            caller = RtcCaller(WebRtcTransport(peer, None))
            await caller.until("session.created")
            for _ in range(3):
                caller.sounds.clear()  # not later: an event that is sent again comes after the sound that it announces
                caller.speak(1000)
                await caller.until("output_audio_buffer.started")
                await caller.has_heard(100)
                await caller.until("output_audio_buffer.stopped")
            await caller.configure(tools=[{"type": "function", "name": "weather", "parameters": {"type": "object"}}])
            await ask(caller, "tool")
            (call,) = (await caller.until("response.done"))[-1]["response"]["output"]
            assert call["name"] == "weather"
            assert hop.lost > 10
            await caller.close()
        hop.close()

    asyncio.run(story())


def test_recorded_speech_is_understood_and_answered_aloud() -> None:
    """The embedded engines, spoken to and heard over Opus; the second question interrupts the first answer."""

    async def story() -> None:
        engines = Engines(**{kind: registry.create(kind) for kind in ("vad", "stt", "llm", "tts", "eot")})
        async with serving(RealtimeServer(engines)) as url, dialing(url) as caller:
            await caller.configure(tools=[WEATHER])
            caller.transport.port.write(clip("count_to_twenty"))
            await caller.until("output_audio_buffer.started")
            await caller.hears(1500)
            caller.transport.port.write(clip("weather_in_paris"))
            cut = (await caller.until("conversation.item.truncated"))[-1]
            assert cut["audio_end_ms"] > 1000
            call = (await caller.until("response.function_call_arguments.done"))[-1]
            assert "Paris" in call["arguments"]

    asyncio.run(story())


def test_without_the_extra_a_call_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines())) as url, httpx.AsyncClient() as http:
            peer, sdp = await offer()
            monkeypatch.delitem(sys.modules, "duologue.transports.rtc_peer")
            monkeypatch.setitem(sys.modules, "aiortc", None)
            head = {"Content-Type": "application/sdp"}
            reply = await http.post(f"{http_of(url)}/calls?model=scripted", content=sdp, headers=head)
            assert reply.status_code == 501
            assert reply.json()["error"]["message"].endswith("pip install 'duologue[webrtc]'")
            await peer.close()

    asyncio.run(story())


async def offer() -> tuple[Peer, str]:
    peer = Peer(loopback=True)
    return peer, await peer.offer()


def test_raw_offers_are_answered_as_browsers_need_it() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines()), KEYED) as url, httpx.AsyncClient() as http:
            peer, sdp = await offer()
            calls = f"{http_of(url)}/calls"
            asked = "authorization,content-type,x-openai-agents-sdk"
            allowed = await http.options(
                calls,
                headers={
                    "Origin": "http://localhost:5173",
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": asked,
                },
            )
            assert allowed.status_code == 200
            assert set(asked.split(",")) <= set(
                allowed.headers["access-control-allow-headers"].replace(" ", "").lower().split(",")
            )
            head = {
                "Content-Type": "application/sdp",
                "Authorization": "Bearer sk-right",
                "Origin": "http://localhost:5173",
            }
            reply = await http.post(f"{calls}?model=scripted", content=sdp, headers=head)
            assert (reply.status_code, reply.headers["content-type"]) == (201, "application/sdp")
            assert reply.headers["location"].startswith("/v1/realtime/calls/rtc_")
            assert reply.headers["access-control-expose-headers"] == "Location"
            assert "a=msid:" in reply.text
            assert "127.0.0.1" in reply.text
            forged = head | {"Authorization": "Bearer ek_forged"}
            assert (await http.post(calls, content=sdp, headers=forged)).status_code == 401
            await peer.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("application/sdp", "hello", "invalid_sdp"),
        ("application/sdp", "v=0\r\nm=audio nonsense\r\n", "invalid_sdp"),
        ("application/sdp", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "invalid_sdp"),
        ("application/json", "{}", "unsupported_content_type"),
        ("multipart/form-data; boundary=x", "--x--", "missing_required_parameter"),
        ("multipart/form-data", "", "missing_required_parameter"),
        ("application/sdp", "v=0" + "x" * 1_100_000, "request_too_large"),
    ],
)
def test_what_is_no_offer_is_refused_in_words(kind: str, body: str, code: str) -> None:
    async def story() -> None:
        server = RealtimeServer(loud_engines())
        async with serving(server) as url, httpx.AsyncClient() as http:
            address = f"{http_of(url)}/calls?model=scripted"
            reply = await http.post(address, content=body, headers={"Content-Type": kind})
            assert reply.status_code == (413 if code == "request_too_large" else 400)
            assert reply.json()["error"]["code"] == code
            assert server.sessions == 0

    asyncio.run(story())


def test_a_beta_call_speaks_beta() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines())) as url, httpx.AsyncClient() as http:
            peer, sdp = await offer()
            head = {"Content-Type": "application/sdp", "Authorization": "Bearer any"}
            reply = await http.post(f"{http_of(url)}?model=scripted", content=sdp, headers=head)
            assert reply.status_code == 201
            await peer.accept(reply.text)
            frames = peer.__aiter__()
            created: dict[str, Any] = json.loads(await anext(frames))
            assert created["session"]["modalities"]
            part = {"type": "input_text", "text": "hello"}
            item = {"type": "message", "role": "user", "content": [part]}
            await peer.send(json.dumps({"type": "conversation.item.create", "item": item}).encode())
            assert json.loads(await anext(frames))["type"] == "conversation.item.created"
            await peer.close()

    asyncio.run(story())


def test_an_event_too_large_for_the_channel_goes_without_its_sound() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(loud_engines())) as url, dialing(url) as caller:
            await ask(caller, LONG)
            done = (await caller.until("response.done"))[-1]["response"]
            await caller.send("conversation.item.retrieve", item_id=done["output"][0]["id"])
            (part,) = (await caller.until("conversation.item.retrieved"))[-1]["item"]["content"]
            assert part["transcript"]
            assert "audio" not in part
            await caller.configure(instructions="x" * 200_000)
            await caller.send("session.update", session={"type": "realtime", "instructions": "y" * 240_000})
            assert len((await caller.until("session.updated"))[-1]["session"]["instructions"]) == 240_000

    asyncio.run(story())


def test_the_answering_model_reads_what_was_heard() -> None:
    async def story() -> None:
        engines = loud_engines()
        async with serving(RealtimeServer(engines)) as url, dialing(url) as caller:
            await ask(caller, LONG)
            await caller.hears(500)
            await caller.send("output_audio_buffer.clear")
            cut = (await caller.until("conversation.item.truncated"))[-1]["audio_end_ms"]
            await ask(caller, "what did you say?")
            await caller.until("response.done")
            assert isinstance(engines.llm, EchoLlm)
            answer: Any = engines.llm.requests[-1].items[1]
            assert len(answer.content[0].transcript) <= cut // 10

    asyncio.run(story())
