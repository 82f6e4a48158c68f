"""WAV files of 16-bit PCM, bytes in and bytes out. Pure.

Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF); WAVE_FORMAT_EXTENSIBLE.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from duologue.audio.pcm16 import Buffer, mono
from duologue.audio.spec import AudioSpec

_PCM = 1
_EXTENSIBLE = 0xFFFE
_OTHER_FORMATS = {3: "32-bit float", 6: "A-law", 7: "µ-law", 17: "ADPCM", 85: "MP3"}
_LARGEST = 0xFFFFFFFF - 36


class Wav(Struct, frozen=True, kw_only=True):
    """A parsed file: PCM16 with channels interleaved, whole frames only."""

    spec: AudioSpec
    data: bytes

    @property
    def duration_ms(self) -> int:
        return self.spec.ms_in(len(self.data))

    def mono(self) -> bytes:
        """All channels averaged to one."""
        return mono(self.data, self.spec.channels)


def pack_wav(data: Buffer, *, rate_hz: int = 24_000, channels: int = 1) -> bytes:
    """A WAV file of PCM16 `data`. Raises ValueError on a partial frame and beyond the 4 GiB of the format."""
    spec = AudioSpec(rate_hz=rate_hz, channels=channels)
    if len(data) % spec.frame_bytes:
        raise ValueError(f"{len(data)} bytes do not hold whole frames of {channels} 16-bit channels")
    if len(data) > _LARGEST:
        raise ValueError(f"a WAV file holds at most {_LARGEST} bytes of sound, not {len(data)}")
    return b"".join((wav_header(spec, len(data)), data))


def wav_header(spec: AudioSpec, data_bytes: int) -> bytes:
    """The 44 bytes before `data_bytes` of PCM16. Beyond the 4 GiB of the format the sizes say "to the end of the file"."""
    fits = data_bytes <= _LARGEST
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + data_bytes if fits else 0xFFFFFFFF, b"WAVE"),
        *(b"fmt ", 16, _PCM, spec.channels, spec.rate_hz, spec.bytes_per_second, spec.frame_bytes, 16),
        *(b"data", data_bytes if fits else 0xFFFFFFFF),
    )


def parse_wav(file: Buffer) -> Wav:
    """Read a WAV file of 16-bit PCM.

    Chunks other than `fmt ` and `data` are skipped; a `data` size beyond the end (a stream's 0xFFFFFFFF, a cut file) or a
    trailing part of a frame is no error. Raises ValueError, saying what is wrong, for all else.
    """
    view = memoryview(file)
    if len(view) < 12 or bytes(view[:4]) != b"RIFF" or bytes(view[8:12]) != b"WAVE":
        raise ValueError("not a WAV file: it does not begin with RIFF and WAVE")
    spec: AudioSpec | None = None
    at = 12
    while at + 8 <= len(view):
        name, size = struct.unpack_from("<4sI", view, at)
        body = view[at + 8 : at + 8 + size]
        if name == b"fmt ":
            spec = _parse_format(body)
        elif name == b"data":
            if spec is None:
                raise ValueError("WAV file has its data before its format")
            return Wav(spec=spec, data=bytes(body[: len(body) - len(body) % spec.frame_bytes]))
        at += 8 + size + size % 2
    raise ValueError("WAV file has no data" if spec else "WAV file has no format")


def _parse_format(body: memoryview) -> AudioSpec:
    if len(body) < 16:
        raise ValueError(f"WAV format chunk has {len(body)} bytes instead of 16 or more")
    kind, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    if kind == _EXTENSIBLE and len(body) >= 26:
        (kind,) = struct.unpack_from("<H", body, 24)
    if kind != _PCM or bits != 16:
        name = f"{bits}-bit PCM" if kind == _PCM else _OTHER_FORMATS.get(kind, f"format {kind}")
        raise ValueError(f"WAV file holds {name}; only 16-bit PCM can be read")
    if not channels or not rate_hz or frame_bytes != 2 * channels:
        raise ValueError(
            f"WAV format contradicts itself: {channels} channels, {rate_hz} Hz, {frame_bytes} bytes a frame"
        )
    return AudioSpec(rate_hz=rate_hz, channels=channels)
