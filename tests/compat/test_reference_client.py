"""The reference client of October 2024 finds the server that it was written for."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import websockets
from realserver import clip, duologue_serve
from reference import ReferenceClient, reference

VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
HEARD = {"model": "whisper-1"}


def tell(host: str, story: Callable[[ReferenceClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with reference(host) as client:
            await client.update_session()
            await client.until("session.updated")
            await story(client)
            assert client.errors == []

    asyncio.run(run())


def without_repeats(types: list[str]) -> list[str]:
    """The types with neighbouring deltas, which come interleaved, told once."""
    out: list[str] = []
    for name in types:
        if not (name.endswith(".delta") and name in out[-2:]):
            out.append(name)
    return out


def test_every_event_is_one_that_it_counts_on(host: str) -> None:
    async def story(client: ReferenceClient) -> None:
        assert client.types == ["session.created", "session.updated"]
        await client.send_user_message({"type": "input_text", "text": "what is seven times eight"})
        await client.until("response.done")
        names = [name for name in without_repeats(client.types[2:]) if name != "rate_limits.updated"]
        assert names[:5] == [
            "conversation.item.created",
            "response.created",
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
        ]
        assert set(names[5:-5]) == {"response.audio_transcript.delta", "response.audio.delta"}
        assert names[-5:] == [
            "response.audio.done",
            "response.audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
        ]
        assert client.conversation() == [("user", "what is seven times eight"), ("assistant", "7 times 8 is 56.")]
        answer = client.items[client.order[-1]]
        assert answer["status"] == "completed"
        assert answer["content"] == [{"type": "audio", "transcript": "7 times 8 is 56."}]
        assert len(answer["formatted"]["audio"]) > 48 * 300

    tell(host, story)


def test_push_to_talk(host: str) -> None:
    async def story(client: ReferenceClient) -> None:
        await client.update_session(input_audio_transcription=HEARD)
        await client.until("session.updated")
        await client.speak("seven_times_eight")
        await client.send("input_audio_buffer.commit")
        await client.send("response.create")
        await client.until("response.done")
        asked, answered = client.conversation()
        assert "seven times eight" in asked[1]
        assert answered == ("assistant", "7 times 8 is 56.")

    tell(host, story)


def test_a_whole_clip_as_a_message(host: str) -> None:
    async def story(client: ReferenceClient) -> None:
        await client.update_session(input_audio_transcription=HEARD)
        await client.until("session.updated")
        sound = b64encode(clip("seven_times_eight")).decode()
        await client.send_user_message({"type": "input_audio", "audio": sound})
        await client.until("response.done")
        assert client.conversation()[-1] == ("assistant", "7 times 8 is 56.")

    tell(host, story)


def test_voice_detection_and_interruption(slow_host: str) -> None:
    async def story(client: ReferenceClient) -> None:
        await client.update_session(turn_detection=VAD, input_audio_transcription=HEARD)
        await client.until("session.updated")
        await client.send_user_message({"type": "input_text", "text": "count to 100"})
        await client.until("response.audio.delta")
        await client.speak("seven_times_eight", silence_ms=800)
        await client.until("input_audio_buffer.speech_started")
        cut = await client.until("response.done")
        assert cut["response"]["status"] == "cancelled"
        await client.send("conversation.item.truncate", item_id=client.order[1], content_index=0, audio_end_ms=100)
        await client.until("conversation.item.truncated")
        await client.until("response.done")
        assert client.interruptions == 1
        assert len(client.items[client.order[1]]["formatted"]["audio"]) == 48 * 100
        assert [who for who, _ in client.conversation()] == ["user", "assistant", "user", "assistant"]
        assert client.conversation()[-1][1] == "7 times 8 is 56."

    tell(slow_host, story)


def test_cancelling_at_a_sample(slow_host: str) -> None:
    async def story(client: ReferenceClient) -> None:
        await client.send_user_message({"type": "input_text", "text": "count to 100"})
        await client.until("response.audio.delta")
        await client.cancel_response(client.order[-1], sample_count=2_400)
        done = await client.until("response.done")
        assert done["response"]["status"] == "cancelled"
        assert (await client.until("conversation.item.truncated"))["audio_end_ms"] == 100

    tell(slow_host, story)


def test_a_tool_runs_on_what_the_deltas_brought(host: str) -> None:
    async def story(client: ReferenceClient) -> None:
        asked: list[dict[str, Any]] = []

        def weather(arguments: dict[str, Any]) -> dict[str, Any]:
            asked.append(arguments)
            return {"temperature": 21.5}

        city = {"type": "string", "description": "Name of the city"}
        await client.add_tool(
            {
                "name": "get_weather",
                "description": "Tells the weather in a city.",
                "parameters": {"type": "object", "properties": {"city": city}, "required": ["city"]},
            },
            weather,
        )
        await client.until("session.updated")
        await client.send_user_message({"type": "input_text", "text": "what is the weather in paris"})
        await client.until("response.done")
        await client.until("response.done")
        assert asked == [{"city": "Paris"}]
        assert [who for who, _ in client.conversation()] == [
            "user", "function_call", "function_call_output", "assistant"
        ]  # fmt: skip
        assert "21.5" in client.conversation()[-1][1]

    tell(host, story)


def test_deleting_an_item(host: str) -> None:
    async def story(client: ReferenceClient) -> None:
        await client.send_user_message({"type": "input_text", "text": "say good morning"})
        await client.until("response.done")
        await client.send("conversation.item.delete", item_id=client.order[0])
        await client.until("conversation.item.deleted")
        assert client.conversation() == [("assistant", "Good morning")]

    tell(host, story)


def test_instructions_are_obeyed(host: str) -> None:
    async def story(client: ReferenceClient) -> None:
        await client.update_session(instructions='Always mention "San Francisco" in your answers.')
        await client.until("session.updated")
        await client.send_user_message({"type": "input_text", "text": "hello"})
        await client.until("response.done")
        assert "San Francisco" in client.conversation()[-1][1]

    tell(host, story)


def test_no_key_where_one_is_asked_for_is_an_error_event() -> None:
    async def story(host: str) -> None:
        started = time.monotonic()
        async with reference(host) as client:
            event = await client.receive()
            assert event["type"] == "error"
            assert event["error"]["message"].startswith("Incorrect API key provided")
            assert time.monotonic() - started < 1
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 3000
        async with reference(host, key="sk-of-the-house") as client:
            assert (await client.receive())["type"] == "session.created"

    with duologue_serve("--api-key", "sk-of-the-house") as host:
        asyncio.run(story(host))
