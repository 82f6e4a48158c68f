"""Frames that no client would send, by the thousand: the session answers, stays, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import tracemalloc
from base64 import b64encode
from typing import Any

import pytest
from wire import simple_engines

from duologue.protocol.codec import CLIENT_EVENT_TYPES
from duologue.protocol.dialect import client_event_to_beta
from duologue.server.admission import Dialect, Intent
from duologue.server.runner import RealtimeServer
from duologue.transports.base import BinaryFrame
from duologue.transports.memory import MemoryTransport, memory_pair

TURN = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200, "idle_timeout_ms": 5000}
SESSIONS: list[dict[str, Any]] = [
    {"type": "realtime", "instructions": "x", "tools": [{"type": "function", "name": "look"}], "tool_choice": "auto"},
    {"type": "realtime", "audio": {"input": {"turn_detection": TURN, "format": {"type": "audio/pcmu"}}}},
    {"type": "realtime", "audio": {"input": {"turn_detection": None, "format": {"type": "audio/pcm", "rate": 24000}}}},
    {"type": "realtime", "audio": {"output": {"speed": 1.5, "voice": "ash", "format": {"type": "audio/pcma"}}}},
    {"type": "realtime", "truncation": {"type": "retention_ratio", "retention_ratio": 0.5}, "tracing": "auto"},
    {"type": "transcription", "audio": {"input": {"transcription": {"model": "x", "delay": "low"}}}},
]
CONTENTS: list[dict[str, Any]] = [
    {"type": "input_text", "text": "hello"},
    {"type": "input_audio", "audio": "AAAA", "transcript": "hi"},
    {"type": "input_audio", "audio": b64encode(bytes(9600)).decode()},
    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
    {"type": "output_text", "text": "hello"},
]
IDS = ["item_1", "item_2", "mine", "root", "", "x" * 40, None]


def an_item(dice: random.Random) -> dict[str, Any]:
    role = dice.choice(["user", "system", "assistant"])
    return dice.choice(
        [
            {"type": "message", "role": role, "content": dice.choices(CONTENTS, k=dice.randrange(3))},
            {"type": "message", "id": dice.choice(IDS), "role": role, "content": []},
            {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "call_1"},
            {"type": "function_call_output", "call_id": "call_1", "output": "{}"},
            {"type": "item_reference", "id": dice.choice(IDS)},
            {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True},
        ]
    )


def an_event(dice: random.Random) -> dict[str, Any]:
    sound = bytes([dice.choice([0, 1])]) * dice.choice([0, 1, 480, 4800, 9601])
    fields: dict[str, Any] = {
        "session": dice.choice(SESSIONS),
        "audio": b64encode(sound).decode(),
        "item": an_item(dice),
        "item_id": dice.choice(IDS),
        "previous_item_id": dice.choice(IDS),
        "content_index": dice.choice([0, 1, -1]),
        "audio_end_ms": dice.choice([0, 10, -1, 10**9]),
        "response": dice.choice(
            [None, {}, {"conversation": "none", "input": [an_item(dice)]}, {"metadata": {"a": "b"}}]
        ),
        "response_id": dice.choice([None, "resp_1", ""]),
    }
    kind = dice.choice(CLIENT_EVENT_TYPES)
    wanted = {
        "session.update": ["session"],
        "input_audio_buffer.append": ["audio"],
        "conversation.item.create": ["item", "previous_item_id"],
        "conversation.item.truncate": ["item_id", "content_index", "audio_end_ms"],
        "response.create": ["response"],
        "response.cancel": ["response_id"],
    }.get(kind, ["item_id"] if kind.startswith("conversation") else [])
    event = {"type": kind, "event_id": f"e{dice.randrange(100)}", **{name: fields[name] for name in wanted}}
    if event["type"] == "conversation.item.create" and event["previous_item_id"] is None:
        del event["previous_item_id"]
    return event


JUNK: list[Any] = [
    None, True, 0, -1, 1.5, 2**70, 1e308, "", "x", "é\u0000", "audio", [], {}, [[]], {"type": "x"}, [None] * 50, {"": {}},
]  # fmt: skip


def mutate(dice: random.Random, value: Any) -> Any:
    """The value with something changed, anywhere inside."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        changed = dict(value)
        key = dice.choice(list(changed))
        match dice.randrange(4):
            case 0:
                del changed[key]
            case 1:
                changed[dice.choice(["extra", "type", "id", "voice", "\ud83d\ude00"])] = dice.choice(JUNK)
            case _:
                changed[key] = mutate(dice, changed[key])
        return changed
    if isinstance(value, list) and value and dice.random() < 0.8:
        changed_list = list(value)
        changed_list[dice.randrange(len(value))] = mutate(dice, dice.choice(value))
        return changed_list
    return dice.choice(JUNK)


def a_frame(dice: random.Random, dialect: Dialect) -> bytes | BinaryFrame:
    roll = dice.random()
    if roll < 0.02:
        return BinaryFrame(dice.randbytes(dice.randrange(20)))
    if roll < 0.05:
        return dice.randbytes(dice.randrange(60))
    event: Any = an_event(dice)
    if dialect == "beta":
        event = json.loads(client_event_to_beta(json.dumps(event)))
    if roll < 0.45:
        return json.dumps(event).encode()
    for _ in range(dice.randrange(1, 4)):
        event = mutate(dice, event)
    frame = json.dumps(event).encode()
    if roll > 0.95:
        cut = dice.randrange(len(frame))
        frame = frame[:cut] + dice.randbytes(dice.randrange(3)) + frame[cut + dice.randrange(3) :]
    return frame


class Reader:
    """Reads all that the server says, so that it never has to wait, and remembers little of it."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.answers: asyncio.Queue[str] = asyncio.Queue()
        self.events = 0

    async def run(self) -> None:
        async for frame in self.transport:
            event = json.loads(frame)
            assert event["event_id"], frame[:200]
            self.events += 1
            if event["type"] == "error" and str(event["error"]["event_id"]).startswith("probe"):
                self.answers.put_nowait(event["error"]["event_id"])


async def still_there(transport: MemoryTransport, reader: Reader, name: str) -> None:
    """The session answers, and what it answers is the answer to this."""
    probe = {"type": "conversation.item.delete", "item_id": "nobody at all", "event_id": name}
    await transport.send(json.dumps(probe).encode())
    assert await asyncio.wait_for(reader.answers.get(), 60) == name


async def fuzz(count: int, seed: int, intent: Intent = "conversation", dialect: Dialect = "ga") -> int:
    """Send that many frames over one connection; gives the number of events that came back."""
    dice = random.Random(seed)
    server = RealtimeServer(simple_engines())
    before = asyncio.all_tasks()
    near, far = memory_pair()
    session = asyncio.create_task(server.serve(far, model="scripted", intent=intent, dialect=dialect), name="session")
    reader = Reader(near)
    reading = asyncio.create_task(reader.run(), name="reader")
    for number in range(count):
        frame = a_frame(dice, dialect)
        if isinstance(frame, BinaryFrame):
            near._out.frames.append(frame)  # as a socket would hand it over: `send` takes text only
        else:
            await near.send(frame)
        if number % 500 == 499:
            await still_there(near, reader, f"probe{number}")
    await still_there(near, reader, "probe at the end")
    await near.close()
    await asyncio.wait_for(asyncio.gather(session, reading), 30)
    assert server.sessions == 0
    left = asyncio.all_tasks() - before
    assert not left or not (await asyncio.wait(left, timeout=5))[1]
    return reader.events


@pytest.mark.parametrize("dialect", ["ga", "beta"])
@pytest.mark.parametrize("intent", ["conversation", "transcription"])
def test_two_thousand_frames(intent: Intent, dialect: Dialect, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert asyncio.run(fuzz(2_000, seed=len(intent), intent=intent, dialect=dialect)) > 500
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR], caplog.text


@pytest.mark.deep
def test_a_hundred_thousand_frames(caplog: pytest.LogCaptureFixture) -> None:
    """Fifty sessions of 2,000 frames: memory after the first ten and at the end is the same."""
    asyncio.run(fuzz(2_000, seed=0))
    tracemalloc.start()
    sizes = []
    with caplog.at_level(logging.ERROR):
        for seed in range(1, 51):
            intent: Intent = "transcription" if seed % 5 == 0 else "conversation"
            asyncio.run(fuzz(2_000, seed=seed, intent=intent, dialect="beta" if seed % 3 == 0 else "ga"))
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    print(f"\nheld after 10 sessions {sizes[9] // 1024} kB, after 50 {sizes[-1] // 1024} kB")
    assert sizes[-1] - sizes[9] < 256 * 1024
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR], caplog.text
