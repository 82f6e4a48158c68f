"""The thin client over memory: what goes over the wire, and what is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from realserver import duologue_serve
from websockets.asyncio.server import serve

from duologue.client.thin import (
    OpenAIRealtimeSIP,
    OpenAIRealtimeWebRTC,
    OpenAIRealtimeWebSocket,
    ThinClient,
    ThinOptions,
)
from duologue.errors import ConfigError, ConnectFailed, NotConnected, TransportClosed
from duologue.protocol.session import RealtimeSession
from duologue.transports.memory import MemoryTransport, memory_pair

SPOKEN = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
RESPONSE = {"object": "realtime.response", "id": "resp_1", "status": "in_progress", "output": []}
SECOND = "AAAA" * 16_000
"""One second of PCM16 at 24 kHz."""


class Server:
    """The other end, by hand."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.frames = transport.__aiter__()

    async def next(self, kind: str) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await anext(self.frames))
        assert event["type"] == kind, event
        return event

    async def say(self, kind: str, **fields: Any) -> None:
        await self.transport.send(json.dumps({"type": kind, "event_id": "e", **fields}).encode())


Story = Callable[[ThinClient, Server, list[int]], Awaitable[None]]


def with_client(story: Story) -> None:
    async def run() -> None:
        near, far = memory_pair()
        now = [1000]
        wire = ThinClient(near, options=ThinOptions(clock=lambda: now[0]))
        await story(wire, Server(far), now)
        await wire.close()

    asyncio.run(asyncio.wait_for(run(), 20))


async def connected(wire: ThinClient, server: Server, **config: Any) -> dict[str, Any]:
    """Connect with settings that the server takes; gives what it was sent."""
    connecting = asyncio.create_task(wire.connect(initial_session_config=config), name="connect")
    update = await server.next("session.update")
    await server.say("session.updated", session={**update["session"], "id": "sess_1"})
    await connecting
    session: dict[str, Any] = update["session"]
    return session


def test_flat_names_and_nested_ones_make_one_session() -> None:
    async def story(wire: ThinClient, server: Server, _: list[int]) -> None:
        states: list[str] = []
        wire.on("connection_change", states.append)
        session = await connected(
            wire,
            server,
            modalities=["text"],
            input_audio_format="g711_ulaw",
            output_audio_format="pcm16",
            audio={"output": {"voice": "marin"}},
        )
        assert session == {
            "type": "realtime",
            "output_modalities": ["text"],
            "audio": {
                "input": {"format": {"type": "audio/pcmu"}},
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
            },
        }
        await wire.update_session_config({"instructions": "Be brief."})
        changed = await server.next("session.update")
        assert changed["session"] == {"type": "realtime", "instructions": "Be brief."}
        assert wire.session_config is not None
        assert wire.session_config.output_modalities == ("text",)
        with pytest.raises(ConfigError):
            await wire.connect()
        await wire.close()
        assert states == ["connecting", "connected", "disconnected"]

    with_client(story)


def test_a_typed_session_is_taken_too_and_a_misspelt_setting_is_not() -> None:
    async def story(wire: ThinClient, server: Server, _: list[int]) -> None:
        with pytest.raises(ConfigError, match="instructoins"):
            await wire.connect(initial_session_config={"instructoins": "x"})
        assert wire.status == "disconnected"
        near, far = memory_pair()
        other, there = ThinClient(near), Server(far)
        connecting = asyncio.create_task(
            other.connect(initial_session_config=RealtimeSession(instructions="Hm.")), name="connect"
        )
        update = await there.next("session.update")
        assert update["session"] == {"type": "realtime", "instructions": "Hm."}
        await there.say("session.updated", session=update["session"])
        await connecting
        await other.close()

    with_client(story)


def test_settings_that_were_refused_are_not_in_the_way_of_others() -> None:
    async def story(wire: ThinClient, server: Server, _: list[int]) -> None:
        states: list[str] = []
        wire.on("connection_change", states.append)
        with pytest.raises(ConfigError, match="modalitiez"):
            await wire.connect(initial_session_config={"modalitiez": ["text"]})
        assert states == []  # nothing was opened for them
        await connected(wire, server, modalities=["text"])
        with pytest.raises(ConfigError, match="loudness"):
            await wire.update_session_config({"loudness": 11})
        await wire.update_session_config({"instructions": "Be brief."})
        changed = await server.next("session.update")
        assert changed["session"] == {"type": "realtime", "instructions": "Be brief."}

    with_client(story)


def test_a_new_connection_begins_without_the_settings_of_the_one_before() -> None:
    async def story(_: ThinClient, __: Server, ___: list[int]) -> None:
        nears, fars = zip(memory_pair(), memory_pair(), strict=True)
        waiting = iter(nears)

        async def opened() -> Any:
            return next(waiting)

        wire = ThinClient(opened)
        for far, config in zip(fars, ({"instructions": "Be brief."}, {"modalities": ["text"]}), strict=True):
            await connected(wire, Server(far), **config)
            await wire.close()
        assert wire.session_config == RealtimeSession(output_modalities=("text",))

    with_client(story)


def test_refused_settings_are_a_failed_connection() -> None:
    async def story(wire: ThinClient, server: Server, _: list[int]) -> None:
        connecting = asyncio.create_task(wire.connect(initial_session_config={"voice": "nobody"}), name="connect")
        update = await server.next("session.update")
        error = {"type": "invalid_request_error", "message": "no such voice", "event_id": update["event_id"]}
        await server.say("error", error=error)
        with pytest.raises(ConnectFailed, match="no such voice"):
            await connecting
        assert wire.status == "disconnected"
        with pytest.raises(NotConnected):
            await wire.send_event({"type": "response.create"})

    with_client(story)


def test_everything_is_told_by_star_and_sound_by_audio() -> None:
    async def story(wire: ThinClient, server: Server, _: list[int]) -> None:
        told: list[str] = []
        for name in ("*", "audio", "audio_done", "turn_started", "audio_interrupted", "error"):
            wire.on(name, lambda event, name=name: told.append(name))
        await wire.connect()
        await server.say("response.created", response=RESPONSE)
        await server.say("response.output_audio.delta", **SPOKEN, delta="AAAA")
        await server.say("response.output_audio.done", **SPOKEN)
        await server.say("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_2")
        await server.say("a.type.of.tomorrow")
        await server.say("error", error={"type": "server_error", "message": "hm"})
        await wire.wait_for_next("error")
        assert told == [
            "*", "turn_started", "*", "audio", "*", "audio_done", "*", "audio_interrupted", "*", "*", "error",
        ]  # fmt: skip

    with_client(story)


def test_sound_and_words_of_the_user() -> None:
    async def story(wire: ThinClient, server: Server, _: list[int]) -> None:
        with pytest.raises(NotConnected):
            await wire.send_audio(b"\0\0")
        await wire.connect()
        await wire.send_audio(b"\1\2\3", commit=True)
        assert (await server.next("input_audio_buffer.append"))["audio"] == "AQID"
        await server.next("input_audio_buffer.commit")
        wire.mute()
        assert wire.muted
        await wire.send_audio(b"\1\2")
        wire.mute(False)
        await wire.send_message("hello", respond=False)
        item = (await server.next("conversation.item.create"))["item"]
        assert (item["role"], item["content"]) == ("user", [{"type": "input_text", "text": "hello"}])
        await wire.send_function_call_output("call_1", "42")
        assert (await server.next("conversation.item.create"))["item"]["call_id"] == "call_1"
        await server.next("response.create")
        with pytest.raises(ConfigError):
            await wire.send_event({"no": "type"})

    with_client(story)


def test_an_interruption_cancels_by_id_and_cuts_what_time_cannot_have_played() -> None:
    async def story(wire: ThinClient, server: Server, now: list[int]) -> None:
        heard: list[bytes] = []
        wire.on("audio", lambda event: heard.append(event.delta))
        await wire.connect()
        await server.say("response.created", response=RESPONSE)
        for _ in range(2):
            await server.say("response.output_audio.delta", **SPOKEN, delta=SECOND)
        while len(heard) < 2:
            await wire.wait_for_next("audio")
        now[0] += 700
        await wire.interrupt()
        assert (await server.next("response.cancel"))["response_id"] == "resp_1"
        cut = await server.next("conversation.item.truncate")
        assert (cut["item_id"], cut["audio_end_ms"]) == ("item_1", 700)
        await server.say("response.output_audio.delta", **SPOKEN, delta=SECOND)
        await server.say("response.done", response={**RESPONSE, "status": "cancelled"})
        await wire.wait_for_next("turn_done")
        assert len(heard) == 2
        await wire.interrupt()
        await wire.request_response()
        await server.next("response.create")  # nothing was left to cancel or to cut

    with_client(story)


def test_reports_of_playing_take_the_place_of_the_clock() -> None:
    async def story(wire: ThinClient, server: Server, now: list[int]) -> None:
        await wire.connect()
        await server.say("response.created", response=RESPONSE)
        await server.say("response.output_audio.delta", **SPOKEN, delta=SECOND)
        await wire.wait_for_next("audio")
        wire.playback.played_item("item_1", 2400)
        now[0] += 10_000
        await wire.interrupt()
        await server.next("response.cancel")
        assert (await server.next("conversation.item.truncate"))["audio_end_ms"] == 100

    with_client(story)


def test_telephone_sound_is_counted_by_its_own_rate() -> None:
    async def story(wire: ThinClient, server: Server, now: list[int]) -> None:
        await connected(wire, server, output_audio_format="g711_alaw")
        await server.say("response.created", response=RESPONSE)
        await server.say("response.output_audio.delta", **SPOKEN, delta="AAAA" * 4000)
        await wire.wait_for_next("audio")
        assert wire.playback.received_ms("item_1") == 1500

    with_client(story)


def test_an_end_is_told_with_its_reason() -> None:
    async def story(wire: ThinClient, server: Server, _: list[int]) -> None:
        await wire.connect()
        ends: list[TransportClosed] = []
        wire.on("close", ends.append)
        await server.transport.close(4000, "session over")
        with pytest.raises(TransportClosed):
            await wire.wait_for_next("audio")
        assert [(end.code, end.reason) for end in ends] == [(4000, "session over")]
        assert wire.status == "disconnected"

    with_client(story)


@pytest.mark.parametrize("kind", [OpenAIRealtimeWebSocket, OpenAIRealtimeWebRTC])
def test_a_real_server_answers_and_is_interrupted(kind: type[ThinClient]) -> None:
    async def story(address: str) -> None:
        wire = kind(url=f"http://{address}/v1/realtime?model=gpt-realtime")  # type: ignore[call-arg]
        await wire.connect(api_key="any", initial_session_config={"modalities": ["audio"], "turn_detection": None})
        assert wire.status == "connected"
        spoken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        told: list[str] = []

        def hear(event: Any) -> None:
            told.append(event.__struct_config__.tag)
            if told[-1] in ("response.output_audio.delta", "output_audio_buffer.started") and not spoken.done():
                spoken.set_result(None)

        wire.on("*", hear)
        await wire.send_message("count to twenty")
        await spoken
        done = asyncio.create_task(wire.wait_for_next("turn_done"), name="done")
        await asyncio.sleep(0)
        await wire.interrupt()
        assert (await done).response.status == "cancelled"
        called = isinstance(wire, OpenAIRealtimeWebRTC)
        assert (wire.call_id or "").startswith("rtc_") == called
        while called and "output_audio_buffer.cleared" not in told:
            await wire.wait_for_next("*")
        await wire.close()
        assert "error" not in told

    with duologue_serve("--tokens-per-second", "20") as address:
        asyncio.run(asyncio.wait_for(story(address), 60))


def test_the_known_names() -> None:
    assert OpenAIRealtimeWebSocket().kind == "websocket"
    call = OpenAIRealtimeWebRTC()
    assert (call.kind, call.call_id, call.port) == ("webrtc", None, None)
    with pytest.raises(ConfigError):
        asyncio.run(call.send_audio(b""))


def test_a_telephone_call_is_joined_by_its_id_and_silenced_at_the_server() -> None:
    async def story() -> None:
        heard: list[str] = []

        async def hold(connection: Any) -> None:
            heard.append(connection.request.path)
            async for frame in connection:
                heard.append(json.loads(frame)["type"])

        async with serve(hold, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            wire = OpenAIRealtimeSIP(url=f"ws://127.0.0.1:{port}/v1/realtime")
            with pytest.raises(ConfigError, match="call_id"):
                await wire.connect(api_key="any")
            assert wire.status == "disconnected"
            await wire.connect(api_key="any", call_id="rtc_1")
            with pytest.raises(ConfigError, match="sound of a call"):
                await wire.send_audio(b"\0\0")
            await wire.interrupt()
            await wire.add_image("data:image/png;base64,AA==", respond=False)
            await wire.close()
        assert heard == ["/v1/realtime?call_id=rtc_1", "output_audio_buffer.clear", "conversation.item.create"]

    asyncio.run(asyncio.wait_for(story(), 20))
