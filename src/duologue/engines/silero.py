"""The embedded speech detector: Silero VAD on numpy, its weights in the package; no process and no download."""

from __future__ import annotations

from duologue.audio.pcm16 import FULL_SCALE
from duologue.audio.resample import Resampler
from duologue.engines.base import SAMPLE_RATE_HZ
from duologue.engines.silero_model import FRAME_SAMPLES, RATE_HZ, SileroModel, shared_weights
from duologue.errors import MissingExtra

_FRAME_BYTES = 2 * FRAME_SAMPLES


class SileroVad:
    """Frames of 32 ms. `start` and `open` raise MissingExtra where numpy or soxr is not installed."""

    name = "silero"
    frame_ms = 32

    async def start(self) -> None:
        self.open().feed(bytes(2 * _FRAME_BYTES))  # the first frame loads the weights and numpy's transform

    async def close(self) -> None:
        """Nothing is held."""

    def open(self) -> SileroStream:
        return SileroStream()


class SileroStream:
    """One session's detector.

    The resampler holds back up to 13 ms at the edge of what was fed, so the newest frame is judged with the chunk after
    it; the position of frames in the sound is exact.
    """

    def __init__(self) -> None:
        self._resampler = Resampler(SAMPLE_RATE_HZ, RATE_HZ)
        try:
            self._model = SileroModel(shared_weights())
        except ImportError as error:
            raise MissingExtra("numpy", "server") from error
        self._half_sample = b""
        self._pending = bytearray()

    def feed(self, audio: bytes) -> list[float]:
        import numpy

        audio = self._half_sample + audio
        whole = len(audio) - len(audio) % 2
        self._half_sample = audio[whole:]
        self._pending += self._resampler.feed(audio[:whole])
        probabilities = []
        while len(self._pending) >= _FRAME_BYTES:
            samples = numpy.frombuffer(bytes(self._pending[:_FRAME_BYTES]), dtype="<i2")
            del self._pending[:_FRAME_BYTES]
            probabilities.append(self._model.process(samples * numpy.float32(1 / FULL_SCALE)))
        return probabilities
