"""Scenes in which the only sound card goes away, each to be run in a process of its own: `python unplugging.py SCENE`.

PortAudio's thread may spin on a device that vanished, and write millions of lines to stderr while it does: the process that
this happens in has to end, and nobody may keep what it writes.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from soundcard import Sound
from tones import sine, until, with_devices

from duologue.audio.line import DeviceEvent
from duologue.audio.player import WavStreamPlayer
from duologue.audio.recorder import WavRecorder


async def loudspeaker(sound: Sound, held: AsyncExitStack) -> None:
    """It plays on where it was, on the card that comes back."""
    events: asyncio.Queue[DeviceEvent] = asyncio.Queue()
    player = await held.enter_async_context(WavStreamPlayer(on_event=events.put_nowait))
    player.add_16bit_pcm(sine(500, 60_000), "long")
    await until(lambda: player.played_samples("long") >= 2_400)
    await asyncio.to_thread(sound.unplug)
    assert (await events.get()).event == "lost"
    reached = player.played_samples("long")
    assert player.device is None
    await asyncio.to_thread(sound.plug)
    assert (await events.get()).event == "back"
    await until(lambda: player.played_samples("long") > reached)
    assert player.played_samples("long") < 24 * 60_000


async def microphone(sound: Sound, held: AsyncExitStack) -> None:
    """It goes on recording, on the card that comes back."""
    events: asyncio.Queue[DeviceEvent] = asyncio.Queue()
    chunks: list[bytes] = []
    recorder = await held.enter_async_context(WavRecorder(on_event=events.put_nowait))
    await recorder.record(chunks.append, 960)
    await until(lambda: len(chunks) > 5)
    await asyncio.to_thread(sound.unplug)
    lost = await events.get()
    assert (lost.event, lost.kind) == ("lost", "input")
    assert recorder.device is None
    assert recorder.get_status() == "recording"
    await asyncio.to_thread(sound.plug)
    assert (await events.get()).event == "back"
    count = len(chunks)
    await until(lambda: len(chunks) > count + 5)


async def for_good(sound: Sound, held: AsyncExitStack) -> None:
    """Closing while there is nothing to close."""
    events: asyncio.Queue[DeviceEvent] = asyncio.Queue()
    recorder = await held.enter_async_context(WavRecorder(on_event=events.put_nowait))
    player = await held.enter_async_context(WavStreamPlayer(on_event=events.put_nowait))
    await recorder.begin()
    player.add_16bit_pcm(sine(500, 60_000))
    await asyncio.to_thread(sound.unplug)
    assert {(await events.get()).kind, (await events.get()).kind} == {"input", "output"}
    await recorder.end()
    await player.close()
    assert recorder.get_status() == "ended"


SCENES = {scene.__name__: scene for scene in (loudspeaker, microphone, for_good)}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="duologue-sound-") as folder:
        sound = Sound(Path(folder))
        try:
            os.environ.update(sound.env)
            with_devices(lambda held: SCENES[sys.argv[1]](sound, held))
        finally:
            sound.stop()
    print("held", flush=True)
    os._exit(0)  # PortAudio's thread may not let the process end by itself


if __name__ == "__main__":
    main()
