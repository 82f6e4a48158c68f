"""The rate limit of a session: tokens are spent by responses and come back evenly."""

from __future__ import annotations

from math import ceil

from duologue.protocol.responses import RateLimit

MINUTE_MS = 60_000


class TokenBucket:
    """Holds at most `limit` tokens, refilled at `limit` a minute. Spending may overdraw: a response ends as it ends."""

    def __init__(self, limit: int, now_ms: int) -> None:
        self.limit = limit
        self._level = float(limit)
        self._at_ms = now_ms

    def spend(self, tokens: int, now_ms: int) -> None:
        """Take tokens out."""
        self._refill(now_ms)
        self._level -= tokens

    def empty_for_s(self, now_ms: int) -> float:
        """Seconds until there is a token again, 0.0 where there is one."""
        self._refill(now_ms)
        return 0.0 if self._level >= 1 else round((1 - self._level) * MINUTE_MS / self.limit / 1000, 3)

    def report(self, now_ms: int) -> RateLimit:
        """The limit as the wire shows it; `reset_seconds` until the bucket is full."""
        self._refill(now_ms)
        missing = ceil(self.limit - self._level)
        return RateLimit(
            name="tokens",
            limit=self.limit,
            remaining=max(0, self.limit - missing),
            reset_seconds=round(missing * MINUTE_MS / self.limit / 1000, 3),
        )

    def _refill(self, now_ms: int) -> None:
        gained = (now_ms - self._at_ms) * self.limit / MINUTE_MS
        self._level, self._at_ms = min(float(self.limit), self._level + gained), now_ms
