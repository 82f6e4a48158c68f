from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from duologue.engines.base import LlmDone, LlmEvent, LlmRequest, SpeechHints, TextDelta, ToolCallDelta
from duologue.engines.openai_chat import ChatLlm
from duologue.errors import EngineError
from duologue.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Message,
    OutputText,
)
from duologue.protocol.session import ChooseFunction, FunctionTool

HELLO = LlmRequest(items=(Message(role="user", content=(InputText(text="Hello"),)),))


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(arguments: Any = None, name: str | None = None, **fields: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**fields, "type": "function", "function": function}


async def collect(llm: ChatLlm, request: LlmRequest = HELLO) -> list[LlmEvent]:
    try:
        return [event async for event in llm.stream(request)]
    finally:
        await llm.close()


def answers(http_server: Any, body: bytes, **options: Any) -> list[LlmEvent]:
    async def run() -> list[LlmEvent]:
        async def handler(_: Any, wire: Any) -> None:
            await wire.answer(body, **{"content_type": "text/event-stream", **options})

        async with http_server(handler) as url:
            return await collect(ChatLlm(url, "m"))

    return asyncio.run(run())


def calls(events: list[LlmEvent]) -> list[tuple[str | None, Any]]:
    found: dict[int, list[Any]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            entry = found.setdefault(event.index, [event.name, ""])
            assert event.name in (None, entry[0]) or event.name == entry[0]
            entry[1] += event.arguments
    return [(name, json.loads(arguments)) for _, (name, arguments) in sorted(found.items())]


PARIS, SEOUL = {"city": "Paris"}, {"city": "Seoul"}

QUIRKS: dict[str, tuple[list[Any], list[tuple[str, Any]]]] = {
    "pieces by index": (
        [
            delta(tool_calls=[call("", "weather", index=0, id="a")]),
            delta(tool_calls=[call('{"city": ', index=0)]),
            delta(tool_calls=[call('"Paris"}', index=0)]),
            delta(tool_calls=[call('{"city": "Seoul"}', "weather", index=1, id="b")]),
            delta("tool_calls"),
        ],
        [("weather", PARIS), ("weather", SEOUL)],
    ),
    "no index at all": (
        [
            delta(tool_calls=[call("", "weather", id="a")]),
            delta(tool_calls=[call('{"city": "Paris"}')]),
            delta("stop", tool_calls=[call('{"city": "Seoul"}', "weather", id="b")]),
        ],
        [("weather", PARIS), ("weather", SEOUL)],
    ),
    "all calls at index 0, whole, finished with stop": (
        [
            delta(tool_calls=[call('{"city": "Paris"}', "weather", index=0, id="a")]),
            delta("stop", tool_calls=[call('{"city": "Seoul"}', "weather", index=0, id="b")]),
        ],
        [("weather", PARIS), ("weather", SEOUL)],
    ),
    "no ids, index 0 twice in one chunk": (
        [
            delta(
                "stop",
                tool_calls=[
                    call('{"city": "Paris"}', "weather", index=0),
                    call('{"city": "Seoul"}', "weather", index=0),
                ],
            )
        ],
        [("weather", PARIS), ("weather", SEOUL)],
    ),
    "arguments as an object": ([delta("stop", tool_calls=[call(PARIS, "weather", index=0)])], [("weather", PARIS)]),
    "no arguments": ([delta("tool_calls", tool_calls=[call(None, "now", index=0, id="a")])], [("now", {})]),
    "the name again in every piece": (
        [
            delta(tool_calls=[call('{"city": ', "weather", index=0, id="a")]),
            delta(tool_calls=[call('"Paris"}', "weather", index=0, id="a")]),
        ],
        [("weather", PARIS)],
    ),
    "pieces that belong to nothing": ([delta(tool_calls=[call("{}", index=3), None, {"index": 0}])], []),
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_tool_calls_however_they_come(http_server: Any, quirk: str) -> None:
    chunks, expected = QUIRKS[quirk]
    events = answers(http_server, sse(*chunks))
    assert calls(events) == expected
    assert events[-1] == LlmDone()


def test_text_usage_and_noise_between(http_server: Any) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    body = b": a comment\n\n" + sse(
        delta(role="assistant", content=None),
        delta(reasoning_content="hm"),
        delta(content="<think>"),
        delta(content="hm</think>Hel"),
        {"choices": [], "usage": None},
        {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
        "not an object",
        delta("length", content="lo"),
        {"choices": [], "usage": usage},
    )
    assert answers(http_server, body) == [
        TextDelta(text="Hel"),
        TextDelta(text="lo"),
        LlmDone(reason="length", input_tokens=9, output_tokens=2, cached_tokens=4),
    ]


def test_a_server_that_does_not_stream(http_server: Any) -> None:
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]})
    assert answers(http_server, body.encode(), content_type="application/json") == [TextDelta(text="Hi"), LlmDone()]


@pytest.mark.parametrize(
    ("body", "options", "code", "says"),
    [
        (b'{"error": {"message": "no such model"}}', {"status": "404 Not Found"}, "http_404", "no such model"),
        (b"busy", {"status": "503 Unavailable"}, "http_503", "busy"),
        (b'{"detail": "bad key sk-secret"}', {"status": "401 Unauthorized"}, "http_401", "Check the key"),
        (b"data: {oops\n\n", {}, "engine_failed", "not JSON"),
        (b"data: [DONE]\n\n", {}, "engine_failed", "without"),
        (b'data: {"error": {"message": "out of memory"}}\n\n', {}, "engine_failed", "out of memory"),
        (b"<html>", {"content_type": "application/json"}, "engine_failed", "not JSON"),
    ],
)
def test_failures_say_what_and_what_next(
    http_server: Any, body: bytes, options: dict[str, str], code: str, says: str
) -> None:
    with pytest.raises(EngineError, match=says) as failed:
        answers(http_server, body, **options)
    assert failed.value.code == code


def test_a_key_is_sent_and_never_shown(http_server: Any) -> None:
    async def run() -> str:
        seen = []

        async def handler(request: Any, wire: Any) -> None:
            seen.append(request)
            await wire.answer(b'{"error": "the key sk-secret is wrong"}', "401 Unauthorized")

        async with http_server(handler) as url:
            llm = ChatLlm(url + "/chat/completions", "m", "sk-secret")
            with pytest.raises(EngineError) as failed:
                await collect(llm)
        assert seen[0].headers["authorization"] == "Bearer sk-secret"
        assert seen[0].line.startswith("POST /v1/chat/completions ")
        return f"{failed.value!s} {failed.value!r} {llm!r}"

    assert "sk-secret" not in asyncio.run(run())


def test_nobody_listens() -> None:
    with pytest.raises(EngineError, match="--llm-url") as failed:
        asyncio.run(collect(ChatLlm("http://127.0.0.1:9/v1", "m")))
    assert failed.value.code == "engine_unreachable"
    assert failed.value.retryable
    with pytest.raises(EngineError, match="--llm-url"):
        asyncio.run(collect(ChatLlm("nonsense", "m")))


def test_silence_ends_in_a_timeout(http_server: Any) -> None:
    async def run() -> None:
        async def handler(_: Any, wire: Any) -> None:
            await wire.head()
            assert await wire.closed_by_client()

        async with http_server(handler) as url:
            await collect(ChatLlm(url, "m", silence_seconds=0.05))

    with pytest.raises(EngineError) as failed:
        asyncio.run(run())
    assert failed.value.code == "engine_timeout"


def test_a_connection_lost_in_the_middle(http_server: Any) -> None:
    async def run() -> None:
        async def handler(_: Any, wire: Any) -> None:
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n")
            await wire.send(b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n')

        async with http_server(handler) as url:
            await collect(ChatLlm(url, "m"))

    with pytest.raises(EngineError) as failed:
        asyncio.run(run())
    assert failed.value.retryable


def test_closing_the_iterator_closes_the_connection(http_server: Any) -> None:
    async def run() -> bool:
        gone: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def handler(_: Any, wire: Any) -> None:
            await wire.head()
            await wire.send(b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n')
            gone.set_result(await wire.closed_by_client())

        async with http_server(handler) as url:
            llm = ChatLlm(url, "m")
            stream: Any = llm.stream(HELLO)
            async with aclosing(stream):
                assert await anext(stream) == TextDelta(text="Hel")
            closed = await asyncio.wait_for(gone, 5)
            await llm.close()
            return closed

    assert asyncio.run(run())


def test_what_is_sent(http_server: Any) -> None:
    request = LlmRequest(
        instructions="Be brief.",
        items=(
            Message(role="user", content=(InputAudio(transcript="weather in paris and seoul"),)),
            FunctionCall(call_id="a", name="weather", arguments='{"city": "Paris"}'),
            FunctionCall(call_id="b", name="weather", arguments='{"city": "Seoul"}'),
            FunctionCallOutput(call_id="a", output="21"),
            FunctionCallOutput(call_id="b", output="12"),
            Message(role="assistant", content=(OutputText(text="21 and 12"),)),
            Message(
                role="user", content=(InputText(text="And here?"), InputImage(image_url="data:image/png;base64,AA"))
            ),
        ),
        tools=(FunctionTool(name="weather", description="Says it", parameters={"type": "object"}),),
        tool_choice=ChooseFunction(name="weather"),
        parallel_tool_calls=False,
        max_output_tokens=50,
    )

    async def run() -> Any:
        seen = []

        async def handler(received: Any, wire: Any) -> None:
            seen.append(json.loads(received.body))
            await wire.answer(sse(delta("stop", content="Hi")), content_type="text/event-stream")

        async with http_server(handler) as url:
            await collect(ChatLlm(url, "some-model"), request)
        return seen[0]

    body = asyncio.run(run())
    weather = [("a", '{"city": "Paris"}'), ("b", '{"city": "Seoul"}')]
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "weather in paris and seoul"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": call_id, "type": "function", "function": {"name": "weather", "arguments": arguments}}
                for call_id, arguments in weather
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "21"},
        {"role": "tool", "tool_call_id": "b", "content": "12"},
        {"role": "assistant", "content": "21 and 12"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And here?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            ],
        },
    ]
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "Says it", "parameters": {"type": "object"}},
        }
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert (body["model"], body["stream"], body["max_tokens"]) == ("some-model", True, 50)
    assert body["parallel_tool_calls"] is False


def test_a_model_needs_no_hints() -> None:
    hints: Callable[..., SpeechHints] = ChatLlm("http://localhost/v1", "m").hints
    assert hints((), "prompt") == SpeechHints()
