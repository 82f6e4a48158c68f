"""What hurts users of agents elsewhere, one test each; scenes that need every transport are in test_scenarios.

Covers duologue.agents.session, duologue.agents.stage, duologue.agents.working, duologue.agents.effects,
duologue.agents.events, duologue.agents.settings, duologue.agents.link, duologue.agents.spoken, duologue.agents.wire.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from acting import Endless, Scene, ScriptLlm, Use, acting
from test_scenarios import play, weather

from duologue.agents.agent import AgentHooks, RealtimeAgent, realtime_handoff
from duologue.agents.events import ToolEnd
from duologue.agents.guardrails import GuardrailSettings, InputGuardrail, OutputGuardrail
from duologue.agents.history import AssistantMessageItem, RealtimeToolCallItem, UserMessageItem, assistant, user
from duologue.agents.session import RealtimeSession
from duologue.agents.settings import SessionSettings
from duologue.agents.tools import RunContext, Verdict, background_result, function_tool
from duologue.agents.tracker import RealtimePlaybackTracker
from duologue.client.endpoint import ConnectionOptions
from duologue.errors import ConfigError, ConnectFailed, NotConnected
from duologue.protocol.server_events import SessionCreated
from duologue.protocol.session import McpServerTool
from duologue.protocol.session import RealtimeSession as WireSession
from duologue.testing.scripted import Close, Expect, ScriptedServer, Send
from duologue.transports.sip import line_session

ANN = RealtimeAgent("Ann")


def at(url: str, **more: Any) -> SessionSettings:
    return SessionSettings(url=url, connection=ConnectionOptions(proxy=""), **more)


def test_text_sent_in_the_middle_of_an_answer_is_answered_after_it() -> None:
    """Row 1."""

    async def story() -> None:
        async with acting("memory", ANN, ScriptLlm("word " * 60, "Second.", "Third.")) as scene:
            await scene.session.send_message("One.")
            await scene.until("agent_start")
            await scene.session.send_message("Two.", when="after_response")
            assert await scene.answered(2) == "Second."
            said = [item.role for item in scene.llm.requests[1].items]  # type: ignore[union-attr]
            assert said == ["user", "assistant", "user"]
            assert not scene.of("error")

    play(story)


def test_a_message_that_interrupts_cuts_the_answer_first() -> None:
    """Rows 1 and 2."""

    async def story() -> None:
        async with acting("memory", ANN, ScriptLlm(Endless(), "Yes?")) as scene:
            await scene.session.send_message("One.")
            await scene.until("audio", 2)
            await scene.session.send_message("Stop!", when="interrupt")
            assert await scene.answered(2) == "Yes?"
            kinds = [event["type"] for event in scene.sent]
            assert kinds[-4:] == [
                "response.cancel", "conversation.item.truncate", "conversation.item.create", "response.create",
            ]  # fmt: skip

    play(story)


@asynccontextmanager
async def handed_over_after_speech() -> AsyncIterator[Scene]:
    """Ann has spoken, and is about to hand over to Bob, who has another voice."""
    bob = RealtimeAgent("Bob", voice="cedar")
    ann = RealtimeAgent("Ann", voice="marin", handoffs=[bob])
    async with acting("memory", ann, ScriptLlm("Hello.", Use("transfer_to_bob"), "Bob.")) as scene:
        await scene.session.send_message("Hi.")
        await scene.until("audio_end")
        await scene.session.send_message("Bob, please.")
        yield scene


def test_a_voice_is_not_sent_again_once_something_was_said() -> None:
    """Row 6: also not at a handoff to an agent with another one."""

    async def story() -> None:
        async with handed_over_after_speech() as scene:
            assert await scene.answered(3) == "Bob."
            first, *rest = [each["session"] for each in scene.sent if each["type"] == "session.update"]
            assert first["audio"]["output"]["voice"] == "marin"
            assert rest
            assert all("audio" not in each for each in rest)

    play(story)


def test_a_voice_that_cannot_change_is_told() -> None:
    """Row 6: who hands over to an agent with another voice learns that it is not heard."""

    async def story() -> None:
        async with handed_over_after_speech() as scene:
            problem = (await scene.until("error")).error
            assert problem.grade == "benign"
            assert "'cedar' of agent 'Bob'" in problem.message

    play(story)


def test_a_voice_is_sent_while_nothing_was_said() -> None:
    """Row 6, the other half."""

    async def story() -> None:
        bob = RealtimeAgent("Bob", voice="cedar")
        async with acting("memory", RealtimeAgent("Ann", voice="marin"), ScriptLlm()) as scene:
            await scene.session.update_agent(bob)
            update = await scene.sent_out("session.update", 2)
            assert update["session"]["audio"] == {"output": {"voice": "cedar"}}

    play(story)


def test_plain_tools_run_in_threads_beside_the_stream_and_read_the_history() -> None:
    """Row 10. Also: the context and the history reach the tool."""

    async def story() -> None:
        where: list[Any] = []
        go = threading.Event()

        @function_tool
        def slow(context: RunContext[dict[str, str]], city: str) -> str:
            where.extend([threading.current_thread(), context.value["user"], context.history[0].text, context.call_id])
            assert go.wait(10)
            return "done"

        agent = RealtimeAgent("Ann", tools=[slow])
        llm = ScriptLlm(Use("slow", '{"city":"x"}'), "Done.")
        async with acting("memory", agent, llm, context={"user": "eve"}) as scene:
            await scene.session.send_message("Go.")
            start = await scene.until("tool_start")
            await scene.session.send_message("Still there?", respond=False)  # the stream goes on
            await scene.came_in("conversation.item.added", 3)
            go.set()
            assert await scene.answered(2) == "Done."
            assert where[0] is not threading.main_thread()
            assert where[1:] == ["eve", "Go.", start.call_id]

    play(story)


def test_a_tool_that_takes_too_long_is_given_up() -> None:
    """Row 10."""

    async def story() -> None:
        @function_tool(timeout_s=0.01)
        async def sleepy() -> str:
            await asyncio.Event().wait()
            return ""

        async with acting(
            "memory", RealtimeAgent("Ann", tools=[sleepy]), ScriptLlm(Use("sleepy"), "Too slow.")
        ) as scene:
            await scene.session.send_message("Go.")
            assert await scene.answered(2) == "Too slow."
            assert "longer than 0.01 seconds" in scene.of("tool_end")[0].output

    play(story)


def test_a_background_tool_is_announced_at_once_and_its_result_is_news() -> None:
    """Row 10. The news are no part of what people read."""

    async def story() -> None:
        go = asyncio.Event()

        @function_tool(background=True)
        async def research() -> str:
            await go.wait()
            return "42"

        agent = RealtimeAgent("Ann", tools=[research])
        async with acting("memory", agent, ScriptLlm(Use("research"), "I am on it.", "It is 42.")) as scene:
            await scene.session.send_message("Go.")
            assert await scene.answered(2) == "I am on it."
            go.set()
            assert await scene.answered(3) == "It is 42."
            assert "has now answered:\n42" in scene.llm.requests[2].items[-1].content[0].text  # type: ignore[union-attr]
            assert [type(item).__name__ for item in scene.session.history].count("SystemMessageItem") == 0

    play(story)


def test_a_background_result_asks_for_no_answer() -> None:
    """Row 10."""

    async def story() -> None:
        def log() -> Any:
            return background_result({"logged": True})

        async with acting("memory", RealtimeAgent("Ann", tools=[log]), ScriptLlm(Use("log"), "Yes?")) as scene:
            await scene.session.send_message("Log it.")
            output = await scene.came_in("conversation.item.done", 3)
            assert output["item"]["output"] == '{"logged":true}'
            await scene.session.send_message("And?")
            assert await scene.answered(2) == "Yes?"
            assert len(scene.llm.requests) == 2

    play(story)


def test_a_filler_is_said_while_a_tool_runs() -> None:
    """Row 10."""

    async def story() -> None:
        go = asyncio.Event()

        @function_tool(filler="One moment.")
        async def search() -> str:
            await go.wait()
            return "found"

        agent = RealtimeAgent("Ann", tools=[search])
        async with acting("memory", agent, ScriptLlm(Use("search"), "One moment.", "Found it.")) as scene:
            await scene.session.send_message("Search.")
            assert await scene.answered(2) == "One moment."
            go.set()
            assert await scene.answered(3) == "Found it."

    play(story)


def test_a_tool_that_fails_and_bad_arguments_are_answers() -> None:
    async def story() -> None:
        def broken(city: str) -> str:
            raise RuntimeError("no net")

        calls = (Use("broken", '{"city":"x"}'), Use("broken", "{"))
        async with acting("memory", RealtimeAgent("Ann", tools=[broken]), ScriptLlm(calls, "Sorry.")) as scene:
            await scene.session.send_message("Go.")
            assert await scene.answered(2) == "Sorry."
            outputs = sorted(event.output for event in scene.of("tool_end"))
            assert "no net" in outputs[0]
            assert "not valid JSON" in outputs[1]

    play(story)


def test_a_failure_is_told_in_words_of_ones_own_and_never_leaves_silence() -> None:
    """Row 10."""

    def worded(context: RunContext[Any], problem: Exception) -> str:
        if isinstance(problem, TimeoutError):
            return "busy"
        raise ValueError("no words")

    @function_tool(timeout_s=0.01, failure=worded)
    async def sleepy() -> str:
        await asyncio.Event().wait()
        return ""

    @function_tool(failure=worded)
    def broken() -> str:
        raise RuntimeError("no net")

    async def story() -> None:
        calls = (Use("sleepy"), Use("broken"))
        async with acting("memory", RealtimeAgent("Ann", tools=[sleepy, broken]), ScriptLlm(calls, "Sorry.")) as scene:
            await scene.session.send_message("Go.")
            assert await scene.answered(2) == "Sorry."
            outputs = {event.tool: event.output for event in scene.of("tool_end")}
            assert outputs["sleepy"] == "busy"
            assert "no net" in outputs["broken"]

    play(story)


def test_tool_guardrails_stand_before_and_after_a_tool() -> None:
    ran: list[str] = []

    def no_bombs(context: Any, tool: Any, arguments: Any) -> Verdict:
        return Verdict(tripped=arguments["what"] == "bombs", message="Not that.")

    def no_numbers(context: Any, tool: Any, output: str) -> bool:
        return "555" in output

    @function_tool(tool_input_guardrails=[no_bombs], tool_output_guardrails=[no_numbers])
    def look_up(what: str) -> str:
        ran.append(what)
        return "555-1234"

    async def story() -> None:
        calls = (Use("look_up", '{"what":"bombs"}'), Use("look_up", '{"what":"Eve"}'))
        async with acting("memory", RealtimeAgent("Ann", tools=[look_up]), ScriptLlm(calls, "I cannot.")) as scene:
            await scene.session.send_message("Go.")
            assert await scene.answered(2) == "I cannot."
            assert ran == ["Eve"]
            outputs = sorted(event.output for event in scene.of("tool_end"))
            assert "Not that." in outputs[0]
            assert "must not be used" in outputs[1]

    play(story)


def test_a_session_says_when_and_why_it_ended() -> None:
    """Row 15."""

    async def story() -> None:
        created = Send(SessionCreated(session=WireSession(id="sess_1")))
        async with ScriptedServer([created, Expect("session.update"), Close(1000, "call over")]) as server:
            session = RealtimeSession(ANN, settings=at(server.url))
            await session.connect()
            events = [event async for event in session]
        assert (events[-1].type, events[-1].reason, events[-1].clean) == ("session_ended", "call over", True)  # type: ignore[attr-defined]

    play(story)


def test_a_refused_reconnection_is_an_unclean_end() -> None:
    """Row 15."""

    async def story() -> None:
        created = Send(SessionCreated(session=WireSession(id="sess_1")))
        async with ScriptedServer([created, Expect("session.update"), Close(1008, "out")]) as server:
            session = RealtimeSession(ANN, settings=at(server.url))
            await session.connect()
            ended = [event async for event in session][-1]
        assert (ended.type, ended.clean) == ("session_ended", False)  # type: ignore[attr-defined]
        with pytest.raises(Exception, match="1008"):
            await session.send_message("Hello?")

    play(story)


def test_a_call_that_nobody_decides_about_is_refused_after_its_deadline() -> None:
    """Approvals: the model goes on, and a decision that comes late is told to be late."""

    async def story() -> None:
        ran: list[str] = []

        @function_tool(needs_approval=True, approval_timeout_s=0.01)
        def pay() -> str:
            ran.append("paid")
            return "paid"

        @function_tool(needs_approval=True)
        def sell() -> str:
            ran.append("sold")
            return "sold"

        llm = ScriptLlm((Use("pay"), Use("sell")), "Nobody answered.", Use("sell"), "It was not allowed.")
        settings = SessionSettings(approval_timeout_s=60, rejection_message="Not today.")
        async with acting("memory", RealtimeAgent("Ann", tools=[pay, sell]), llm, settings=settings) as scene:
            await scene.session.send_message("Pay and sell.")
            late = await scene.until("tool_end")
            assert "Nobody decided in time" in late.output
            with pytest.raises(ConfigError, match="waits for approval"):
                await scene.session.approve(late.call_id)
            waiting = await scene.until("tool_approval_required", where=lambda event: event.tool == "sell")
            await scene.session.reject(waiting)
            assert await scene.answered(2) == "Nobody answered."
            assert scene.of("tool_end")[1].output == "Not today."
            await scene.session.send_message("Sell.")
            again = await scene.until("tool_approval_required", 3)
            await scene.session.close()
            with pytest.raises(NotConnected):
                await scene.session.approve(again)
            assert ran == []

    play(story)


def test_what_was_heard_goes_by_the_clock_where_nobody_tells_and_by_the_tracker_where_there_is_one() -> None:
    """Row 4."""

    async def story() -> None:
        tracker = RealtimePlaybackTracker()
        for settings in (SessionSettings(), SessionSettings(playback_tracker=tracker)):
            async with acting("memory", ANN, ScriptLlm("word " * 60), settings=settings) as scene:
                await scene.session.send_message("Go.")
                await scene.answered()
                start = scene.of("audio_start")[0]
                if settings.playback_tracker is not None:
                    tracker.on_play_ms(start.item_id, 0, 150)
                    tracker.on_play_bytes(start.item_id, 0, bytes(48 * 100))
                await scene.session.interrupt()
                cut = await scene.came_in("conversation.item.truncated")
                received = sum(len(event.audio) for event in scene.of("audio")) // 48
                if settings.playback_tracker is not None:
                    assert cut["audio_end_ms"] == 250
                assert 0 <= cut["audio_end_ms"] < received

    play(story)


@pytest.mark.parametrize("approved", [True, False])
def test_a_call_that_waits_for_a_person_outlives_its_connection(approved: bool) -> None:
    """Row 13."""

    async def story() -> None:
        @function_tool(needs_approval=True)
        def pay() -> str:
            return "paid"

        llm = ScriptLlm(Use("pay"), "It is paid.")
        async with acting("memory", RealtimeAgent("Ann", tools=[pay]), llm) as scene:
            await scene.session.send_message("Pay.")
            asked = await scene.until("tool_approval_required")
            await scene.answered()
            await scene.drop()
            await scene.until("reconnected")
            await (scene.session.approve(asked) if approved else scene.session.reject(asked))
            assert await scene.answered(2) == "It is paid."
            said = str(llm.requests[1].items)
            assert ("paid" in said) == approved
            call = scene.session.history[1]
            assert isinstance(call, RealtimeToolCallItem)
            assert call.status == "completed"

    play(story)


def test_history_is_seeded_saved_and_taken_up_again(tmp_path: Any) -> None:
    """Row 16."""

    async def story() -> None:
        past = [user("I am Eve."), assistant("Hello Eve.")]
        async with acting("memory", ANN, ScriptLlm("Eve.", "Still Eve.")) as scene:
            session = scene.session
            await session.close()
            call = RealtimeToolCallItem(item_id="", call_id="call_1", name="f", arguments="{}", output="1")
            await session.connect(history=[*past, call])
            await session.send_message("Who am I?")
            assert await scene.answered() == "Eve."
            kinds = [type(item).__name__ for item in scene.llm.requests[0].items]
            assert kinds == ["Message", "Message", "FunctionCall", "FunctionCallOutput", "Message"]
            session.save(tmp_path / "talk.json")
            await session.close()
            session.load(tmp_path / "talk.json")
            await session.connect()
            await session.send_message("And now?")
            await scene.answered(2)
            assert len(scene.llm.requests[1].items) == 7
            await session.close()
            await session.connect()
            await session.send_message("Again?")
            await scene.answered(3)
            assert len(scene.llm.requests[2].items) == 9

    play(story)


def test_both_sides_are_told_word_by_word() -> None:
    """Row 17."""

    async def story() -> None:
        async with acting("memory", ANN, ScriptLlm("Good day to you."), hears=("hello there",)) as scene:
            await scene.speaks()
            await scene.answered()
            words = {"user": "", "assistant": ""}
            for event in scene.of("transcript_delta"):
                words[event.role] += event.delta
            assert words == {"user": "hello there", "assistant": "Good day to you."}
            assert {(each.role, each.text) for each in scene.of("transcript_done")} == set(words.items())
            assert [type(item) for item in scene.session.history] == [UserMessageItem, AssistantMessageItem]
            assert scene.of("history_updated")[-1].history == scene.session.history

    play(story)


def test_context_is_given_without_a_reply() -> None:
    """Row 18."""

    async def story() -> None:
        async with acting("memory", ANN, ScriptLlm("Rainy.")) as scene:
            await scene.session.send_message("It rains.", respond=False, role="system")
            await scene.session.send_message("Weather?")
            assert await scene.answered() == "Rainy."
            assert [item.role for item in scene.llm.requests[0].items] == ["system", "user"]  # type: ignore[union-attr]

    play(story)


def test_more_instructions_come_on_top() -> None:
    """Row 19."""

    async def story() -> None:
        async with acting("memory", RealtimeAgent("Ann", "You are Ann."), ScriptLlm("Hi.", "Bye!")) as scene:
            await scene.session.respond(instructions="Greet the user.")
            assert await scene.answered() == "Hi."
            await scene.session.say("Bye!")
            assert await scene.answered(2) == "Bye!"
            first, second = scene.llm.requests
            assert first.instructions == "You are Ann.\n\nGreet the user."
            assert "Bye!" in second.instructions

    play(story)


@pytest.mark.parametrize("field", ["turn_detection", "input_audio_transcription"])
def test_none_turns_a_setting_off(field: str) -> None:
    """Row 20."""

    async def story() -> None:
        async with acting("memory", ANN, ScriptLlm(), config={field: None}) as scene:
            update = await scene.sent_out("session.update")
            key = {"turn_detection": "turn_detection", "input_audio_transcription": "transcription"}[field]
            assert update["session"]["audio"]["input"][key] is None
            await scene.session.update_config(speed=1.2)
            second = await scene.sent_out("session.update", 2)
            assert second["session"] == {"type": "realtime", "audio": {"output": {"speed": 1.2}}}

    play(story)


def test_usage_is_told_for_each_agent() -> None:
    """Row 25."""

    async def story() -> None:
        bob = RealtimeAgent("Bob")
        agent = RealtimeAgent("Ann", handoffs=[bob])
        async with acting("memory", agent, ScriptLlm(Use("transfer_to_bob"), "Bob here.")) as scene:
            await scene.session.send_message("Bob?")
            await scene.answered(2)
            await scene.until("usage_updated", 2)
            used = scene.session.agent_usage
            assert set(used) == {"Ann", "Bob"}
            assert sum(each.responses for each in used.values()) == scene.session.usage.responses == 2

    play(story)


def test_hooks_are_called_in_order() -> None:
    async def story() -> None:
        told: list[str] = []

        async def started(context: Any, agent: RealtimeAgent) -> None:
            told.append(f"start {agent.name}")

        last = asyncio.Event()

        async def ended(context: Any, agent: RealtimeAgent, text: str) -> None:
            told.append(f"end {agent.name} {text}")
            if text == "Bob.":
                last.set()

        hooks = AgentHooks(
            on_start=started,
            on_end=ended,
            on_tool_start=lambda context, agent, tool: told.append(f"tool {tool.name}"),
            on_tool_end=lambda context, agent, tool, output: told.append(f"output {output}"),
            on_handoff=lambda context, agent, source: told.append(f"from {source.name}"),
        )
        bob = RealtimeAgent("Bob", hooks=hooks)
        agent = RealtimeAgent("Ann", tools=[weather], handoffs=[bob], hooks=hooks)
        script = (Use("weather", '{"city":"Rome"}'), "Warm.", Use("transfer_to_bob"), "Bob.")
        async with acting("memory", agent, ScriptLlm(*script)) as scene:
            await scene.session.send_message("Rome?")
            await scene.answered(2)
            await scene.session.send_message("Bob?")
            await asyncio.wait_for(last.wait(), 10)
        assert [each for each in told if not each.startswith(("start", "end"))] == [
            "tool weather", "output 21 degrees in Rome", "from Ann",
        ]  # fmt: skip
        assert [each for each in told if each.startswith("end")][-1] == "end Bob Bob."

    play(story)


def test_hooks_may_be_methods() -> None:
    async def story() -> None:
        told: list[str] = []
        both = asyncio.Event()

        class Follow(AgentHooks):
            async def on_start(self, context: Any, agent: RealtimeAgent) -> None:
                told.append(f"start {agent.name}")

            def on_end(self, context: Any, agent: RealtimeAgent, text: str) -> None:
                told.append(f"end {text.strip()}")
                both.set()

        async with acting("memory", RealtimeAgent("Ann", hooks=Follow()), ScriptLlm("Hi.")) as scene:
            await scene.session.send_message("Hi.")
            await asyncio.wait_for(both.wait(), 10)
        assert told == ["start Ann", "end Hi."]

    play(story)


def test_a_broken_frame_and_a_strange_event_hurt_nobody() -> None:
    async def story() -> None:
        created = Send(SessionCreated(session=WireSession(id="sess_1")))
        script = [
            created, Expect("session.update"), Send("{not json"), Send('{"type":"brand.new","x":1}'),
            Expect("conversation.item.create"), Close(1000, "fine"),
        ]  # fmt: skip
        async with ScriptedServer(script) as server:
            session = RealtimeSession(ANN, settings=at(server.url))
            raw: list[Any] = []
            session.on("raw_model_event", lambda event: raw.append(event.data))
            await session.connect()
            await session.transport.send_event({"type": "session.update", "session": {"type": "realtime"}})
            await session.send_message("Still here.", respond=False)
            kinds = [event.type async for event in session]
        assert kinds.count("error") == 1
        assert kinds[-1] == "session_ended"
        assert [getattr(each, "type", "") for each in raw].count("brand.new") == 1

    play(story)


def test_a_call_that_is_told_twice_runs_once() -> None:
    async def story() -> None:
        runs: list[int] = []

        def count() -> str:
            runs.append(1)
            return "one"

        call = '"type":"function_call","id":"item_1","call_id":"call_1","name":"count","arguments":"{}"'
        where = '"event_id":"e","response_id":"resp_1","output_index":0'
        frame = f'{{"type":"response.output_item.done",{where},"item":{{{call},"status":"completed"}}}}'
        response = '{"id":"resp_1","status":"completed","conversation_id":"conv_1","output":[]}'
        done = f'{{"type":"response.done","event_id":"e","response":{response}}}'
        answered = Expect("conversation.item.create", item={"type": "function_call_output", "output": "one"})
        script = [
            Send(SessionCreated(session=WireSession(id="sess_1"))), Send(frame), answered, Send(frame), answered,
            Send(done), Expect("response.create"), Close(1000),
        ]  # fmt: skip
        async with ScriptedServer(script) as server:
            session = RealtimeSession(RealtimeAgent("Ann", tools=[count]), settings=at(server.url))
            await session.connect()
            kinds = [event.type async for event in session]
        assert (runs, kinds.count("tool_end")) == ([1], 1)

    play(story)


def test_a_tool_that_ends_while_the_user_is_being_checked_waits_for_the_check() -> None:
    """Row 9: nothing is said before the check, about a tool neither."""

    async def story() -> None:
        go, looked = asyncio.Event(), asyncio.Event()

        async def search() -> str:
            await go.wait()
            return "found"

        async def slow(context: Any, agent: Any, text: str) -> bool:
            if text == "rude":
                await looked.wait()
            return text == "rude"

        guard = InputGuardrail(name="slow", execute=slow)
        agent = RealtimeAgent("Ann", tools=[search], input_guardrails=[guard])
        async with acting("memory", agent, ScriptLlm(Use("search"), "Let us be kind."), hears=("rude",)) as scene:
            await scene.session.send_message("Search.")
            await scene.until("tool_start")
            await scene.speaks()
            await scene.until("transcript_done", where=lambda event: event.role == "user")
            go.set()
            await scene.until("tool_end")
            await scene.came_in("conversation.item.added", 4)
            assert len(scene.of("agent_start")) == 1
            looked.set()
            assert await scene.answered(2) == "Let us be kind."
            assert len(scene.llm.requests) == 2

    play(story)


def test_a_tool_that_the_server_runs_is_allowed_by_a_person() -> None:
    """Hosted MCP: the approval goes out as an item, and the model is asked again after the call."""

    async def story() -> None:
        where = '"event_id":"e","previous_item_id":null'
        request = '{"type":"mcp_approval_request","id":"q_1","server_label":"s","name":"add","arguments":"{}"}'
        call = '{"type":"mcp_call","id":"m_1","server_label":"s","name":"add","arguments":"{}","output":"3"}'
        script = [
            Send(SessionCreated(session=WireSession(id="sess_1"))),
            Expect(
                "session.update", session={"tools": [{"type": "mcp", "server_label": "s", "server_url": "https://x"}]}
            ),
            Send(f'{{"type":"conversation.item.done",{where},"item":{request}}}'),
            Expect(
                "conversation.item.create",
                item={"type": "mcp_approval_response", "approval_request_id": "q_1", "approve": True},
            ),
            Send(f'{{"type":"conversation.item.done",{where},"item":{call}}}'),
            Expect("response.create"),
            Close(1000),
        ]
        agent = RealtimeAgent("Ann", tools=[McpServerTool(server_label="s", server_url="https://x")])
        async with ScriptedServer(script) as server:
            session = RealtimeSession(agent, settings=at(server.url))
            session.on("tool_approval_required", session.approve)
            await session.connect()
            told = [event async for event in session]
        assert [event.output for event in told if event.type == "mcp_tool_call_completed"] == ["3"]

    play(story)


@pytest.mark.parametrize("length", [0, 8], ids=["whole", "in_pieces"])
def test_what_was_held_back_and_never_heard_is_not_in_the_history(length: int) -> None:
    """Row 7: neither people nor the model read a sentence as said that nobody was let hear."""

    async def story() -> None:
        settings = SessionSettings(
            output_guardrails=(OutputGuardrail(name="no_price", execute=lambda context, agent, text: "price" in text),),
            guardrails=GuardrailSettings(hold_audio=True, debounce_text_length=length),
        )
        async with acting("memory", ANN, ScriptLlm("The price is 5.", "Fine."), settings=settings) as scene:
            await scene.session.send_message("How much?")
            await scene.until("audio_end")
            answers = [item.text for item in scene.session.history if isinstance(item, AssistantMessageItem)]
            assert answers == ["", "Fine."]
            cuts = [each for each in scene.sent if each["type"] == "conversation.item.truncate"]
            assert [cut["audio_end_ms"] for cut in cuts] == [0]
            assert not scene.of("error")

    play(story)


def test_many_sessions_at_once_and_many_listeners_each() -> None:
    async def story() -> None:
        async def one(number: int) -> None:
            async with acting("memory", ANN, ScriptLlm(f"Number {number}.")) as scene:
                heard: list[list[str]] = [[], []]

                async def listen(mine: list[str]) -> None:
                    async for event in scene.session:
                        mine.append(event.type)
                        if event.type == "agent_end":
                            return

                loops = [asyncio.create_task(listen(mine), name="test listener") for mine in heard]
                await asyncio.sleep(0)
                await scene.session.send_message("Who?")
                await asyncio.gather(*loops)
                assert await scene.answered() == f"Number {number}."
                assert heard[0] == heard[1]

        await asyncio.gather(*(one(number) for number in range(5)))

    play(story)


@pytest.mark.parametrize("place", ["tool", "guardrail", "handler", "handoff"])
def test_a_session_can_be_closed_from_anywhere(place: str) -> None:
    async def story() -> None:
        closed = asyncio.Event()

        async def close(*_: Any) -> Any:
            await scene.session.close()
            closed.set()
            return False

        async def tool() -> str:
            await close()
            return "never told"

        async def leave(context: Any) -> None:
            await close()

        agent = RealtimeAgent("Ann", tools=[tool], handoffs=[realtime_handoff(RealtimeAgent("Bob"), on_handoff=leave)])
        if place == "guardrail":
            agent.output_guardrails.append(OutputGuardrail(name="close", execute=close))
        script = {"tool": Use("tool"), "handoff": Use("transfer_to_bob")}.get(place, "Hello.")
        async with acting("memory", agent, ScriptLlm(script)) as scene:
            if place == "handler":
                scene.session.on("agent_end", close)
            await scene.session.send_message("Go.")
            await asyncio.wait_for(closed.wait(), 10)
            await scene.session.close()

    play(story)


def test_what_cannot_be_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match="no event"):
        RealtimeSession(ANN).on("audoi", print)
    with pytest.raises(ConfigError, match="no transport"):
        RealtimeSession(ANN, "carrier pigeon")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="instrctions"):
        RealtimeSession(ANN, config={"instrctions": "x"})

    async def story() -> None:
        with pytest.raises(NotConnected):
            await RealtimeSession(ANN).send_message("Hi.")
        with pytest.raises(ConnectFailed):
            await RealtimeSession(ANN, settings=at("ws://127.0.0.1:9/v1/realtime")).connect()
        deaf = RealtimeAgent("Ann", input_guardrails=[InputGuardrail(name="g", execute=lambda *_: False)])
        with pytest.raises(ConfigError, match="transcription"):
            await RealtimeSession(deaf, config={"input_audio_transcription": None}).connect(url="ws://127.0.0.1:9")
        twice = RealtimeAgent("Ann", tools=[weather, weather])
        with pytest.raises(ConfigError, match="two tools"):
            await RealtimeSession(twice).connect(url="ws://127.0.0.1:9")
        async with acting("memory", ANN, ScriptLlm()) as scene:
            with pytest.raises(ConfigError, match="waits for approval"):
                await scene.session.approve("call_nobody")

    play(story)


@dataclass
class Reason:
    """Why the conversation goes on with another agent."""

    text: str
    urgent: bool = False


def test_a_handoff_may_take_one_value_and_a_prompt_may_be_a_function() -> None:
    async def story() -> None:
        given: list[Reason] = []

        async def prompt(context: RunContext[str], agent: RealtimeAgent) -> dict[str, Any]:
            return {"id": "pmpt_1", "variables": {"who": f"{agent.name} for {context.value}"}}

        bob = RealtimeAgent("Bob", prompt=prompt)
        way = realtime_handoff(bob, on_handoff=lambda context, reason: given.append(reason), input_type=Reason)
        llm = ScriptLlm(Use("transfer_to_bob", "{}"), Use("transfer_to_bob", '{"text":"rain"}'), "Bob here.")
        async with acting("memory", RealtimeAgent("Ann", handoffs=[way]), llm, context="Eve") as scene:
            await scene.session.send_message("Bob?")
            assert await scene.answered(3) == "Bob here."
            assert given == [Reason("rain")]
            update = await scene.sent_out("session.update", 2)
            assert update["session"]["prompt"] == {"id": "pmpt_1", "variables": {"who": "Bob for Eve"}}
        with pytest.raises(ConfigError, match="on_handoff"):
            realtime_handoff(bob, input_type=Reason)

    play(story)


def test_handlers_may_be_set_by_the_events_class() -> None:
    async def story() -> None:
        ended: list[str] = []
        async with acting("memory", RealtimeAgent("Ann", tools=[weather]), ScriptLlm()) as scene:
            scene.llm.script.extend(
                [Use("weather", '{"city":"Rome"}'), "Warm.", Use("weather", '{"city":"Oslo"}'), "Mild."]
            )
            note = scene.session.on(ToolEnd, lambda event: ended.append(event.output))

            @scene.session.on(ToolEnd)
            async def later(event: ToolEnd) -> None:
                ended.append(event.tool)

            await scene.session.send_message("Rome?")
            await scene.answered(2)
            scene.session.off(ToolEnd, note)
            await scene.session.send_message("Oslo?")
            await scene.answered(4)
        assert sorted(ended) == ["21 degrees in Rome", "weather", "weather"]

    play(story)


def test_no_key_is_shown() -> None:
    session = RealtimeSession(ANN, settings=at("ws://127.0.0.1:9", api_key="sk-secret"))
    assert "secret" not in repr(session)


def test_the_settings_are_known_before_there_is_a_session() -> None:
    async def story() -> None:
        agent = RealtimeAgent("Ann", instructions=lambda context, agent: f"For {context.value}.", tools=[weather])
        fields = await RealtimeSession.compute_initial_session_config(agent, config={"voice": "marin"}, context="Eve")
        assert fields["instructions"] == "For Eve."
        assert fields["tools"][0]["name"] == "weather"
        assert fields["audio"]["output"] == {"voice": "marin"}
        line = await RealtimeSession.compute_initial_session_config(agent, context="Eve", workflow_name="desk")
        assert line_session(line)["tracing"] == {"workflow_name": "desk"}

    play(story)


def test_a_tool_that_ends_late_is_not_told_after_the_end() -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def slow() -> str:
            await go.wait()
            return ""

        async with acting("memory", RealtimeAgent("Ann", tools=[slow]), ScriptLlm(Use("slow"))) as scene:
            await scene.session.send_message("Go.")
            await scene.until("tool_start")
            await scene.session.close()
            go.set()
            assert not [event for event in scene.told if isinstance(event, ToolEnd)]

    play(story)


def test_a_mute_user_is_silence() -> None:
    async def story() -> None:
        async with acting("memory", ANN, ScriptLlm()) as scene:
            scene.session.mute()
            assert scene.session.muted
            await scene.session.send_audio(b"\x01" * 960)
            scene.session.mute(False)
            await scene.session.send_audio(b"\x01" * 960, commit=False)
            await scene.came_in("session.updated")
            assert len([each for each in scene.sent if each["type"] == "input_audio_buffer.append"]) == 1

    play(story)
