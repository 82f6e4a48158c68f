"""A speech detector that needs no package: loudness against a floor that follows the room.

Good on a quiet line and blind in noise; Silero is the one to talk to. Frame decisions are a pure function of the sound.
"""

from __future__ import annotations

import math

from duologue.audio.pcm16 import rms
from duologue.engines.base import SAMPLE_RATE_HZ

_FRAME_MS = 20
_FRAME_BYTES = SAMPLE_RATE_HZ * 2 * _FRAME_MS // 1000
_QUIETEST_DB = -60.0
_SPEECH_ABOVE_DB = 12.0
_RISE_DB = 0.05
"""How fast the floor follows a louder room, per frame: 2.5 dB a second, so that a long sentence stays above it."""


class EnergyVad:
    """Probability by level above the adaptive floor: 0.5 at 12 dB, near 0 at 6 dB and near 1 at 18 dB."""

    name = "energy"
    frame_ms = _FRAME_MS

    async def start(self) -> None:
        """Nothing to prepare."""

    async def close(self) -> None:
        """Nothing to stop."""

    def open(self) -> EnergyStream:
        return EnergyStream()


class EnergyStream:
    """One session's detector."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._floor_db = _QUIETEST_DB

    def feed(self, audio: bytes) -> list[float]:
        self._pending += audio
        whole = len(self._pending) - len(self._pending) % _FRAME_BYTES
        frames = [bytes(self._pending[at : at + _FRAME_BYTES]) for at in range(0, whole, _FRAME_BYTES)]
        del self._pending[:whole]
        return [self._judge(frame) for frame in frames]

    def _judge(self, frame: bytes) -> float:
        level_db = max(20 * math.log10(max(rms(frame), 1e-6)), _QUIETEST_DB)
        self._floor_db = min(self._floor_db + _RISE_DB, level_db)
        return 1 / (1 + math.exp(_SPEECH_ABOVE_DB / 2 - (level_db - self._floor_db) / 2))
