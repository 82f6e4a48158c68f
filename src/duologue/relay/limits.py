"""Rates, in given time. Pure.

One number holds a bucket: the moment at which it would be full again. Taking something moves it on; it may lie at most
one bucketful ahead of now.
"""

from __future__ import annotations

from duologue.relay.settings import Limits

MINUTE_MS = 60_000.0
WEIGHT_BYTES = 16_384
AHEAD = 10
"""Sound is paid for so many events at once: to ask for each 20 ms of it would cost about as much as to judge it."""


class Bucket:
    """Lets `rate` per ms pass, and `burst` at once."""

    __slots__ = ("_cost_ms", "_full_at_ms", "_span_ms")

    def __init__(self, *, rate_per_ms: float, burst: float) -> None:
        self._cost_ms = 1 / rate_per_ms
        self._span_ms = burst / rate_per_ms
        self._full_at_ms = float("-inf")

    def take(self, amount: float, now_ms: float) -> bool:
        """True if there is that much; then it is gone."""
        full_at = self._full_at_ms
        full_at = (full_at if full_at > now_ms else now_ms) + amount * self._cost_ms
        if full_at - now_ms > self._span_ms:
            return False
        self._full_at_ms = full_at
        return True

    def give_back(self, amount: float) -> None:
        """What was taken is not used after all."""
        self._full_at_ms -= amount * self._cost_ms


class Rates:
    """What a caller sends: events, milliseconds of sound, and how often it was refused.

    `paid` events of exactly `paid_bytes` of sound may pass without asking; who lets one pass counts it down. Whatever else
    is asked for finds them given back.
    """

    def __init__(self, limits: Limits) -> None:
        self.paid = self.paid_bytes = 0
        self._paid_ms = 0.0
        self._events = Bucket(rate_per_ms=limits.events_per_s / 1000, burst=limits.events_burst)
        audio_ms = limits.audio_s_per_minute * 1000
        self._audio = Bucket(rate_per_ms=audio_ms / MINUTE_MS, burst=audio_ms)
        refusals = limits.refusals_per_minute
        self._refusals = Bucket(rate_per_ms=refusals / MINUTE_MS, burst=refusals)

    def event(self, size_bytes: int, now_ms: float) -> bool:
        """One more event that has to be parsed: may it pass? A large one counts as several, as it takes their time."""
        self.take_back()
        return self._events.take(1 + size_bytes // WEIGHT_BYTES, now_ms)

    def audio(self, audio_ms: float, now_ms: float) -> bool:
        """So much more sound: may it pass?"""
        self.take_back()
        return self._audio.take(audio_ms, now_ms)

    def sound(self, size_bytes: int, bytes_per_ms: float, now_ms: float, *, ahead: bool = False) -> bool:
        """An event of sound: may it pass? `ahead`: where there is room for it, pay for the next ones of its kind as well."""
        self.take_back()
        audio_ms = size_bytes / bytes_per_ms
        if ahead and self._takes(AHEAD, audio_ms, now_ms):
            self.paid, self.paid_bytes, self._paid_ms = AHEAD - 1, size_bytes, audio_ms
            return True
        return self._takes(1, audio_ms, now_ms)

    def take_back(self) -> None:
        """What was paid ahead and did not come."""
        if self.paid:
            self._events.give_back(self.paid)
            self._audio.give_back(self.paid * self._paid_ms)
            self.paid = 0

    def _takes(self, events: int, audio_ms: float, now_ms: float) -> bool:
        """So many events of so much sound each, or none at all."""
        if not self._audio.take(events * audio_ms, now_ms):
            return False
        if self._events.take(events, now_ms):
            return True
        self._audio.give_back(events * audio_ms)
        return False

    def refused(self, now_ms: float) -> bool:
        """One more refusal: False once there were too many."""
        return self._refusals.take(1, now_ms)
