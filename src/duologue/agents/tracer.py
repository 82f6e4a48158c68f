"""Traces a session as it runs: hands what happens, and the time, to the machine, and tells of its spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duologue.agents.effects import CheckInput, CheckOutput
from duologue.agents.events import SessionEvent, SpanChanged
from duologue.agents.span import Kind, Span, Status, Value
from duologue.agents.tracing import Tracing
from duologue.client.client import RealtimeClient
from duologue.ids import random_id

if TYPE_CHECKING:
    from duologue.agents.session import RealtimeSession


class Tracer:
    """One connected session's. Does nothing where tracing is disabled."""

    def __init__(self, client: RealtimeClient, session: RealtimeSession) -> None:
        settings = session.settings
        self._client = client
        self._session = session
        self._wire: Any = None
        self._tracing: Tracing | None = None
        if not settings.tracing_disabled:
            self._tracing = Tracing(
                random_id("trace"), content=settings.trace_content, played_there=session.link.sound_elsewhere
            )
            client.on("_session", self._knows)

    @property
    def spans(self) -> tuple[Span, ...]:
        """All that are kept."""
        return self._tracing.spans if self._tracing is not None else ()

    def begin(self) -> None:
        """The session is open. Its span has the names of the provider's trace."""
        settings = self._session.settings
        found: dict[str, Any] = {
            "agent": self._session.current_agent.name,
            "call_id": self._session.link.call_id,
            "workflow_name": settings.workflow_name,
            "group_id": settings.group_id,
            **{f"metadata.{name}": str(value) for name, value in settings.trace_metadata.items()},
        }
        attributes = _named(found)
        self._do(lambda it, now_ms: it.begin(settings.workflow_name or "session", attributes, now_ms))

    def end(self, reason: str, *, clean: bool) -> None:
        """It is over."""
        status: Status = "ok" if clean else "failed"
        totals, wire = self._client.usage, self._wire
        found = _named(
            {"model": getattr(wire, "model", None), "session_id": getattr(wire, "id", None), "reason": reason}
        )
        self._do(lambda it, now_ms: it.end(status, now_ms, **found, cost_usd=totals.usd))

    def _knows(self, wire: Any) -> None:
        self._wire = wire

    def told(self, event: SessionEvent) -> None:
        """The application is told something."""
        if self._tracing is not None and self._tracing.wants(event):
            self._do(lambda it, now_ms: it.told(event, now_ms))

    def typed(self) -> None:
        """The user typed something that wants an answer."""
        self._do(lambda it, now_ms: it.typed(now_ms))

    def wished(self) -> None:
        """A tool was called, or an answer asked for."""
        if self._tracing is not None:
            self._tracing.wished()

    def check_began(self, wanted: CheckOutput | CheckInput) -> None:
        """Guardrails begin to look."""
        response_id = wanted.check.response_id if isinstance(wanted, CheckOutput) else ""
        guards = wanted.cast.output_guardrails if isinstance(wanted, CheckOutput) else wanted.cast.input_guardrails
        names = ", ".join(each.name for each in guards)
        name = "output" if isinstance(wanted, CheckOutput) else "input"
        self.opened("guardrail", _key(wanted), name, response_id, guardrails=names, agent=wanted.cast.agent.name)

    def checked(self, wanted: CheckOutput | CheckInput, tripped: list[str]) -> None:
        """They have looked."""
        self.closed("guardrail", _key(wanted), "refused" if tripped else "ok", tripped=", ".join(tripped))

    def opened(self, kind: Kind, key: str, name: str, response_id: str, **attributes: Value) -> None:
        """Something begins that runs for a response."""
        self._do(lambda it, now_ms: it.opened(kind, key, name, response_id, now_ms, **attributes))

    def closed(self, kind: Kind, key: str, status: Status, **attributes: Value) -> None:
        """It has ended."""
        self._do(lambda it, now_ms: it.closed(kind, key, status, now_ms, **attributes))

    def _do(self, what: Callable[[Tracing, int], list[Span]]) -> None:
        if self._tracing is None:
            return
        for span in what(self._tracing, self._client.realtime.clock()):
            self._session.audience.whisper(SpanChanged(span=span))


def _named(found: dict[str, Any]) -> dict[str, Value]:
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def _key(wanted: CheckOutput | CheckInput) -> str:
    return f"out {wanted.check.check_id}" if isinstance(wanted, CheckOutput) else f"in {wanted.item_id}"
