"""A director in a test: inputs and effects as one line each."""

from __future__ import annotations

from typing import Any

from duologue.agents import effects as do
from duologue.agents.agent import RealtimeAgent
from duologue.agents.calls import ToolRules
from duologue.agents.config import Cast, base_fields
from duologue.agents.director import Director
from duologue.agents.guardrails import GuardrailSettings, InputGuardrail, OutputGuardrail
from duologue.agents.tools import Verdict
from duologue.protocol import server_events as ev
from duologue.protocol.items import FunctionCall
from duologue.protocol.responses import Response

YES, NO = Verdict(tripped=True), Verdict(tripped=False)
OUT = OutputGuardrail(name="out", execute=lambda *_: False)
IN = InputGuardrail(name="in", execute=lambda *_: False)


def cast_of(agent: RealtimeAgent) -> Cast:
    """The agent ready to speak, as `make_cast` would have it where nothing is a function."""
    return Cast(
        agent=agent,
        instructions=str(agent.instructions),
        prompt=None if callable(agent.prompt) else agent.prompt,
        tools={tool.name: tool for tool in agent.function_tools()},
        ways={way.name: way for way in agent.ways_out()},
        output_guardrails=tuple(agent.output_guardrails),
        input_guardrails=tuple(agent.input_guardrails),
    )


def directing(
    agent: RealtimeAgent, settings: GuardrailSettings | None = None, rules: ToolRules | None = None, **config: Any
) -> Director:
    return Director(cast_of(agent), base_fields(config), settings or GuardrailSettings(), rules or ToolRules())


def shown(effects: list[do.Effect]) -> list[str]:
    """Each effect as a word or two."""
    return [_shown(effect) for effect in effects if not isinstance(effect, do.Hook)]


def _shown(effect: do.Effect) -> str:
    match effect:
        case do.Tell(event=event):
            return f"tell {event.type}"
        case do.Answer(call=call, respond=respond):
            return f"answer {call.call_id}{'' if respond else ' quietly'}"
        case do.CheckOutput(check=check):
            return f"check {check.text!r}"
        case do.CheckInput(text=text):
            return f"check input {text!r}"
        case do.Release(sounds=sounds):
            return f"release {len(sounds)}"
        case do.Configure(change=change):
            return f"configure {' '.join(sorted(change))}"
        case do.Respond(purpose=purpose):
            return f"respond {purpose}".strip()
        case _:
            return type(effect).__name__.lower()


def created(response_id: str = "r1", purpose: str = "") -> ev.ResponseCreated:
    metadata = {"purpose": purpose} if purpose else None
    return ev.ResponseCreated(response=Response(id=response_id, status="in_progress", metadata=metadata))


def done(response_id: str = "r1", status: Any = "completed") -> ev.ResponseDone:
    return ev.ResponseDone(response=Response(id=response_id, status=status))


def words(text: str, response_id: str = "r1", item_id: str = "i1") -> ev.ResponseOutputAudioTranscriptDelta:
    return ev.ResponseOutputAudioTranscriptDelta(
        response_id=response_id, item_id=item_id, output_index=0, content_index=0, delta=text
    )


def whole(text: str, response_id: str = "r1", item_id: str = "i1") -> ev.ResponseOutputAudioTranscriptDone:
    return ev.ResponseOutputAudioTranscriptDone(
        response_id=response_id, item_id=item_id, output_index=0, content_index=0, transcript=text
    )


def sound(response_id: str = "r1", item_id: str = "i1") -> ev.ResponseOutputAudioDelta:
    return ev.ResponseOutputAudioDelta(
        response_id=response_id, item_id=item_id, output_index=0, content_index=0, delta=b"\0\0"
    )


def call(name: str, call_id: str = "c1", arguments: str = "{}") -> FunctionCall:
    return FunctionCall(id=f"item_{call_id}", call_id=call_id, name=name, arguments=arguments)
