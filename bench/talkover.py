"""People who talk over long answers, in a process of their own (`python -m bench.talkover`): a plan as JSON on stdin.

On stdout one line of JSON with what they saw. All three transports carry sessions of `duologue.agents`.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import msgspec
import uvicorn
from msgspec import Struct
from websockets.asyncio.client import connect

from bench.caller import Clip
from bench.handset import Headset, Person, Telephone
from bench.rtc_callers import sound_of
from duologue.agents import RealtimeAgent, RealtimeSession, SessionSettings
from duologue.transports.carriers.twilio import Twilio
from duologue.transports.phone import PhonePort, phone_app

Way = Literal["websocket", "webrtc", "phone"]
QUESTION = (
    "say the quick brown fox runs along the quiet river and through the long green valley until the evening sun goes down "
    "behind the blue mountains and then it rests under an old tall tree near the road that leads back to the small town"
)
"""A long answer without pauses: an interruption that falls between two words finds silence there at once."""
WORD = ("weather_in_paris", 24_000)
"""What is said in it: "what is", half a second. It begins with a voice; the line of a telephone carries no "s"."""
CONFIG = {"turn_detection": {"type": "server_vad", "create_response": False, "interrupt_response": True}}
"""Nobody answers the interruption itself: then the next silence cannot be taken for the end of this one."""
ANSWER_S = 20.0
LISTEN_S = (0.7, 1.7)
"""How long an answer is listened to: in a word or between two, as it comes."""
WINDOW_S = 1.2
"""An answer that is heard for longer than this after the interruption counts as not interrupted."""


class TalkPlan(Struct, frozen=True, kw_only=True):
    """Each of the callers interrupts one answer after the other."""

    url: str
    core: int
    way: Way
    callers: int
    seconds: float


class TalkResult(Struct, kw_only=True):
    """Milliseconds from the first voiced sample until the client knew, and until the last loud 20 ms had been played."""

    known_ms: list[float] = []
    silence_ms: list[float] = []
    missed: int = 0


class Talker:
    """One person in one conversation, who talks over answers."""

    def __init__(self, result: TalkResult) -> None:
        self.person = Person()
        self._result = result
        self._known_s = 0.0
        clip, size = WORD
        self._word = sound_of(Clip(clip, ""))[:size]

    async def interrupt(self, session: RealtimeSession, until_s: float) -> None:
        """Ask, listen, talk over the answer, again and again."""
        session.on("speech_started", self._knows)
        while time.monotonic() < until_s:
            self.person.hears.clear()
            await session.send_message(QUESTION)
            async with asyncio.timeout(ANSWER_S):
                await self.person.hears.wait()
            await asyncio.sleep(random.uniform(*LISTEN_S))
            begin_s = time.monotonic()
            self._known_s = 0.0
            self.person.say(self._word)
            await asyncio.sleep(WINDOW_S)
            silence_s = self.person.last_loud_s - begin_s
            if not self._known_s or silence_s > WINDOW_S:
                self._result.missed += 1
                await session.interrupt()
                continue
            self._result.known_ms.append(1000 * (self._known_s - begin_s))
            # Where it was silent between two words when it was interrupted, it was silent at once.
            self._result.silence_ms.append(max(0.0, 1000 * silence_s))

    def _knows(self, _: object) -> None:
        self._known_s = self._known_s or time.monotonic()


@asynccontextmanager
async def headset(plan: TalkPlan, talker: Talker) -> AsyncIterator[RealtimeSession]:
    """A session whose sound comes and goes by the person's headset."""
    # A call's sound comes at the pace of time: a second clock would only add a buffer.
    port = Headset(talker.person, direct=plan.way == "webrtc")
    way: Literal["websocket", "webrtc"] = "webrtc" if plan.way == "webrtc" else "websocket"
    settings = SessionSettings(url=plan.url, api_key="sk-bench")
    session = RealtimeSession(AGENT, way, config=CONFIG, settings=settings, input_port=port, output_port=port)
    async with session:
        yield session


@asynccontextmanager
async def telephone(plan: TalkPlan, talker: Talker) -> AsyncIterator[RealtimeSession]:
    """A session in an application behind a carrier's media stream; the person is at the carrier's other end."""
    met: asyncio.Future[RealtimeSession] = asyncio.get_running_loop().create_future()

    async def answer(call: PhonePort) -> None:
        settings = SessionSettings(url=plan.url, api_key="sk-bench")
        async with RealtimeSession(AGENT, config=CONFIG, settings=settings, input_port=call, output_port=call) as own:
            met.set_result(own)
            await own.finished()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = phone_app(Twilio(), answer)
        host = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="websockets-sansio", lifespan="off"))
        serving = asyncio.create_task(host.serve(sockets=[listener]), name="application")
        async with connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/", compression=None) as wire:
            living = asyncio.create_task(Telephone(talker.person, wire).live(), name="telephone")
            yield await met
            living.cancel()
            await asyncio.wait([living])
        host.should_exit = True
        await serving


AGENT = RealtimeAgent("Counter", "Be brief.")


async def measure(plan: TalkPlan) -> TalkResult:
    """Run the plan."""
    result = TalkResult()

    async def talk() -> None:
        talker = Talker(result)
        opened: AbstractAsyncContextManager[RealtimeSession]
        opened = telephone(plan, talker) if plan.way == "phone" else headset(plan, talker)
        async with opened as session:
            await talker.interrupt(session, time.monotonic() + plan.seconds)

    async with asyncio.TaskGroup() as group:
        for number in range(plan.callers):
            group.create_task(talk(), name=f"talker-{number}")
    return result


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=TalkPlan)
    os.sched_setaffinity(0, {plan.core})
    print(msgspec.json.encode(asyncio.run(measure(plan))).decode(), flush=True)


if __name__ == "__main__":
    main()
