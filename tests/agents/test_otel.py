from __future__ import annotations

import sys

import pytest
from acting import ScriptLlm, Use, acting
from test_scenarios import play, weather

from duologue.agents.agent import RealtimeAgent
from duologue.agents.events import SpanChanged
from duologue.agents.otel import OpenTelemetrySpans
from duologue.agents.settings import SessionSettings
from duologue.agents.tracing import Tracing
from duologue.errors import MissingExtra

sdk = pytest.importorskip("opentelemetry.sdk.trace")


def collecting() -> tuple[OpenTelemetrySpans, list[sdk.ReadableSpan]]:  # type: ignore[name-defined]
    ended: list[sdk.ReadableSpan] = []  # type: ignore[name-defined]

    class Collect(sdk.SpanProcessor):  # type: ignore[name-defined,misc]
        def on_end(self, span: sdk.ReadableSpan) -> None:  # type: ignore[name-defined]
            ended.append(span)

    provider = sdk.TracerProvider()
    provider.add_span_processor(Collect())
    return OpenTelemetrySpans(provider.get_tracer("test")), ended


def test_a_session_becomes_one_trace_of_open_telemetry() -> None:
    """Row 25."""

    async def story() -> None:
        spans, ended = collecting()
        agent = RealtimeAgent("Ann", tools=[weather])
        llm = ScriptLlm(Use("weather", '{"city":"Rome"}'), "Warm.")
        async with acting("memory", agent, llm, settings=SessionSettings(workflow_name="shop")) as scene:
            await scene.session.close()
            scene.session.on("span", spans)
            await scene.session.connect()
            await scene.session.send_message("Rome?")
            await scene.answered(2)
        by_id = {span.context.span_id: span for span in ended}
        names = {
            span.name: by_id[span.parent.span_id].name if span.parent is not None else "" for span in by_id.values()
        }
        assert names == {
            "session shop": "",
            "turn text": "session shop",
            "response Ann": "turn text",
            "tool weather": "response Ann",
        }
        assert len({span.context.trace_id for span in ended}) == 1
        tool = next(span for span in ended if span.name == "tool weather")
        assert tool.attributes is not None
        assert tool.attributes["gen_ai.tool.name"] == "weather"
        assert tool.attributes["gen_ai.operation.name"] == "execute_tool"
        assert tool.attributes["duologue.status"] == "ok"
        assert not [name for name in tool.attributes if name.endswith(("arguments", "result"))]
        assert not spans._spans

    play(story)


def test_failures_are_errors_and_times_are_kept() -> None:
    spans, ended = collecting()
    trace = Tracing("t")
    for span in (
        *trace.begin("session", {"call_id": "rtc_1"}, 1_000),
        *trace.opened("tool", "c1", "look", "", 2_000, call_id="c1"),
        *trace.closed("tool", "c1", "failed", 2_500),
        *trace.end("ok", 3_000),
    ):
        spans(SpanChanged(span=span))
    tool, session = ended
    assert not tool.status.is_ok
    assert session.status.is_unset
    assert tool.end_time is not None
    assert tool.start_time is not None
    assert tool.end_time - tool.start_time == 500_000_000
    assert tool.attributes is not None
    assert session.attributes is not None
    assert (tool.attributes["gen_ai.tool.call.id"], session.attributes["duologue.call_id"]) == ("c1", "rtc_1")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtra, match="otel"):
        OpenTelemetrySpans()
