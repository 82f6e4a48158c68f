"""Whole turns over real sockets (duologue.server.runner, duologue.server.shell): sequences are compared, not sampled."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
import websockets
from wire import Caller, ToneVadStream, call, calling, serving, simple_engines, types

from duologue.server.limits import Limits
from duologue.server.runner import RealtimeServer

ITEM = ["conversation.item.added", "conversation.item.done"]
OPEN_MESSAGE = ["response.output_item.added", "conversation.item.added", "response.content_part.added"]
CLOSE = ["response.content_part.done", "conversation.item.done", "response.output_item.done", "response.done"]
SPOKEN_END = ["response.output_audio.done", "response.output_audio_transcript.done", *CLOSE]
MANUAL = {"audio": {"input": {"turn_detection": None, "transcription": {"model": "length"}}}}
TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def without_deltas_repeated(events: list[dict[str, Any]]) -> list[str]:
    """Transcript and sound interleave as they come: only the set of the deltas between two other events is fixed."""
    out: list[str] = []
    for name in types(events):
        if name.endswith(".delta") and name in out[-2:]:
            continue
        out.append(name)
    return out


def test_text_turn() -> None:
    async def story() -> None:
        async with call() as (caller, _):
            await caller.configure(output_modalities=["text"])
            await caller.say("hello")
            await caller.send("response.create")
            events = await caller.until("response.done")
            assert types(events) == [
                *ITEM,
                "response.created",
                *OPEN_MESSAGE,
                "response.output_text.delta",
                "response.output_text.done",
                *CLOSE,
            ]
            assert events[-1]["response"]["output"][0]["content"] == [
                {"type": "output_text", "text": "You said hello."}
            ]

    asyncio.run(story())


def test_spoken_answer() -> None:
    async def story() -> None:
        async with call() as (caller, _):
            await caller.say("hello")
            await caller.send("response.create")
            events = await caller.until("response.done")
            names = without_deltas_repeated(events)
            assert names[:6] == [*ITEM, "response.created", *OPEN_MESSAGE]
            assert set(names[6:-6]) == {"response.output_audio_transcript.delta", "response.output_audio.delta"}
            assert names[-6:] == SPOKEN_END

    asyncio.run(story())


def test_push_to_talk_turn() -> None:
    async def story() -> None:
        async with call() as (caller, _):
            await caller.configure(**MANUAL)
            for _ in range(10):
                await caller.append(50, 1)
            await caller.send("input_audio_buffer.commit")
            await caller.send("response.create")
            events = await caller.until("response.done")
            names = types(events)
            assert names[:3] == ["input_audio_buffer.committed", *ITEM]
            transcription = "conversation.item.input_audio_transcription"
            assert [n for n in names if n.startswith(transcription)] == [
                f"{transcription}.delta",
                f"{transcription}.completed",
            ]
            assert names.index("response.created") < names.index("response.output_item.added")
            said = events[-1]["response"]["output"][0]["content"][0]["transcript"]
            assert said == "You said 500 milliseconds."

    asyncio.run(story())


def test_voice_turn_and_barge_in() -> None:
    async def story() -> None:
        async with call() as (caller, engines):
            await caller.append(320)
            await caller.append(320, 1)
            await caller.append(320)
            events = await caller.until("response.done")
            assert types(events)[:5] == [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                *ITEM,
            ]
            assert (events[0]["audio_start_ms"], events[1]["audio_end_ms"]) == (20, 640 + 224)
            await caller.say("forever")
            await caller.send("response.create")
            await caller.until("response.output_audio.delta")
            await caller.append(320, 1)
            events = await caller.until("response.done")
            names = without_deltas_repeated(events)
            assert names[names.index("input_audio_buffer.speech_started") :] == [
                "input_audio_buffer.speech_started",
                *SPOKEN_END,
            ]
            assert events[-1]["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
            await asyncio.wait_for(engines.llm.stopped.wait(), 5)
            item_id = events[-1]["response"]["output"][0]["id"]
            await caller.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=100)
            await caller.send("conversation.item.retrieve", item_id=item_id)
            cut, kept = (await caller.until("conversation.item.retrieved"))[-2:]
            assert (cut["type"], cut["audio_end_ms"]) == ("conversation.item.truncated", 100)
            assert kept["item"]["content"][0]["transcript"] == "again and"

    asyncio.run(story())


def test_tool_turn() -> None:
    async def story() -> None:
        async with call() as (caller, _):
            await caller.configure(tools=[TOOL], output_modalities=["text"])
            await caller.say("tool")
            await caller.send("response.create")
            events = await caller.until("response.done")
            assert types(events)[2:] == [
                "response.created",
                "response.output_item.added",
                "conversation.item.added",
                "response.function_call_arguments.delta",
                "response.function_call_arguments.done",
                "conversation.item.done",
                "response.output_item.done",
                "response.done",
            ]
            call_id = events[-1]["response"]["output"][0]["call_id"]
            output = {"type": "function_call_output", "call_id": call_id, "output": '{"ok":true}'}
            await caller.send("conversation.item.create", item=output)
            await caller.send("response.create")
            assert types(await caller.until("response.done"))[:3] == [*ITEM, "response.created"]

    asyncio.run(story())


def test_cancel_delete_retrieve() -> None:
    async def story() -> None:
        async with call() as (caller, _):
            await caller.send("response.cancel", event_id="early")
            error = (await caller.receive())["error"]
            assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "early")
            await caller.say("forever")
            await caller.send("response.create")
            await caller.until("response.output_audio_transcript.delta")
            await caller.send("response.cancel")
            events = await caller.until("response.done")
            assert without_deltas_repeated(events)[-6:] == SPOKEN_END
            assert events[-1]["response"]["status_details"]["reason"] == "client_cancelled"
            item_id = events[-1]["response"]["output"][0]["id"]
            await caller.send("conversation.item.delete", item_id=item_id)
            assert (await caller.receive())["type"] == "conversation.item.deleted"
            await caller.send("conversation.item.retrieve", item_id=item_id)
            assert (await caller.receive())["error"]["code"] == "item_retrieve_invalid_item_id"

    asyncio.run(story())


MALFORMED: list[tuple[str | bytes, str | None, str | None]] = [
    ("nonsense", "invalid_json", None),
    ("", "invalid_json", None),
    ("[" * 100_000, "invalid_json", None),
    (b"\x00\x01", "invalid_event", None),
    ("[]", "invalid_event", None),
    ('"text"', "invalid_event", None),
    ("{}", "invalid_event", None),
    ('{"type":7}', "invalid_event", None),
    ('{"type":"do.something"}', "invalid_value", "type"),
    ('{"type":"response.done"}', "invalid_value", "type"),
    ('{"type":"session.update"}', "missing_required_parameter", "session"),
    ('{"type":"session.update","session":{"voice":"ash"}}', "missing_required_parameter", "session.type"),
    ('{"type":"session.update","session":{"type":"session"}}', "invalid_value", "session.type"),
    ('{"type":"session.update","session":{"type":"realtime","voice":"ash"}}', "unknown_parameter", "session.voice"),
    ('{"type":"session.update","session":{"type":"realtime","tools":7}}', "invalid_type", "session.tools"),
    ('{"type":"input_audio_buffer.append"}', "missing_required_parameter", "audio"),
    ('{"type":"input_audio_buffer.append","audio":"***"}', "invalid_value", "audio"),
    ('{"type":"input_audio_buffer.append","audio":17}', "invalid_type", "audio"),
    ('{"type":"input_audio_buffer.commit"}', "input_audio_buffer_commit_empty", None),
    ('{"type":"conversation.item.create"}', "missing_required_parameter", "item"),
    ('{"type":"conversation.item.create","item":{"type":"thought"}}', "invalid_value", "item.type"),
    (
        '{"type":"conversation.item.create","item":{"type":"message","role":"boss","content":[]}}',
        "invalid_value",
        "item.role",
    ),
    ('{"type":"conversation.item.delete","item_id":"x"}', "item_delete_invalid_item_id", None),
    ('{"type":"conversation.item.truncate","item_id":"x","audio_end_ms":1.5}', "invalid_type", "audio_end_ms"),
    ('{"type":"conversation.item.truncate","item_id":"x","audio_end_ms":1}', "item_truncate_invalid_item_id", None),
    ('{"type":"response.create","response":{"conversation":"x"}}', "invalid_value", "response.conversation"),
    ('{"type":"response.cancel","response_id":"resp_x"}', "response_cancel_not_active", None),
    ('{"type":"output_audio_buffer.clear"}', "invalid_value", "type"),
]


def test_malformed_input_gets_the_right_error_and_the_session_lives() -> None:
    async def story() -> None:
        async with call() as (caller, _):
            await caller.configure(audio={"input": {"turn_detection": None}})
            for frame, code, param in MALFORMED:
                await caller.socket.send(frame)
                event = await caller.receive()
                assert event["type"] == "error", frame
                assert (event["error"]["code"], event["error"]["param"]) == (code, param), frame
                assert event["event_id"], frame
            await still_answers(caller)

    asyncio.run(story())


async def still_answers(caller: Caller) -> None:
    await caller.say("still here")
    await caller.send("response.create")
    done = (await caller.until("response.done"))[-1]["response"]
    assert done["status"] == "completed"


def test_an_engine_that_breaks_its_promise_fails_one_response_only() -> None:
    async def story() -> None:
        async with call() as (caller, _):
            await caller.say("broken")
            await caller.send("response.create")
            done = (await caller.until("response.done"))[-1]["response"]
            assert (done["status"], done["status_details"]["error"]["code"]) == ("failed", "server_error")
            await still_answers(caller)

    asyncio.run(story())


def test_speech_that_cannot_be_recognized_says_so() -> None:
    async def story() -> None:
        async with call() as (caller, _):
            foreign = {"turn_detection": None, "transcription": {"model": "length", "language": "xx"}}
            await caller.configure(audio={"input": foreign})
            await caller.append(300, 1)
            await caller.send("input_audio_buffer.commit")
            failed = (await caller.until("conversation.item.input_audio_transcription.failed"))[-1]
            assert failed["error"]["code"] == "unsupported_language"
            await caller.send("response.create")
            assert (await caller.until("response.done"))[-1]["response"]["status"] == "failed"
            await still_answers(caller)

    asyncio.run(story())


def test_events_sent_before_the_session_is_created_are_not_lost() -> None:
    async def story() -> None:
        async with (
            serving(RealtimeServer(simple_engines())) as url,
            websockets.connect(f"{url}?model=scripted", subprotocols=["realtime", "openai-insecure-api-key.x"]) as raw,
        ):
            assert raw.subprotocol == "realtime"
            caller = Caller(raw)
            await caller.send("session.update", session={"type": "realtime", "output_modalities": ["text"]})
            await caller.say("early")
            await caller.send("response.create")
            events = await caller.until("response.done")
            assert types(events)[:2] == ["session.created", "session.updated"]
            assert "response.output_text.delta" in types(events)

    asyncio.run(story())


def test_no_model_is_said_in_an_event_and_in_the_close() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, websockets.connect(url) as raw:
            assert json.loads(await raw.recv())["error"]["code"] == "missing_model"
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await raw.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "invalid_request_error.missing_model")

    asyncio.run(story())


def test_a_caller_that_vanishes_leaves_nothing_behind() -> None:
    async def story() -> None:
        server = RealtimeServer(simple_engines())
        async with serving(server) as url:
            before = asyncio.all_tasks()
            async with calling(url) as caller:
                await caller.say("forever")
                await caller.send("response.create")
                await caller.until("response.output_audio.delta")
                caller.socket.transport.abort()
            left = asyncio.all_tasks() - before
            assert not left or not (await asyncio.wait(left, timeout=5))[1]
            assert server.sessions == 0

    asyncio.run(story())


def test_two_callers_do_not_hear_each_other() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, calling(url) as one, calling(url) as two:
            for caller, word in ((one, "one"), (two, "two")):
                await caller.configure(output_modalities=["text"])
                await caller.say(word)
                await caller.send("response.create")
            for caller, word in ((one, "one"), (two, "two")):
                events = await caller.until("response.output_text.done")
                assert events[-1]["text"] == f"You said {word}."

    asyncio.run(story())


def test_a_phone_s_turn_in_its_own_format() -> None:
    async def story() -> None:
        async with call() as (caller, _):
            both = {"format": {"type": "audio/pcmu"}}
            await caller.configure(audio={"input": {**both, "turn_detection": None}, "output": both})
            for _ in range(25):
                await caller.send("input_audio_buffer.append", audio=b64encode(bytes(160)).decode())
            await caller.send("input_audio_buffer.commit")
            await caller.send("response.create")
            events = await caller.until("response.done")
            said = events[-1]["response"]["output"][0]["content"][0]["transcript"]
            assert said == "You said 500 milliseconds."
            sound = b"".join(b64decode(e["delta"]) for e in events if e["type"] == "response.output_audio.delta")
            assert len(sound) == 80 * len(said)  # ten milliseconds a character, eight samples a millisecond

    asyncio.run(story())


def test_a_transcription_session() -> None:
    async def story() -> None:
        server = RealtimeServer(simple_engines())
        async with serving(server) as url, calling(url, "intent=transcription") as caller:
            assert caller.events[0]["session"]["type"] == "transcription"
            await caller.append(320)
            await caller.append(320, 1)
            await caller.append(320)
            transcription = "conversation.item.input_audio_transcription"
            assert types(await caller.until(f"{transcription}.completed")) == [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                *ITEM,
                f"{transcription}.delta",
                f"{transcription}.completed",
            ]
            await caller.send("response.create", event_id="mine")
            assert (await caller.receive())["error"]["event_id"] == "mine"

    asyncio.run(story())


def test_the_host_decides_how_much_a_session_may_spend() -> None:
    async def story() -> None:
        server = RealtimeServer(simple_engines(), limits=Limits(tokens_per_minute=6_000, context_tokens=64))
        async with serving(server) as url, calling(url) as caller:
            await caller.say("long " * 100)
            await caller.send("response.create")
            done = (await caller.until("response.done"))[-1]["response"]
            assert done["status_details"]["error"]["code"] == "context_length_exceeded"
            assert caller.events[-1]["rate_limits"][0]["limit"] == 6_000

    asyncio.run(story())


def test_others_have_their_turn_while_one_client_s_minutes_of_sound_are_looked_at() -> None:
    class Glances(ToneVadStream):
        """Writes down where the event loop was whenever sound is looked at."""

        def __init__(self, turns: list[int], clock: list[int]) -> None:
            super().__init__()
            self._turns, self._clock = turns, clock

        def feed(self, audio: bytes) -> list[float]:
            self._turns.append(self._clock[0])
            return super().feed(audio)

    async def story() -> None:
        turns: list[int] = []
        clock = [0]
        engines = simple_engines()
        engines.vad.open = lambda: Glances(turns, clock)  # type: ignore[method-assign]

        async def tick() -> None:
            while True:
                clock[0] += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick(), name="others")
        async with serving(RealtimeServer(engines)) as url, websockets.connect(f"{url}?model=x", max_size=None) as raw:
            caller = Caller(raw)
            await caller.until("session.created")
            await caller.send("input_audio_buffer.append", audio=b64encode(bytes(48_000 * 60)).decode())
            await caller.send("input_audio_buffer.clear")
            await caller.until("input_audio_buffer.cleared")
        ticking.cancel()
        assert len(set(turns)) >= 60

    asyncio.run(story())
