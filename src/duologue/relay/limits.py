"""Rates, in given time. Pure.

One number holds a bucket: the moment at which it would be full again. Taking something moves it on; it may lie at most
one bucketful ahead of now.
"""

from __future__ import annotations

from duologue.relay.settings import Limits

MINUTE_MS = 60_000.0
WEIGHT_BYTES = 16_384


class Bucket:
    """Lets `rate` per ms pass, and `burst` at once."""

    __slots__ = ("cost_ms", "full_at_ms", "span_ms")

    def __init__(self, *, rate_per_ms: float, burst: float) -> None:
        self.cost_ms = 1 / rate_per_ms
        self.span_ms = burst / rate_per_ms
        self.full_at_ms = float("-inf")

    def take(self, amount: float, now_ms: float) -> bool:
        """True if there is that much; then it is gone."""
        full_at = self.full_at_ms
        full_at = (full_at if full_at > now_ms else now_ms) + amount * self.cost_ms
        if full_at - now_ms > self.span_ms:
            return False
        self.full_at_ms = full_at
        return True


class Rates:
    """What a caller sends: events, milliseconds of sound, and how often it was refused."""

    def __init__(self, limits: Limits) -> None:
        self._events = Bucket(rate_per_ms=limits.events_per_s / 1000, burst=limits.events_burst)
        audio_ms = limits.audio_s_per_minute * 1000
        self._audio = Bucket(rate_per_ms=audio_ms / MINUTE_MS, burst=audio_ms)
        refusals = limits.refusals_per_minute
        self._refusals = Bucket(rate_per_ms=refusals / MINUTE_MS, burst=refusals)

    def event(self, size_bytes: int, now_ms: float) -> bool:
        """One more event that has to be parsed: may it pass? A large one counts as several, as it takes their time."""
        return self._events.take(1 + size_bytes // WEIGHT_BYTES, now_ms)

    def audio(self, audio_ms: float, now_ms: float) -> bool:
        """So much more sound: may it pass?"""
        return self._audio.take(audio_ms, now_ms)

    def sound_event(self, audio_ms: float, now_ms: float) -> bool:
        """Both at once; where one says no, neither is taken."""
        # As `take` twice, without the calls: this is asked for each 20 ms of each call.
        audio, events = self._audio, self._events
        audio_at, events_at = audio.full_at_ms, events.full_at_ms
        audio_at = (audio_at if audio_at > now_ms else now_ms) + audio_ms * audio.cost_ms
        events_at = (events_at if events_at > now_ms else now_ms) + events.cost_ms
        if audio_at - now_ms > audio.span_ms or events_at - now_ms > events.span_ms:
            return False
        audio.full_at_ms, events.full_at_ms = audio_at, events_at
        return True

    def refused(self, now_ms: float) -> bool:
        """One more refusal: False once there were too many."""
        return self._refusals.take(1, now_ms)
