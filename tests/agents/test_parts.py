"""The small parts: duologue.agents.audience, duologue.agents.mcp, duologue.agents.ports, duologue.agents.runner,
duologue.agents.remote, duologue.agents.history, duologue.agents.tools, duologue.agents.agent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from acting import ScriptLlm, Use, acting
from stagecraft import shown
from test_scenarios import play, weather

from duologue.agents.agent import RealtimeAgent, realtime_handoff
from duologue.agents.audience import WAITING, Audience
from duologue.agents.calls import ToolRules
from duologue.agents.events import AudioData, SessionEnded, SpeechStarted
from duologue.agents.guardrails import OutputGuardrail
from duologue.agents.history import RealtimeToolCallItem, UserMessageItem, edits, readable, user
from duologue.agents.mcp import tools_of
from duologue.agents.ports import Duplex
from duologue.agents.remote import RemoteTools
from duologue.agents.runner import RealtimeRunner
from duologue.agents.tools import RunContext, function_tool
from duologue.audio.spec import PCM16_24K, ULAW_8K
from duologue.client.conversation import RealtimeConversation
from duologue.errors import ConfigError
from duologue.ids import CountingIds
from duologue.protocol import server_events as ev
from duologue.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputText,
    McpApprovalRequest,
    McpCall,
    McpListTools,
    McpTool,
    Message,
)

ANN = RealtimeAgent("Ann")


def test_a_slow_loop_loses_the_oldest_and_memory_stays_bounded() -> None:
    async def story() -> None:
        audience = Audience(lambda problem: problem)
        events = audience.events()
        audience.tell(SpeechStarted(item_id="first"))
        assert (await anext(events)).type == "speech_started"
        for number in range(WAITING + 10):
            audience.tell(SpeechStarted(item_id=str(number)))
        audience.end()
        rest = [event async for event in events]
        assert (len(rest), rest[0].item_id) == (WAITING, "10")  # type: ignore[attr-defined]
        assert [event async for event in audience.events()] == []

    asyncio.run(story())


def test_what_came_before_the_first_loop_is_kept_for_it_but_for_sound() -> None:
    async def story() -> None:
        audience = Audience(lambda problem: problem)
        audience.tell(AudioData(audio=b"", response_id="r", item_id="i", content_index=0))
        audience.tell(SessionEnded(reason="over", clean=True))
        audience.end()
        assert [event.type async for event in audience.events()] == ["session_ended"]

    asyncio.run(story())


def test_handlers_have_two_families_of_names_and_cannot_hurt() -> None:
    async def story() -> None:
        audience = Audience(lambda problem: problem)
        heard: list[str] = []

        def broken(event: Any) -> None:
            raise RuntimeError("mine")

        audience.on("speech_started", broken)
        audience.on("speech_started", lambda event: heard.append(event.item_id))
        audience.on("audio_stopped", heard.append)
        audience.tell(SpeechStarted(item_id="a"))
        audience.off("speech_started")
        audience.tell(SpeechStarted(item_id="b"))
        assert heard == ["a"]

    asyncio.run(story())


class Server:
    """What the `mcp` package's ClientSession looks like."""

    async def list_tools(self) -> Any:
        return [{"name": "add", "description": "Adds.", "inputSchema": {"type": "object"}}]

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        if "a" not in arguments:
            return {"isError": True, "content": [{"type": "text", "text": "a is missing"}]}
        return {"content": [], "structuredContent": {"sum": arguments["a"] + 1}}


def test_tools_of_an_mcp_server_are_functions() -> None:
    async def story() -> None:
        (tool,) = await tools_of(Server())
        assert (tool.name, tool.definition.description) == ("add", "Adds.")
        assert await tool.function(**tool.arguments('{"a":1}')) == '{"sum":2}'
        assert await tool.function(**tool.arguments("{}")) == '{"error":"a is missing"}'
        async with acting(
            "memory", RealtimeAgent("A", mcp_servers=[Server()]), ScriptLlm(Use("add", '{"a":2}'), "3")
        ) as s:
            await s.session.send_message("Add.")
            assert await s.answered(2) == "3"
            assert s.of("tool_end")[0].output == '{"sum":3}'

    play(story)


class Port:
    """A port in a test: says one chunk, and keeps what it is given."""

    def __init__(self, spec: Any = PCM16_24K) -> None:
        self.spec = spec
        self.written: list[bytes] = []
        self.unsaid = [b"\x05" * 960]
        self.cleared = 0
        self.loud = asyncio.Event()

    async def read(self) -> bytes:
        if self.unsaid:
            return self.unsaid.pop()
        await asyncio.Event().wait()
        return b""

    def write(self, pcm: Any, track_id: str = "default") -> bool:
        self.written.append(bytes(pcm))
        if sum(map(len, self.written)) > 48 * 200:
            self.loud.set()
        return True

    def clear(self) -> list[Any]:
        self.cleared += 1
        return []

    def played_ms(self, track_id: str) -> int:
        return 10

    async def drained(self) -> None: ...

    async def close(self) -> None: ...


def test_two_ports_are_one_and_mute_is_silence() -> None:
    async def story() -> None:
        ear, mouth = Port(), Port()
        muted = True
        both = Duplex(ear, mouth, lambda: muted)
        assert await both.read() == bytes(960)
        assert both.write(b"ab")
        assert mouth.written == [b"ab"]
        assert (both.clear(), mouth.cleared, both.played_ms("x")) == ([], 1, 10)
        deaf = Duplex(None, mouth, lambda: False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(deaf.read(), 0.01)
        assert not Duplex(ear, None, lambda: False).write(b"ab")
        with pytest.raises(ConfigError, match="same format"):
            Duplex(Port(), Port(ULAW_8K), lambda: False)

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["memory", "webrtc"])
def test_a_session_speaks_through_ports(kind: str) -> None:
    async def story() -> None:
        ear, mouth = Port(), Port()
        async with acting(kind, ANN, ScriptLlm("word " * 40), input_port=ear, output_port=mouth) as scene:
            await scene.session.send_message("Speak.")
            await scene.until("audio_start")
            async with asyncio.timeout(10):
                await mouth.loud.wait()
            await scene.session.interrupt()
            await scene.came_in("conversation.item.truncated")
            assert ear.unsaid == []
            assert mouth.cleared == (kind == "memory")

    play(story)


def test_the_runner_makes_sessions_of_its_settings() -> None:
    async def story() -> None:
        guard = OutputGuardrail(name="g", execute=lambda *_: False)
        config = {
            "model_settings": {"voice": "marin", "model_name": "m"},
            "output_guardrails": [guard],
            "guardrails_settings": {"debounce_text_length": 7},
        }
        runner = RealtimeRunner(ANN, config=config)
        one, two = [await runner.run(context=name, model_config={"url": "ws://x"}) for name in ("one", "two")]
        assert (one.context, two.context, one.model) == ("one", "two", "m")
        assert one.settings.output_guardrails == (guard,)
        assert one.settings.guardrails.debounce_text_length == 7
        assert (await one.get_initial_session_config())["audio"]["output"] == {"voice": "marin"}
        with pytest.raises(ConfigError, match="modl_settings"):
            RealtimeRunner(ANN, config={"modl_settings": {}})

    asyncio.run(story())


def test_remote_tools_are_listed_allowed_and_told_of_once() -> None:
    remote = RemoteTools(ToolRules())
    listing = McpListTools(id="l", server_label="s", tools=(McpTool(name="add", input_schema={}),))
    assert shown(remote.item(listing, ANN)) == ["tell mcp_tools_changed"]
    assert shown(remote.item(listing, ANN)) == []
    request = McpApprovalRequest(id="q1", server_label="s", name="add")
    assert shown(remote.item(request, ANN)) == ["tell tool_approval_required"]
    assert shown(remote.item(request, ANN)) == []
    assert remote.waits("q1")
    assert shown(remote.settle("q1", False, always=True, reason="no")) == ["sendevent", "respond"]
    again = McpApprovalRequest(id="q2", server_label="s", name="add")
    assert shown(remote.item(again, ANN)) == ["sendevent", "respond"]
    done = McpCall(id="m1", server_label="s", name="add", output="3")
    assert shown(remote.item(done, ANN)) == ["tell mcp_tool_call_completed", "respond"]
    assert shown(remote.item(done, ANN)) == []


def talked() -> RealtimeConversation:
    conversation = RealtimeConversation()
    before = None
    for item in (
        Message(id="u1", role="user", content=(InputText(text="Hello."),)),
        Message(id="guard_1", role="system", content=(InputText(text="Not so loud."),)),
        FunctionCall(id="f1", call_id="c1", name="look", arguments="{}"),
        FunctionCallOutput(id="o1", call_id="c1", output="seen"),
    ):
        conversation.apply(ev.ConversationItemDone(previous_item_id=before, item=item))
        before = str(item.id)
    return conversation


def test_the_history_is_for_people() -> None:
    hello, call = readable(talked().items)
    assert isinstance(hello, UserMessageItem)
    assert hello.text == "Hello."
    assert isinstance(call, RealtimeToolCallItem)
    assert (call.output, call.status) == ("seen", "completed")


def test_edits_delete_create_and_leave_alone() -> None:
    items, new_id = talked().items, CountingIds()
    hello, call = readable(items)
    assert edits(items, [hello, call], new_id) == []
    gone = [step.item_id for step in edits(items, [hello], new_id)]  # type: ignore[union-attr]
    assert gone == ["f1", "o1"]
    (step,) = edits(items, [hello, user("More."), call], new_id)
    assert (step.previous_item_id, step.item.content[0].text) == ("u1", "More.")  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="order"):
        edits(items, [call, hello], new_id)
    with pytest.raises(ConfigError, match="no item 'x'"):
        edits(items, [UserMessageItem(item_id="x", content=())], new_id)


def test_a_tool_knows_whether_it_gets_the_context() -> None:
    def with_hint(run: RunContext[int], city: str) -> str:
        return city

    def by_name(context, city: str) -> str:  # type: ignore[no-untyped-def]
        return city

    for function, takes in ((with_hint, True), (by_name, True), (weather, False)):
        tool = function_tool(function)
        assert tool.takes_context is takes
        assert tool.arguments('{"city":"x"}') == {"city": "x"}
    with pytest.raises(ConfigError, match="needs_aproval"):
        function_tool(needs_aproval=True)(weather)
    assert function_tool(name_override="w", timeout=3)(weather).timeout_s == 3


def test_agents_may_name_each_other_and_are_copied_whole() -> None:
    ann, bob = RealtimeAgent("Ann"), RealtimeAgent("Bob the 2nd")
    ann.handoffs.append(bob)
    bob.handoffs.append(ann)
    assert ann != bob
    assert "Ann" in repr(ann)
    assert [way.name for way in ann.ways_out()] == ["transfer_to_bob_the_2nd"]
    copy = ann.clone(name="Eve")
    copy.handoffs.clear()
    assert (copy.name, len(ann.handoffs)) == ("Eve", 1)
    ann.handoffs.append(realtime_handoff(bob))
    with pytest.raises(ConfigError, match="tool_name_override"):
        ann.ways_out()
