"""What a relay does, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from duologue.relay.call import Report
from duologue.relay.spend import Spending

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CALL_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600)


class Metrics:
    """Counts in a registry of its own. Nothing is counted while an event passes: calls count, and add up at their end."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._calls = Gauge("duologue_relay_calls", "Calls that run now.", registry=registry)
        self._ended = Counter("duologue_relay_calls_ended", "Calls that ended.", ("by", "code"), registry=registry)
        self._refused = Counter("duologue_relay_refusals", "Connections refused.", ("code",), registry=registry)
        self._events = Counter("duologue_relay_events", "Events of ended calls.", ("source",), registry=registry)
        self._seconds = Histogram(
            "duologue_relay_call_seconds", "Length of calls.", buckets=CALL_SECONDS, registry=registry
        )
        self._tokens = Counter("duologue_relay_tokens", "Tokens that the upstream reported.", registry=registry)
        self._usd = Counter("duologue_relay_usd", "Dollars that they cost.", registry=registry)

    def began(self) -> None:
        """A call has begun."""
        self._calls.inc()

    def refused(self, code: str) -> None:
        """A connection was refused."""
        self._refused.labels(code).inc()

    def spent(self, spending: Spending) -> None:
        """A call has cost something."""
        self._tokens.inc(spending.tokens)
        self._usd.inc(max(spending.usd, 0.0))

    def over(self, report: Report) -> None:
        """A call has ended. Close codes of peers are theirs to choose: only the usual ones get a number of their own."""
        code = str(report.code) if 1000 <= report.code <= 1015 or report.code in (3000, 4000) else "other"
        self._calls.dec()
        self._ended.labels(report.by, code).inc()
        self._events.labels("caller").inc(report.from_caller)
        self._events.labels("upstream").inc(report.from_upstream)
        self._seconds.observe(report.seconds)

    def page(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
