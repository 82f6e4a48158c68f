"""Noise reduction between arrival and buffer. Pure: the filter is state in, state out.

The buffer holds what was filtered, so that turn detection, the recognizer and who retrieves an item all hear one sound.
Everything that comes in comes out, sample for sample: a filter that is switched or settled gives back what it held.
"""

from __future__ import annotations

from duologue.engines.base import Field, NoiseFilter, NoiseReducer
from duologue.errors import ProtocolError
from duologue.protocol.session import AnySession, NoiseReduction
from duologue.server import config

PARAM = "session.audio.input.noise_reduction"


class Cleaning:
    """One session's sound on its way through the filter that its settings ask for."""

    def __init__(self, reducer: NoiseReducer | None) -> None:
        self._reducer = reducer
        self._field: Field | None = None
        self._filter: NoiseFilter | None = None

    def configure(self, session: AnySession) -> bytes:
        """Take the session's settings; returns what another filter held until now."""
        wanted = field_of(session)
        if wanted == self._field:
            return b""
        held = self.settle()
        self._field = wanted
        self._filter = self._reducer.open(wanted) if self._reducer and wanted else None
        return held

    def feed(self, audio: bytes) -> bytes:
        """What is ready of all sound so far: whole samples of PCM16, 24 kHz, mono, in and out."""
        return self._filter.feed(audio) if self._filter else audio

    def settle(self) -> bytes:
        """All that is held back: the sound ends here, or somebody wants it now."""
        return self._filter.flush() if self._filter else b""


def field_of(session: AnySession) -> Field | None:
    """The noise reduction that the session asks for."""
    wanted = config.input_settings(session).noise_reduction
    if not isinstance(wanted, NoiseReduction):
        return None
    return "far_field" if wanted.type == "far_field" else "near_field"


def refuse_noise_reduction(reducer: NoiseReducer | None, session: AnySession) -> None:
    """Where there is no engine for it. Raises ProtocolError."""
    if reducer is None and field_of(session) is not None:
        raise ProtocolError(
            "This server cannot reduce noise: webrtc-noise-gain is not installed. "
            "Run: pip install 'duologue[noise]' (Linux and macOS; it has no build for Windows)",
            code="invalid_value",
            param=PARAM,
        )
