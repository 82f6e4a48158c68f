"""What an audio event costs an agent session, from the socket to the application, next to `openai-agents` in the same run.

A process of its own plays the server: it sends an answer of many 100 ms pieces of PCM16 at 24 kHz as fast as they are read.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from bench.tables import Sheet

WARM = 50
WORD = " word"
AT_ONCE = 100
A_WORD = 4
"""Pieces of 100 ms that a word takes."""


def run(sheet: Sheet, *, quick: bool) -> None:
    """Print µs of CPU per audio event of this process, ours and theirs, and their quotient."""
    rounds, events = (2, 300) if quick else (7, 3000)
    source = subprocess.Popen(
        [sys.executable, "-m", "bench.agents", str(events)], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    try:
        assert source.stdout is not None
        url = source.stdout.readline().strip()
        work: dict[str, Callable[[str, int], Awaitable[float]]] = {
            "RealtimeSession": _ours,
            "openai-agents RealtimeSession": _theirs,
            "wire alone: RealtimeAPI": _our_wire,
            "wire alone: websockets, json, base64": _their_wire,
        }
        costs: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(rounds):
            for name, measure in work.items():
                costs[name].append(asyncio.run(_timed(measure, url, events)))
    finally:
        source.terminate()
        source.wait()
    ours, theirs, our_wire, their_wire = (median(each) for each in costs.values())
    sheet.say(
        "An agent session hears an answer: CPU of the process for each audio event (4,800 bytes of sound; a word of "
        f"transcript with every fourth), from the socket to `async for event in session`. {events} events, median of "
        f"{rounds} runs. The wire alone reads and decodes the same frames and does nothing with them: above it a session "
        f"costs {ours - our_wire:.1f} µs, and that of `openai-agents` {theirs - their_wire:.1f} µs."
    )
    rows: list[list[object]] = [[name, median(each), theirs / median(each)] for name, each in costs.items()]
    sheet.table(["what", "µs per event", "times less CPU than openai-agents"], rows)


async def _timed(measure: Callable[[str, int], Awaitable[float]], url: str, events: int) -> float:
    return await asyncio.wait_for(measure(url, events), 120)


async def _ours(url: str, events: int) -> float:
    from duologue.agents import RealtimeAgent, RealtimeSession, SessionSettings

    async with RealtimeSession(RealtimeAgent("A"), settings=SessionSettings(url=url, api_key="sk-none")) as session:
        await session.send_message("Go.")
        return await _count(session, events)


async def _theirs(url: str, events: int) -> float:
    from agents.realtime import RealtimeAgent, RealtimeRunner

    runner = RealtimeRunner(RealtimeAgent(name="A"), config={"tracing_disabled": True})
    async with await runner.run(model_config={"url": url, "api_key": "sk-none"}) as session:
        await session.send_message("Go.")
        return await _count(session, events)


async def _our_wire(url: str, events: int) -> float:
    from duologue.client.api import RealtimeAPI
    from duologue.protocol.server_events import ResponseOutputAudioDelta

    stopwatch = Stopwatch(events)
    done = asyncio.Event()
    api = RealtimeAPI(url, api_key="sk-none")

    def read(event: object, _: object) -> None:
        if type(event) is ResponseOutputAudioDelta and stopwatch.heard():
            done.set()

    api.on_frame = read
    await api.connect()
    await api.send("response.create")
    await done.wait()
    await api.disconnect()
    return stopwatch.cost_us


async def _their_wire(url: str, events: int) -> float:
    stopwatch = Stopwatch(events)
    async with connect(url, compression=None, max_size=None) as socket:
        await socket.send('{"type":"response.create"}')
        async for frame in socket:
            event = json.loads(frame)
            if event["type"] == "response.output_audio.delta" and b64decode(event["delta"]) and stopwatch.heard():
                break
    return stopwatch.cost_us


class Stopwatch:
    """CPU between the first few of so many audio events and the last."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._heard = self._began = self._ended = 0

    def heard(self) -> bool:
        """One more; True at the last."""
        self._heard += 1
        if self._heard == WARM:
            self._began = time.process_time_ns()
        if self._heard == self._events:
            self._ended = time.process_time_ns()
        return self._heard >= self._events

    @property
    def cost_us(self) -> float:
        """For each."""
        return (self._ended - self._began) / (self._events - WARM) / 1000


async def _count(session: Any, events: int) -> float:
    stopwatch = Stopwatch(events)
    async for event in session:
        if event.type == "audio" and stopwatch.heard():
            break
    return stopwatch.cost_us


async def _play(connection: ServerConnection, frames: list[bytes]) -> None:
    """Many events are written at once: a client that is quicker than its server would be measured at waking up."""
    session = {"type": "realtime", "id": "sess_1", "object": "realtime.session", "model": "bench"}
    await connection.send(json.dumps({"type": "session.created", "event_id": "event_1", "session": session}))
    async for frame in connection:
        kind = json.loads(frame)["type"]
        if kind == "session.update":
            await connection.send(json.dumps({"type": "session.updated", "event_id": "event_2", "session": session}))
        elif kind == "response.create":
            for answer in frames:
                connection.transport.write(answer)
                await connection.drain()


def _frames(events: int) -> list[bytes]:
    where = {"event_id": "event_9", "response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    sound = b64encode(os.urandom(4800)).decode()
    response: dict[str, Any] = {"object": "realtime.response", "id": "resp_1", "status": "in_progress", "output": []}
    response |= {"conversation_id": "conv_1", "output_modalities": ["audio"], "metadata": None, "usage": None}
    item: dict[str, Any] = {
        "id": "item_1",
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    words = {"type": "response.output_audio_transcript.delta", **where, "delta": WORD}
    piece = {"type": "response.output_audio.delta", **where, "delta": sound}
    pieces = [each for number in range(events) for each in ([words, piece] if number % A_WORD == 0 else [piece])]
    added = {"event_id": "event_4", "output_index": 0, "response_id": "resp_1", "item": item}
    story = [
        {"type": "response.created", "event_id": "event_3", "response": response},
        {**added, "type": "response.output_item.added"},
        {"type": "conversation.item.added", "event_id": "event_5", "previous_item_id": None, "item": item},
        *pieces,
        {**where, "type": "response.output_audio.done"},
        {**where, "type": "response.output_audio_transcript.done", "transcript": WORD * (events // A_WORD)},
        {"type": "response.done", "event_id": "event_6", "response": {**response, "status": "completed"}},
    ]
    written = [
        Frame(Opcode.TEXT, json.dumps(event, separators=(",", ":")).encode()).serialize(mask=False) for event in story
    ]
    return [b"".join(written[start : start + AT_ONCE]) for start in range(0, len(written), AT_ONCE)]


async def _source(events: int) -> None:
    frames = _frames(events)
    async with serve(lambda connection: _play(connection, frames), "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(f"ws://127.0.0.1:{port}/v1/realtime?model=bench", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_source(int(sys.argv[1])))
