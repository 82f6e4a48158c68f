"""Spans of a session by script, and of real ones. Covers duologue.agents.tracing, duologue.agents.tracer,
duologue.agents.span, duologue.agents.otel."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from acting import Endless, ScriptLlm, Use, acting
from hypothesis import given
from hypothesis import strategies as st
from test_scenarios import play

from duologue.agents import events as told
from duologue.agents.agent import RealtimeAgent
from duologue.agents.guardrails import InputGuardrail, OutputGuardrail
from duologue.agents.settings import SessionSettings
from duologue.agents.span import Span
from duologue.agents.tools import function_tool
from duologue.agents.tracing import KEPT, OPEN, Tracing

ANN, BOB = RealtimeAgent("Ann"), RealtimeAgent("Bob")


def tree(spans: tuple[Span, ...]) -> list[str]:
    """Each span with its parents' names, in the order in which they began."""
    by_id = {span.span_id: span for span in spans}

    def path(span: Span) -> str:
        own = f"{span.kind}:{span.name}" + ("" if span.status == "ok" else f" {span.status}")
        return f"{path(by_id[span.parent_id])} > {own}" if span.parent_id in by_id else own

    return [path(span).split(" > ", 1)[-1] for span in sorted(spans, key=lambda each: int(each.span_id))]


def only(spans: tuple[Span, ...], kind: str) -> Span:
    (span,) = [each for each in spans if each.kind == kind]
    return span


def start(response_id: str = "r1") -> told.AgentStart:
    return told.AgentStart(agent=ANN, response_id=response_id)


def end(response_id: str = "r1", status: str = "completed") -> told.AgentEnd:
    return told.AgentEnd(agent=ANN, response_id=response_id, text="secret", status=status)


def words(role: str = "assistant") -> told.TranscriptDelta:
    return told.TranscriptDelta(role=role, item_id="i", delta="secret")


def tool_start(call_id: str = "c1", response_id: str = "r1") -> told.ToolStart:
    return told.ToolStart(agent=ANN, tool="look", call_id=call_id, arguments="secret", response_id=response_id)


def tool_end(call_id: str = "c1", output: str = "secret") -> told.ToolEnd:
    return told.ToolEnd(agent=ANN, tool="look", call_id=call_id, arguments="secret", output=output, response_id="r1")


def test_a_spoken_turn_has_its_times() -> None:
    trace = Tracing("t")
    trace.begin("session", {"agent": "Ann"}, 0)
    trace.told(told.SpeechStarted(item_id="u"), 1_000)
    trace.told(told.SpeechStopped(item_id="u"), 3_000)
    trace.told(start(), 3_200)
    trace.told(words(), 3_500)
    trace.told(told.AudioStart(response_id="r1", item_id="i"), 3_700)
    trace.told(words(), 3_900)
    news = trace.told(end(), 5_000)
    response, turn = news
    assert (response.started_ms, response.duration_ms) == (3_200, 1_800)
    assert response.attributes == {"first_output_ms": 300, "first_audio_ms": 500}
    assert turn.attributes == {"speech_ms": 2_000, "responses": 1, "to_output_ms": 500, "to_audio_ms": 700}
    assert (turn.kind, turn.started_ms, turn.ended_ms, turn.status) == ("turn", 1_000, 5_000, "ok")
    assert [span.kind for span in trace.spans] == ["response", "turn", "session"]
    (session,) = trace.end("ok", 6_000, reason="over")
    assert (session.duration_ms, session.attributes) == (6_000, {"agent": "Ann", "reason": "over"})


def test_a_turn_goes_on_while_a_tool_works_and_an_answer_is_wanted() -> None:
    trace = Tracing("t")
    trace.begin("session", {}, 0)
    trace.typed(10)
    trace.told(start(), 20)
    trace.wished()  # the call
    assert [span.kind for span in trace.told(end(), 30)] == ["response"]
    trace.told(tool_start(), 40)
    assert [span.kind for span in trace.told(tool_end(), 50)] == ["tool"]
    trace.wished()  # the answer about it
    trace.told(start("r2"), 60)
    assert [span.kind for span in trace.told(end("r2"), 70)] == ["response", "turn"]
    assert tree(trace.spans)[1:] == [
        "turn:text", "turn:text > response:Ann", "turn:text > response:Ann > tool:look", "turn:text > response:Ann",
    ]  # fmt: skip


def test_who_interrupts_begins_a_turn_and_the_old_one_ends_with_its_answer() -> None:
    trace = Tracing("t")
    trace.typed(0)
    trace.told(start(), 10)
    (new,) = trace.told(told.SpeechStarted(item_id="u"), 20)
    assert new.kind == "turn"
    old = trace.told(end(status="cancelled"), 30)
    assert [(span.kind, span.status) for span in old] == [("response", "cancelled"), ("turn", "ok")]
    assert old[1].attributes["interrupted"] is True
    (left,) = [span for span in trace.end("ok", 99) if span.kind == "turn"]
    assert left.span_id == new.span_id


def test_a_turn_that_waits_for_nothing_ended_with_what_it_had_last() -> None:
    trace = Tracing("t")
    trace.typed(0)
    trace.told(start(), 10)
    trace.wished()
    trace.told(end(), 20)
    trace.told(tool_start(), 30)
    trace.told(tool_end(), 40)  # and the model is not asked about it
    turn, _ = trace.typed(500)
    assert (turn.kind, turn.ended_ms) == ("turn", 40)


def test_in_a_call_an_answer_waits_for_its_sound_and_ended_when_it_did() -> None:
    trace = Tracing("t", played_there=True)
    trace.typed(0)
    trace.told(start(), 10)
    trace.told(words(), 20)
    assert trace.told(end(), 30) == []
    response, turn = trace.told(told.AudioStart(response_id="r1", item_id="i"), 50)
    assert (response.ended_ms, response.attributes["first_audio_ms"]) == (30, 40)
    assert turn.attributes["to_audio_ms"] == 50
    trace.typed(60)
    trace.told(start("r2"), 70)
    trace.told(words(), 80)
    trace.told(end("r2"), 90)  # and it is never heard
    old, left, _ = trace.typed(500)
    assert (old.ended_ms, left.ended_ms) == (90, 90)


def test_agents_that_begin_by_themselves_make_a_turn() -> None:
    trace = Tracing("t")
    trace.told(start(), 10)
    trace.told(words(), 20)
    _, turn = trace.told(end(), 30)
    assert (turn.name, turn.attributes) == ("agent", {"responses": 1})


def test_no_words_are_kept_unless_asked_for() -> None:
    for content in (False, True):
        trace = Tracing("t", content=content)
        trace.typed(0)
        trace.told(told.TranscriptDone(role="user", item_id="u", text="secret"), 1)
        trace.told(start(), 2)
        trace.told(tool_start(), 3)
        trace.told(tool_end(), 4)
        trace.told(end(), 5)
        assert msgspec.json.encode(trace.spans).count(b"secret") == (4 if content else 0)


def test_what_a_tool_came_to_is_its_status() -> None:
    trace = Tracing("t")
    trace.told(tool_start("c1"), 1)
    assert trace.told(tool_end("c1", '{"error":"no net"}'), 2)[0].status == "failed"
    refused = trace.told(tool_end("c2"), 3)
    assert [(span.kind, span.status) for span in refused] == [("tool", "open"), ("tool", "refused")]


def test_the_number_of_spans_is_bounded() -> None:
    trace = Tracing("t")
    trace.begin("session", {}, 0)
    for number in range(OPEN + 10):
        trace.told(tool_start(f"c{number}"), number)
    lost = [span for span in trace.spans if span.status == "lost"]
    assert len(trace.spans) - len(lost) == OPEN
    for number in range(KEPT):
        trace.told(start(f"r{number}"), number)
        trace.told(end(f"r{number}"), number)
    assert len(trace.ended) == KEPT


def moves() -> st.SearchStrategy[Any]:
    ids = st.sampled_from(["1", "2", "3"])
    return st.one_of(
        st.builds(told.SpeechStarted, item_id=ids),
        st.builds(told.SpeechStopped, item_id=ids),
        st.builds(start, ids),
        st.builds(end, ids, st.sampled_from(["completed", "cancelled", "failed"])),
        st.builds(tool_start, ids, ids),
        st.builds(tool_end, ids),
        st.builds(words, st.sampled_from(["user", "assistant"])),
        st.builds(told.AudioStart, response_id=ids, item_id=ids),
        st.builds(told.HandedOver, from_agent=st.just(ANN), to_agent=st.just(BOB)),
        st.sampled_from(["typed", "wished", "check", "checked"]),
    )


@given(st.lists(moves(), max_size=60), st.booleans())
def test_any_story_makes_whole_spans(story: list[Any], played_there: bool) -> None:
    """Each span begins once and ends once, in time, and belongs to one that is there; nothing is open after the end."""
    trace, news, now_ms = Tracing("t", played_there=played_there), [], 0
    news += trace.begin("session", {}, now_ms)
    for move in story:
        now_ms += 10
        match move:
            case "typed":
                news += trace.typed(now_ms)
            case "wished":
                trace.wished()
            case "check":
                news += trace.opened("guardrail", "k", "output", "1", now_ms)
            case "checked":
                news += trace.closed("guardrail", "k", "ok", now_ms)
            case _:
                news += trace.told(move, now_ms)
    news += trace.end("ok", now_ms)
    begun = [span for span in news if span.ended_ms is None]
    ended = [span for span in news if span.ended_ms is not None]
    ids = [span.span_id for span in begun]
    assert sorted(ids) == sorted(span.span_id for span in ended)
    assert len(ids) == len(set(ids))
    assert list(trace.spans) == ended
    assert all(0 <= span.started_ms <= (span.ended_ms or 0) <= now_ms for span in ended)
    assert {span.parent_id for span in begun} - {None} <= set(ids)
    assert all(ids.index(span.parent_id) < ids.index(span.span_id) for span in begun if span.parent_id is not None)


def test_a_session_is_traced_from_its_beginning_to_its_end() -> None:
    """Row 25: turns, answers with the time to their first sound, tools, approvals, handoffs, guardrails and money."""

    async def story() -> None:
        @function_tool(needs_approval=True)
        def pay(euros: int) -> str:
            return "secret output"

        bob = RealtimeAgent("Bob")
        guard = OutputGuardrail(name="calm", execute=lambda *_: False)
        rude = InputGuardrail(name="rude", execute=lambda *_: False)
        ann = RealtimeAgent("Ann", tools=[pay], handoffs=[bob], output_guardrails=[guard], input_guardrails=[rude])
        llm = ScriptLlm(Use("pay", '{"euros":777}'), "Paid.", Use("transfer_to_bob"), "Bob here.")
        settings = SessionSettings(
            workflow_name="shop", group_id="g_1", trace_metadata={"desk": "2"}, api_key="sk-hidden"
        )
        async with acting("memory", ann, llm, settings=settings) as scene:
            heard: list[Span] = []
            scene.session.on("span", lambda event: heard.append(event.span))
            await scene.session.send_message("Pay.")
            await scene.session.approve(await scene.until("tool_approval_required"))
            assert await scene.answered(2) == "Paid."
            await scene.session.send_message("Bob?")
            assert await scene.answered(4) == "Bob here."
            await scene.session.close()
            spans = scene.session.spans
        assert "span" not in scene.types()
        assert tree(spans) == [
            "session:shop",
            "turn:text",
            "turn:text > guardrail:input",
            "turn:text > response:Ann",
            "turn:text > response:Ann > approval:pay",
            "turn:text > response:Ann > tool:pay",
            "turn:text > response:Ann",
            "turn:text > response:Ann > guardrail:output",
            "turn:text",
            "turn:text > guardrail:input",
            "turn:text > response:Ann",
            "turn:text > response:Ann > handoff:Bob",
            "turn:text > response:Bob",
        ]
        session = only(spans, "session").attributes
        assert {key: session[key] for key in ("workflow_name", "group_id", "metadata.desk", "agent")} == {
            "workflow_name": "shop", "group_id": "g_1", "metadata.desk": "2", "agent": "Ann",
        }  # fmt: skip
        assert str(session["session_id"]).startswith("sess_")
        spoken = next(span for span in spans if span.kind == "response" and "first_audio_ms" in span.attributes)
        assert {"first_output_ms", "input_tokens", "output_tokens"} <= set(spoken.attributes)
        text = json.dumps([msgspec.to_builtins(span) for span in spans])
        assert not [word for word in ("sk-hidden", "secret", "777", "Paid", "Pay.") if word in text]
        assert len(heard) == 2 * len(spans) - 1  # all but the beginning of the session, which came before

    play(story)


def test_an_interruption_a_drop_and_an_end_are_seen() -> None:
    async def story() -> None:
        async with acting("memory", ANN, ScriptLlm(Endless(), "Yes?")) as scene:
            await scene.session.send_message("Go.")
            await scene.until("audio_start")
            await scene.session.interrupt()
            await scene.until("agent_end")
            await scene.drop()
            await scene.until("reconnected")
            await scene.session.close()
            spans = scene.session.spans
        assert only(spans, "response").status == "cancelled"
        assert only(spans, "reconnect").attributes["attempts"] == 1
        assert only(spans, "session").status == "ok"
        assert not [span for span in spans if span.ended_ms is None]

    play(story)


def test_no_spans_are_kept_where_tracing_is_disabled() -> None:
    async def story() -> None:
        settings = SessionSettings(tracing_disabled=True)
        async with acting("memory", ANN, ScriptLlm("Hi."), settings=settings) as scene:
            await scene.session.send_message("Go.")
            await scene.answered()
            assert scene.session.spans == ()

    play(story)
