"""Streaming sample rate conversion of mono PCM16, on soxr. Pure: state in, state out."""

from __future__ import annotations

from typing import Any, Literal

from duologue.audio.pcm16 import Buffer
from duologue.errors import MissingExtra

Quality = Literal["QQ", "LQ", "MQ", "HQ"]


class Resampler:
    """Converts one stream from `from_hz` to `to_hz`; how it is cut into chunks does not change the samples.

    `LQ` holds back up to 13 ms and is right for speech; `QQ` (cubic) holds back least and lets aliases through.
    Equal rates pass through. Raises MissingExtra where numpy or soxr is not installed.
    """

    def __init__(self, from_hz: int, to_hz: int, *, quality: Quality = "LQ") -> None:
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._quality = quality
        self._stream = None if from_hz == to_hz else _stream(from_hz, to_hz, quality)

    def feed(self, data: Buffer) -> bytes:
        """The samples that `data` completed; may be empty. Raises ValueError on an odd number of bytes."""
        return self._convert(data, last=False)

    def flush(self) -> bytes:
        """What was held back; afterwards the resampler starts a new stream."""
        tail = self._convert(b"", last=True)
        if self._stream is not None:
            self._stream.clear()
        return tail

    def _convert(self, data: Buffer, *, last: bool) -> bytes:
        if len(data) % 2:
            raise ValueError(f"16-bit PCM has an even number of bytes, not {len(data)}")
        if self._stream is None:
            return bytes(data)
        import numpy

        values = numpy.frombuffer(data, dtype="<i2").astype(numpy.float32)
        # Rounded here and not by soxr, whose 16-bit output is dithered: the same sound would never convert twice alike.
        converted = numpy.rint(self._stream.resample_chunk(values, last=last)).clip(-32_768, 32_767)
        return bytes(converted.astype("<i2").tobytes())


def resample(data: Buffer, from_hz: int, to_hz: int) -> bytes:
    """A whole mono PCM16 recording converted at high quality; its length is that of the original, in time."""
    resampler = Resampler(from_hz, to_hz, quality="HQ")
    return resampler.feed(data) + resampler.flush()


def _stream(from_hz: int, to_hz: int, quality: Quality) -> Any:
    try:
        import numpy  # noqa: F401
        import soxr
    except ImportError as error:
        raise MissingExtra(error.name or "soxr", "server", "mic") from error
    return soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality=quality)
