"""`openai-agents` (Python): its RealtimeRunner holds conversations with `duologue serve` over WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from agents import GuardrailFunctionOutput, OutputGuardrail, RunContextWrapper, function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession, realtime_handoff
from realserver import chunks, clip
from strict import check_events

WAIT_S = 20


@function_tool
def get_weather(city: str) -> str:
    """Tells the weather in a city.

    Args:
        city: Name of the city.
    """
    return f"It is 21.5 degrees in {city}."


class Talk:
    """A session of theirs, and every event that it told."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.events: list[Any] = []
        self.wire: list[dict[str, Any]] = []
        self._told = aiter(session)

    async def receive(self) -> Any:
        event = await asyncio.wait_for(anext(self._told), WAIT_S)
        assert event.type != "error", event.error
        if event.type == "raw_model_event":
            if event.data.type == "raw_server_event":
                self.wire.append(event.data.data)
        else:
            self.events.append(event)
        return event

    async def until(self, kind: str) -> list[Any]:
        """Everything up to the next event of that type; an error fails the test."""
        start = len(self.events)
        while (await self.receive()).type != kind:
            pass
        return self.events[start:]

    async def heard_on_the_wire(self, kind: str) -> dict[str, Any]:
        """The next server event of that type."""
        start = len(self.wire)
        while not any(event["type"] == kind for event in self.wire[start:]):
            await self.receive()
        return next(event for event in self.wire[start:] if event["type"] == kind)

    async def speak(self, name: str, *, commit: bool = False, silence_ms: int = 0) -> None:
        for chunk in chunks(clip(name, silence_ms=silence_ms)):
            await self.session.send_audio(chunk)
        if commit:
            await self.session.send_audio(bytes(4800), commit=True)

    async def answered(self, end: str) -> None:
        """Until the agent has ended its turn with these words."""
        while not (self.events and self.events[-1].type == "agent_end" and self.history()[-1][1].endswith(end)):
            await self.receive()

    def history(self) -> list[tuple[str, str]]:
        """Who said what, as their history shows it."""
        shown = []
        for item in self.session._history:
            if item.type == "message":
                parts = [getattr(part, "text", None) or getattr(part, "transcript", None) for part in item.content]
                shown.append((item.role, " ".join(part or "" for part in parts)))
            else:
                shown.append((item.type, item.name))
        return shown


@asynccontextmanager
async def talking(host: str, agent: RealtimeAgent[Any], **settings: Any) -> AsyncIterator[Talk]:
    run_config = settings.pop("run_config", {})
    runner = RealtimeRunner(agent, config={"tracing_disabled": True, **run_config})
    connection: Any = {
        "api_key": "not needed",
        "url": f"ws://{host}/v1/realtime?model=gpt-realtime",
        "initial_model_settings": {"model_name": "gpt-realtime", **settings},
    }
    async with await runner.run(model_config=connection) as session:
        talk = Talk(session)
        yield talk
    check_events(talk.wire)


def tell(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]


def voice(**detection: Any) -> dict[str, Any]:
    vad = {"type": "server_vad", "silence_duration_ms": 500, "interrupt_response": True, **detection}
    return {"audio": {"input": {"turn_detection": vad, "transcription": {"model": "gpt-4o-mini-transcribe"}}}}


ASSISTANT: RealtimeAgent[Any] = RealtimeAgent(name="Assistant", instructions="Be brief.", tools=[get_weather])


def test_text(host: str) -> None:
    async def story() -> None:
        async with talking(host, ASSISTANT) as talk:
            await talk.session.send_message("what is seven times eight")
            events = await talk.until("agent_end")
            kinds = [event.type for event in events]
            assert kinds.index("agent_start") < kinds.index("audio") < kinds.index("audio_end")
            [(_, asked), (role, answered)] = talk.history()
            assert (asked, role) == ("what is seven times eight", "assistant")
            assert "56" in answered or "fifty" in answered.lower()

    tell(story)


def test_text_only_output_is_in_the_history(host: str) -> None:
    async def story() -> None:
        async with talking(host, ASSISTANT, output_modalities=["text"]) as talk:
            await talk.session.send_message("say good morning")
            events = await talk.until("agent_end")
            assert not [event for event in events if event.type == "audio"]
            assert talk.history() == [("user", "say good morning"), ("assistant", "Good morning")]

    tell(story)


def test_a_spoken_question_runs_a_tool_and_is_answered(host: str) -> None:
    async def story() -> None:
        async with talking(host, ASSISTANT, **voice()) as talk:
            await talk.speak("weather_in_paris", silence_ms=800)
            events = await talk.until("tool_end")
            called = next(event for event in events if event.type == "tool_start")
            assert json.loads(called.arguments) == {"city": "Paris"}
            await talk.until("audio_end")
            await talk.until("agent_end")
            history = talk.history()
            assert history[0] == ("user", "what is the weather in paris")
            assert [who for who, _ in history] == ["user", "function_call", "assistant"]
            assert "21.5" in history[2][1]

    tell(story)


def test_a_spoken_question_with_their_default_settings(host: str) -> None:
    async def story() -> None:
        async with talking(host, ASSISTANT) as talk:
            await talk.speak("weather_in_paris", silence_ms=9_000)
            await talk.answered("21.5 degrees in Paris.")
            assert talk.history()[0] == ("user", "what is the weather in paris")
            session = next(event["session"] for event in talk.wire if event["type"] == "session.updated")
            assert session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"

    tell(story)


def test_push_to_talk(host: str) -> None:
    async def story() -> None:
        settings = {"audio": {"input": {"turn_detection": None, "transcription": {"model": "gpt-4o-mini-transcribe"}}}}
        async with talking(host, ASSISTANT, **settings) as talk:
            await talk.speak("hello", commit=True)
            await talk.heard_on_the_wire("conversation.item.input_audio_transcription.completed")
            await talk.session.send_message("say good morning")
            await talk.until("agent_end")
            [heard, *rest] = [text for _, text in talk.history()]
            assert heard.startswith("hello")
            assert rest == ["say good morning", "Good morning"]

    tell(story)


def test_barge_in(slow_host: str) -> None:
    async def story() -> None:
        async with talking(slow_host, ASSISTANT, **voice()) as talk:
            await talk.session.send_message("count to 100")
            await talk.until("audio")
            await talk.speak("seven_times_eight", silence_ms=800)
            await talk.until("audio_interrupted")
            cut = await talk.heard_on_the_wire("response.done")
            assert cut["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
            await talk.heard_on_the_wire("conversation.item.retrieved")
            await talk.answered("56.")
            history = talk.history()
            assert [who for who, _ in history] == ["user", "assistant", "user", "assistant"]
            assert "seven times eight" in history[2][1]
            truncated = [event for event in talk.wire if event["type"] == "conversation.item.truncated"]
            assert len(truncated) == 1

    tell(story)


def test_interrupt(slow_host: str) -> None:
    async def story() -> None:
        async with talking(slow_host, ASSISTANT, **voice(interrupt_response=False)) as talk:
            await talk.session.send_message("count to 100")
            await talk.until("audio")
            await talk.session.interrupt()
            done = await talk.heard_on_the_wire("response.done")
            assert done["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
            await talk.session.send_message("say good morning")
            done = await talk.heard_on_the_wire("response.done")
            assert done["response"]["status"] == "completed"

    tell(story)


def test_handoff(host: str) -> None:
    async def story() -> None:
        billing: RealtimeAgent[Any] = RealtimeAgent(
            name="Billing", instructions="Always mention the invoice.", handoff_description="Answers billing questions."
        )
        front: RealtimeAgent[Any] = RealtimeAgent(
            name="Front", instructions="Be brief.", handoffs=[realtime_handoff(billing)], tools=[get_weather]
        )
        async with talking(host, front, output_modalities=["text"]) as talk:
            await talk.session.send_message("transfer me to billing")
            events = await talk.until("handoff")
            assert (events[-1].from_agent.name, events[-1].to_agent.name) == ("Front", "Billing")
            updated = await talk.heard_on_the_wire("session.updated")
            assert updated["session"]["tools"] == []
            assert updated["session"]["instructions"] == "Always mention the invoice."
            await talk.answered("The invoice.")
            await talk.session.send_message("say good morning")
            await talk.answered("Good morning The invoice.")

    tell(story)


def test_output_guardrail(slow_host: str) -> None:
    async def forbid(context: RunContextWrapper[Any], agent: Any, output: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info={"said": output}, tripwire_triggered="twenty" in output)

    async def story() -> None:
        run_config = {
            "output_guardrails": [OutputGuardrail(guardrail_function=forbid, name="no_twenty")],
            "guardrails_settings": {"debounce_text_length": 20},
        }
        async with talking(slow_host, ASSISTANT, run_config=run_config) as talk:
            await talk.session.send_message("count to 100")
            tripped = (await talk.until("guardrail_tripped"))[-1]
            assert "twenty" in tripped.message
            done = await talk.heard_on_the_wire("response.done")
            assert done["response"]["status"] == "cancelled"
            done = await talk.heard_on_the_wire("response.done")
            assert done["response"]["status"] == "completed"

    tell(story)
