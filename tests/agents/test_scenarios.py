"""Every behaviour of agents as one scene, played over memory, a WebSocket and a WebRTC call; what goes over the wire is
compared with the traces in `golden/`. The server is this house's own; its model follows a script."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from acting import Endless, Scene, ScriptLlm, Use, acting

from duologue.agents.agent import RealtimeAgent, realtime_handoff
from duologue.agents.guardrails import GuardrailSettings, InputGuardrail, OutputGuardrail
from duologue.agents.history import RealtimeToolCallItem, user
from duologue.agents.settings import SessionSettings
from duologue.agents.tools import function_tool

GOLDEN = Path(__file__).parent / "golden"
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
every = pytest.mark.parametrize("kind", ["memory", "websocket", "webrtc"])


def weather(city: str) -> str:
    """Tells the weather."""
    return f"21 degrees in {city}"


def play(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 30))


def golden(scene: Scene, name: str, *, cuts: bool = False) -> None:
    """What the client sent, with ids numbered in order, is what it always sent; UPDATE_GOLDEN=1 writes it anew. Speech is
    cut (`cuts`) by other events in a call, whose server plays it. Cuts by the clock are left out: they differ; so are the
    questions of a call what was heard (`test_recall.py`): the server cuts at what it has played, if anything is left."""
    in_call = cuts and scene.kind == "webrtc"
    name = f"{name}_call" if in_call else name
    by_the_clock = not scene.session.playback.reported
    left_out = {"conversation.item.truncate"} if by_the_clock else set[str]()
    if scene.kind == "webrtc":
        left_out.add("conversation.item.retrieve")
    sent = [each for each in scene.sent if each["type"] not in left_out]
    text = "\n".join(_lines(sent)) + "\n"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") and (in_call or scene.kind == "memory"):
        path.write_text(text)
    assert text == path.read_text()


def _lines(events: list[dict[str, Any]]) -> list[str]:
    names: dict[str, str] = {}
    counts: dict[str, int] = {}

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: plain(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [plain(each, key) for each in value]
        if isinstance(value, str) and key.endswith("id") and value != "root":
            prefix = value.split("_")[0]
            if value not in names:
                counts[prefix] = counts.get(prefix, 0) + 1
                names[value] = f"{prefix}_{counts[prefix]}"
            return names[value]
        if key == "image_url":
            return "<image>"
        return value

    kept = (event for event in events if event["type"] != "input_audio_buffer.append")
    bare = ({key: value for key, value in event.items() if key != "event_id"} for event in kept)
    return [">> " + json.dumps(plain(event), ensure_ascii=False, indent=1) for event in bare]


@every
def test_greet(kind: str) -> None:
    """Rows 19: the agent speaks first."""

    async def story() -> None:
        agent = RealtimeAgent("Ann", "Be kind.", greeting="Good morning!")
        async with acting(kind, agent, ScriptLlm("Good morning!", "I am fine.")) as scene:
            assert await scene.answered() == "Good morning!"
            assert scene.llm.requests[0].instructions == 'Say exactly: "Good morning!" Say nothing else.'
            assert scene.llm.requests[0].tool_choice == "none"
            await scene.session.send_message("How are you?")
            assert await scene.answered(2) == "I am fine."
            assert scene.llm.requests[1].instructions == "Be kind."
            assert scene.types("agent_start", "agent_end") == ["agent_start", "agent_end"] * 2
            await scene.until("audio_start")
            if kind != "webrtc":
                assert sum(len(each.audio) for each in scene.of("audio")) > 48 * 100
            assert [item.text.strip() for item in scene.session.history] == [
                "Good morning!", "How are you?", "I am fine.",
            ]  # fmt: skip
            golden(scene, "greet")

    play(story)


@every
def test_tool(kind: str) -> None:
    async def story() -> None:
        agent = RealtimeAgent("Ann", tools=[weather])
        llm = ScriptLlm(Use("weather", '{"city":"Paris"}'), "It is warm.")
        async with acting(kind, agent, llm) as scene:
            await scene.session.send_message("What is the weather in Paris?")
            assert await scene.answered(2) == "It is warm."
            started, ended = scene.of("tool_start")[0], scene.of("tool_end")[0]
            assert (started.tool, started.arguments) == ("weather", '{"city":"Paris"}')
            assert (ended.call_id, ended.output) == (started.call_id, "21 degrees in Paris")
            call = scene.session.history[1]
            assert isinstance(call, RealtimeToolCallItem)
            assert (call.output, call.status) == ("21 degrees in Paris", "completed")
            golden(scene, "tool")

    play(story)


@every
def test_parallel_tools(kind: str) -> None:
    """Row 11: one answer for all calls of a response, though one is slow."""

    async def story() -> None:
        slow = asyncio.Event()

        async def time(city: str) -> str:
            await slow.wait()
            return "noon"

        async def quick(city: str) -> str:
            slow.set()
            return "warm"

        agent = RealtimeAgent("Ann", tools=[time, quick])
        calls = (Use("time", '{"city":"Rome"}'), Use("quick", '{"city":"Rome"}'))
        async with acting(kind, agent, ScriptLlm(calls, "Noon, and warm.")) as scene:
            await scene.session.send_message("Time and weather?")
            assert await scene.answered(2) == "Noon, and warm."
            assert len([each for each in scene.sent if each["type"] == "response.create"]) == 2
            outputs = [item.output for item in scene.llm.requests[1].items if hasattr(item, "output")]
            assert sorted(outputs) == ["noon", "warm"]
            golden(scene, "parallel_tools")

    play(story)


@every
def test_unknown_tool(kind: str) -> None:
    """Row 12: no silence."""

    async def story() -> None:
        async with acting(kind, RealtimeAgent("Ann"), ScriptLlm(Use("fly"), "I cannot fly.")) as scene:
            await scene.session.send_message("Fly!")
            assert await scene.answered(2) == "I cannot fly."
            output = scene.llm.requests[1].items[-1]
            assert "no tool named" in output.output  # type: ignore[union-attr]
            golden(scene, "unknown_tool")

    play(story)


@every
def test_approval(kind: str) -> None:
    async def story() -> None:
        paid: list[int] = []

        @function_tool(needs_approval=True)
        def pay(euros: int) -> str:
            paid.append(euros)
            return "paid"

        agent = RealtimeAgent("Ann", tools=[pay])
        one, two = Use("pay", '{"euros":1}'), Use("pay", '{"euros":2}')
        llm = ScriptLlm((one, two), "One is paid.", Use("pay", '{"euros":3}'), "Three is paid.")
        async with acting(kind, agent, llm) as scene:
            await scene.session.send_message("Pay one and two euros.")
            first = await scene.until("tool_approval_required", 1)
            second = await scene.until("tool_approval_required", 2)
            await scene.came_in("response.done")
            assert paid == []
            await scene.session.reject(second, message="Too much.")
            await scene.session.approve_tool_call(first.call_id, always=True)
            assert await scene.answered(2) == "One is paid."
            assert paid == [1]
            assert {event.output for event in scene.of("tool_end")} == {"paid", "Too much."}
            await scene.session.send_message("Three more.")
            assert await scene.answered(4) == "Three is paid."
            assert (paid, len(scene.of("tool_approval_required"))) == ([1, 3], 2)
            golden(scene, "approval")

    play(story)


@every
def test_handoff(kind: str) -> None:
    """Row 5: only what differs is sent. Row 19: the new agent speaks by itself."""

    async def story() -> None:
        bob = RealtimeAgent("Bob", "You are Bob.", tools=[weather], handoff_description="Knows the weather.")
        reasons: list[str] = []

        def handed(context: Any, reason: str) -> None:
            reasons.append(reason)

        ann = RealtimeAgent("Ann", "You are Ann.", handoffs=[realtime_handoff(bob, on_handoff=handed)])
        llm = ScriptLlm(
            Use("transfer_to_bob", '{"reason":"rain"}'), "Bob here.", Use("weather", '{"city":"Oslo"}'), "Mild."
        )
        async with acting(kind, ann, llm) as scene:
            await scene.session.send_message("Will it rain?")
            assert await scene.answered(2) == "Bob here."
            (handoff,) = scene.of("handoff")
            assert (handoff.from_agent, handoff.to_agent, reasons) == (ann, bob, ["rain"])
            assert scene.session.current_agent is bob
            assert [event.agent for event in scene.of("agent_end")] == [ann, bob]
            await scene.session.send_message("In Oslo?")
            assert await scene.answered(4) == "Mild."
            assert [request.instructions for request in scene.llm.requests][:2] == ["You are Ann.", "You are Bob."]
            change = [each for each in scene.sent if each["type"] == "session.update"][1]["session"]
            assert set(change) == {"type", "instructions", "tools"}
            golden(scene, "handoff")

    play(story)


def no_prices(context: Any, agent: Any, text: str) -> bool:
    return "price" in text


@every
def test_output_guardrail(kind: str) -> None:
    """Row 7: a short answer is seen, too. Row 8: the remark is hidden from people."""

    async def story() -> None:
        guard = OutputGuardrail(name="prices", execute=no_prices, policy_hint="Do not talk about money.")
        agent = RealtimeAgent("Ann", output_guardrails=[guard])
        async with acting(kind, agent, ScriptLlm("The price is 5.", "I cannot tell.")) as scene:
            await scene.session.send_message("How much?")
            assert await scene.answered(2) == "I cannot tell."
            tripped = scene.of("guardrail_tripped")
            assert [(each.guardrail, each.remedy) for each in tripped] == [("prices", "retry")]
            note = scene.llm.requests[1].items[-1]
            assert note.role == "system"
            assert "Do not talk about money." in note.content[0].text
            assert [item.role for item in scene.session.history] == ["user", "assistant", "assistant"]  # type: ignore[union-attr]
            golden(scene, "output_guardrail", cuts=True)

    play(story)


@every
def test_output_guardrail_that_never_passes(kind: str) -> None:
    """Row 8: bounded, then the safe phrase."""

    async def story() -> None:
        guard = OutputGuardrail(name="prices", execute=no_prices)
        settings = SessionSettings(
            output_guardrails=(guard,), guardrails=GuardrailSettings(max_retries=2, safe_phrase="No price from me.")
        )
        llm = ScriptLlm("A price.", "Another price.", "One more price.", "No price from me.")
        async with acting(kind, RealtimeAgent("Ann"), llm, settings=settings) as scene:
            await scene.session.send_message("How much?")
            assert await scene.answered(4) == "No price from me."
            assert [each.remedy for each in scene.of("guardrail_tripped")] == ["retry", "retry", "safe_phrase"]
            assert len(scene.llm.requests) == 4
            golden(scene, "output_guardrail_loop", cuts=True)

    play(story)


@pytest.mark.parametrize("kind", ["memory", "websocket"])
def test_held_audio(kind: str) -> None:
    """Row 7: nothing is heard before it was checked. In a call sound is on a track and cannot be held."""

    async def story() -> None:
        looked = asyncio.Event()

        async def slow(context: Any, agent: Any, text: str) -> bool:
            await looked.wait()
            return "price" in text

        settings = SessionSettings(
            output_guardrails=(OutputGuardrail(name="slow", execute=slow),),
            guardrails=GuardrailSettings(hold_audio=True, debounce_text_length=0),
        )
        async with acting(
            kind, RealtimeAgent("Ann"), ScriptLlm("The price is 5.", "Fine."), settings=settings
        ) as scene:
            await scene.session.send_message("How much?")
            await scene.answered()
            assert scene.of("audio") == []
            looked.set()
            assert await scene.answered(2) == "Fine."
            await scene.until("audio_end")
            (item,) = {event.item_id for event in scene.of("audio")}
            assert scene.session.history[-1].item_id == item
            golden(scene, "held_audio")

    play(story)


@every
def test_input_guardrail(kind: str) -> None:
    """Row 9: what the user says is checked before anything is said."""

    async def story() -> None:
        seen: list[str] = []

        async def rude(context: Any, agent: Any, text: str) -> bool:
            seen.append(text)
            assert not scene.of("agent_start") or len(seen) > 1
            return "stupid" in text

        agent = RealtimeAgent("Ann", input_guardrails=[InputGuardrail(name="rude", execute=rude)])
        llm = ScriptLlm("I would rather not answer that.", "Twelve.", "Hello.")
        async with acting(kind, agent, llm, hears=("you are stupid", "what is six plus six")) as scene:
            await scene.speaks()
            assert (await scene.until("input_guardrail_tripped")).text == "you are stupid"
            assert await scene.answered() == "I would rather not answer that."
            assert "must not be answered" in scene.llm.requests[0].items[-1].content[0].text  # type: ignore[union-attr]
            await scene.speaks()
            assert await scene.answered(2) == "Twelve."
            await scene.session.send_message("Hi!")
            assert await scene.answered(3) == "Hello."
            assert seen == ["you are stupid", "what is six plus six", "Hi!"]
            golden(scene, "input_guardrail")

    play(story)


@every
def test_interrupt_while_generating(kind: str) -> None:
    """Row 2: cancelled by id, and nothing is heard after."""

    async def story() -> None:
        async with acting(kind, RealtimeAgent("Ann"), ScriptLlm(Endless(), "Yes?")) as scene:
            await scene.session.send_message("Tell me everything.")
            start = await scene.until("audio_start")
            if kind != "webrtc":
                await scene.until("audio", 4)
                scene.session.playback.played_item(start.item_id, 2400)
            await scene.session.interrupt()
            heard = len(scene.of("audio"))
            cut = await scene.came_in("conversation.item.truncated")
            done = await scene.came_in("response.done")
            assert done["response"]["status"] == "cancelled"
            assert (await scene.sent_out("response.cancel"))["response_id"] == done["response"]["id"]
            assert cut["audio_end_ms"] == 100 or kind == "webrtc"
            assert len(scene.of("audio")) == heard
            assert scene.types("audio_interrupted") == ["audio_interrupted"]
            await scene.session.send_message("Go on.")
            assert await scene.answered(2) == "Yes?"
            golden(scene, "interrupt", cuts=True)

    play(story)


@every
def test_interrupt_after_generating(kind: str) -> None:
    """Row 3: speech that was made whole and is still playing ends, too."""

    async def story() -> None:
        async with acting(kind, RealtimeAgent("Ann"), ScriptLlm("word " * 100)) as scene:
            await scene.session.send_message("Tell me everything.")
            start = await scene.until("audio_start")
            await scene.answered()
            if kind != "webrtc":
                scene.session.playback.played_item(start.item_id, 24_000)
            await scene.session.interrupt()
            cut = await scene.came_in("conversation.item.truncated")
            assert cut["audio_end_ms"] == 1000 or kind == "webrtc"
            assert not [each for each in scene.sent if each["type"] == "response.cancel"]
            golden(scene, "interrupt_late", cuts=True)

    play(story)


@every
def test_image(kind: str) -> None:
    async def story() -> None:
        async with acting(kind, RealtimeAgent("Ann"), ScriptLlm("A dot.", "Still a dot.")) as scene:
            await scene.session.add_image(PIXEL, respond=False)
            await scene.session.send_message("What is it?")
            assert await scene.answered() == "A dot."
            picture = scene.llm.requests[0].items[0].content[0]  # type: ignore[union-attr]
            assert picture.image_url == PIXEL  # type: ignore[union-attr]
            golden(scene, "image")

    play(story)


@every
def test_history_edit(kind: str) -> None:
    """Row 16: tool calls can be edited and seeded, too."""

    async def story() -> None:
        async with acting(kind, RealtimeAgent("Ann"), ScriptLlm("Blue.", "Green.")) as scene:
            await scene.session.send_message("A colour?")
            await scene.answered()
            call = RealtimeToolCallItem(item_id="", call_id="call_x", name="paint", arguments="{}", output="green")
            await scene.session.update_history(lambda history: [user("My name is Eve."), *history[:1], call])
            await scene.session.send_message("And now?")
            assert await scene.answered(2) == "Green."
            kinds = [type(item).__name__ for item in scene.llm.requests[1].items]
            assert kinds == ["Message", "Message", "FunctionCall", "FunctionCallOutput", "Message"]
            assert [getattr(item, "text", "") for item in scene.session.history][:2] == ["My name is Eve.", "A colour?"]
            golden(scene, "history_edit")

    play(story)


@every
def test_reconnect(kind: str) -> None:
    """Rows 13 and 14: the conversation goes on where it was, and the events tell."""

    async def story() -> None:
        async with acting(kind, RealtimeAgent("Ann", "Be kind."), ScriptLlm("Hello Eve.", "You are Eve.")) as scene:
            await scene.session.send_message("I am Eve.")
            await scene.answered()
            await scene.drop()
            restored = await scene.until("reconnected")
            assert restored.details.items == 2
            await scene.session.send_message("Who am I?")
            assert await scene.answered(2) == "You are Eve."
            said = [item.content[0].text for item in scene.llm.requests[1].items]  # type: ignore[union-attr]
            assert [each.strip() for each in said] == ["I am Eve.", "Hello Eve.", "Who am I?"]
            assert len(scene.session.history) == 4
            assert scene.types("reconnecting", "reconnected", "session_ended") == ["reconnecting", "reconnected"]
            golden(scene, "reconnect")

    play(story)


@every
def test_barge_in(kind: str) -> None:
    """Rows 2 and 4: who speaks is listened to at once; what was not heard is forgotten."""

    async def story() -> None:
        async with acting(kind, RealtimeAgent("Ann"), ScriptLlm(Endless(), "Yes?"), hears=("stop",)) as scene:
            await scene.session.send_message("Tell me everything.")
            start = await scene.until("audio_start")
            if kind != "webrtc":
                await scene.until("audio", 3)
                scene.session.playback.played_item(start.item_id, 4800)
            await scene.speaks()
            cut = await scene.came_in("conversation.item.truncated")
            assert cut["audio_end_ms"] == 200 or kind == "webrtc"
            assert await scene.answered(2) == "Yes?"
            assert scene.types("speech_started", "audio_interrupted") == ["speech_started", "audio_interrupted"]
            assert not scene.of("error")
            golden(scene, "barge_in", cuts=True)

    play(story)
