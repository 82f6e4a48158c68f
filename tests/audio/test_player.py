from __future__ import annotations

import asyncio
from array import array
from contextlib import AsyncExitStack

import numpy
import pytest
from soundcard import Sound
from tones import alike, sine, sounding, sweep, until, with_devices

from duologue.audio.player import WavStreamPlayer
from duologue.audio.recorder import WavRecorder


class Ear:
    """Records what the loudspeaker plays."""

    def __init__(self) -> None:
        self.recorder = WavRecorder()

    async def __aenter__(self) -> Ear:
        await self.recorder.begin()
        await self.recorder.record()
        await self.heard_ms(100)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.recorder.quit()

    async def heard_ms(self, more_ms: int) -> bytes:
        """All that was heard, once so much more sound has come."""
        target = len(await self.recorder.read()) + more_ms * 48
        sound = b""
        while len(sound) < target:
            await asyncio.sleep(0.02)
            sound = await self.recorder.read()
        return sound


def test_what_is_played_is_heard(sound: Sound) -> None:
    async def run(held: AsyncExitStack) -> None:
        player = await held.enter_async_context(WavStreamPlayer())
        clip = sweep(600)
        async with Ear() as ear:
            for at in range(0, len(clip), 4_000):
                assert player.add_16bit_pcm(clip[at : at + 4_000], "hello")
            await player.drained()
            assert player.played_samples("hello") == len(clip) // 2
            assert alike(await ear.heard_ms(400), clip) > 0.6

    with_devices(run)


def test_an_interruption_is_exact(sound: Sound) -> None:
    """As many samples come out of the loudspeaker as were counted, however many were queued."""

    async def run(held: AsyncExitStack) -> None:
        player = await held.enter_async_context(WavStreamPlayer())
        async with Ear() as ear:
            player.add_16bit_pcm(sine(500, 300), "first")
            player.add_16bit_pcm(sine(500, 3_000), "second")
            await until(lambda: player.played_samples("second") >= 24 * 200)
            cut = player.interrupt()
            assert cut is not None
            assert cut.track_id == "second"
            assert cut.current_time == cut.offset / 24_000
            assert player.played_samples("first") == 24 * 300
            assert not player.add_16bit_pcm(sine(500, 100), "second"), "late sound of a track that was cut"
            length = sounding(await ear.heard_ms(500))
            assert abs(length - (24 * 300 + cut.offset)) < 60, (length, cut)
            assert player.get_track_sample_offset() is None
            assert player.interrupt() is None
            assert player.add_16bit_pcm(sine(500, 50), "third"), "the next answer is heard"
            await player.drained()
            assert player.played_samples("third") == 24 * 50

    with_devices(run)


def test_a_gap_in_the_delivery_does_not_bend_the_count(sound: Sound) -> None:
    async def run(held: AsyncExitStack) -> None:
        player = await held.enter_async_context(WavStreamPlayer())
        player.add_16bit_pcm(sine(500, 90), "item")
        await player.drained()
        assert player.get_track_sample_offset().offset == 24 * 90
        player.add_16bit_pcm(sine(500, 90), "item")
        await player.drained()
        assert player.get_track_sample_offset().offset == 24 * 180
        assert player.underruns >= 2

    with_devices(run)


def test_every_call_twice(sound: Sound) -> None:
    async def run() -> None:
        player = WavStreamPlayer()
        assert player.add_16bit_pcm(sine(500, 60)), "before connect it waits"
        await asyncio.gather(player.connect(), player.connect())
        assert await player.connect()
        await player.drained()
        assert player.device is not None
        assert max(player.get_frequencies("voice").values) > 0.3
        await asyncio.gather(player.close(), player.close())
        await player.close()
        assert player.device is None
        await player.connect()
        player.add_16bit_pcm(sine(500, 60))
        await player.drained()
        await player.close()

    asyncio.run(run())


def test_a_device_of_another_rate(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    """The player's rate is one that the card does not offer, so the card's own is used; the counts stay the player's."""
    import sounddevice

    make = sounddevice.RawOutputStream

    def picky(**options: object) -> object:
        if options["samplerate"] == 24_000:
            raise sounddevice.PortAudioError("Invalid sample rate")
        return make(**options)

    monkeypatch.setattr(sounddevice, "RawOutputStream", picky)

    async def run(held: AsyncExitStack) -> None:
        player = await held.enter_async_context(WavStreamPlayer())
        clip = sweep(600)
        async with Ear() as ear:
            player.add_16bit_pcm(clip, "a")
            await player.drained()
            assert player.played_samples("a") == len(clip) // 2
            heard = await ear.heard_ms(400)
            assert alike(heard, clip) > 0.6
            assert 0.9 < sounding(heard) / (len(clip) // 2) < 1.5  # a busy machine's card puts gaps in between

    with_devices(run)


def test_what_is_accepted() -> None:
    player = WavStreamPlayer()
    pcm = sine(500, 10)
    for shape in (pcm, bytearray(pcm), memoryview(pcm), array("h", pcm), numpy.frombuffer(pcm, "<i2")):
        assert player.add_16bit_pcm(shape)
    with pytest.raises(ValueError, match="even number"):
        player.add_16bit_pcm(b"\0\0\0")
    with pytest.raises(TypeError, match="format"):
        player.add_16bit_pcm(numpy.zeros(4, "float32"))
    with pytest.raises(TypeError, match="track_id"):
        player.add_16bit_pcm(pcm, 7)  # type: ignore[arg-type]
