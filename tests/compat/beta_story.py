"""Conversations of `openai` 1.109.1, the last SDK with the beta dialect; runs in an environment of its own.

`python beta_story.py STORY HOST CLIPS` plays one, with sounds from CLIPS (raw PCM16 at 24 kHz, NAME.pcm), and tells it
in JSON lines on stdout. It imports nothing of this project.
"""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, get_args

import pydantic
from openai import AsyncOpenAI
from openai.types.beta.realtime import RealtimeServerEvent

WAIT_S = 20
CHUNK_BYTES = 4800
MODEL = "gpt-4o-realtime-preview-2024-10-01"
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
MODELS = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(RealtimeServerEvent)[0])
}


def tell(kind: str, value: Any) -> None:
    print(json.dumps({"kind": kind, "value": value}), flush=True)


def strangers(value: Any, path: str = "") -> set[str]:
    """Paths of the fields that a model of theirs was given and does not know."""
    if isinstance(value, list):
        return {name for member in value for name in strangers(member, path)}
    if not isinstance(value, pydantic.BaseModel):
        return set()
    found = {f"{path}{name}" for name in value.model_extra or {}}
    for name in type(value).model_fields:
        found |= strangers(getattr(value, name), f"{path}{name}.")
    return found


class Line:
    """A connection of theirs; every frame is held against their model of its event."""

    def __init__(self, connection: Any, clips: Path) -> None:
        self.wire = connection
        self.events: list[Any] = []
        self._clips = clips

    async def receive(self) -> Any:
        frame = await asyncio.wait_for(self.wire.recv_bytes(), WAIT_S)
        raw = json.loads(frame)
        tell("type", raw["type"])
        try:
            for name in strangers(MODELS[raw["type"]].model_validate_json(frame, strict=True)):
                tell("stranger", name)
        except (KeyError, pydantic.ValidationError) as problem:
            tell("invalid", f"{problem!r}: {frame.decode()[:600]}")
        self.events.append(self.wire.parse_event(frame))
        return self.events[-1]

    async def until(self, kind: str) -> Any:
        """The next event of that type. An `error` that nobody expects ends the story."""
        while (event := await self.receive()).type != kind:
            if event.type == "error":
                raise RuntimeError(event.to_json(indent=None))
        return event

    async def configure(self, **session: Any) -> Any:
        await self.wire.session.update(session=session)
        return (await self.until("session.updated")).session

    async def say(self, text: str) -> None:
        part = {"type": "input_text", "text": text}
        await self.wire.conversation.item.create(item={"type": "message", "role": "user", "content": [part]})

    async def speak(self, name: str, *, silence_ms: int = 0) -> None:
        sound = (self._clips / f"{name}.pcm").read_bytes() + bytes(48 * silence_ms)
        for start in range(0, len(sound), CHUNK_BYTES):
            await self.wire.input_audio_buffer.append(audio=b64encode(sound[start : start + CHUNK_BYTES]).decode())


async def text(line: Line) -> None:
    session = await line.configure(modalities=["text"], instructions="Be brief.", temperature=0.7)
    tell("session", [session.modalities, session.instructions, session.input_audio_format])
    await line.say("what is seven times eight")
    await line.wire.response.create()
    done = await line.until("response.done")
    tell("said", done.response.output[0].content[0].text)
    tell("deltas", "".join(event.delta for event in line.events if event.type == "response.text.delta"))


async def push_to_talk(line: Line) -> None:
    await line.wire.session.update(
        session={"turn_detection": None, "input_audio_transcription": {"model": "whisper-1"}}  # type: ignore[typeddict-item]
    )
    await line.until("session.updated")
    await line.speak("seven_times_eight")
    await line.wire.input_audio_buffer.commit()
    await line.wire.response.create()
    done = await line.until("response.done")
    part = done.response.output[0].content[0]
    tell("said", [part.type, part.transcript])
    tell("sound", sum(len(b64decode(event.delta)) for event in line.events if event.type == "response.audio.delta"))
    completed = "conversation.item.input_audio_transcription.completed"
    tell("heard", [event.transcript for event in line.events if event.type == completed])


async def barge_in(line: Line) -> None:
    session = await line.configure(
        turn_detection={"type": "server_vad", "silence_duration_ms": 500},
        input_audio_transcription={"model": "whisper-1"},
    )
    tell("interrupts", session.turn_detection.interrupt_response)
    await line.say("count to 100")
    await line.wire.response.create()
    await line.until("response.audio.delta")
    await line.speak("seven_times_eight", silence_ms=800)
    done = (await line.until("response.done")).response
    tell("cancelled", [done.status, done.status_details.reason, done.output[0].status])
    await line.wire.conversation.item.truncate(item_id=done.output[0].id, content_index=0, audio_end_ms=100)
    tell("truncated", (await line.until("conversation.item.truncated")).audio_end_ms)
    done = (await line.until("response.done")).response
    tell("said", done.output[0].content[0].transcript)


async def tool(line: Line) -> None:
    await line.configure(tools=[WEATHER], tool_choice="auto", modalities=["text"])
    await line.say("what is the weather in paris")
    await line.wire.response.create()
    [call] = (await line.until("response.done")).response.output
    deltas = "".join(event.delta for event in line.events if event.type == "response.function_call_arguments.delta")
    tell("call", [call.name, json.loads(call.arguments), deltas == call.arguments, call.status])
    await line.wire.conversation.item.create(
        item={"type": "function_call_output", "call_id": call.call_id, "output": '{"temperature": 21.5}'}
    )
    await line.wire.response.create()
    tell("said", (await line.until("response.done")).response.output[0].content[0].text)


async def items(line: Line) -> None:
    await line.say("say good morning")
    await line.wire.response.create(response={"metadata": {"turn": "one"}})
    done = (await line.until("response.done")).response
    tell("metadata", done.metadata)
    item_id = done.output[0].id
    await line.wire.conversation.item.retrieve(item_id=item_id)
    part = (await line.until("conversation.item.retrieved")).item.content[0]
    tell("retrieved", [part.type, part.transcript, len(part.audio) > 1000])
    await line.wire.conversation.item.delete(item_id=item_id)
    tell("deleted", (await line.until("conversation.item.deleted")).item_id == item_id)
    await line.wire.conversation.item.create(
        item={"type": "message", "role": "assistant", "content": [{"type": "text", "text": "I said so."}]}
    )
    part = (await line.until("conversation.item.created")).item.content[0]
    tell("own words", [part.type, part.text])


async def errors(line: Line) -> None:
    wire = line.wire
    await wire.response.cancel(event_id="idle")
    await wire.input_audio_buffer.commit(event_id="empty")
    await wire.session.update(session={"voice": 7}, event_id="odd")
    for _ in range(3):
        while (event := await line.receive()).type != "error":
            pass
        tell("error", [event.error.event_id, event.error.code, event.error.param])
    await line.say("hello")
    await wire.response.create()
    tell("after", (await line.until("response.done")).response.status)


STORIES = {story.__name__: story for story in (text, push_to_talk, barge_in, tool, items, errors)}


async def main(name: str, host: str, clips: Path) -> None:
    address = {"base_url": f"http://{host}/v1", "websocket_base_url": f"ws://{host}/v1"}
    async with AsyncOpenAI(api_key="not needed", **address).beta.realtime.connect(model=MODEL) as connection:
        line = Line(connection, clips)
        await line.until("session.created")
        await STORIES[name](line)
    tell("end", name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
