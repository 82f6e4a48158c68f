"""What an event costs the client, next to the `openai` SDK in the same run. 100 ms of PCM16 at 24 kHz an event."""

from __future__ import annotations

import asyncio
import os
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from functools import partial
from statistics import median
from typing import Any

import numpy
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from bench.tables import Sheet, interleaved
from duologue.client.client import RealtimeClient
from duologue.client.conversation import RealtimeConversation
from duologue.errors import TransportClosed
from duologue.protocol.codec import decode_server_event, encode
from duologue.protocol.server_events import ResponseOutputAudioDelta, ResponseOutputAudioTranscriptDelta

AUDIO = os.urandom(4800)
WHERE: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}


class _Wire:
    """Takes what the SDK sends and throws it away: only the work before the socket is measured."""

    async def send(self, data: Any) -> None:
        pass


class _Transport:
    """The same for ours; silent until it is closed."""

    def __init__(self) -> None:
        self.closed: TransportClosed | None = None
        self._ended = asyncio.Event()

    async def send(self, frame: bytes) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._ended.wait()
        return
        yield b""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed = TransportClosed(code, reason)
        self._ended.set()


def run(sheet: Sheet, *, quick: bool) -> None:
    """Print µs of CPU per event, ours and theirs."""
    rounds, calls = (3, 200) if quick else (15, 2000)
    asyncio.run(_measure(sheet, rounds, calls))


async def _measure(sheet: Sheet, rounds: int, calls: int) -> None:
    sdk = AsyncRealtimeConnection(_Wire())  # type: ignore[arg-type]
    delta = encode(ResponseOutputAudioDelta(event_id="event_1", delta=AUDIO, **WHERE))
    words = encode(ResponseOutputAudioTranscriptDelta(event_id="event_1", delta="hello there ", **WHERE))

    def ours_delta() -> None:
        event = decode_server_event(delta)
        assert isinstance(event, ResponseOutputAudioDelta)
        assert len(numpy.frombuffer(event.delta, "<i2")) == len(AUDIO) // 2

    def theirs_delta() -> None:
        event: Any = sdk.parse_event(delta)
        assert len(numpy.frombuffer(b64decode(event.delta), "<i2")) == len(AUDIO) // 2

    costs = interleaved({"ours": ours_delta, "theirs": theirs_delta}, rounds=rounds, calls=calls)
    rows: list[list[object]] = [_row("audio delta to numpy", costs)]
    small = {"ours": lambda: _ignore(decode_server_event(words)), "theirs": lambda: _ignore(sdk.parse_event(words))}
    rows.append(_row("transcript delta", interleaved(small, rounds=rounds, calls=calls)))
    rows.append(_row("append of 100 ms", await _appends(sdk, rounds, calls)))
    rows.append(["the same into the conversation", _reducer(delta, rounds, calls), "-", "-"])
    sheet.table(["CPU µs per event", "duologue", "openai", "ratio"], rows)


def _row(name: str, costs: dict[str, float]) -> list[object]:
    return [name, costs["ours"], costs["theirs"], f"{costs['theirs'] / costs['ours']:.1f}x"]


def _ignore(_: object) -> None:
    pass


async def _appends(sdk: AsyncRealtimeConnection, rounds: int, calls: int) -> dict[str, float]:
    def drive(work: Any) -> None:
        # No task, no loop turn: only the coroutine's own work.
        try:
            work.send(None)
        except StopIteration:
            return
        raise AssertionError("it waited")

    async with RealtimeClient(transport=_Transport()) as client:
        return interleaved(
            {
                "ours": lambda: drive(client.append_input_audio(AUDIO)),
                "theirs": lambda: drive(sdk.input_audio_buffer.append(audio=b64encode(AUDIO).decode())),
            },
            rounds=rounds,
            calls=calls,
        )


async def appending(minute: int, what: str, *, calls: int) -> float:
    """CPU µs of an append, or of an audio delta, in a turn that has lasted for so many minutes."""
    delta = encode(ResponseOutputAudioDelta(event_id="event_1", delta=AUDIO, **WHERE))
    async with RealtimeClient(transport=_Transport()) as client:
        for _ in range(minute * 600):
            await client.append_input_audio(AUDIO)
            client.conversation.apply(decode_server_event(delta))
        begin = time.process_time_ns()
        for _ in range(calls):
            if what == "append":
                await client.append_input_audio(AUDIO)
            else:
                client.conversation.apply(decode_server_event(delta))
        return (time.process_time_ns() - begin) / calls / 1000


def _reducer(delta: bytes, rounds: int, calls: int) -> float:
    event = decode_server_event(delta)
    costs = []
    for _ in range(rounds):  # a new conversation a round: it keeps the sound
        conversation = RealtimeConversation()
        costs.append(interleaved({"ours": partial(_apply, conversation, event)}, rounds=1, calls=calls)["ours"])
    return median(costs)


def _apply(conversation: RealtimeConversation, event: Any) -> None:
    conversation.apply(event)
