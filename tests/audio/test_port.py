"""One conformance for every MediaPort: files in real time and by reads, devices, halves of two ports."""

from __future__ import annotations

import asyncio
import wave
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from soundcard import Sound
from tones import alike, find, sine, sweep, until

from duologue.audio.device_port import DevicePort
from duologue.audio.open import open_port
from duologue.audio.pcm16 import pack
from duologue.audio.port import MediaPort
from duologue.audio.wav import pack_wav, parse_wav
from duologue.audio.wav_port import SplitPort, WavPort
from duologue.errors import SoundDeviceError


async def by_reads() -> MediaPort:
    return WavPort(pack_wav(sine(300, 200)), pace=None)


async def in_real_time() -> MediaPort:
    return WavPort(None, pace=4.0)


async def halves() -> MediaPort:
    return SplitPort(WavPort(pack_wav(sine(300, 200))), WavPort(None))


async def machine() -> MediaPort:
    return await DevicePort.open()


@pytest.fixture(params=[by_reads, in_real_time, halves, machine])
def opened(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[MediaPort]]:
    if request.param is machine:
        request.getfixturevalue("sound")

    @asynccontextmanager
    async def fed() -> AsyncIterator[MediaPort]:
        """The port, with a reader that lets its time pass."""
        port = await request.param()

        async def read() -> None:
            while await port.read():
                pass

        reader = asyncio.create_task(read(), name="reader")
        try:
            yield port
        finally:
            await port.close()
            await reader

    return fed


Opened = Callable[[], AbstractAsyncContextManager[MediaPort]]


def test_what_was_written_is_played(opened: Opened) -> None:
    async def run() -> None:
        async with opened() as port:
            assert port.spec.rate_hz == 24_000
            assert port.played_ms("nothing") == 0
            assert port.write(sine(500, 130), "a")
            assert port.write(memoryview(sine(500, 70)), "b")
            await port.drained()
            assert (port.played_ms("a"), port.played_ms("b")) == (130, 70)
            assert port.clear() == []
            with pytest.raises(ValueError, match="even number"):
                port.write(b"\0", "c")

    asyncio.run(run())


def test_clear_tells_what_was_heard(opened: Opened) -> None:
    async def run() -> None:
        async with opened() as port:
            port.write(sine(500, 100), "first")
            port.write(sine(500, 60_000), "second")
            port.write(sine(500, 1_000), "third")
            await until(lambda: port.played_ms("second") > 50)
            second, third = port.clear()
            assert (second.track_id, third.track_id) == ("second", "third")
            assert 50 < second.played_ms < second.received_ms == 60_000
            assert (third.played_ms, third.received_ms, third.unheard_ms) == (0, 1_000, 1_000)
            assert port.played_ms("second") == second.played_ms
            assert port.played_ms("first") == 100
            assert not port.write(sine(500, 20), "second"), "late sound"
            assert port.clear() == []
            await port.drained()
            assert port.write(sine(500, 40), "fourth")
            await port.drained()
            assert port.played_ms("fourth") == 40

    asyncio.run(run())


def test_reading_and_closing(opened: Opened) -> None:
    async def run() -> None:
        async with opened() as port:
            await port.close()
            await port.close()
            assert await port.read() == b""
            assert not port.write(sine(500, 20), "late")
            await port.drained()

    asyncio.run(run())


def test_chunks_are_20_ms(sound: Sound) -> None:
    async def run() -> None:
        for make in (by_reads, in_real_time, halves, machine):
            port = await make()
            for _ in range(5):
                reading = asyncio.create_task(port.read(), name="cancelled")
                await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait([reading])
                assert len(await port.read()) == 960, "a cancelled read costs nothing"
            await port.close()

    asyncio.run(run())


def test_files_on_one_clock(tmp_path: Path) -> None:
    """The answer stands in the files where it was played, next to what was said meanwhile."""
    said, answer = pack([1] * 24 * 100), pack([2] * 24 * 60)

    async def run() -> None:
        port = WavPort(pack_wav(said), tmp_path / "out.wav", record_to=tmp_path / "both.wav", pace=None, tail_ms=100)
        read = b""
        while chunk := await port.read():
            read += chunk
            if len(read) == 48 * 80:
                port.write(answer)
        assert read == said + bytes(4_800)
        await port.close()

    asyncio.run(run())
    played = pack([0] * 24 * 80) + answer + pack([0] * 24 * 60)
    assert parse_wav((tmp_path / "out.wav").read_bytes()).data == played
    with wave.open(str(tmp_path / "both.wav")) as both:
        frames = array("h", both.readframes(10_000))
    assert frames[0::2] == array("h", said + bytes(4_800))
    assert frames[1::2] == array("h", played)


def test_the_machine_recorded_in_stereo(sound: Sound, tmp_path: Path) -> None:
    """The microphone hears the loudspeaker here: both sides hold the same clip, at almost the same place."""
    clip = sweep(400)

    async def run() -> None:
        port, note = await open_port(record_to=tmp_path / "both.wav")
        assert note == "talking through the microphone and the loudspeaker"
        for _ in range(10):
            await port.read()
        port.write(clip, "a")
        await port.drained()
        for _ in range(30):
            await port.read()
        await port.close()

    asyncio.run(run())
    wav = parse_wav((tmp_path / "both.wav").read_bytes())
    frames = array("h", wav.data)
    left, right = frames[0::2].tobytes(), frames[1::2].tobytes()
    assert alike(left, clip) > 0.6
    (user, _), (assistant, same) = find(left, clip), find(right, clip)
    assert same > 0.99
    assert abs(user - assistant) < 24 * 250


def test_a_machine_without_sound(no_sound: None, tmp_path: Path) -> None:
    async def run() -> None:
        port, note = await open_port(wav_out=tmp_path / "answer.wav", spare_in=pack_wav(sine(300, 100)))
        assert "no input device" in note
        assert "listening to a sound at hand; the answer goes to" in note
        assert max(await port.read()) > 0
        await port.close()
        port, note = await open_port()
        assert "listening to silence; nobody hears the answer" in note
        await port.close()
        with pytest.raises(SoundDeviceError):
            await open_port(microphone="drum")
        with pytest.raises(OSError, match=r"none\.wav"):
            await open_port(wav_in=tmp_path / "none.wav", wav_out=tmp_path / "x.wav")

    asyncio.run(run())


def test_a_file_speaks_to_the_loudspeaker(sound: Sound, tmp_path: Path) -> None:
    (tmp_path / "in.wav").write_bytes(pack_wav(sine(300, 100)))

    async def run() -> None:
        port, note = await open_port(wav_in=tmp_path / "in.wav")
        assert note.endswith("in.wav; the answer goes to the loudspeaker")
        assert isinstance(port, SplitPort)
        port.write(sine(500, 60), "a")
        assert max(await port.read()) > 0
        await port.drained()
        await port.close()

    asyncio.run(run())
