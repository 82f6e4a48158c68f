from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import anything, client_events, ids, mutated, server_events, words

from duologue.errors import ProtocolError
from duologue.protocol import client_events as said
from duologue.protocol import server_events as wire
from duologue.protocol.codec import UnknownEvent, decode_client_event, decode_server_event, encode
from duologue.protocol.dialect import (
    BetaServer,
    client_event_to_beta,
    client_event_to_ga,
    param_to_beta,
    param_to_ga,
    server_event_to_beta,
)
from duologue.protocol.items import Message
from duologue.protocol.session import RealtimeSession

Json = dict[str, Any]

# --- what a beta peer says -------------------------------------------------------------------------------------------

formats = st.sampled_from(["pcm16", "g711_ulaw", "g711_alaw"])
modalities = st.sampled_from([["text", "audio"], ["text"]])
tokens = st.just("inf") | st.integers(1, 4096)
temperatures = st.sampled_from([0.6, 0.8, 1, 1.2])
voices = st.sampled_from(["alloy", "verse", "sage"])
turns = st.none() | st.fixed_dictionaries(
    {"type": st.just("server_vad")},
    optional={"threshold": st.floats(0, 1), "prefix_padding_ms": st.integers(0, 900), "create_response": st.booleans()},
)
tool_lists = st.lists(
    st.fixed_dictionaries({"type": st.just("function"), "name": ids}, optional={"description": words}), max_size=2
)
choices = st.sampled_from(["auto", "none", "required", {"type": "function", "name": "f"}])
hearing: dict[Any, st.SearchStrategy[Any]] = {
    "input_audio_format": formats,
    "input_audio_transcription": st.none() | st.fixed_dictionaries({"model": st.just("whisper-1")}),
    "turn_detection": turns,
    "input_audio_noise_reduction": st.none() | st.just({"type": "near_field"}),
    "include": st.none() | st.just(["item.input_audio_transcription.logprobs"]),
}
speaking: dict[Any, st.SearchStrategy[Any]] = {
    "modalities": modalities,
    "instructions": words,
    "voice": voices,
    "output_audio_format": formats,
    "tools": tool_lists,
    "tool_choice": choices,
}
sessions = st.fixed_dictionaries(
    {},
    optional={
        **hearing, **speaking, "max_response_output_tokens": tokens, "speed": st.floats(0.25, 1.5), "model": ids,
        "tracing": st.none() | st.just("auto"), "prompt": st.none() | st.just({"id": "pmpt_1"}),
    },
)  # fmt: skip
said_parts = {
    "user": st.fixed_dictionaries({"type": st.just("input_text"), "text": words})
    | st.fixed_dictionaries({"type": st.just("input_audio"), "transcript": st.none() | words}),
    "system": st.fixed_dictionaries({"type": st.just("input_text"), "text": words}),
    "assistant": st.fixed_dictionaries({"type": st.just("text"), "text": words})
    | st.fixed_dictionaries({"type": st.just("audio"), "transcript": words}),
}


def messages(role: str) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": st.just("message"), "role": st.just(role), "content": st.lists(said_parts[role], max_size=2)},
        optional={"id": ids, "status": st.sampled_from(["completed", "incomplete", "in_progress"])},
    )


items = st.one_of(
    messages("user"),
    messages("system"),
    messages("assistant"),
    st.fixed_dictionaries(
        {"type": st.just("function_call"), "name": ids, "call_id": ids, "arguments": words}, optional={"id": ids}
    ),
    st.fixed_dictionaries({"type": st.just("function_call_output"), "call_id": ids, "output": words}),
)
shown_items = st.tuples(items, ids).map(lambda pair: {**pair[0], "id": pair[1], "object": "realtime.item"})
params = st.fixed_dictionaries(
    {},
    optional={
        **speaking, "max_response_output_tokens": tokens, "conversation": st.sampled_from(["auto", "none"]),
        "metadata": st.none() | st.dictionaries(ids, words, max_size=2), "input": st.lists(items, max_size=2),
    },
)  # fmt: skip
answers = st.fixed_dictionaries(
    {
        "object": st.just("realtime.response"), "id": ids, "status": st.just("in_progress"),
        "status_details": st.none(), "output": st.lists(shown_items, max_size=2), "usage": st.none(),
        "metadata": st.none() | st.dictionaries(ids, words, max_size=2), "temperature": st.just(0.8),
    },
    optional={"conversation_id": st.none() | ids, "modalities": modalities, "voice": voices,
              "output_audio_format": formats, "max_output_tokens": tokens},
)  # fmt: skip
beta_client_events = st.one_of(
    st.fixed_dictionaries({"type": st.just("session.update"), "session": sessions}, optional={"event_id": ids}),
    st.fixed_dictionaries(
        {"type": st.just("transcription_session.update"), "session": st.fixed_dictionaries({}, optional=hearing)}
    ),
    st.fixed_dictionaries({"type": st.just("response.create")}, optional={"response": params, "event_id": ids}),
    st.fixed_dictionaries(
        {"type": st.just("conversation.item.create"), "item": items}, optional={"previous_item_id": st.none() | ids}
    ),
    st.just({"type": "input_audio_buffer.append", "audio": "AAAA"}),
    st.fixed_dictionaries({"type": st.just("response.cancel")}, optional={"response_id": ids}),
)
place = {"event_id": ids, "response_id": ids, "item_id": ids, "output_index": st.integers(0, 3),
         "content_index": st.integers(0, 3)}  # fmt: skip
beta_server_events = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["session.created", "session.updated"]), "event_id": ids,
            "session": sessions.map(lambda flat: {**flat, "id": "sess_1", "temperature": 0.8}),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["transcription_session.created", "transcription_session.updated"]),
            "event_id": ids, "session": st.fixed_dictionaries({"id": ids}, optional=hearing),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["response.created", "response.done"]), "event_id": ids, "response": answers}
    ),
    st.fixed_dictionaries(
        {"type": st.just("conversation.item.created"), "event_id": ids, "item": shown_items,
         "previous_item_id": st.none() | ids}
    ),
    st.fixed_dictionaries({"type": st.just("conversation.item.retrieved"), "event_id": ids, "item": shown_items}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["response.output_item.added", "response.output_item.done"]), "event_id": ids,
         "response_id": ids, "output_index": st.integers(0, 3), "item": shown_items}
    ),
    st.fixed_dictionaries({"type": st.just("response.audio.delta"), **place, "delta": st.just("AAAA")}),
    st.fixed_dictionaries({"type": st.just("response.text.done"), **place, "text": words}),
    st.fixed_dictionaries({"type": st.just("response.audio_transcript.delta"), **place, "delta": words}),
    st.fixed_dictionaries(
        {"type": st.just("response.content_part.added"), **place,
         "part": st.sampled_from([{"type": "text", "text": ""}, {"type": "audio", "transcript": ""}])}
    ),
)  # fmt: skip


def as_json(frame: bytes | str) -> Json:
    raw: Json = json.loads(frame)
    return raw


def ga(beta: Json) -> Json:
    return as_json(client_event_to_ga(json.dumps(beta)))


# --- there and back --------------------------------------------------------------------------------------------------


@given(beta_client_events)
def test_a_beta_clients_event_is_the_same_after_both_ways(beta: Json) -> None:
    frame = client_event_to_ga(json.dumps(beta).encode())
    assert as_json(client_event_to_beta(frame)) == beta


@given(beta_client_events)
def test_a_beta_clients_event_is_a_ga_event(beta: Json) -> None:
    event = decode_client_event(client_event_to_ga(json.dumps(beta)))
    assert as_json(client_event_to_beta(encode(event))) == beta


@given(beta_server_events)
def test_a_beta_servers_event_is_the_same_after_both_ways(beta: Json) -> None:
    events = [decode_server_event(frame) for frame in BetaServer().to_ga(json.dumps(beta).encode())]
    assert not [event for event in events if isinstance(event, UnknownEvent)]
    [again] = [frame for event in events for frame in server_event_to_beta(event)]
    assert as_json(again) == beta
    event_ids = [event.event_id for event in events]
    assert len(set(event_ids)) == len(event_ids)
    assert all(event_ids)


@given(server_events)
def test_most_ga_events_are_the_same_after_both_ways(event: wire.ServerEvent) -> None:
    """Sessions, responses and items lose what the beta cannot say; nothing else changes."""
    kinds = (wire.SessionCreated, wire.SessionUpdated, wire.ResponseCreated, wire.ResponseDone, wire.Error,
             wire.ConversationItemDone, wire.ConversationItemCreated)  # fmt: skip
    if isinstance(event, kinds) or hasattr(event, "item"):
        return
    [beta] = server_event_to_beta(event)
    assert [decode_server_event(frame) for frame in BetaServer().to_ga(beta)] == [event]


# --- each rule -------------------------------------------------------------------------------------------------------


def test_the_first_words_of_the_2024_client() -> None:
    beta = {
        "modalities": ["text", "audio"], "instructions": "", "voice": "verse", "input_audio_format": "pcm16",
        "output_audio_format": "g711_alaw", "input_audio_transcription": None, "turn_detection": None, "tools": [],
        "tool_choice": "auto", "temperature": 0.8, "max_response_output_tokens": 4096,
    }  # fmt: skip
    assert ga({"event_id": "evt_1", "type": "session.update", "session": beta}) == {
        "event_id": "evt_1",
        "type": "session.update",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "",
            "audio": {
                "output": {"voice": "verse", "format": {"type": "audio/pcma"}},
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000}, "transcription": None, "turn_detection": None
                },
            },
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": 4096,
        },
    }  # fmt: skip


def test_unset_stays_unset_and_null_stays_null() -> None:
    assert ga({"type": "session.update", "session": {}})["session"] == {"type": "realtime"}
    nulled = ga({"type": "session.update", "session": {"turn_detection": None}})
    assert nulled["session"] == {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    assert ga({"type": "response.create", "response": None}) == {"type": "response.create", "response": None}
    assert ga({"type": "response.create"}) == {"type": "response.create"}


def test_a_function_may_be_chosen_the_old_way_and_tokens_named_shorter() -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    asked = ga({"type": "response.create", "response": {"tool_choice": choice, "max_output_tokens": 100}})
    assert asked["response"] == {
        "tool_choice": {"type": "function", "name": "get_weather"},
        "max_output_tokens": 100,
    }


def test_speech_alone_is_speech_with_its_text() -> None:
    for said_modalities in (["audio"], ["audio", "text"], ["text", "audio"]):
        session = ga({"type": "session.update", "session": {"modalities": said_modalities}})["session"]
        assert session["output_modalities"] == ["audio"]


def test_a_session_in_force_is_flat_in_the_order_of_the_beta_with_a_temperature() -> None:
    session = msgspec.convert(
        {
            "type": "realtime", "object": "realtime.session", "id": "sess_1", "model": "m",
            "output_modalities": ["audio"], "instructions": "x", "tools": [], "tool_choice": "auto",
            "max_output_tokens": "inf", "tracing": None, "truncation": "auto", "prompt": None, "expires_at": 1,
            "audio": {
                "input": {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": None,
                          "noise_reduction": None, "turn_detection": {"type": "server_vad", "idle_timeout_ms": None}},
                "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy", "speed": 1.0},
            },
            "include": None, "parallel_tool_calls": True,
        },
        RealtimeSession,
    )  # fmt: skip
    [frame] = server_event_to_beta(wire.SessionCreated(event_id="e", session=session))
    assert list(as_json(frame)["session"].items()) == [
        ("object", "realtime.session"), ("id", "sess_1"), ("model", "m"), ("modalities", ["text", "audio"]),
        ("instructions", "x"), ("voice", "alloy"), ("input_audio_format", "pcm16"),
        ("output_audio_format", "g711_ulaw"), ("input_audio_transcription", None),
        ("turn_detection", {"type": "server_vad"}), ("tools", []), ("tool_choice", "auto"), ("temperature", 0.8),
        ("max_response_output_tokens", "inf"), ("speed", 1.0), ("tracing", None),
        ("input_audio_noise_reduction", None), ("include", None), ("prompt", None), ("expires_at", 1),
    ]  # fmt: skip


def test_what_the_2024_client_adds_to_is_there_to_be_added_to() -> None:
    """It appends deltas to the fields of the items and parts that it was shown, and needs to know each item first."""
    item = Message(id="item_1", status="in_progress", role="assistant", content=())
    at = {"response_id": "resp_1", "output_index": 0}
    added = as_json(server_event_to_beta(wire.ResponseOutputItemAdded(event_id="e1", item=item, **at))[0])
    created = as_json(server_event_to_beta(wire.ConversationItemAdded(event_id="e2", item=item))[0])
    assert added["item"] == created["item"] == {
        "id": "item_1", "object": "realtime.item", "type": "message", "status": "in_progress", "role": "assistant",
        "content": [],
    }  # fmt: skip
    assert created["type"] == "conversation.item.created"
    assert server_event_to_beta(wire.ConversationItemDone(event_id="e3", item=item)) == []
    frame = server_event_to_beta(
        wire.ResponseOutputAudioDelta(event_id="e4", item_id="item_1", content_index=0, delta=b"\0\0\0", **at)
    )
    assert frame == [
        b'{"type":"response.audio.delta","event_id":"e4","response_id":"resp_1","item_id":"item_1","output_index":0,'
        b'"content_index":0,"delta":"AAAA"}'
    ]


def test_an_unknown_event_passes_byte_for_byte() -> None:
    for raw in (b'{"type":"new.thing","n":1e400}', b'{ "type": "mcp_list_tools.later" }'):
        event = decode_server_event(raw)
        assert server_event_to_beta(event) == [raw]
        assert BetaServer().to_ga(raw) == [raw]


# --- when an item is final -------------------------------------------------------------------------------------------


def heard(server: BetaServer, *events: Json) -> list[str]:
    """Types of the GA events, each item event with its item's id."""
    told = [as_json(frame) for event in events for frame in server.to_ga(json.dumps(event).encode())]
    return [f"{event['type']} {event['item']['id']}" if "item" in event else event["type"] for event in told]


def beta_item(kind: str, item_id: str, **fields: Any) -> Json:
    item = {"id": item_id, "object": "realtime.item", "type": "message", "role": "user", "content": []}
    return {"type": kind, "event_id": f"{kind}-{item_id}", "item": item, **fields}


def test_what_a_client_or_user_says_is_final_at_once() -> None:
    server = BetaServer()
    frames = server.to_ga(json.dumps(beta_item("conversation.item.created", "i1", previous_item_id="i0")).encode())
    added, done = map(as_json, frames)
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert (added["previous_item_id"], added["item"]) == (done["previous_item_id"], done["item"])
    assert added["event_id"] != done["event_id"]


def test_what_the_model_says_is_final_just_before_its_output_is() -> None:
    server = BetaServer()
    answer = {"response_id": "r1", "output_index": 0}
    assert heard(
        server,
        beta_item("response.output_item.added", "i2", **answer),
        beta_item("conversation.item.created", "i2", previous_item_id="i1"),
        beta_item("conversation.item.created", "i3", previous_item_id="i2"),
        beta_item("response.output_item.done", "i2", **answer),
        {"type": "response.done", "event_id": "e", "response": {"id": "r1", "output": []}},
    ) == [
        "response.output_item.added i2",
        "conversation.item.added i2",
        "conversation.item.added i3", "conversation.item.done i3",
        "conversation.item.done i2", "response.output_item.done i2",
        "response.done",
    ]  # fmt: skip


def test_what_never_enters_the_conversation_is_never_final_in_it() -> None:
    answer = {"response_id": "r1", "output_index": 0}
    assert heard(
        BetaServer(),
        beta_item("response.output_item.added", "i2", **answer),
        beta_item("response.output_item.done", "i2", **answer),
    ) == ["response.output_item.added i2", "response.output_item.done i2"]


def test_a_response_that_ended_leaves_nothing_behind() -> None:
    server = BetaServer()
    heard(
        server,
        beta_item("response.output_item.added", "i2", response_id="r1", output_index=0),
        beta_item("conversation.item.created", "i2"),
        {"type": "response.done", "event_id": "e", "response": {"id": "r1", "output": []}},
    )
    assert heard(server, beta_item("conversation.item.created", "i2")) == [
        "conversation.item.added i2",
        "conversation.item.done i2",
    ]


# --- bad input -------------------------------------------------------------------------------------------------------

UPDATE = '{"type":"session.update","event_id":"e9","session":{%s}}'
CREATE = '{"type":"response.create","event_id":"e9","response":{%s}}'


@pytest.mark.parametrize(
    ("code", "param", "frame"),
    [
        ("unknown_parameter", "session.audio", UPDATE % '"audio":{}'),
        ("unknown_parameter", "session.type", UPDATE % '"type":"realtime"'),
        ("unknown_parameter", "session.output_modalities", UPDATE % '"output_modalities":["audio"]'),
        ("unknown_parameter", "session.turn_detection.sharpness",
         UPDATE % '"turn_detection":{"type":"server_vad","sharpness":1}'),
        ("unknown_parameter", "response.audio", CREATE % '"audio":{}'),
        ("invalid_value", "session.input_audio_format", UPDATE % '"input_audio_format":"mp3"'),
        ("invalid_value", "response.output_audio_format", CREATE % '"output_audio_format":{"type":"audio/pcm"}'),
        ("invalid_value", "session.modalities[1]", UPDATE % '"modalities":["audio","video"]'),
        ("invalid_type", "session.modalities", UPDATE % '"modalities":"audio"'),
        ("invalid_type", "session.temperature", UPDATE % '"temperature":"hot"'),
        ("invalid_type", "session.temperature", UPDATE % '"temperature":true'),
        ("decimal_below_min_value", "session.temperature", UPDATE % '"temperature":0'),
        ("decimal_above_max_value", "response.temperature", CREATE % '"temperature":1.5'),
        ("invalid_value", "session.turn_detection.type", UPDATE % '"turn_detection":{"type":"psychic_vad"}'),
        ("missing_required_parameter", "session.turn_detection.type", UPDATE % '"turn_detection":{}'),
        ("invalid_value", "session.max_response_output_tokens", UPDATE % '"max_response_output_tokens":"many"'),
        ("invalid_type", "response.voice", CREATE % '"voice":5'),
        ("invalid_type", "session.tools", UPDATE % '"tools":"all"'),
        ("invalid_value", None, UPDATE % '"speed":1e400'),
        ("invalid_type", "session", '{"type":"session.update","event_id":"e9","session":[]}'),
        ("missing_required_parameter", "session", '{"type":"session.update","event_id":"e9"}'),
        ("invalid_value", "type", '{"type":"session.updat","event_id":"e9"}'),
    ],
    ids=lambda value: ascii(value)[:60],
)  # fmt: skip
def test_a_beta_client_is_told_in_its_own_words(code: str, param: str | None, frame: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_client_event(client_event_to_ga(frame))
    error = caught.value
    details = wire.ErrorDetails(
        type=error.type, code=error.code, message=error.message, param=error.param, event_id=error.event_id
    )
    [sent] = server_event_to_beta(wire.Error(event_id="e", error=details))
    told = as_json(sent)["error"]
    assert (told["code"], told["param"], told["event_id"]) == (code, param, "e9")
    assert param is None or f"'{param}'" in told["message"] or code == "invalid_value"


@pytest.mark.parametrize(
    ("beta", "said_in_ga"),
    [
        ("session.turn_detection.threshold", "session.audio.input.turn_detection.threshold"),
        ("session.modalities[0]", "session.output_modalities[0]"),
        ("session.max_response_output_tokens", "session.max_output_tokens"),
        ("session.tools[3].name", "session.tools[3].name"),
        ("response.voice", "response.audio.output.voice"),
        ("item.content[0].type", "item.content[0].type"),
        ("session.voices", "session.voices"),
    ],
)
def test_paths_are_translated_both_ways(beta: str, said_in_ga: str) -> None:
    assert param_to_ga(beta) == said_in_ga
    assert param_to_beta(said_in_ga) == beta


def test_an_error_of_a_beta_server_is_told_in_ga() -> None:
    error = {"type": "invalid_request_error", "code": "c", "message": "Bad 'session.voice'.", "param": "session.voice"}
    [frame] = BetaServer().to_ga(json.dumps({"type": "error", "event_id": "e", "error": error}).encode())
    told = as_json(frame)["error"]
    assert (told["param"], told["message"]) == ("session.audio.output.voice", "Bad 'session.audio.output.voice'.")


spoilt_sessions = st.tuples(sessions, st.sampled_from([*hearing, *speaking, "temperature"]), anything).map(
    lambda picked: {"type": "session.update", "session": {**picked[0], picked[1]: picked[2]}}
)
spoilt_clients = beta_client_events.flatmap(
    lambda event: st.tuples(st.just(event), st.sampled_from(sorted(event)), anything)
).map(lambda picked: {**picked[0], picked[1]: picked[2]})


@settings(max_examples=300)
@given(st.binary() | (spoilt_clients | spoilt_sessions).map(json.dumps) | mutated(client_events))
def test_nothing_but_a_protocol_error_escapes_from_what_a_client_sends(frame: bytes | str) -> None:
    for translate in (client_event_to_ga, client_event_to_beta):
        with contextlib.suppress(ProtocolError):
            decode_client_event(translate(frame))


deep = [b'{"type":"session.update","session":{"tools":' + b"[" * n + b"]" * n + b"}}" for n in (900, 1000, 10_000)]


@pytest.mark.parametrize("frame", deep, ids=len)
def test_no_depth_is_too_much(frame: bytes) -> None:
    for translate in (client_event_to_ga, client_event_to_beta):
        with pytest.raises(ProtocolError):
            decode_client_event(translate(frame))


@settings(max_examples=300)
@given(mutated(server_events) | st.binary() | beta_server_events.map(lambda event: json.dumps(event).encode()))
def test_nothing_escapes_from_what_a_server_sends(frame: bytes) -> None:
    server = BetaServer()
    for _ in range(2):
        for translated in server.to_ga(frame):
            with contextlib.suppress(ProtocolError):
                server_event_to_beta(decode_server_event(translated))


def test_ga_words_that_the_beta_lacks_are_left_out() -> None:
    update = said.SessionUpdate(
        session=RealtimeSession(truncation="auto", parallel_tool_calls=False, max_output_tokens=7)
    )
    assert as_json(client_event_to_beta(encode(update))) == {
        "type": "session.update",
        "session": {"max_response_output_tokens": 7},
    }
