"""Noise reduction by the suppressor of WebRTC's audio processing (webrtc-noise-gain): no model, 9 µs for 10 ms."""

from __future__ import annotations

import importlib.util
from typing import Any

from duologue.audio.resample import Resampler
from duologue.engines.base import SAMPLE_RATE_HZ, Field
from duologue.errors import MissingExtra

_RATE_HZ = 16_000
_BLOCK_BYTES = 2 * _RATE_HZ // 100
_DELAY_BYTES = 2 * 96
"""The suppressor works on overlapping windows: its output comes 6 ms after its input."""
_NO_GAIN = 0
LEVELS: dict[Field, int] = {"near_field": 2, "far_field": 4}
"""By at most 12 and 21 dB: a microphone far away hears more of the room; a gentle filter keeps more of a near voice."""


class WebrtcNoiseReducer:
    """The filter hears up to 8 kHz; what is above, no recognizer listens to."""

    name = "webrtc"

    async def start(self) -> None:
        if not installed():
            raise MissingExtra("webrtc-noise-gain", "noise")
        self.open("near_field")

    async def close(self) -> None:
        """Nothing is held."""

    def open(self, field: Field) -> WebrtcNoiseFilter:
        """Raises MissingExtra where the package, numpy or soxr is not installed."""
        return WebrtcNoiseFilter(field)


class WebrtcNoiseFilter:
    """One session's filter. It holds back up to 45 ms; the delay of its parts is taken out, so no sample moves."""

    def __init__(self, field: Field) -> None:
        try:
            from webrtc_noise_gain import AudioProcessor
        except ImportError as error:
            raise MissingExtra("webrtc-noise-gain", "noise") from error
        self._suppressor: Any = AudioProcessor(_NO_GAIN, LEVELS[field])
        self._down = Resampler(SAMPLE_RATE_HZ, _RATE_HZ)
        self._up = Resampler(_RATE_HZ, SAMPLE_RATE_HZ)
        self._restart()

    def feed(self, audio: bytes) -> bytes:
        self._owed += len(audio)
        return self._pay(self._up.feed(self._suppress(self._down.feed(audio))))

    def flush(self) -> bytes:
        if not self._owed:
            return b""
        # The filter goes on with silence until all is out; what it knows of the noise it keeps.
        tail = self._down.flush() + bytes(_DELAY_BYTES + _BLOCK_BYTES)
        paid = self._pay(self._up.feed(self._suppress(tail)) + self._up.flush())
        paid += bytes(self._owed)
        self._restart()
        return paid

    def _restart(self) -> None:
        self._owed = 0
        """Bytes that were fed and have not come out."""
        self._pending = b""
        self._early = _DELAY_BYTES

    def _suppress(self, sound: bytes) -> bytes:
        sound = self._pending + sound
        whole = len(sound) - len(sound) % _BLOCK_BYTES
        self._pending = sound[whole:]
        done = b"".join(
            self._suppressor.Process10ms(sound[at : at + _BLOCK_BYTES]).audio for at in range(0, whole, _BLOCK_BYTES)
        )
        early = min(self._early, len(done))
        self._early -= early
        return done[early:]

    def _pay(self, sound: bytes) -> bytes:
        sound = sound[: self._owed]
        self._owed -= len(sound)
        return sound


def installed() -> bool:
    """Whether the package is there, without loading it."""
    return importlib.util.find_spec("webrtc_noise_gain") is not None
