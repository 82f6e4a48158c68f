"""What real clients break on, looked for on the raw wire: each test is a demand that some client makes.

One long conversation in each dialect is recorded once; the tests on its events come first, those that need a line of
their own after them. The sequences that single clients drive are in the tests of those clients.
"""

from __future__ import annotations

import asyncio
import json
import math
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from realserver import chunks, clip
from strict import check_events
from wire import Caller

Event = dict[str, Any]
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city"}},
        "required": ["city"],
    },
}
LISTENING = {
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
    "transcription": {"model": "gpt-4o-mini-transcribe"},
}
BETA = ["realtime", "openai-insecure-api-key.null", "openai-beta.realtime-v1"]


@asynccontextmanager
async def dialled(host: str, query: str = "?model=gpt-realtime", **options: Any) -> AsyncIterator[Caller]:
    async with websockets.connect(f"ws://{host}/v1/realtime{query}", max_size=None, **options) as socket:
        yield Caller(socket)


def tell(host: str, story: Callable[[Caller], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with dialled(host, **options) as caller:
            await caller.until("session.created")
            await story(caller)

    asyncio.run(run())


async def speak(caller: Caller, name: str) -> None:
    for chunk in chunks(clip(name, silence_ms=800)):
        await caller.send("input_audio_buffer.append", audio=b64encode(chunk).decode())


async def ask(caller: Caller, text: str, **response: Any) -> Event:
    await caller.say(text)
    await caller.send("response.create", **({"response": response} if response else {}))
    done: Event = (await caller.until("response.done"))[-1]["response"]
    return done


async def long_conversation(caller: Caller, delta: str) -> None:
    """Every kind of turn: a question by voice, a tool, interruptions, edits, an aside, errors; `delta` is of audio."""
    await speak(caller, "weather_in_paris")
    [call] = (await caller.until("response.done"))[-1]["response"]["output"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"temperature": 21.5}'}
    await caller.send("conversation.item.create", item=output)
    await caller.send("response.create", response={"metadata": {"client_event_id": "mine"}})
    await caller.until("response.done")
    await caller.say("count to 100")
    await caller.send("response.create")
    await caller.until(delta)
    await speak(caller, "seven_times_eight")
    cut = (await caller.until("response.done"))[-1]["response"]["output"][0]["id"]
    await caller.send("conversation.item.truncate", item_id=cut, content_index=0, audio_end_ms=100)
    await caller.until("response.done")
    await caller.send("conversation.item.retrieve", item_id=cut)
    await caller.until("conversation.item.retrieved")
    user = next(event["item_id"] for event in caller.events if event["type"] == TRANSCRIBED)
    await caller.send("conversation.item.retrieve", item_id=user)
    await caller.until("conversation.item.retrieved")
    await caller.send("conversation.item.delete", item_id=user)
    await caller.until("conversation.item.deleted")
    await caller.say("count to 100")
    await caller.send("response.create")
    await caller.until(delta)
    await caller.send("response.create", event_id="too early")
    await caller.until("error")
    await caller.send("response.cancel")
    await caller.until("response.done")
    await caller.send("response.cancel", event_id="idle")
    await caller.until("error")
    question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say cheese"}]}
    await caller.send("response.create", response={"conversation": "none", "input": [question], "metadata": {"a": "b"}})
    await caller.until("response.done")


@pytest.fixture(scope="module")
def told(slow_host: str) -> list[Event]:
    """The long conversation in the GA dialect."""
    recorded: list[Event] = []

    async def story(caller: Caller) -> None:
        await caller.configure(tools=[WEATHER], audio={"input": LISTENING})
        await long_conversation(caller, "response.output_audio.delta")
        recorded.extend(caller.events)

    tell(slow_host, story)
    return recorded


@pytest.fixture(scope="module")
def told_in_beta(slow_host: str) -> list[Event]:
    """The long conversation in the beta dialect."""
    recorded: list[Event] = []

    async def story(caller: Caller) -> None:
        vad, words = LISTENING["turn_detection"], LISTENING["transcription"]
        session = {"tools": [WEATHER], "turn_detection": vad, "input_audio_transcription": words}
        await caller.send("session.update", session=session)
        await caller.until("session.updated")
        await long_conversation(caller, "response.audio.delta")
        recorded.extend(caller.events)

    tell(slow_host, story, subprotocols=BETA)
    return recorded


@pytest.fixture(params=["told", "told_in_beta"])
def either(request: pytest.FixtureRequest) -> list[Event]:
    """The recording of each dialect in turn."""
    events: list[Event] = request.getfixturevalue(request.param)
    return events


def items_of(events: list[Event]) -> Iterator[tuple[str, Event]]:
    """Every item in every event, with the event's type."""
    for event in events:
        for item in [event.get("item"), *(event.get("response") or {}).get("output", ())]:
            if item:
                yield event["type"], item


def values_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from values_of(member, f"{path}.{name}")
    elif isinstance(value, list):
        for member in value:
            yield from values_of(member, f"{path}[]")
    else:
        yield path, value


# --- the recordings ------------------------------------------------------------------------------------------------


def test_every_event_has_an_id_of_its_own(either: list[Event]) -> None:
    ids = [event["event_id"] for event in either]
    assert all(isinstance(name, str) and name for name in ids)
    assert len(set(ids)) == len(ids)


def test_every_event_is_one_that_strict_clients_know(told: list[Event]) -> None:
    check_events(told)


def test_fields_of_items_and_counts_are_left_out_rather_than_null(either: list[Event]) -> None:
    for kind, item in items_of(either):
        fields = ("status", "role", "name", "call_id", "arguments", "content", "id", "type")
        assert not [field for field in fields if field in item and item[field] is None], (kind, item)
    for event in either:
        for path, value in values_of(event):
            if path.endswith(("_tokens", "limit", "remaining", "reset_seconds")) and "max_" not in path:
                assert value is not None, (event["type"], path)


def test_content_has_its_words_even_where_there_are_none_yet(either: list[Event]) -> None:
    seen = set()
    for kind, item in items_of(either):
        for part in item.get("content", ()):
            wanted = "transcript" if part["type"].endswith("audio") else "text"
            assert wanted in part, (kind, part)
            seen.add(part["type"])
    assert "input_audio" in seen
    assert "input_text" in seen


def test_content_parts_are_text_or_audio_in_both_dialects(either: list[Event]) -> None:
    parts = [event["part"] for event in either if event["type"].startswith("response.content_part.")]
    assert parts
    for part in parts:
        assert part["type"] in ("text", "audio")
        assert None not in part.values()
        assert isinstance(part["text" if part["type"] == "text" else "transcript"], str)


def test_content_of_the_model_has_the_names_of_its_dialect(told: list[Event], told_in_beta: list[Event]) -> None:
    for events, names in ((told, {"output_audio", "output_text"}), (told_in_beta, {"audio", "text"})):
        spoken = {
            part["type"] for _, item in items_of(events) if item.get("role") == "assistant" for part in item["content"]
        }
        assert spoken
        assert spoken <= names


def test_metadata_comes_back_as_the_response_begins_and_ends(either: list[Event]) -> None:
    for kind in ("response.created", "response.done"):
        given = [event["response"]["metadata"] for event in either if event["type"] == kind]
        assert {"client_event_id": "mine"} in given, kind
        assert {"a": "b"} in given, kind


@pytest.mark.parametrize(
    ("recording", "announcement"), [("told", "conversation.item.added"), ("told_in_beta", "conversation.item.created")]
)
def test_every_item_is_announced_once_after_its_real_predecessor(
    recording: str, announcement: str, request: pytest.FixtureRequest
) -> None:
    order: list[str] = []
    for event in request.getfixturevalue(recording):
        if event["type"] == announcement:
            assert event["item"]["id"] not in order
            assert event["previous_item_id"] == (order[-1] if order else None)
            order.append(event["item"]["id"])
        elif event["type"] == "conversation.item.deleted":
            order.remove(event["item_id"])
    assert len(order) > 5


def test_items_are_announced_before_anything_is_said_of_them(either: list[Event]) -> None:
    known: set[str] = set()
    aside = {
        event["response"]["id"]
        for event in either
        if event["type"] == "response.created" and event["response"]["conversation_id"] is None
    }
    assert aside
    for event in either:
        kind = event["type"]
        if kind in ("conversation.item.added", "conversation.item.created"):
            known.add(event["item"]["id"])
        elif kind.startswith(("response.content_part", "response.output_item.done", "response.function_call")) or (
            kind.startswith("response.") and kind.endswith(".delta")
        ):
            named = event.get("item_id") or event["item"]["id"]
            assert named in known or event["response_id"] in aside, kind


def test_milliseconds_indices_and_tokens_are_whole_numbers(either: list[Event]) -> None:
    for event in either:
        for path, value in values_of(event):
            if path.endswith(("_ms", "_index", "_tokens")) and value is not None and value != "inf":
                assert type(value) is int, (event["type"], path, value)


def test_events_are_small(either: list[Event]) -> None:
    """Some clients close the line above 1 MiB; only an item retrieved with its sound may be as long as it is."""
    for event in either:
        if event["type"] != "conversation.item.retrieved":
            assert len(json.dumps(event)) < 64 * 1024, event["type"]


def test_a_function_call_is_told_in_full_and_once(either: list[Event]) -> None:
    calls = [(kind, item) for kind, item in items_of(either) if item["type"] == "function_call"]
    announced = [item for kind, item in calls if kind.endswith(("item.added", "item.created"))]
    assert announced
    for item in announced:
        assert (item["status"], item["arguments"]) == ("in_progress", "")
        assert item["call_id"]
        assert item["name"] == "get_weather"
    [finished] = [item for kind, item in calls if kind == "response.output_item.done"]
    assert finished["status"] == "completed"
    kinds = [event["type"] for event in either]
    [done] = [event for event in either if event["type"] == "response.function_call_arguments.done"]
    first = next(
        index
        for index, event in enumerate(either)
        if event["type"] in ("conversation.item.added", "conversation.item.created")
        and event["item"]["type"] == "function_call"
    )
    assert first < kinds.index("response.function_call_arguments.delta") < either.index(done)
    assert (done["call_id"], done["arguments"]) == (finished["call_id"], finished["arguments"])
    assert all(event["call_id"] for event in either if event["type"].startswith("response.function_call_arguments."))


def test_the_name_of_the_function_is_told_at_the_end_of_its_arguments(told: list[Event]) -> None:
    [done] = [event for event in told if event["type"] == "response.function_call_arguments.done"]
    assert done["name"] == "get_weather"


def test_every_response_that_was_created_is_done(either: list[Event]) -> None:
    created = [event["response"]["id"] for event in either if event["type"] == "response.created"]
    assert created == [event["response"]["id"] for event in either if event["type"] == "response.done"]
    for event in either:
        if event["type"] == "response.created":
            assert event["response"]["output"] == []
            assert event["response"]["status"] == "in_progress"


def test_transcripts_come_with_their_usage(either: list[Event]) -> None:
    completed = [event for event in either if event["type"] == TRANSCRIBED]
    assert len(completed) == 2
    for event in completed:
        usage = event["usage"]
        assert usage["type"] in ("tokens", "duration")
        if usage["type"] == "tokens":
            assert {"text_tokens", "audio_tokens"} <= set(usage["input_token_details"])


def test_speech_that_started_stops(either: list[Event]) -> None:
    edges = [event for event in either if event["type"].startswith("input_audio_buffer.speech_")]
    assert [event["type"].rpartition("_")[2] for event in edges] == ["started", "stopped"] * 2
    for started, stopped in zip(edges[::2], edges[1::2], strict=True):
        assert started["item_id"] == stopped["item_id"]
        assert started["audio_start_ms"] < stopped["audio_end_ms"]


def test_errors_carry_the_codes_that_clients_match(either: list[Event]) -> None:
    errors = [event["error"] for event in either if event["type"] == "error"]
    assert [(error["code"], error["event_id"]) for error in errors] == [
        ("conversation_already_has_active_response", "too early"),
        ("response_cancel_not_active", "idle"),
    ]
    assert errors[1]["message"].startswith("Cancellation failed")
    assert all(error["type"] == "invalid_request_error" for error in errors)


def test_the_sound_of_an_answer_ends_with_an_event(told: list[Event]) -> None:
    begun = {event["item_id"] for event in told if event["type"] == "response.output_audio.delta"}
    assert begun == {event["item_id"] for event in told if event["type"] == "response.output_audio.done"}


def test_a_recorded_question_keeps_its_words_and_its_sound(either: list[Event]) -> None:
    kept = [event["item"] for event in either if event["type"] == "conversation.item.retrieved"]
    [user] = [item for item in kept if item["role"] == "user"]
    [part] = user["content"]
    assert part["transcript"] == "what is the weather in paris"
    assert len(b64decode(part["audio"])) > 48 * 1000


def test_beta_keeps_to_its_own_names(told_in_beta: list[Event]) -> None:
    kinds = {event["type"] for event in told_in_beta}
    assert not [kind for kind in kinds if ".output_text" in kind or ".output_audio" in kind]
    assert not kinds & {"conversation.item.added", "conversation.item.done", "conversation.created"}
    assert {"response.audio.delta", "response.audio_transcript.done", "conversation.item.created"} <= kinds
    session = next(event["session"] for event in told_in_beta if event["type"] == "session.created")
    assert not {"type", "audio", "output_modalities", "max_output_tokens"} & set(session)
    assert {"modalities", "voice", "input_audio_format", "max_response_output_tokens", "temperature"} <= set(session)


# --- handshake and start ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "offered",
    [
        ["realtime", "openai-insecure-api-key.ek_of_nobody_here", "openai-agents-sdk.0.20.0"],
        ["openai-insecure-api-key.null", "something-unknown", "realtime"],
    ],
)
def test_realtime_is_selected_where_it_is_offered(host: str, offered: list[str]) -> None:
    async def story() -> None:
        async with dialled(host, subprotocols=offered) as caller:
            assert caller.socket.subprotocol == "realtime"
            first = await caller.receive()
            assert first["type"] in ("session.created", "error")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("headers", "ga"),
    [({}, True), ({"OpenAI-Beta": "assistants=v2"}, True), ({"OpenAI-Beta": "realtime=v1"}, False)],
)
def test_the_value_of_the_header_chooses_the_dialect(host: str, headers: dict[str, str], ga: bool) -> None:
    async def story(caller: Caller) -> None:
        session = caller.events[0]["session"]
        assert ("output_modalities" in session, "modalities" in session) == (ga, not ga)

    tell(host, story, additional_headers=headers)


@pytest.mark.parametrize("model", ["gpt-4o-realtime-preview-2024-10-01", "gpt-realtime-2.1", "anything-at-all"])
def test_any_model_name_will_do(host: str, model: str) -> None:
    async def story(caller: Caller) -> None:
        assert caller.events[0]["session"]["model"] == model

    tell(host, story, query=f"?model={model}")


def test_pings_are_answered_and_compression_may_be_offered(host: str) -> None:
    async def story(caller: Caller) -> None:
        await asyncio.wait_for(await caller.socket.ping(), 5)
        assert (await ask(caller, "hello"))["status"] == "completed"

    tell(host, story, compression="deflate")


def test_what_is_sent_back_to_back_is_done_in_order(host: str) -> None:
    async def story() -> None:
        async with dialled(host) as caller:
            settings = {"type": "realtime", "model": "gpt-realtime", "output_modalities": ["text"], "tracing": None}
            await caller.send("session.update", session=settings)
            await caller.say("hello")
            await caller.send("response.create")
            await caller.send("session.update", session={"type": "realtime", "tracing": "auto"})
            await caller.until("response.done")
            if [event["type"] for event in caller.events].count("session.updated") < 2:
                await caller.until("session.updated")
            events = caller.events
            kinds = [event["type"] for event in events]
            assert kinds[:2] == ["session.created", "session.updated"]
            assert "response.output_text.delta" in kinds
            assert "error" not in kinds
            updated = [event["session"] for event in events if event["type"] == "session.updated"]
            assert [session["tracing"] for session in updated] == [None, "auto"]
            assert updated[1]["output_modalities"] == ["text"]

    asyncio.run(story())


# --- the session object ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "effective"),
    [
        (
            {"type": "semantic_vad"},
            {"type": "semantic_vad", "eagerness": "auto", "create_response": True, "interrupt_response": True},
        ),
        (
            {"type": "server_vad", "threshold": 0.7},
            {
                "type": "server_vad",
                "threshold": 0.7,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        ),
        (None, None),
    ],
)
def test_turn_detection_comes_back_complete(host: str, asked: Event | None, effective: Event | None) -> None:
    async def story(caller: Caller) -> None:
        session = await caller.configure(audio={"input": {"turn_detection": asked}})
        assert session["audio"]["input"]["turn_detection"] == effective

    tell(host, story)


def test_the_session_is_as_strict_readers_expect_it(host: str) -> None:
    async def story(caller: Caller) -> None:
        sessions = [caller.events[0]["session"]]
        sessions.append(await caller.configure(audio={"input": {"transcription": {"model": "gpt-realtime-whisper"}}}))
        for session in sessions:
            assert session["type"] == "realtime"
            assert session["model"] == "gpt-realtime"
            assert session["tool_choice"] == "auto"
            assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
        words = sessions[1]["audio"]["input"]["transcription"]
        assert set(words) <= {"model", "language", "prompt"}, "one key more ends the receive loop of a client"

    tell(host, story)


def test_updates_merge_and_null_clears(host: str) -> None:
    async def story(caller: Caller) -> None:
        words = {"model": "whisper-1"}
        noise = {"type": "near_field"}
        await caller.configure(
            instructions="Be brief.",
            tools=[WEATHER],
            audio={"input": {"transcription": words, "noise_reduction": noise}, "output": {"voice": "ash"}},
        )
        session = await caller.configure(audio={"input": {"turn_detection": None}})
        assert session["instructions"] == "Be brief."
        assert [tool["name"] for tool in session["tools"]] == ["get_weather"]
        assert session["audio"]["output"]["voice"] == "ash"
        heard = session["audio"]["input"]
        assert (heard["transcription"]["model"], heard["noise_reduction"]["type"]) == ("whisper-1", "near_field")
        assert heard["turn_detection"] is None
        session = await caller.configure(tools=[], audio={"input": {"transcription": None, "noise_reduction": None}})
        assert session["tools"] == []
        assert session["audio"]["input"]["transcription"] is None
        assert session["audio"]["input"]["noise_reduction"] is None
        assert session["instructions"] == "Be brief."

    tell(host, story)


@pytest.mark.parametrize(
    "settings",
    [
        {"tracing": None},
        {"tracing": "auto"},
        {"tracing": {"workflow_name": "calls"}},
        {"max_output_tokens": "inf"},
        {"audio": {"output": {"speed": 1}}},
        {"audio": {"output": {"voice": "marin"}}},
        {"audio": {"output": {"voice": {"id": "voice_1"}}}},
        {"audio": {"input": {"noise_reduction": None}}},
        {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}}},
        {"audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}},
        {"prompt": None},
        {"prompt": {"id": "pmpt_1"}},
        {"reasoning": {"effort": "low"}},
        {"truncation": {"type": "retention_ratio", "retention_ratio": 0.8}},
        {"parallel_tool_calls": True},
        {"tool_choice": "required"},
        {"include": ["item.input_audio_transcription.logprobs"]},
    ],
    ids=json.dumps,
)
def test_settings_that_clients_send_are_taken(host: str, settings: Event) -> None:
    async def story(caller: Caller) -> None:
        await caller.send("session.update", session={"type": "realtime", "model": "gpt-realtime", **settings})
        answer = await caller.receive()
        assert answer["type"] == "session.updated", answer

    tell(host, story)


@pytest.mark.parametrize(
    "response", [{"instructions": None}, {"output_modalities": ["text"]}, {"tool_choice": "none"}, {"tools": []}]
)
def test_responses_that_clients_ask_for_are_given(host: str, response: Event) -> None:
    async def story(caller: Caller) -> None:
        assert (await ask(caller, "hello", **response))["status"] == "completed"

    tell(host, story)


# --- items and interruption ------------------------------------------------------------------------------------------


def test_an_item_of_the_client_keeps_its_id_its_text_and_its_place(host: str) -> None:
    async def story(caller: Caller) -> None:
        part = {"type": "input_text", "text": "Guten Tag"}
        for name, place in (("one", {}), ("three", {}), ("two", {"previous_item_id": "one"})):
            item = {"id": name, "type": "message", "role": "user", "content": [part]}
            await caller.send("conversation.item.create", item=item, **place)
        before = []
        for _ in range(3):
            added = (await caller.until("conversation.item.added"))[-1]
            assert (added["item"]["content"], added["item"]["status"]) == ([part], "completed")
            before.append((added["item"]["id"], added["previous_item_id"]))
        assert before == [("one", None), ("three", "one"), ("two", "one")]

    tell(host, story)


def test_an_item_may_be_cut_up_to_the_millisecond_that_began(host: str) -> None:
    async def story(caller: Caller) -> None:
        done = await ask(caller, "hello")
        sound = sum(
            len(b64decode(event["delta"])) for event in caller.events if event["type"] == "response.output_audio.delta"
        )
        item_id = done["output"][0]["id"]
        for end_ms in (math.ceil(sound / 48), sound // 48 // 2, 0):
            await caller.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=end_ms)
            answer = await caller.receive()
            assert (answer["type"], answer.get("audio_end_ms")) == ("conversation.item.truncated", end_ms), answer
        await caller.send("conversation.item.retrieve", item_id=item_id)
        [part] = (await caller.until("conversation.item.retrieved"))[-1]["item"]["content"]
        assert part["transcript"] == ""

    tell(host, story)


def test_an_item_may_be_cut_while_it_is_spoken_and_after_it_was_cancelled(slow_host: str) -> None:
    async def story(caller: Caller) -> None:
        await caller.say("count to 100")
        await caller.send("response.create")
        item_id = (await caller.until("response.output_audio.delta"))[-1]["item_id"]
        await caller.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=10)
        await caller.until("conversation.item.truncated")
        await caller.send("response.cancel")
        await caller.until("response.done")
        await caller.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=5)
        await caller.until("conversation.item.truncated")
        assert "error" not in [event["type"] for event in caller.events]

    tell(slow_host, story)


def test_a_turn_that_the_client_detects_itself(slow_host: str) -> None:
    """Clear, append again from before the word, cancel even when idle, cut: the line lives."""

    async def story(caller: Caller) -> None:
        await caller.configure(audio={"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}})
        await speak(caller, "hello")
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        await speak(caller, "seven_times_eight")
        await caller.send("response.cancel")
        assert (await caller.until("error"))[-1]["error"]["code"] == "response_cancel_not_active"
        await caller.send("input_audio_buffer.commit")
        await caller.send("response.create")
        done = (await caller.until("response.done"))[-1]["response"]
        assert done["output"][0]["content"][0]["transcript"] == "7 times 8 is 56."

    tell(slow_host, story)


def test_a_guardrail_stops_the_answer_and_asks_for_another(slow_host: str) -> None:
    async def story(caller: Caller) -> None:
        await caller.configure(output_modalities=["text"])
        await caller.say("count to 100")
        await caller.send("response.create")
        response_id = (await caller.until("response.output_text.delta"))[-1]["response_id"]
        await caller.send("response.cancel", response_id=response_id)
        await caller.say("say good morning")
        await caller.send("response.create")
        cancelled = (await caller.until("response.done"))[-1]["response"]
        assert (cancelled["id"], cancelled["status"]) == (response_id, "cancelled")
        assert cancelled["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        done = (await caller.until("response.done"))[-1]["response"]
        assert done["output"][0]["content"][0]["text"] == "Good morning"

    tell(slow_host, story)


def test_the_same_id_twice_is_no_catastrophe(host: str) -> None:
    """A client that repeats itself gets an item or the one error that it reads as success."""

    async def story(caller: Caller) -> None:
        item = {"id": "mine", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
        await caller.send("conversation.item.create", item=item)
        await caller.until("conversation.item.done")
        await caller.send("conversation.item.create", item=item, event_id="again")
        answer = await caller.receive()
        if answer["type"] == "error":
            assert (answer["error"]["code"], answer["error"]["event_id"]) == ("item_create_duplicate_item_id", "again")
        else:
            assert (answer["type"], answer["item"]["id"]) == ("conversation.item.added", "mine")

    tell(host, story)
