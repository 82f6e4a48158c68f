"""One client that receives a stream of sound as samples, in a process of its own: `python -m bench.receiver WHO URL EVENTS`.

Prints the CPU µs that it spent per event, from the first to the last, and its memory in KiB.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from base64 import b64decode
from typing import Any

import numpy

from bench.processes import private_kib

WARM = 200


class Clock:
    """Counts events; the first ones only warm up."""

    def __init__(self, events: int) -> None:
        self._left = events
        self._begin = 0
        self._events = events
        self.total = 0

    def samples(self, sound: bytes) -> bool:
        """One event's sound arrived as samples; True once it was the last."""
        self.total += int(numpy.frombuffer(sound, dtype="<i2")[0])
        self._left -= 1
        if self._events - self._left == WARM:
            self._begin = time.process_time_ns()
        return self._left == 0

    def cost_us(self) -> float:
        """CPU per event."""
        return (time.process_time_ns() - self._begin) / (self._events - WARM) / 1000


async def ours(url: str, clock: Clock) -> None:
    """The whole client: events, conversation, ledger."""
    from duologue import RealtimeClient

    async with RealtimeClient(url, reconnect=False) as client:
        done = asyncio.Event()

        def heard(update: Any) -> None:
            if update.delta is not None and update.delta.audio and clock.samples(update.delta.audio):
                done.set()

        client.on("conversation.updated", heard)
        await done.wait()


async def api(url: str, clock: Clock) -> None:
    """The transport alone, as the SDK is one."""
    from duologue import RealtimeAPI

    wire = RealtimeAPI(url)
    done = asyncio.Event()

    def heard(event: Any) -> None:
        if clock.samples(event.delta):
            done.set()

    wire.on("server.response.output_audio.delta", heard)
    await wire.connect()
    await done.wait()
    await wire.disconnect()


async def theirs(url: str, clock: Clock) -> None:
    """The `openai` package."""
    from openai import AsyncOpenAI

    base = url.partition("/realtime")[0]
    client = AsyncOpenAI(api_key="none", base_url=base.replace("ws:", "http:"), websocket_base_url=base)
    async with client.realtime.connect(model="m") as connection:
        async for event in connection:
            if event.type == "response.output_audio.delta" and clock.samples(b64decode(event.delta)):
                return


def main() -> None:
    who, url, events = sys.argv[1], sys.argv[2], int(sys.argv[3])
    clock = Clock(events)
    asyncio.run({"ours": ours, "api": api, "theirs": theirs}[who](url, clock))
    print(clock.cost_us(), private_kib(os.getpid()))


if __name__ == "__main__":
    main()
