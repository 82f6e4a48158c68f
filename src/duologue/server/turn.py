"""When the user speaks and when the turn is over, counted in audio time only.

Frames of speech probability in, edges out. A caller that uploads faster than real time gets the same turns.
"""

from __future__ import annotations

from msgspec import UNSET, Struct

from duologue.protocol.session import Eagerness, SemanticVad, ServerVad, TurnDetection
from duologue.server.endpoint import FIRST_JUDGEMENT_MS, next_judgement_ms, wait_ms

MIN_SPEECH_MS = 60
"""Shorter bursts are clicks, not speech."""
BARGE_IN_MS = 160
"""While the assistant speaks, this much speech is needed: a click, a breath or a cough does not interrupt it."""
BARGE_IN_GAP_MS = 64
"""So long a gap (the closure of a consonant) does not begin that count anew."""
HYSTERESIS = 0.15
"""Speech goes on until the probability falls this far below the threshold."""


class SpeechStarted(Struct, frozen=True, kw_only=True):
    """Speech began at `audio_ms`, padding not included."""

    audio_ms: int


class SpeechStopped(Struct, frozen=True, kw_only=True):
    """The turn ended at `audio_ms`, the silence that proved it included."""

    audio_ms: int


Edge = SpeechStarted | SpeechStopped


class TurnDetector:
    """Follows one session's frames; `origin_ms` is the audio position of frame 0, `speaking` if it is in mid-speech."""

    def __init__(self, settings: TurnDetection, *, origin_ms: int, frame_ms: int, speaking: bool = False) -> None:
        self._frame_ms = frame_ms
        self._now_ms = origin_ms
        self._speaking = speaking
        self._run_ms = 0
        self._began_ms = origin_ms
        self._gap_ms = 0
        self._silence_ms = 0
        self._eagerness: Eagerness | None = None
        self._judge_at_ms = FIRST_JUDGEMENT_MS
        self._score: float | None = None
        self.adjust(settings)

    def adjust(self, settings: TurnDetection) -> None:
        """Take new settings from the next frame on; an open speech stays open."""
        match settings:
            case ServerVad():
                self._eagerness = None
                self._threshold = 0.5 if settings.threshold is UNSET else settings.threshold
                silence = settings.silence_duration_ms
                self._silence_limit_ms = 200 if silence is UNSET else silence
            case SemanticVad():
                self._threshold = 0.5
                self._eagerness = settings.eagerness or "auto"
                self._silence_limit_ms = wait_ms(self._score, self._eagerness)

    @property
    def speaking(self) -> bool:
        """Whether a speech is open."""
        return self._speaking

    @property
    def position_ms(self) -> int:
        """How far the sound has been judged."""
        return self._now_ms

    @property
    def wants_judgement(self) -> bool:
        """Whether somebody should judge just now if the user has finished: in a pause, a few times."""
        return self._eagerness is not None and self._speaking and self._silence_ms >= self._judge_at_ms

    def judgement_asked(self) -> None:
        """It is being judged."""
        self._judge_at_ms = next_judgement_ms(self._silence_ms)

    def judged(self, score: float | None) -> None:
        """How likely the user has finished, None where nobody can tell. It holds until the pause is over."""
        if self._eagerness is not None and self._speaking and self._silence_ms:
            self._score = score
            self._silence_limit_ms = wait_ms(score, self._eagerness)

    def frame(self, probability: float, *, over_speech: bool = False) -> Edge | None:
        """Judge the next frame; at most one edge. `over_speech`: the assistant is heard speaking just now."""
        self._now_ms += self._frame_ms
        if self._speaking:
            return self._listen_for_end(probability)
        if probability < self._threshold:
            self._gap_ms += self._frame_ms
            if not over_speech or self._gap_ms > BARGE_IN_GAP_MS:
                self._run_ms = 0
            return None
        if not self._run_ms:
            self._began_ms = self._now_ms - self._frame_ms
        self._run_ms, self._gap_ms = self._run_ms + self._frame_ms, 0
        if self._run_ms < (BARGE_IN_MS if over_speech else MIN_SPEECH_MS):
            return None
        self._speaking = True
        self._speech_goes_on()
        return SpeechStarted(audio_ms=self._began_ms)

    def _listen_for_end(self, probability: float) -> Edge | None:
        if probability >= self._threshold - HYSTERESIS:
            self._speech_goes_on()
            return None
        self._silence_ms += self._frame_ms
        if self._silence_ms < self._silence_limit_ms:
            return None
        self.end_speech()
        return SpeechStopped(audio_ms=self._now_ms)

    def _speech_goes_on(self) -> None:
        self._silence_ms, self._judge_at_ms = 0, FIRST_JUDGEMENT_MS
        if self._eagerness is not None and self._score is not None:
            self._score, self._silence_limit_ms = None, wait_ms(None, self._eagerness)

    def end_speech(self) -> None:
        """Forget the open speech without an edge: its sound was committed or cleared by hand."""
        self._speaking, self._run_ms = False, 0
