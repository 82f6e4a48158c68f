"""Two peers of ours over real UDP: duologue.transports.webrtc, duologue.transports.rtc_peer,
duologue.transports.rtc_media and duologue.transports.rtc_channel.
"""

from __future__ import annotations

import asyncio
import json
import sys
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from lossy import Hop

from duologue.audio.spec import AudioSpec
from duologue.audio.wav_port import WavPort
from duologue.errors import ConfigError, ConnectFailed, MissingExtra, ProtocolError, TransportClosed
from duologue.transports import rtc_peer
from duologue.transports.call_address import IceServer, calls_url
from duologue.transports.rtc_channel import UNREAD_BYTES
from duologue.transports.rtc_peer import Peer
from duologue.transports.rtc_port import RtcPort
from duologue.transports.webrtc import WebRtcTransport, _play, connect

FRAME = b'{"type":"hello"}'


def wave(ms: int) -> bytes:
    return array("h", [8000] * 12 + [-8000] * 12).tobytes() * ms


def level(pcm: bytes) -> float:
    values = array("h", pcm)
    return sum(map(abs, values)) / max(1, len(values))


@asynccontextmanager
async def pair(hop: Hop | None = None) -> AsyncIterator[tuple[Peer, Peer]]:
    """Caller and callee, connected, over the hop if there is one."""
    caller, callee = Peer(loopback=True), Peer(loopback=True)
    try:
        if hop is not None:
            await hop.open()
        offer = await caller.offer()
        answer = await callee.answer(hop.offer(offer) if hop else offer)
        await caller.accept(hop.answer(answer) if hop else answer)
        async with asyncio.timeout(20):
            await caller.connected()
            await callee.connected()
        yield caller, callee
    finally:
        await caller.close()
        await callee.close()
        if hop is not None:
            hop.close()


async def speech(peer: Peer) -> int:
    """Milliseconds of sound in the next stretch of it: half a second of silence ends it."""
    total, quiet = 0, 0
    async with asyncio.timeout(20):
        while not total or quiet < 500:
            sound = await peer.port.read()
            assert sound, peer.closed
            if level(sound) > 500:
                total, quiet = total + len(sound) // 48, 0
            else:
                quiet += len(sound) // 48
    return total


async def loud(peer: Peer, ms: int) -> None:
    """Wait for so many milliseconds of sound that is not silent."""
    async with asyncio.timeout(10):
        while ms > 0:
            sound = await peer.port.read()
            assert sound, peer.closed
            ms -= len(sound) // 48 if level(sound) > 1000 else 0


def test_sound_and_events_go_both_ways() -> None:
    async def story() -> None:
        async with pair() as (caller, callee):
            for near, far in ((caller, callee), (callee, caller)):
                await near.send(FRAME)
                assert await anext(far.__aiter__()) == FRAME.decode()
                near.port.write(wave(400))
                assert 360 <= await speech(far) <= 460
                assert near.port.played_ms("default") == 400

    asyncio.run(story())


def test_a_loudspeaker_that_lags_behind_catches_up_in_a_pause() -> None:
    async def story() -> None:
        port, sink, clock = RtcPort(), WavPort(None), WavPort(None)
        playing = asyncio.create_task(_play(port, sink), name="loudspeaker")
        port.hear(wave(600))  # what a stall of the network held up, all at once
        spoken_ms = 600
        for _ in range(50):
            await clock.read()
            port.hear(bytes(960))
            spoken_ms += 20
        port.end()
        await playing
        await sink.drained()
        assert 600 <= sink.played_ms("default") < spoken_ms - 300, "silence was left out, and no word"
        await sink.close()

    asyncio.run(story())


def test_what_comes_after_clear_is_what_was_played_before() -> None:
    async def story() -> None:
        async with pair() as (caller, callee):
            caller.port.write(wave(5000))
            await loud(callee, 200)
            (cut,) = caller.port.clear()
            assert cut.received_ms == 5000
            assert 200 + await speech(callee) <= cut.played_ms + 40  # and what the codec rings on

    asyncio.run(story())


def test_closing_is_told_with_what_was_sent_before() -> None:
    async def story() -> None:
        async with pair() as (caller, callee):
            await caller.send(FRAME)
            await caller.close(1000, "bye")
            assert [frame async for frame in callee] == [FRAME.decode()]
            assert callee.closed is not None
            assert (callee.closed.code, callee.closed.by) == (1000, "peer")
            assert await callee.port.read() is not None
            for peer in (caller, callee):
                with pytest.raises(TransportClosed):
                    await peer.send(FRAME)

    asyncio.run(story())


def test_a_closed_channel_ends_the_call() -> None:
    async def story() -> None:
        async with pair() as (caller, callee):
            caller.channel._channel.close()
            assert [frame async for frame in callee] == []
            assert callee.closed is not None
            assert callee.closed.code == 1000

    asyncio.run(story())


def test_a_peer_that_sends_nothing_in_silence_is_heard_to_be_silent() -> None:
    """Who listens for the end of speech counts sound, not time."""

    async def story() -> None:
        async with pair() as (caller, callee):
            caller.port.write(wave(200))
            await loud(callee, 100)
            await caller.sender.stop()
            async with asyncio.timeout(20):
                levels = [level(await callee.port.read()) for _ in range(50)]
            assert max(levels[-25:]) < 100

    asyncio.run(story())


def test_nothing_is_left_behind() -> None:
    async def story() -> None:
        async with pair():
            pass
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_large_events_pass_and_too_large_ones_are_refused() -> None:
    async def story() -> None:
        async with pair() as (caller, callee):
            await caller.send(b" " * 262_144)
            assert len(await anext(callee.__aiter__())) == 262_144
            with pytest.raises(ProtocolError, match="262144"):
                await caller.send(b" " * 262_145)
            for _ in range(8):  # more than the channel holds: the sender waits
                await caller.send(b"x" * 250_000)
            sizes = [len(await anext(callee.__aiter__())) for _ in range(8)]
            assert sizes == [250_000] * 8

    asyncio.run(story())


def test_who_floods_is_cut_off() -> None:
    async def story() -> None:
        async with pair() as (_, callee):
            for _ in range(UNREAD_BYTES // 1_000_000 + 1):
                callee.channel._receive("x" * 1_000_000)
            assert callee.closed is not None
            assert callee.closed.code == 1009

    asyncio.run(story())


def test_five_percent_loss_and_fifty_milliseconds_of_jitter_leave_the_conversation_alone() -> None:
    async def story() -> None:
        hop = Hop(loss=0.05, jitter_s=0.05)
        async with pair(hop) as (caller, callee):
            for turn in range(3):
                for near, far in ((caller, callee), (callee, caller)):
                    for number in range(20):
                        await near.send(json.dumps({"turn": turn, "number": number}).encode())
                    near.port.write(wave(1000))
                    await loud(far, 920)
                    frames = far.__aiter__()
                    async with asyncio.timeout(20):
                        came = [json.loads(await anext(frames)) for _ in range(20)]
                    assert came == [{"turn": turn, "number": number} for number in range(20)]
            assert hop.lost > 20
            assert caller.receiver.lost + callee.receiver.lost > 0

    asyncio.run(story())


def test_a_peer_that_falls_silent_may_come_back_and_is_given_up_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtc_peer, "QUIET_S", 0.5)
    monkeypatch.setattr(rtc_peer, "GRACE_S", 3.0)

    async def story() -> None:
        hop = Hop()
        async with pair(hop) as (caller, callee):
            transport = WebRtcTransport(caller, None)
            assert transport.reachable
            hop.silent = True
            async with asyncio.timeout(20):
                while transport.reachable:
                    await caller.port.read()
                hop.silent = False
                while not transport.reachable:
                    await caller.port.read()
                hop.silent = True
                assert [frame async for frame in caller] == []
            assert caller.closed is not None
            assert caller.closed.code == 1006
            assert not transport.reachable
            await callee.close()

    asyncio.run(story())


def test_a_call_that_finds_no_way_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtc_peer, "CONNECT_S", 1.0)

    async def story() -> None:
        caller, callee = Peer(loopback=True), Peer(loopback=True)
        await callee.answer(await caller.offer())
        await caller.close()  # it never hears of the answer
        assert [frame async for frame in callee] == []
        assert callee.closed is not None
        assert callee.closed.code == 1006
        await callee.close()

    asyncio.run(story())


def test_a_peer_without_a_channel_wants_sound_only() -> None:
    async def story() -> None:
        callee, caller = Peer(loopback=True), Peer(loopback=True)
        offer = await caller.offer()
        sound_only = offer[: offer.index("m=application")].replace("BUNDLE 0 1", "BUNDLE 0")
        assert "m=application" not in await callee.answer(sound_only)
        await callee.send(FRAME)
        await callee.close()
        await caller.close()

    asyncio.run(story())


def test_addresses_of_every_kind_lead_to_calls() -> None:
    assert calls_url("wss://h/v1/realtime?model=m") == ("https://h/v1/realtime/calls", "m")
    assert calls_url("http://h:1/v1/realtime/calls/") == ("http://h:1/v1/realtime/calls", "")


def test_failures_are_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody() -> None:
        with pytest.raises(ConnectFailed, match="nothing answers there"):
            await connect("http://127.0.0.1:9/v1/realtime", api_key="ek_x")

    asyncio.run(nobody())

    class Telephone:
        spec = AudioSpec(encoding="ulaw", rate_hz=8000)

    async def telephone() -> None:
        port: Any = Telephone()
        with pytest.raises(ConfigError, match="24 kHz"):
            await connect("http://127.0.0.1:9/v1/realtime", api_key="ek_x", input_port=port)

    asyncio.run(telephone())

    async def missing() -> None:
        with pytest.raises(MissingExtra, match=r"duologue\[webrtc\]"):
            await connect("http://127.0.0.1:9/v1/realtime", api_key="ek_x")

    monkeypatch.delitem(sys.modules, "duologue.transports.rtc_peer")
    monkeypatch.setitem(sys.modules, "aiortc", None)
    asyncio.run(missing())


def test_an_ice_server_that_is_none_is_named() -> None:
    async def story() -> None:
        server = IceServer(url="https://example.org")
        with pytest.raises(ConfigError, match="ICE server"):
            await connect("http://127.0.0.1:9/v1/realtime", api_key="ek_x", ice_servers=[server])

    asyncio.run(story())


def test_a_slow_answer_is_given_up() -> None:
    async def story() -> None:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            with pytest.raises(ConnectFailed, match="within"):
                await connect(f"http://127.0.0.1:{port}/v1/realtime", api_key="ek_x", timeout_s=0.2)

    asyncio.run(story())
