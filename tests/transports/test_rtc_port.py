"""duologue.transports.rtc_port."""

from __future__ import annotations

import asyncio

import pytest

from duologue.audio.port import Heard, MediaPort
from duologue.transports.rtc_port import AHEAD_BYTES, STALE_TAKES, UNREAD_BYTES, UNSENT_BYTES, RtcPort

MS = b"\1\0" * 24
FRAME = 20 * 48


def test_it_is_a_media_port() -> None:
    port: MediaPort = RtcPort()
    assert port.spec.bytes_per_second == 48_000


def test_what_was_sent_was_played() -> None:
    port = RtcPort()
    assert port.write(MS * 50, "a")
    assert port.write(MS * 30, "b")
    assert len(port.take(FRAME)) == FRAME
    assert (port.played_ms("a"), port.played_ms("b"), port.played_ms("c")) == (20, 0, 0)
    assert b"".join(port.take(FRAME) for _ in range(5)) == MS * 60
    assert port.take(FRAME) == b""
    assert (port.played_ms("a"), port.played_ms("b")) == (50, 30)


def test_clear_is_silence_and_tells_what_was_heard() -> None:
    port = RtcPort()
    port.write(MS * 50, "a")
    port.write(MS * 30, "b")
    port.take(FRAME)
    a = Heard(track_id="a", played_ms=20, received_ms=50)
    b = Heard(track_id="b", played_ms=0, received_ms=30)
    assert port.clear() == [a, b]
    assert port.take(FRAME) == b""
    assert not port.write(MS, "a")  # late
    assert port.write(MS, "c")
    assert port.played_ms("a") == 20
    assert port.clear() == [Heard(track_id="c", played_ms=0, received_ms=1)]
    assert port.clear() == []


def test_bounds() -> None:
    port = RtcPort()
    with pytest.raises(ValueError, match="even"):
        port.write(b"\0")
    assert port.write(bytes(UNSENT_BYTES))
    assert not port.write(MS)
    for _ in range(UNREAD_BYTES // FRAME + 10):
        port.hear(bytes(FRAME))

    async def read_all() -> int:
        port.end()
        size = 0
        while sound := await port.read():
            size += len(sound)
        return size

    assert asyncio.run(read_all()) == UNREAD_BYTES // FRAME * FRAME
    assert not port.write(MS)


def test_who_waits_is_woken() -> None:
    async def story() -> None:
        port = RtcPort()
        port.write(bytes(AHEAD_BYTES))
        reading = asyncio.create_task(port.read(), name="r")
        room = asyncio.create_task(port.room(), name="m")
        progress = asyncio.create_task(port.progress(0, 0), name="p")
        drained = asyncio.create_task(port.drained(), name="d")
        await asyncio.sleep(0)
        assert not any(task.done() for task in (reading, room, progress, drained))
        port.hear(MS)
        port.take(FRAME)
        assert await reading == MS
        await room
        assert await progress == (0, 480)
        port.clear()
        await drained
        assert await port.progress(0, 480) == (1, 0)
        await port.close()
        assert await port.progress(1, 0) == (1, 0)

    asyncio.run(story())


def test_live_sound_that_lags_behind_catches_up() -> None:
    port = RtcPort()
    port.speak(bytes(5 * FRAME))  # the program stood still, and the microphone did not
    waiting = []
    for _ in range(3 * STALE_TAKES):
        port.speak(bytes(FRAME))
        port.take(FRAME)
        waiting.append(len(port._unsent) // FRAME)
    assert waiting[0] == 5
    assert waiting[-1] == 0


def test_live_sound_that_is_old_is_not_sent_any_more() -> None:
    port = RtcPort()
    for value in range(50):  # a second that a microphone gathered before the call
        port.speak(bytes([value]) * 960)
    assert port.take(960) == bytes([40]) * 960
    port.speak(bytes([50]) * 960)
    assert b"".join(iter(lambda: port.take(960), b""))[-960:] == bytes([50]) * 960
    port.end()
    port.speak(bytes(960))
    assert port.take(960) == b""
