from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import numpy
import pytest
from soundcard import Sound
from tones import alike, sine, sweep, until, with_devices

from duologue.audio import recorder as recorder_module
from duologue.audio.player import WavStreamPlayer
from duologue.audio.recorder import WavRecorder
from duologue.audio.wav import pack_wav, parse_wav
from duologue.errors import ConfigError, SoundDeviceError


def test_what_sounds_is_recorded(sound: Sound) -> None:
    """Handler, file and spectrum get the same sound, at the same place."""

    async def scene(held: AsyncExitStack) -> None:
        recorder = await held.enter_async_context(WavRecorder())
        player = await held.enter_async_context(WavStreamPlayer())
        chunks: list[bytes] = []
        await recorder.record(chunks.append, 960)
        clip = sweep(500)
        player.add_16bit_pcm(clip)
        await player.drained()
        assert max(recorder.get_frequencies("music").values) > 0.3
        enough = len(chunks) + 20
        await until(lambda: len(chunks) >= enough)
        await recorder.pause()
        saved = await recorder.save()
        assert {len(chunk) for chunk in chunks[:-1]} == {960}
        assert b"".join(chunks) == parse_wav(saved.data).data == await recorder.read()
        assert saved.duration == len(b"".join(chunks)) / 48_000
        assert alike(b"".join(chunks), clip) > 0.6

    with_devices(scene)


def test_every_call_twice(sound: Sound) -> None:
    async def scene(held: AsyncExitStack) -> None:
        recorder = WavRecorder()
        held.push_async_callback(recorder.quit)
        assert recorder.get_status() == "ended"
        assert await recorder.pause()
        assert (await recorder.end()).duration == 0
        await asyncio.gather(recorder.begin(), recorder.begin())
        await recorder.begin()
        assert recorder.get_status() == "paused"
        first: list[bytes] = []
        second: list[bytes] = []
        await recorder.record(first.append, 960)
        await until(lambda: len(first) > 3)
        await recorder.record(second.append, 960)
        count = len(first)
        await until(lambda: len(second) > 3)
        assert len(first) == count, "the new handler has taken over"
        assert recorder.get_status() == "recording"
        await asyncio.gather(recorder.pause(), recorder.pause())
        assert recorder.get_status() == "paused"
        count = len(second)
        await recorder.record(second.append, 960)
        await until(lambda: len(second) > count + 3)
        once = await recorder.end()
        assert await recorder.end() == once == await recorder.save()
        assert recorder.get_status() == "ended"
        assert recorder.device is None
        await recorder.record(second.append, 960)
        assert recorder.get_status() == "recording", "record opens the microphone by itself"
        await recorder.quit()
        await recorder.quit()
        await recorder.begin()
        assert await recorder.read() == b"", "a new recording begins empty"

    with_devices(scene)


def test_pause_hands_over_the_last_part(sound: Sound) -> None:
    async def scene(held: AsyncExitStack) -> None:
        recorder = await held.enter_async_context(WavRecorder())
        sizes: list[int] = []

        async def take(chunk: bytes) -> None:
            sizes.append(len(chunk))
            if len(sizes) == 2:
                await recorder.pause()

        await recorder.record(take, 1_000)
        await until(lambda: recorder.get_status() == "paused")
        with pytest.raises(ConfigError, match="even and positive"):
            await recorder.record(take, 7)
        await until(lambda: len(sizes) > 2)
        assert sizes[:2] == [1_000, 1_000]
        assert sum(sizes) == len(await recorder.read()), "nothing is lost at a pause, and nothing comes twice"

    with_devices(scene)


def test_a_handler_that_fails_stops_nothing(sound: Sound) -> None:
    async def scene(held: AsyncExitStack) -> None:
        recorder = await held.enter_async_context(WavRecorder(keep=False))
        calls: list[int] = []

        async def fail(chunk: bytes) -> None:
            calls.append(len(chunk))
            raise RuntimeError("no")

        await recorder.record(fail, 960)
        await until(lambda: len(calls) > 3)
        assert recorder.get_status() == "recording"
        with pytest.raises(ConfigError, match="keep=True"):
            await recorder.read()

    with_devices(scene)


def test_a_handler_that_hangs_costs_no_memory(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "BACKLOG_MS", 100)
    monkeypatch.setattr(recorder_module, "END_S", 0.1)

    async def scene(held: AsyncExitStack) -> None:
        recorder = WavRecorder(keep=False)
        held.push_async_callback(recorder.quit)

        async def hang(chunk: bytes) -> None:
            await asyncio.Event().wait()

        await recorder.record(hang, 960)
        await until(lambda: recorder.dropped_samples > 24 * 200)
        assert len(recorder._captured) <= 5
        assert len(recorder._pending) <= 24 * 2 * 200
        await recorder.end()
        assert recorder.get_status() == "ended"

    with_devices(scene)


def test_saving_while_recording_is_asked_for(sound: Sound) -> None:
    async def scene(held: AsyncExitStack) -> None:
        recorder = await held.enter_async_context(WavRecorder())
        await recorder.record()
        await until(lambda: recorder._stored > 9_600)
        with pytest.raises(ConfigError, match="still recording"):
            await recorder.save()
        assert (await recorder.save(force=True)).duration >= 0.2
        await recorder.clear()
        assert recorder._stored < 9_600
        assert recorder.get_status() == "recording"

    with_devices(scene)


def test_devices(sound: Sound) -> None:
    async def scene(held: AsyncExitStack) -> None:
        recorder = await held.enter_async_context(WavRecorder())
        found = await recorder.list_devices()
        assert found[0].default
        assert found[0].kind == "input"
        assert recorder.device == found[0]
        heard: asyncio.Queue[object] = asyncio.Queue()
        recorder.listen_for_device_change(heard.put_nowait)
        assert await heard.get() == found
        recorder.listen_for_device_change(None)
        recorder.listen_for_device_change(None)
        await recorder.begin(found[0].id)
        with pytest.raises(SoundDeviceError, match="there is no input device 'drum'"):
            await recorder.begin("drum")
        assert recorder.get_status() == "ended"
        await recorder.begin(found[0].name)
        assert recorder.get_status() == "paused"

    with_devices(scene)


def test_without_a_microphone(no_sound: None) -> None:
    async def scene(held: AsyncExitStack) -> None:
        recorder = WavRecorder()
        for _ in range(2):
            with pytest.raises(SoundDeviceError, match="microphone: this machine has no input device"):
                await recorder.begin()
            assert recorder.get_status() == "ended"
        with pytest.raises(SoundDeviceError, match=r"Call begin\(\) first"):
            recorder.get_frequencies()

    with_devices(scene)


def test_decode() -> None:
    pcm = sine(440, 100)
    same = WavRecorder.decode(pcm, 24_000, 24_000)
    assert same.values == pcm
    assert parse_wav(same.wav.data).data == pcm
    assert WavRecorder.decode(pack_wav(pcm)).values == pcm
    half = WavRecorder.decode(pcm, 12_000, 24_000)
    assert (half.wav.sample_rate, len(half.values)) == (12_000, len(pcm) // 2)
    floats = numpy.frombuffer(pcm, "<i2").astype("float32") / 32_768
    again = numpy.frombuffer(WavRecorder.decode(floats, 24_000, 24_000).values, "<i2").astype(int)
    assert abs(again - numpy.frombuffer(pcm, "<i2")).max() <= 1
    assert WavRecorder.decode([0.0, 1.0], 24_000, 24_000).values == b"\0\0\xff\x7f"
    with pytest.raises(ValueError, match="pass from_sample_rate"):
        WavRecorder.decode(pcm)
    with pytest.raises(ValueError, match="at least 3000"):
        WavRecorder.decode(pcm, 24_000, 2_999)
    with pytest.raises(ValueError, match="its own rate"):
        WavRecorder.decode(pack_wav(pcm), 24_000, 24_000)
    with pytest.raises(TypeError, match="not dict"):
        WavRecorder.decode({}, 24_000, 24_000)


def test_nothing_is_imported_before_it_is_used() -> None:
    script = (
        "import sys, duologue.audio as audio; audio.WavRecorder, audio.WavStreamPlayer, audio.WavPacker, audio.open_port;"
        "print([name for name in ('numpy', 'soxr', 'sounddevice') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_guides_program_records_and_plays(sound: Sound, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "guide" / "record.md"
    (program,) = re.findall(r"```python no-run\n(.*?)```", page.read_text(), re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert re.search(r"loudest note: .*\n[23]\.\d seconds, 24000 Hz", ran.stdout), ran
    assert parse_wav((tmp_path / "me.wav").read_bytes()).duration_ms > 2_000
