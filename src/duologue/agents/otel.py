"""Spans for OpenTelemetry, where `opentelemetry-api` is installed; what becomes of them its own settings say.

session.on("span", OpenTelemetrySpans())
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from duologue.agents.events import SpanChanged
from duologue.agents.span import Kind, Span, Value
from duologue.clock import monotonic_ms
from duologue.errors import MissingExtra

_REMEMBERED = 1024
_OPERATIONS: dict[Kind, str] = {
    "session": "invoke_workflow",
    "response": "invoke_agent",
    "tool": "execute_tool",
}
_NAMES = {
    "agent": "gen_ai.agent.name",
    "call_id": "gen_ai.tool.call.id",
    "model": "gen_ai.request.model",
    "group_id": "gen_ai.conversation.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "arguments": "gen_ai.tool.call.arguments",
    "output": "gen_ai.tool.call.result",
}
"""Attributes that have a name in OpenTelemetry's conventions; all others are `duologue.…`."""


class OpenTelemetrySpans:
    """A handler of `span` events, for any number of sessions. `tracer`: one of OpenTelemetry's; by default that of its
    global provider. Spans that began before it was registered are left out. Raises MissingExtra."""

    def __init__(self, tracer: Any = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError as problem:
            raise MissingExtra(problem.name or "opentelemetry-api", "otel") from None
        self._api = trace
        self._tracer = tracer if tracer is not None else trace.get_tracer("duologue")
        self._spans: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._zeros: OrderedDict[str, int] = OrderedDict()

    def __call__(self, event: SpanChanged) -> None:
        """A span began or ended."""
        span = event.span
        if span.ended_ms is None:
            self._begin(span)
        elif (theirs := self._spans.get((span.trace_id, span.span_id))) is not None:
            self._end(span, theirs)

    def _begin(self, span: Span) -> None:
        parent = self._spans.get((span.trace_id, span.parent_id or ""))
        # What runs on may outlive its parent: the parent's own context is enough. Without one a trace of its own begins.
        context = self._api.set_span_in_context(parent if parent is not None else self._api.INVALID_SPAN)
        theirs = self._tracer.start_span(
            f"{span.kind} {span.name}",
            context=context,
            start_time=self._unix_ns(span.trace_id, span.started_ms),
            attributes=_attributes(span),
        )
        self._spans[span.trace_id, span.span_id] = theirs
        while len(self._spans) > _REMEMBERED:
            self._spans.popitem(last=False)[1].end()

    def _end(self, span: Span, theirs: Any) -> None:
        theirs.set_attributes(_attributes(span))
        theirs.set_attribute("duologue.status", span.status)
        if span.status in ("failed", "lost"):
            theirs.set_status(self._api.StatusCode.ERROR, span.status)
        theirs.end(end_time=self._unix_ns(span.trace_id, span.ended_ms or span.started_ms))
        if span.kind == "session":
            for key in [key for key in self._spans if key[0] == span.trace_id]:
                del self._spans[key]
            self._zeros.pop(span.trace_id, None)

    def _unix_ns(self, trace_id: str, at_ms: int) -> int:
        """A moment of the monotonic clock by the wall's, all of one trace with one difference between the two."""
        if trace_id not in self._zeros:
            self._zeros[trace_id] = time.time_ns() - monotonic_ms() * 1_000_000
            while len(self._zeros) > _REMEMBERED:
                self._zeros.popitem(last=False)
        return self._zeros[trace_id] + at_ms * 1_000_000


def _attributes(span: Span) -> dict[str, Value]:
    found: dict[str, Value] = {_name(span.kind, name): value for name, value in span.attributes.items()}
    found["duologue.kind"] = span.kind
    if span.kind in _OPERATIONS:
        found["gen_ai.operation.name"] = _OPERATIONS[span.kind]
    if span.kind == "tool":
        found["gen_ai.tool.name"] = span.name
    elif span.kind == "response":
        found["gen_ai.agent.name"] = span.name
    return found


def _name(kind: Kind, name: str) -> str:
    if name == "call_id" and kind == "session":
        return "duologue.call_id"
    return _NAMES.get(name, f"duologue.{name}")
