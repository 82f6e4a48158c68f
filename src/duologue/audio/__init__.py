"""Sound: formats, files, spectrum, the machine's microphone and loudspeaker, and the ports that a conversation talks to.

Names load on first use, so that `import duologue.audio` costs little and needs no package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duologue.audio.device_port import DevicePort
    from duologue.audio.devices import Device, list_devices
    from duologue.audio.files import WavWriter
    from duologue.audio.line import DeviceEvent
    from duologue.audio.open import open_port
    from duologue.audio.packer import PackedWav, WavPacker
    from duologue.audio.player import TrackSampleOffset, WavStreamPlayer
    from duologue.audio.port import Heard, MediaPort
    from duologue.audio.recorder import WavRecorder
    from duologue.audio.resample import Resampler
    from duologue.audio.spectrum import Frequencies, frequencies_of
    from duologue.audio.track import StereoTrack
    from duologue.audio.wav import Wav, pack_wav, parse_wav
    from duologue.audio.wav_port import WavPort

__all__ = [
    "Device",
    "DeviceEvent",
    "DevicePort",
    "Frequencies",
    "Heard",
    "MediaPort",
    "PackedWav",
    "Resampler",
    "StereoTrack",
    "TrackSampleOffset",
    "Wav",
    "WavPacker",
    "WavPort",
    "WavRecorder",
    "WavStreamPlayer",
    "WavWriter",
    "frequencies_of",
    "list_devices",
    "open_port",
    "pack_wav",
    "parse_wav",
]

_HOMES = {
    "Device": "devices",
    "DeviceEvent": "line",
    "DevicePort": "device_port",
    "Frequencies": "spectrum",
    "Heard": "port",
    "MediaPort": "port",
    "PackedWav": "packer",
    "Resampler": "resample",
    "StereoTrack": "track",
    "TrackSampleOffset": "player",
    "Wav": "wav",
    "WavPacker": "packer",
    "WavPort": "wav_port",
    "WavRecorder": "recorder",
    "WavStreamPlayer": "player",
    "WavWriter": "files",
    "frequencies_of": "spectrum",
    "list_devices": "devices",
    "open_port": "open",
    "pack_wav": "wav",
    "parse_wav": "wav",
}


def __getattr__(name: str) -> Any:
    """Import the public `name` from its module."""
    if name in _HOMES:
        return getattr(import_module(f"duologue.audio.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'duologue.audio' has no attribute {name!r}")
