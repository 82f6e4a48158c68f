"""The director by scripts: `>>` what happens, `<<` what is to be done. Covers duologue.agents.director,
duologue.agents.calls, duologue.agents.spoken, duologue.agents.guardrails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagecraft import IN, NO, OUT, YES, call, cast_of, created, directing, done, shown, sound, whole, words

from duologue.agents import effects as do
from duologue.agents.agent import RealtimeAgent
from duologue.agents.calls import Decision, Outcome
from duologue.agents.director import Director
from duologue.agents.guardrails import GuardrailSettings
from duologue.agents.tools import function_tool
from duologue.errors import ConfigError
from duologue.protocol import server_events as ev

RUN, ASK = Decision(kind="run"), Decision(kind="ask")


def look() -> str:
    """Looks."""
    return "seen"


def considered(director: Director, effects: list[do.Effect], decision: Decision) -> list[do.Effect]:
    (wish,) = effects
    assert isinstance(wish, do.Consider)
    return director.considered(wish.call, wish.tool, decision)


def checks(effects: list[do.Effect]) -> list[do.CheckOutput]:
    return [effect for effect in effects if isinstance(effect, do.CheckOutput)]


def test_a_call_is_considered_run_and_answered() -> None:
    director = directing(RealtimeAgent("Ann", tools=[look]))
    assert shown(director.server(created())) == ["tell agent_start"]  # >> response.created
    effects = considered(director, director.called("r1", call("look")), RUN)
    assert shown(effects) == ["tell tool_start", "runtool"]
    ran = next(effect for effect in effects if isinstance(effect, do.RunTool))
    assert shown(director.tool_done(ran.call, Outcome(output="seen"))) == ["tell tool_end", "answer c1"]
    assert shown(director.tool_done(ran.call, Outcome(output="seen"))) == []
    assert shown(director.called("r1", call("look"))) == ["answer c1 quietly"]  # told again: the same output


def test_the_tools_are_those_of_the_moment_in_which_the_response_began() -> None:
    director = directing(RealtimeAgent("Ann", tools=[look]))
    director.server(created())
    director.take_over(cast_of(RealtimeAgent("Bob")))
    assert shown(director.called("r1", call("look"))) == ["consider"]
    director.server(created("r2"))
    assert shown(director.called("r2", call("look", "c2"))) == ["answer c2"]


def test_who_is_asked_may_say_always() -> None:
    director = directing(RealtimeAgent("Ann", tools=[look]))
    asked = considered(director, director.called("r1", call("look")), ASK)
    assert shown(asked) == ["tell tool_approval_required"]
    assert shown(director.reject("c1", always=True)) == ["tell tool_end", "answer c1"]
    assert shown(considered(director, director.called("r1", call("look", "c2")), ASK)) == ["tell tool_end", "answer c2"]
    with pytest.raises(ConfigError, match="c1"):
        director.approve("c1")


def test_a_model_that_calls_what_is_not_there_speaks_three_times_and_then_waits_for_the_user() -> None:
    director = directing(RealtimeAgent("Ann"))
    answers = [shown(director.called("r1", call("fly", f"c{number}")))[0] for number in range(4)]
    assert answers == ["answer c0", "answer c1", "answer c2", "answer c3 quietly"]
    director.typed("i1", "Hello?")
    assert shown(director.called("r1", call("fly", "c9"))) == ["answer c9"]


def test_one_handoff_at_a_time() -> None:
    bob = RealtimeAgent("Bob", "You are Bob.", greeting="Bob here.")
    director = directing(RealtimeAgent("Ann", handoffs=[bob]))
    (wish,) = director.called("r1", call("transfer_to_bob"))
    assert isinstance(wish, do.HandOver)
    assert shown(director.called("r1", call("transfer_to_bob", "c2"))) == ["answer c2"]
    effects = director.handed_over(wish.call, cast_of(bob))
    assert shown(effects) == ["configure instructions tools", "tell handoff", "answer c1 quietly", "respond greeting"]
    assert director.cast.agent is bob


def test_a_handoff_that_fails_changes_nothing() -> None:
    ann = RealtimeAgent("Ann", handoffs=[RealtimeAgent("Bob")])
    director = directing(ann)
    (wish,) = director.called("r1", call("transfer_to_bob"))
    assert isinstance(wish, do.HandOver)
    assert shown(director.handoff_failed(wish.call, "closed")) == ["answer c1"]
    assert director.cast.agent is ann
    assert shown(director.called("r1", call("transfer_to_bob", "c2"))) == ["handover"]


def test_words_are_checked_by_length_by_sentence_and_whole() -> None:
    settings = GuardrailSettings(debounce_text_length=10, by_sentence=True)
    director = directing(RealtimeAgent("Ann", output_guardrails=[OUT]), settings)
    director.server(created())
    assert shown(director.server(words("Hi. ")))[1:] == ["check 'Hi. '"]
    assert shown(director.server(words("How")))[1:] == []
    assert shown(director.server(words(" do you do")))[1:] == ["check 'Hi. How do you do'"]
    assert shown(director.server(whole("Hi. How do you do?")))[1:] == ["check 'Hi. How do you do?'"]
    assert shown(director.server(whole("Hi. How do you do?")))[1:] == []


def test_an_answer_trips_once_is_tried_again_and_then_the_safe_phrase_is_said() -> None:
    agent = RealtimeAgent("Ann", output_guardrails=[OUT])
    director = directing(agent, GuardrailSettings(max_retries=1))
    for response, remedy in (("r1", ["note", "respond"]), ("r2", ["respond safe_phrase"])):
        director.server(created(response))
        (check,) = checks(director.server(whole("bad", response, response)))
        tripped = director.output_checked(check.check, [(OUT, YES)], check.cast)
        assert shown(tripped) == ["tell guardrail_tripped", "cut", *remedy]
        assert shown(director.output_checked(check.check, [(OUT, YES)], check.cast)) == []
        director.server(done(response))
    director.server(created("r3", "safe_phrase"))
    assert checks(director.server(whole("bad", "r3", "i3"))) == []


def test_a_check_that_comes_back_after_the_user_spoke_only_cuts() -> None:
    director = directing(RealtimeAgent("Ann", output_guardrails=[OUT]))
    director.server(created())
    (check,) = checks(director.server(whole("bad")))
    director.typed("i9", "Something else.")
    assert shown(director.output_checked(check.check, [(OUT, YES)], check.cast)) == ["tell guardrail_tripped", "cut"]


def test_held_sound_is_heard_when_its_words_passed() -> None:
    settings = GuardrailSettings(hold_audio=True, debounce_text_length=4)
    director = directing(RealtimeAgent("Ann", output_guardrails=[OUT]), settings)
    director.server(created())
    assert director.hold(sound())
    (first,) = checks(director.server(words("good")))
    assert director.hold(sound())
    (last,) = checks(director.server(whole("good day")))
    assert director.hold(sound())
    assert shown(director.output_checked(first.check, [(OUT, NO)], first.cast)) == ["release 1"]
    assert shown(director.output_checked(last.check, [(OUT, NO)], last.cast)) == ["release 2"]
    assert not director.hold(sound()), "the words are whole and good"


def test_held_sound_without_words_is_never_heard() -> None:
    director = directing(RealtimeAgent("Ann", output_guardrails=[OUT]), GuardrailSettings(hold_audio=True))
    director.server(created())
    assert director.hold(sound())
    director.server(done())
    assert "release" not in " ".join(shown(director.server(whole(""))))


def test_spoken_words_are_answered_after_their_check_and_not_before() -> None:
    director = directing(RealtimeAgent("Ann", input_guardrails=[IN]))
    assert director.fields["audio"]["input"]["turn_detection"]["create_response"] is False
    director.server(ev.InputAudioBufferCommitted(item_id="u1"))
    heard = ev.InputAudioTranscriptionCompleted(item_id="u1", content_index=0, transcript="hello")
    (_, check) = director.server(heard)
    assert isinstance(check, do.CheckInput)
    assert director.must_wait(committed=False)
    assert shown(director.input_checked("u1", [(IN, NO)], "hello", check.cast)) == ["respond"]
    assert shown(director.input_checked("u1", [(IN, NO)], "hello", check.cast)) == []
    assert not director.must_wait(committed=False)


def test_what_cannot_be_read_is_taken_out_and_asked_for_again() -> None:
    director = directing(RealtimeAgent("Ann", input_guardrails=[IN]))
    director.server(ev.InputAudioBufferCommitted(item_id="u1"))
    failed = ev.InputAudioTranscriptionFailed(item_id="u1", content_index=0, error=ev.TranscriptionError())
    assert shown(director.server(failed)) == ["sendevent", "note", "respond"]


def test_who_speaks_interrupts_only_what_can_be_heard() -> None:
    director = directing(RealtimeAgent("Ann"))
    began = ev.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id="u1")
    assert shown(director.server(began)) == ["tell speech_started", "cut"]
    director.server(sound())
    assert shown(director.server(began)) == ["tell speech_started", "cut", "tell audio_interrupted"]


def test_only_what_differs_is_sent() -> None:
    director = directing(RealtimeAgent("Ann", "A."), input_audio_format="g711_ulaw", output_audio_format="g711_ulaw")
    assert shown(director.take_over(cast_of(RealtimeAgent("Ann2", "A.")))) == ["tell handoff"]
    assert director.configured({"instructions": "ignored: the agent has its own", "speed": 1.5}) == {
        "audio": {"output": {"speed": 1.5}}
    }


EVENTS = st.one_of(
    st.builds(created, st.sampled_from(["r1", "r2"]), st.sampled_from(["", "safe_phrase"])),
    st.builds(done, st.sampled_from(["r1", "r2"]), st.sampled_from(["completed", "cancelled", "failed"])),
    st.builds(words, st.text(max_size=12), st.sampled_from(["r1", "r2"]), st.sampled_from(["i1", "i2"])),
    st.builds(whole, st.text(max_size=12), st.sampled_from(["r1", "r2"]), st.sampled_from(["i1", "i2"])),
    st.builds(sound, st.sampled_from(["r1", "r2"]), st.sampled_from(["i1", "i2"])),
    st.builds(ev.InputAudioBufferCommitted, item_id=st.sampled_from(["u1", "u2"])),
    st.builds(
        ev.InputAudioTranscriptionCompleted,
        item_id=st.sampled_from(["u1", "u2"]), content_index=st.just(0), transcript=st.text(max_size=5),
    ),
    st.builds(call, st.sampled_from(["look", "fly", "transfer_to_bob"]), st.sampled_from(["c1", "c2", "c3"])),
)  # fmt: skip


@given(st.lists(st.tuples(EVENTS, st.booleans(), st.sampled_from(["run", "ask", "refuse"])), max_size=60))
def test_any_story_keeps_the_laws(story: list[tuple[object, bool, str]]) -> None:
    """Each call is answered aloud at most once and runs at most once; a turn is retried at most as often as allowed; held
    sound comes out at most once, and never of an answer that tripped; nothing raises."""
    bob = RealtimeAgent("Bob")
    tool = function_tool(look)
    agent = RealtimeAgent("Ann", tools=[tool], handoffs=[bob], output_guardrails=[OUT], input_guardrails=[IN])
    director = directing(agent, GuardrailSettings(hold_audio=True, debounce_text_length=3, max_retries=1))
    aloud: list[str] = []
    ran: list[str] = []
    tripped: set[str] = set()
    held: list[object] = []
    retries = 0
    for event, flag, kind in story:
        if isinstance(event, ev.ResponseOutputAudioDelta):
            waits = director.hold(event)
            todo = [] if waits else director.server(event)
            held += [event] if waits else []
        elif isinstance(event, ev.ServerEvent.__args__):  # type: ignore[attr-defined]
            todo = director.server(event)  # type: ignore[arg-type]
            if isinstance(event, ev.InputAudioBufferSpeechStarted):
                retries = 0
        else:
            todo = director.called("r1", event)  # type: ignore[arg-type]
        while todo:
            effect = todo.pop(0)
            match effect:
                case do.Consider(call=wanted, tool=which):
                    todo += director.considered(wanted, which, Decision(kind=kind))  # type: ignore[arg-type]
                case do.RunTool(call=wanted):
                    ran.append(wanted.call_id)
                    todo += director.tool_done(wanted, Outcome(output="x"))
                case do.HandOver(call=wanted):
                    todo += (
                        director.handed_over(wanted, cast_of(agent)) if flag else director.handoff_failed(wanted, "no")
                    )
                case do.CheckOutput(check=check, cast=cast):
                    if flag:
                        tripped.add(check.response_id)
                    found = director.output_checked(check, [(OUT, YES if flag else NO)], cast)
                    retries += sum(isinstance(each, do.Note) for each in found)
                    todo += found
                case do.CheckInput(item_id=item_id, text=text, cast=cast):
                    todo += director.input_checked(item_id, [(IN, NO)], text, cast)
                case do.Release(sounds=sounds):
                    for each in sounds:
                        assert any(each is waiting for waiting in held)
                        held = [waiting for waiting in held if waiting is not each]
                case do.Answer(call=wanted, respond=True):
                    aloud.append(wanted.call_id)
    assert len(aloud) == len(set(aloud))
    assert len(ran) == len(set(ran))
    assert retries <= 1
