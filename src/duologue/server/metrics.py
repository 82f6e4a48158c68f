"""What a server does, for Prometheus, and for the log what was said where that was asked for."""

from __future__ import annotations

import logging
from functools import cache

from msgspec import json
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from duologue.server.runner import RealtimeServer
from duologue.server.tally import Meter, SessionReport, Spoken

session_log = logging.getLogger("duologue.sessions")
"""One JSON object a line. Never a key, and speech only where it was asked for."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIRST_AUDIO_SECONDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)


class Metrics(Meter):
    """Counts in a registry of its own, so that two servers in one process do not add up."""

    def __init__(self, *, log_speech: bool = False) -> None:
        self._log_speech = log_speech
        self._registry = registry = CollectorRegistry()
        received = Counter("duologue_events_received", "Client events.", ("type",), registry=registry)
        sent = Counter("duologue_events_sent", "Server events.", ("type",), registry=registry)
        self._received = cache(received.labels)  # looking labels up costs more than counting
        self._sent = cache(sent.labels)
        self._errors = Counter("duologue_errors", "Error events sent.", ("code",), registry=registry)
        self._responses = Counter("duologue_responses", "Responses that ended.", ("status",), registry=registry)
        self._failures = Counter("duologue_engine_failures", "Failures by engine.", ("engine",), registry=registry)
        self._ended = Counter("duologue_sessions_ended", "Sessions that ended.", ("dialect",), registry=registry)
        self._refused = Counter("duologue_refusals", "Connections refused.", ("code",), registry=registry)
        self._tokens = Counter("duologue_tokens", "Tokens of responses.", ("direction", "counted"), registry=registry)
        self._first_audio = Histogram(
            "duologue_first_audio_seconds",
            "From the end of the user's turn to the first sound of the answer.",
            buckets=FIRST_AUDIO_SECONDS,
            registry=registry,
        )
        self._sessions = Gauge("duologue_sessions", "Sessions open now.", registry=registry)
        self._inputs = Gauge("duologue_waiting_inputs", "Inputs that wait to be handled.", registry=registry)
        self._outbox = Gauge("duologue_waiting_bytes", "Bytes that clients have not taken yet.", registry=registry)

    def received(self, kind: str) -> None:
        """A client sent a well-formed event."""
        self._received(kind).inc()

    def sent(self, kind: str) -> None:
        """An event was sent to a client."""
        self._sent(kind).inc()

    def errored(self, code: str) -> None:
        """A client was sent an `error`."""
        self._errors.labels(code).inc()

    def refused(self, code: str) -> None:
        """A connection was refused."""
        self._refused.labels(code).inc()

    def responded(self, status: str) -> None:
        """A response ended."""
        self._responses.labels(status).inc()

    def failed(self, part: str) -> None:
        """An engine failed."""
        self._failures.labels(part).inc()

    def first_audio(self, seconds: float) -> None:
        """From the end of the user's turn to the first sound of the answer."""
        self._first_audio.observe(seconds)

    def spoke(self, spoken: Spoken) -> None:
        """The user or the model said something."""
        if self._log_speech:
            session_log.info(_line("speech", spoken))

    def ended(self, report: SessionReport) -> None:
        """A session is over."""
        self._ended.labels(report.dialect).inc()
        self._count("input", report.input_tokens, report.estimated_input_tokens)
        self._count("output", report.output_tokens, report.estimated_output_tokens)
        session_log.info(_line("session", report))

    def _count(self, direction: str, tokens: int, estimated: int) -> None:
        self._tokens.labels(direction, "by_engine").inc(tokens - estimated)
        self._tokens.labels(direction, "estimated").inc(estimated)

    def page(self, server: RealtimeServer) -> bytes:
        """Everything in Prometheus' text format."""
        waiting = server.waiting()
        self._sessions.set(server.sessions)
        self._inputs.set(waiting.inputs)
        self._outbox.set(waiting.outbox_bytes)
        return generate_latest(self._registry)


def _line(event: str, value: SessionReport | Spoken) -> str:
    return json.encode({"event": event, **{name: getattr(value, name) for name in value.__struct_fields__}}).decode()
