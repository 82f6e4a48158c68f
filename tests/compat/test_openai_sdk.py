"""The `openai` package talks to `duologue serve`, unmodified but for the address.

Each story reads raw frames through the SDK's own door, hands them to its own parser, and at the end holds every one of
them against the SDK's typed models.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI, AuthenticationError, OpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from realserver import chunks, clip, duologue_serve
from strict import check_frames
from websockets.exceptions import ConnectionClosed

from duologue.audio import g711
from duologue.audio.pcm16 import rms
from duologue.audio.resample import resample

WAIT_S = 20
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city"}},
        "required": ["city"],
    },
}


class Line:
    """A connection of theirs, and every frame that came through it."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.wire = connection
        self.frames: list[bytes] = []
        self.events: list[Any] = []

    async def receive(self) -> Any:
        frame = await asyncio.wait_for(self.wire.recv_bytes(), WAIT_S)
        self.frames.append(frame)
        self.events.append(self.wire.parse_event(frame))
        return self.events[-1]

    async def until(self, kind: str, *, errors: bool = False) -> list[Any]:
        """Everything up to the next event of that type. An `error` that nobody expects fails the test."""
        start = len(self.events)
        while (event := await self.receive()).type != kind:
            assert errors or event.type != "error", event
        return self.events[start:]

    async def configure(self, **session: Any) -> Any:
        await self.wire.session.update(session={"type": "realtime", **session})
        return (await self.until("session.updated"))[-1].session

    async def say(self, text: str) -> None:
        await self.wire.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        )

    async def speak(self, name: str, *, silence_ms: int = 0) -> None:
        for chunk in chunks(clip(name, silence_ms=silence_ms)):
            await self.wire.input_audio_buffer.append(audio=b64encode(chunk).decode())

    async def ask(self, text: str, **response: Any) -> Any:
        """A text turn; gives the response as it ended."""
        await self.say(text)
        await self.wire.response.create(**({"response": response} if response else {}))
        return (await self.until("response.done"))[-1].response


@asynccontextmanager
async def on_the_line(host: str, **options: Any) -> AsyncIterator[Line]:
    client = AsyncOpenAI(api_key="not needed", base_url=f"http://{host}/v1", max_retries=0)
    async with client.realtime.connect(model="gpt-realtime", **options) as connection:
        line = Line(connection)
        created = await line.receive()
        assert created.type == "session.created"
        yield line
        check_frames(line.frames)


def tell(host: str, story: Callable[[Line], Awaitable[None]]) -> None:
    async def run() -> None:
        async with on_the_line(host) as line:
            await story(line)

    asyncio.run(run())


def kinds(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def listening(**detection: Any) -> Any:
    vad = {"type": "server_vad", "silence_duration_ms": 500, **detection}
    return {"input": {"turn_detection": vad, "transcription": {"model": "gpt-4o-mini-transcribe"}}}


MANUAL: Any = {"input": {"turn_detection": None, "transcription": {"model": "gpt-4o-mini-transcribe"}}}


def test_text(host: str) -> None:
    async def story(line: Line) -> None:
        session = await line.configure(output_modalities=["text"], instructions="Be brief.")
        assert (session.output_modalities, session.instructions) == (["text"], "Be brief.")
        done = await line.ask("what is seven times eight")
        assert done.status == "completed"
        text = done.output[0].content[0].text
        assert "56" in text or "fifty" in text.lower()
        assert text == "".join(e.delta for e in line.events if e.type == "response.output_text.delta")
        assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens

    tell(host, story)


def test_push_to_talk(host: str) -> None:
    async def story(line: Line) -> None:
        await line.configure(audio=MANUAL)
        await line.speak("seven_times_eight")
        await line.wire.input_audio_buffer.commit()
        await line.wire.response.create()
        events = await line.until("response.done")
        assert kinds(events)[:3] == [
            "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"
        ]  # fmt: skip
        heard = next(event for event in events if event.type == TRANSCRIBED)
        assert "seven times eight" in heard.transcript
        sound = b"".join(b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
        assert len(sound) > 48 * 300
        said = events[-1].response.output[0].content[0].transcript
        assert "56" in said or "fifty six" in said.replace("-", " ").lower()

    tell(host, story)


def test_server_vad_with_barge_in_and_truncation(slow_host: str) -> None:
    async def story(line: Line) -> None:
        session = await line.configure(audio=listening())
        assert session.audio.input.turn_detection.interrupt_response is True
        await line.speak("hello", silence_ms=800)
        events = await line.until("response.done")
        assert kinds(events)[:3] == [
            "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed"
        ]  # fmt: skip
        await line.say("count to 100")
        await line.wire.response.create()
        await line.until("response.output_audio.delta")
        await line.speak("seven_times_eight", silence_ms=800)
        events = await line.until("response.done")
        done = events[-1].response
        assert (done.status, done.status_details.reason) == ("cancelled", "turn_detected")
        spoken = done.output[0]
        assert spoken.status == "incomplete"
        await line.wire.conversation.item.truncate(item_id=spoken.id, content_index=0, audio_end_ms=100)
        assert (await line.until("conversation.item.truncated"))[-1].audio_end_ms == 100
        assert (await line.until("response.done"))[-1].response.status == "completed"
        heard = [event.transcript for event in line.events if event.type == TRANSCRIBED]
        assert heard[0].startswith("hello")
        assert "seven times eight" in heard[1]

    tell(slow_host, story)


def test_function_call_and_its_output(host: str) -> None:
    async def story(line: Line) -> None:
        await line.configure(audio=MANUAL, tools=[WEATHER])
        await line.speak("weather_in_paris")
        await line.wire.input_audio_buffer.commit()
        await line.wire.response.create()
        events = await line.until("response.done")
        [call] = events[-1].response.output
        assert (call.name, call.status, json.loads(call.arguments)) == ("get_weather", "completed", {"city": "Paris"})
        deltas = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
        finished = next(e for e in events if e.type == "response.function_call_arguments.done")
        assert (deltas, finished.arguments, finished.name) == (call.arguments, call.arguments, "get_weather")
        await line.wire.conversation.item.create(
            item={"type": "function_call_output", "call_id": call.call_id, "output": '{"temperature": 21.5}'}
        )
        await line.wire.response.create()
        answer = (await line.until("response.done"))[-1].response.output[0].content[0].transcript
        assert "21.5" in answer

    tell(host, story)


def test_cancel(slow_host: str) -> None:
    async def story(line: Line) -> None:
        await line.say("count to 100")
        await line.wire.response.create(response={"metadata": {"turn": "long"}})
        created = (await line.until("response.created"))[-1].response
        assert created.metadata == {"turn": "long"}
        await line.until("response.output_audio.delta")
        await line.wire.response.cancel(response_id=created.id)
        done = (await line.until("response.done"))[-1].response
        assert (done.id, done.status, done.status_details.reason) == (created.id, "cancelled", "client_cancelled")
        assert (await line.ask("hello")).status == "completed"

    tell(slow_host, story)


def test_retrieve_and_delete(host: str) -> None:
    async def story(line: Line) -> None:
        done = await line.ask("say good morning")
        item_id = done.output[0].id
        await line.wire.conversation.item.retrieve(item_id=item_id)
        part = (await line.until("conversation.item.retrieved"))[-1].item.content[0]
        assert part.type == "output_audio"
        assert len(b64decode(part.audio)) > 48 * 200
        await line.wire.conversation.item.delete(item_id=item_id)
        assert (await line.until("conversation.item.deleted"))[-1].item_id == item_id
        await line.wire.conversation.item.retrieve(item_id=item_id, event_id="gone")
        error = (await line.until("error", errors=True))[-1].error
        assert (error.code, error.event_id) == ("item_retrieve_invalid_item_id", "gone")

    tell(host, story)


def test_out_of_band_beside_the_conversation(slow_host: str) -> None:
    async def story(line: Line) -> None:
        await line.say("count to 100")
        await line.wire.response.create()
        active = (await line.until("response.created"))[-1].response
        question: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say cheese"}]}
        await line.wire.response.create(
            response={
                "conversation": "none",
                "output_modalities": ["text"],
                "metadata": {"topic": "aside"},
                "input": [question],
            }
        )
        events = await line.until("response.done")
        aside = events[-1].response
        assert (aside.metadata, aside.conversation_id) == ({"topic": "aside"}, None)
        assert "cheese" in aside.output[0].content[0].text.lower()
        added = [event.item.id for event in events if event.type == "conversation.item.added"]
        assert aside.output[0].id not in added
        await line.wire.response.cancel(response_id=active.id)
        assert (await line.until("response.done"))[-1].response.id == active.id

    tell(slow_host, story)


def test_errors_name_their_cause_and_the_session_lives(slow_host: str) -> None:
    async def story(line: Line) -> None:
        wire = line.wire
        await wire.response.cancel(event_id="idle")
        await wire.input_audio_buffer.commit(event_id="empty")
        await wire.conversation.item.delete(item_id="nothing", event_id="unknown")
        await wire.conversation.item.truncate(item_id="nothing", content_index=0, audio_end_ms=0, event_id="cut")
        wrong: Any = {"type": "realtime", "audio": {"output": {"speed": 9}}}
        await wire.session.update(session=wrong, event_id="fast")
        errors = [(await line.until("error", errors=True))[-1].error for _ in range(5)]
        assert [(error.event_id, error.code) for error in errors] == [
            ("idle", "response_cancel_not_active"),
            ("empty", "input_audio_buffer_commit_empty"),
            ("unknown", "item_delete_invalid_item_id"),
            ("cut", "item_truncate_invalid_item_id"),
            ("fast", "decimal_above_max_value"),
        ]
        await line.say("count to 100")
        await wire.response.create()
        await line.until("response.created")
        await wire.response.create(event_id="second")
        error = (await line.until("error", errors=True))[-1].error
        assert (error.code, error.event_id) == ("conversation_already_has_active_response", "second")
        await wire.response.cancel()
        await line.until("response.done")
        assert (await line.ask("hello")).status == "completed"

    tell(slow_host, story)


def test_semantic_vad(host: str) -> None:
    async def story(line: Line) -> None:
        session = await line.configure(
            audio={"input": {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "whisper-1"}}}
        )
        assert session.audio.input.turn_detection.interrupt_response is True
        await line.speak("weather_in_paris", silence_ms=9_000)
        events = await line.until("response.done")
        assert "input_audio_buffer.speech_stopped" in kinds(events)
        assert events[-1].response.status == "completed"

    tell(host, story)


TELEPHONE = pytest.mark.parametrize(("kind", "law"), [("audio/pcmu", "ulaw"), ("audio/pcma", "alaw")])


async def by_telephone(line: Line, kind: str, law: str, name: str) -> list[Any]:
    """A push-to-talk turn in G.711 both ways."""
    telephone: Any = {"format": {"type": kind}}
    session = await line.configure(audio={"input": {**MANUAL["input"], **telephone}, "output": telephone})
    assert session.audio.input.format.type == session.audio.output.format.type == kind
    encode = getattr(g711, f"{law}_encode")
    for chunk in chunks(encode(resample(clip(name), 24_000, 8_000))):
        await line.wire.input_audio_buffer.append(audio=b64encode(chunk).decode())
    await line.wire.input_audio_buffer.commit()
    await line.wire.response.create()
    return await line.until("response.done")


@TELEPHONE
def test_telephone_sound(host: str, kind: str, law: str) -> None:
    async def story(line: Line) -> None:
        events = await by_telephone(line, kind, law, "tell_me_the_time")
        assert TRANSCRIBED in kinds(events)
        assert events[-1].response.status == "completed"
        sound = b"".join(b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
        assert 8 * 300 < len(sound) < 8 * 20_000
        assert rms(getattr(g711, f"{law}_decode")(sound)) > 0.01

    tell(host, story)


@TELEPHONE
def test_speech_by_telephone_is_understood(host: str, kind: str, law: str) -> None:
    async def story(line: Line) -> None:
        events = await by_telephone(line, kind, law, "tell_me_the_time")
        assert next(event.transcript for event in events if event.type == TRANSCRIBED) == "tell me the time"

    tell(host, story)


def test_an_answer_that_is_too_long_is_incomplete(host: str) -> None:
    async def story(line: Line) -> None:
        done = await line.ask("count to 50", max_output_tokens=10, output_modalities=["text"])
        assert (done.status, done.status_details.reason) == ("incomplete", "max_output_tokens")
        assert done.output[0].status == "incomplete"

    tell(host, story)


def test_transcription(host: str) -> None:
    async def story() -> None:
        client = AsyncOpenAI(api_key="not needed", base_url=f"http://{host}/v1", max_retries=0)
        async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            line = Line(connection)
            created = (await line.until("session.created"))[-1].session
            assert created.type == "transcription"
            vad: Any = {"type": "server_vad", "silence_duration_ms": 500}
            words: Any = {"model": "whisper-1", "language": "en"}
            await connection.session.update(
                session={"type": "transcription", "audio": {"input": {"transcription": words, "turn_detection": vad}}}
            )
            session = (await line.until("session.updated"))[-1].session
            assert session.audio.input.transcription.model == "whisper-1"
            await line.speak("seven_times_eight", silence_ms=800)
            events = await line.until(TRANSCRIBED)
            assert "seven times eight" in events[-1].transcript
            deltas = [e.delta for e in events if e.type == "conversation.item.input_audio_transcription.delta"]
            assert "".join(deltas) == events[-1].transcript
            await connection.response.create(event_id="why")
            error = (await line.until("error", errors=True))[-1].error
            assert error.event_id == "why"
            assert "response.created" not in kinds(line.events)
            check_frames(line.frames)

    asyncio.run(story())


def test_the_client_without_async(host: str) -> None:
    client = OpenAI(api_key="not needed", base_url=f"http://{host}/v1")
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say good morning"}]}
        )
        connection.response.create()
        said = next(event.text for event in connection if event.type == "response.output_text.done")
    assert said == "Good morning"


def test_a_wrong_key_is_told_in_an_event_and_in_the_close() -> None:
    async def story(host: str) -> None:
        client = AsyncOpenAI(api_key="sk-of-a-stranger", base_url=f"http://{host}/v1", max_retries=0)
        async with client.realtime.connect(model="gpt-realtime") as connection:
            error = await connection.recv()
            assert (error.type, error.error.code) == ("error", "invalid_api_key")
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3000, "invalid_request_error.invalid_api_key")
        owner = AsyncOpenAI(api_key="sk-of-the-house", base_url=f"http://{host}/v1", max_retries=0)
        async with owner.realtime.connect(model="gpt-realtime") as connection:
            assert (await connection.recv()).type == "session.created"
        with pytest.raises(AuthenticationError):
            await client.realtime.client_secrets.create()

    with duologue_serve("--api-key", "sk-of-the-house") as host:
        asyncio.run(story(host))


def test_the_dispatcher_and_the_iterator_of_the_sdk(host: str) -> None:
    async def story() -> None:
        client = AsyncOpenAI(api_key="not needed", base_url=f"http://{host}/v1")
        seen: list[str] = []
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
            await connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
            )
            await connection.response.create()
            async with asyncio.timeout(WAIT_S):
                async for event in connection:
                    seen.append(event.type)
                    if event.type == "response.done":
                        break
        assert seen[:2] == ["session.created", "session.updated"]

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["realtime", "transcription"])
def test_a_client_secret_opens_the_session_it_was_made_for(host: str, kind: str) -> None:
    async def story() -> None:
        address = f"http://{host}/v1"
        wanted: Any = {"type": kind}
        if kind == "realtime":
            wanted |= {"instructions": "Be brief.", "output_modalities": ["text"]}
        else:
            wanted |= {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        secret = await AsyncOpenAI(api_key="any", base_url=address).realtime.client_secrets.create(
            expires_after={"anchor": "created_at", "seconds": 60}, session=wanted
        )
        assert secret.value.startswith("ek_")
        assert secret.session.type == kind
        guest = AsyncOpenAI(api_key=secret.value, base_url=address)
        options: Any = {"model": "gpt-realtime"} if kind == "realtime" else {"extra_query": {"intent": kind}}
        async with guest.realtime.connect(**options) as connection:
            line = Line(connection)
            session = (await line.until("session.created"))[-1].session
            assert session.type == kind
            if kind == "realtime":
                assert (session.instructions, session.output_modalities) == ("Be brief.", ["text"])
            check_frames(line.frames)

    asyncio.run(story())


def test_a_remote_tool_is_called_once_it_is_approved(host: str, mcp_url: str) -> None:
    async def story(line: Line) -> None:
        remote: Any = {"type": "mcp", "server_label": "weather", "server_url": mcp_url}
        session = await line.configure(output_modalities=["text"], tools=[remote])
        assert session.tools[0].require_approval == "always"
        listed = (await line.until("conversation.item.done"))[-1].item
        assert [tool.name for tool in listed.tools] == ["get_weather"]
        response = await line.ask("what is the weather in paris")
        [request] = response.output
        assert (request.type, json.loads(request.arguments)) == ("mcp_approval_request", {"city": "Paris"})
        answer: Any = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
        await line.wire.conversation.item.create(item=answer)
        events = await line.until("response.mcp_call.completed")
        assert "response.mcp_call.in_progress" in kinds(events)
        call = (await line.until("conversation.item.done"))[-1].item
        assert (call.approval_request_id, call.output) == (request.id, "It is 21.5 degrees in Paris.")
        await line.wire.response.create()
        said = (await line.until("response.done"))[-1].response.output[0]
        assert said.content[0].text == "It is 21.5 degrees in Paris."

    tell(host, story)
