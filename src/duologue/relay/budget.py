"""What a call may cost: tokens and dollars against the session's bounds and the user's day. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from duologue.dialogue.cost import PriceTable, cost_of, transcription_cost
from duologue.protocol.responses import DurationUsage, TranscriptionUsage, Usage
from duologue.relay.commands import Allowance, Spent
from duologue.relay.settings import Limits


class Budget:
    """Counts what the upstream reports, and says when something is used up. `tokens` and `usd`: this call so far."""

    def __init__(self, limits: Limits, allowance: Allowance, prices: PriceTable) -> None:
        self.tokens = 0
        self.usd = 0.0
        self._limits = limits
        self._allowance = allowance
        self._prices = prices
        self._unpriced = False
        self._asked = False
        self._open: set[str] = set()

    def response(self, usage: Any, model: str) -> Spent | None:
        """`usage` of a `response.done`, as it stands on the wire."""
        read = _read(usage, Usage)
        if read is None:
            return None
        cost = cost_of(read, model, self._prices)
        return self._add(Spent(read, None if cost is None else cost.usd), max(read.total_tokens, 0))

    def transcript(self, usage: Any, model: str) -> Spent | None:
        """`usage` of a finished transcript, as it stands on the wire."""
        read: TranscriptionUsage | None = _read(usage, TranscriptionUsage)
        if read is None:
            return None
        tokens = 0 if isinstance(read, DurationUsage) else max(read.total_tokens, 0)
        return self._add(Spent(read, transcription_cost(read, model, self._prices)), tokens, must_price=False)

    def asked(self) -> None:
        """The caller has asked for a response."""
        self._asked = True

    def follow(self, event: dict[str, Any]) -> None:
        """Take note of an event of the upstream: which responses run."""
        kind, response = event.get("type"), event.get("response")
        if kind not in ("response.created", "response.done", "error"):
            return
        self._asked = False
        response_id = response.get("id") if isinstance(response, dict) else None
        if isinstance(response_id, str):
            (self._open.add if kind == "response.created" else self._open.discard)(response_id)

    @property
    def owes(self) -> bool:
        """True while a response runs whose cost counts against the user's day and is not known yet."""
        counts = self._allowance.tokens is not None or self._allowance.usd is not None
        return counts and (self._asked or bool(self._open))

    def allow(self, allowance: Allowance) -> None:
        """What the user has left has been counted anew."""
        self._allowance = allowance

    @property
    def used_up(self) -> str | None:
        """What is used up, in words for the caller; None while there is something of everything."""
        limits, left = self._limits, self._allowance
        if limits.tokens_per_session is not None and self.tokens >= limits.tokens_per_session:
            return "the tokens of this session"
        if limits.usd_per_session is not None and self.usd >= limits.usd_per_session:
            return "the budget of this session"
        if left.spent:
            return "the user's budget of today"
        if self._unpriced and (limits.usd_per_session is not None or left.usd is not None):
            return "a budget that cannot be kept, as this model has no price"
        return None

    def _add(self, spent: Spent, tokens: int, *, must_price: bool = True) -> Spent:
        self.tokens += tokens
        self.usd += spent.usd or 0.0
        self._unpriced = self._unpriced or (must_price and spent.usd is None and tokens > 0)
        left = self._allowance
        self._allowance = Allowance(
            tokens=None if left.tokens is None else left.tokens - tokens,
            usd=None if left.usd is None else left.usd - (spent.usd or 0.0),
        )
        return spent


def _read(usage: Any, kind: Any) -> Any:
    """None where an upstream reports something else, or nothing."""
    try:
        return None if usage is None else msgspec.convert(usage, kind)
    except msgspec.ValidationError:
        return None
