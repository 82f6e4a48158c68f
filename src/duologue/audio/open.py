"""The best port this machine offers: its devices, or files and silence in their place, with a word that says which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from duologue.audio.device_port import DevicePort
from duologue.audio.line import DeviceEvent
from duologue.audio.port import MediaPort
from duologue.audio.wav_port import SplitPort, WavPort
from duologue.errors import MissingExtra, SoundDeviceError


async def open_port(
    *,
    wav_in: str | Path | None = None,
    wav_out: str | Path | None = None,
    microphone: str | None = None,
    loudspeaker: str | None = None,
    spare_in: str | Path | bytes | None = None,
    record_to: str | Path | None = None,
    tail_ms: int | None = None,
    on_event: Callable[[DeviceEvent], Any] | None = None,
) -> tuple[MediaPort, str]:
    """A port, and one line for people on what it is.

    A path in `wav_in` or `wav_out` stands for the microphone or the loudspeaker. Without a path the device is opened (None:
    the default one); where there is none, `spare_in` (a WAV file, or silence) is heard instead, and nobody hears the
    answer. A file is followed by silence, without end or for `tail_ms`. `record_to` takes both sides in stereo, where
    devices or files serve both. PCM16 mono at 24 kHz, in real time.

    Raises OSError and ValueError for a file that cannot be used, SoundDeviceError for a device that was named and cannot.
    """
    listen, speak = wav_in is None, wav_out is None
    notes = []
    device: DevicePort | None = None
    while device is None and (listen or speak):
        both = record_to if listen and speak else None
        try:
            device = await DevicePort.open(
                listen=listen,
                speak=speak,
                microphone=microphone,
                loudspeaker=loudspeaker,
                record_to=both,
                on_event=on_event,
            )
        except (SoundDeviceError, MissingExtra) as problem:
            if microphone is not None or loudspeaker is not None:
                raise
            notes.append(str(problem))
            failed = getattr(problem, "kind", "")
            listen, speak = listen and failed == "output", speak and failed == "input"
    if device is None:
        source = wav_in if wav_in is not None else spare_in
        return WavPort(source, wav_out, record_to=record_to, tail_ms=tail_ms), _note(notes, source, wav_out)
    if listen and speak:
        return device, "talking through the microphone and the loudspeaker"
    if record_to is not None:
        notes.append("no recording: it needs the microphone and the loudspeaker, or two files")
    try:
        if listen:
            return SplitPort(device, WavPort(None, wav_out)), _note(notes, "the microphone", wav_out)
        source = wav_in if wav_in is not None else spare_in
        return SplitPort(WavPort(source, tail_ms=tail_ms), device), _note(notes, source, "the loudspeaker")
    except BaseException:
        await device.close()
        raise


def _note(notes: list[str], source: object, sink: object) -> str:
    heard = "silence" if source is None else "a sound at hand" if isinstance(source, bytes) else str(source)
    where = "nobody hears the answer" if sink is None else f"the answer goes to {sink}"
    return " · ".join([*notes, f"listening to {heard}; {where}"])
