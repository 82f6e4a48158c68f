"""The wire below a session and what carries it: duologue.agents.wire, duologue.agents.link, duologue.agents.settings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from acting import ScriptLlm, Use, acting
from test_pains import ANN, at
from test_parts import Port
from test_scenarios import play

from duologue.agents.agent import RealtimeAgent
from duologue.agents.guardrails import GuardrailSettings
from duologue.agents.history import user
from duologue.agents.link import Link
from duologue.agents.runner import RealtimeRunner
from duologue.agents.session import RealtimeSession
from duologue.agents.settings import SessionSettings, settings_of
from duologue.client.thin import OpenAIRealtimeWebRTC, OpenAIRealtimeWebSocket, ThinOptions
from duologue.errors import ConfigError, NotConnected
from duologue.protocol.server_events import SessionCreated
from duologue.protocol.session import RealtimeSession as WireSession
from duologue.testing.scripted import Close, Expect, ScriptedServer, Send


def test_the_wire_understands_the_names_of_transports() -> None:
    async def story() -> None:
        async with acting("memory", ANN, ScriptLlm("One.", "Two.")) as scene:
            wire, told = scene.session.transport, []
            for name in ("turn_started", "turn_done", "audio_done", "connection_change", "function_call"):
                wire.on(name, lambda event, name=name: told.append((name, event)))

            @wire.on("usage_update")
            async def used(event: Any) -> None:
                told.append(("usage", event.response.usage.total_tokens))

            await scene.session.send_message("Go.")
            await scene.answered()
            wire.off("turn_started", told.append)
            await wire.request_response()
            await scene.answered(2)
            await scene.drop()
            await scene.until("reconnected")
        names = [name for name, _ in told]
        assert names.count("turn_started") == names.count("turn_done") == names.count("usage") == 2
        assert "audio_done" in names
        states = [state for name, state in told if name == "connection_change"]
        assert states == ["connecting", "connected", "disconnected"]

    play(story)


def test_the_wire_answers_calls_changes_settings_and_edits() -> None:
    async def story() -> None:
        async with acting("memory", ANN, ScriptLlm("Hello.", "Eve.")) as scene:
            wire = scene.session.transport
            await scene.session.send_message("Hi.")
            await scene.answered()
            await wire.update_session_config({"speed": 1.2})
            update = await scene.sent_out("session.update", 2)
            assert update["session"] == {"type": "realtime", "audio": {"output": {"speed": 1.2}}}
            old = scene.session.history
            await scene.session.send_message("Later.", respond=False)
            await wire.reset_history(old, [user("I am Eve."), *old[1:]])
            await wire.send_function_call_output("call_1", "42")
            assert await scene.answered(2) == "Eve."
            said = [getattr(item, "text", "") for item in scene.session.history]
            assert [each.strip() for each in said] == ["I am Eve.", "Hello.", "Later.", "Eve."]
            outputs = [each["item"].get("output") for each in scene.sent if each["type"] == "conversation.item.create"]
            assert outputs[-1] == "42"

    play(story)


def test_without_a_connection_the_wire_says_so() -> None:
    async def story() -> None:
        wire = RealtimeSession(ANN).transport
        assert wire.status == "disconnected"
        with pytest.raises(NotConnected):
            await wire.request_response()
        with pytest.raises(NotConnected):
            await wire.reset_history([], [])
        with pytest.raises(NotConnected):
            await wire.update_session_config({"speed": 1.2})

    asyncio.run(story())


def test_a_thin_client_lends_its_address_and_ports_and_a_port_is_a_transport() -> None:
    port: Any = Port()
    lent = OpenAIRealtimeWebRTC(url="http://there/v1", options=ThinOptions(input_port=port))
    link = Link(lent, SessionSettings(), None, None)
    assert (link.is_call, link._source, link._settings.url) == (True, port, "http://there/v1")
    with pytest.raises(ConfigError, match="hold_audio"):
        RealtimeSession(ANN, lent, guardrails={"hold_audio": True})
    link = Link(port, SessionSettings(), None, None)
    assert (link.is_call, link._source, link._sink) == (False, port, port)
    busy = OpenAIRealtimeWebSocket()
    busy.on("audio", print)
    with pytest.raises(ConfigError, match="connects by itself"):
        RealtimeSession(ANN, busy)

    async def story() -> None:
        script = [Send(SessionCreated(session=WireSession(id="s"))), Expect("session.update"), Close(1000)]
        async with ScriptedServer(script) as server:
            runner = RealtimeRunner(ANN, model=OpenAIRealtimeWebSocket(url=server.url))
            session = await runner.run()
            session.settings = at(server.url)
            await session.connect()
            assert [event.type async for event in session][-1] == "session_ended"

    play(story)


def test_a_call_of_others_is_silenced_at_the_server_and_carries_no_sound() -> None:
    """Rows 2 and 24: for who controls a telephone call, or a browser's, from beside it."""

    async def story() -> None:
        script = [
            Send(SessionCreated(session=WireSession(id="sess_1"))), Expect("session.update"),
            Expect("output_audio_buffer.clear"), Close(1000),
        ]  # fmt: skip
        async with ScriptedServer(script) as server:
            session = RealtimeSession(ANN, settings=at(server.url))
            await session.connect(call_id="rtc_1")
            with pytest.raises(ConfigError, match="joined"):
                await session.send_audio(b"\0\0")
            await session.interrupt()
            assert [event.type async for event in session][-1] == "session_ended"
            url = server.url
        held = RealtimeSession(ANN, settings=at(url, guardrails=GuardrailSettings(hold_audio=True)))
        with pytest.raises(ConfigError, match="hold_audio"):
            await held.connect(call_id="rtc_1")

    play(story)


def test_settings_may_be_given_by_name() -> None:
    guard: Any = object()
    options = {"output_guardrails": [guard], "output_guardrail_settings": {"debounce_text_length": -1},
               "history_store_audio": True, "workflow_name": "w"}  # fmt: skip
    settings = settings_of(SessionSettings(budget_usd=1), options)
    assert (settings.output_guardrails, settings.guardrails.debounce_text_length) == ((guard,), 0)
    assert (settings.history_audio, settings.budget_usd) == (True, 1)
    assert settings.tracing() == {"tracing": {"workflow_name": "w"}}
    assert RealtimeSession(ANN, group_id="g", trace_metadata={"a": 1}).settings.tracing() == {
        "tracing": {"group_id": "g", "metadata": {"a": 1}}
    }
    for wrong in ({"workflow": "w"}, {"guardrails": {"bounce": 1}}, {"guardrails": {"hold_audio": "yes"}}):
        with pytest.raises(ConfigError):
            settings_of(None, wrong)


def test_the_names_of_a_trace_are_sent_and_none_is_asked_for_where_that_is_said() -> None:
    """Row 25."""

    async def story() -> None:
        options: dict[str, Any]
        for options, tracing in (
            ({"workflow_name": "shop", "group_id": "g_1"}, {"workflow_name": "shop", "group_id": "g_1"}),
            ({"tracing_disabled": True}, None),
        ):
            script = ScriptLlm(Use("nothing"), "Hm.")
            async with acting("memory", RealtimeAgent("Ann"), script, settings=SessionSettings(**options)) as scene:
                update = await scene.sent_out("session.update")
                assert update["session"]["tracing"] == tracing

    play(story)
