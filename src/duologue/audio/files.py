"""WAV files written while the sound goes on, with a header that is right at every second, and at the end."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from duologue.audio.pcm16 import Buffer
from duologue.audio.spec import AudioSpec
from duologue.audio.wav import wav_header


class WavWriter:
    """Writes PCM16 to a new file at `path` (one that exists is replaced).

    The sizes in the header are brought up to date with each second of sound: after a crash, players that trust the header
    miss less than a second. `close` makes them exact; a second call does nothing. Raises OSError.
    """

    def __init__(self, path: str | Path, *, rate_hz: int = 24_000, channels: int = 1) -> None:
        self.path = Path(path)
        self.spec = AudioSpec(rate_hz=rate_hz, channels=channels)
        self._file = self.path.open("wb")
        self._size = self._told = 0
        self._file.write(wav_header(self.spec, 0))
        self._file.flush()

    @property
    def duration_ms(self) -> int:
        return self.spec.ms_in(self._size)

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, pcm: Buffer) -> None:
        """Append whole frames. Raises ValueError on part of a frame, and after `close`."""
        if len(pcm) % self.spec.frame_bytes:
            raise ValueError(f"{len(pcm)} bytes do not hold whole frames of {self.spec.channels} 16-bit channels")
        self._file.write(pcm)
        self._size += len(pcm)
        if self._size - self._told >= self.spec.bytes_per_second:
            self._tell()

    def close(self) -> None:
        if not self._file.closed:
            try:
                self._tell()
            finally:
                self._file.close()

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self) -> None:
        # The sound reaches the system before the header that speaks of it.
        self._file.flush()
        self._file.seek(0)
        self._file.write(wav_header(self.spec, self._size))
        self._file.seek(0, 2)
        self._file.flush()
        self._told = self._size
