"""WebRTC callers in a process of their own (`python -m bench.rtc_callers`): a plan as JSON on stdin.

On stdout the line `begin` when all are connected, `end` when the time is up, and a line of JSON with the result.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from array import array
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from bench.caller import Clip
from duologue.transports.rtc_peer import Peer
from duologue.transports.webrtc import WebRtcTransport, connect

LOUD = 200
TAIL_S = 0.3
"""After the server has cleared its buffer nothing comes for longer than this."""
ANSWER_S = 20
HEAR_S = 1.5
"""How long an answer is listened to before it is interrupted."""


class RtcPlan(Struct, frozen=True, kw_only=True):
    """`talk`: every caller asks again and again. `interruptions`: each asks for a long answer and talks over it."""

    url: str
    core: int
    callers: int
    calls: int = 1
    """Calls that each caller makes, one after the other; the last goes on."""
    seconds: float = 0.0
    talk: bool = False
    interruptions: int = 0


class RtcResult(Struct, kw_only=True):
    """What the callers saw; rates are of packets that came, a second, per call."""

    setup_ms: list[float]
    rates: list[float]
    lost: int = 0
    reported_lost: int = 0
    turns: int = 0
    cleared_ms: list[float] = []
    silence_ms: list[float] = []
    process_seconds: float = 0.0


def level(pcm: bytes) -> float:
    """Mean magnitude of PCM16."""
    values = array("h", pcm)
    return sum(map(abs, values)) / max(1, len(values))


def sound_of(clip: Clip) -> bytes:
    """A clip from its first sound on."""
    return b"".join(frame.sound for frame in clip.frames[clip.first_voiced :])


class RtcCaller:
    """One call."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.turns = 0
        self.heard = asyncio.Event()
        self.last_loud_s = 0.0
        self._cleared = asyncio.Event()
        self._answered = asyncio.Event()
        self._peer: Peer
        self._transport: WebRtcTransport

    async def dial(self, url: str) -> float:
        """Connect; gives the milliseconds that it took until the session was there."""
        begin = time.monotonic()
        self._transport = await connect(url, api_key="sk-bench")
        self._peer = self._transport._peer
        await anext(self._transport.__aiter__())
        return 1000 * (time.monotonic() - begin)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Packets that came, that did not, and that the server says it did not get."""
        return self._peer.receiver.received, self._peer.receiver.lost, self._peer.sender.reported_lost

    async def listen(self, measured: bool) -> None:
        """Take the sound away, and note where it is loud if that matters."""
        while sound := await self._transport.port.read():
            if measured and level(sound) > LOUD:
                self.last_loud_s = time.monotonic()
                self.heard.set()

    async def events(self) -> None:
        """Count answers."""
        async for frame in self._transport:
            event: dict[str, Any] = json.loads(frame)
            if event["type"] == "output_audio_buffer.stopped":
                self.turns += 1
                self._answered.set()
            elif event["type"] == "output_audio_buffer.cleared":
                self._cleared.set()

    async def ask(self, clips: list[Clip]) -> None:
        """Ask, listen, and ask again."""
        await asyncio.sleep(self.number * 0.37 % 5)
        while True:
            self._answered.clear()
            self._transport.port.write(sound_of(clips[(self.number + self.turns) % len(clips)]))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), ANSWER_S)
            await asyncio.sleep(2)

    async def interrupt(self, question: Clip, word: Clip) -> tuple[float, float]:
        """Ask for a long answer, talk over it; the milliseconds until `output_audio_buffer.cleared`, and until silence."""
        self.heard.clear()
        self._transport.port.write(sound_of(question))
        await asyncio.wait_for(self.heard.wait(), 30)
        await asyncio.sleep(HEAR_S + random.random())  # in a word or between two: as it comes
        begin = time.monotonic()
        self._cleared.clear()
        self._transport.port.write(sound_of(word))
        await asyncio.wait_for(self._cleared.wait(), ANSWER_S)
        cleared_ms = 1000 * (time.monotonic() - begin)
        await asyncio.sleep(TAIL_S)
        silent_ms = max(0.0, 1000 * (self.last_loud_s - begin))
        await asyncio.sleep(4)
        return cleared_ms, silent_ms

    async def hang_up(self) -> None:
        """End the call."""
        await self._transport.close()


async def measure(plan: RtcPlan) -> RtcResult:
    """Run the plan."""
    callers = [RtcCaller(number) for number in range(plan.callers)]
    result = RtcResult(setup_ms=[], rates=[])
    for caller in callers:
        for call in range(plan.calls):
            if call:
                await caller.hang_up()
            result.setup_ms.append(await caller.dial(plan.url))
    measured = plan.interruptions > 0
    tasks = [asyncio.create_task(c.listen(measured), name=f"ear-{c.number}") for c in callers]
    tasks += [asyncio.create_task(c.events(), name=f"eye-{c.number}") for c in callers]
    if plan.talk:
        clips = [Clip("seven_times_eight", ""), Clip("tell_me_the_time", "")]
        tasks += [asyncio.create_task(c.ask(clips), name=f"mouth-{c.number}") for c in callers]
    print("begin", flush=True)
    question, word = Clip("count_to_twenty", ""), Clip("stop", "")
    before, begin, used = [c.counts for c in callers], time.monotonic(), time.process_time()
    for _ in range(plan.interruptions):
        for caller in callers:
            cleared_ms, silent_ms = await caller.interrupt(question, word)
            result.cleared_ms.append(cleared_ms)
            result.silence_ms.append(silent_ms)
    await asyncio.sleep(plan.seconds)
    took = time.monotonic() - begin
    print("end", flush=True)
    result.process_seconds = (time.process_time() - used) / took
    for caller, (received, lost, reported) in zip(callers, before, strict=True):
        now = caller.counts
        result.rates.append((now[0] - received) / took)
        result.lost += now[1] - lost
        result.reported_lost += now[2] - reported
        result.turns += caller.turns
    for caller in callers:
        await caller.hang_up()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return result


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=RtcPlan)
    os.sched_setaffinity(0, {plan.core})
    print(msgspec.json.encode(asyncio.run(measure(plan))).decode(), flush=True)


if __name__ == "__main__":
    main()
