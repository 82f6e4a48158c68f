"""An hour of talk, sent as fast as it is taken: nothing piles up, nothing is left behind.

One session talks for an hour of its own audio; visitors come, talk and go, some in the middle of an answer. The engines
are the embedded ones, the sockets are real.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import time
from base64 import b64encode
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import websockets
from test_embedded import WEATHER, clip
from wire import Caller, calling, serving, types

from duologue.audio.g711 import ulaw_encode
from duologue.audio.resample import resample
from duologue.engines import registry
from duologue.server.limits import Limits
from duologue.server.runner import Engines, RealtimeServer

pytestmark = [pytest.mark.deep, pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")]

MS_BYTES = 48
MINUTE_MS = 60_000
TALK_MS = 60 * MINUTE_MS
WARM_MS = 12 * MINUTE_MS
"""By then every engine has worked, every cache is full, and the session holds all the sound that it may."""
KEPT_AUDIO_BYTES = 4 * 1024 * 1024
TOKENS_PER_MINUTE = 10**9
"""An hour of tokens is spent in minutes."""
GROWTH_MIB = 8
"""Measured: 2 MiB, and 107 where sound is kept without a bound. 1,500 items of text are less than 3 MiB."""
WORKER_GROWTH_MIB = 8
QUIET_MS = 800
PIECE_MS = 200
QUESTIONS = ("hello", "tell_me_the_time", "seven_times_eight", "count_to_twenty", "remember_my_name_is_anna", "stop")
PLACES = ("weather_in_paris", "weather_in_seoul", "weather_in_tokyo")
NOISES = ("click", "breath", "noise")


class Talker(Caller):
    """A caller that keeps nothing of what it has heard but the count."""

    def __init__(self, socket: websockets.ClientConnection, chance: random.Random) -> None:
        super().__init__(socket)
        self.chance = chance
        self.sent_ms = 0
        self.created: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.items: list[str] = []
        self.spoken: tuple[str, int] | None = None
        self.telephone = False

    async def receive(self) -> dict[str, Any]:
        try:
            event = await super().receive()
        except TimeoutError:
            raise AssertionError(f"silence after {types(self.events)[-30:]}") from None
        kind = event["type"]
        self.seen[kind] += 1
        match kind:
            case "response.created":
                self.created[event["response"]["id"]] += 1
            case "response.done":
                self.done[event["response"]["id"]] += 1
                self.seen[event["response"]["status"]] += 1
                assert event["response"]["status"] != "failed", event["response"]["status_details"]
            case "conversation.item.added":
                self.items.append(event["item"]["id"])
            case "conversation.item.deleted":
                self.items.remove(event["item_id"])
            case "response.output_audio.delta":
                item_id, ms = (
                    self.spoken if self.spoken and self.spoken[0] == event["item_id"] else (event["item_id"], 0)
                )
                size = len(event["delta"]) * 3 // 4
                self.spoken = item_id, ms + size // (8 if self.telephone else MS_BYTES)
        return event

    async def sound(self, audio: bytes) -> None:
        for start in range(0, len(audio), PIECE_MS * MS_BYTES):
            piece = audio[start : start + PIECE_MS * MS_BYTES]
            self.sent_ms += len(piece) // MS_BYTES
            if self.telephone:
                piece = ulaw_encode(resample(piece, 24_000, 8_000))
            await self.send("input_audio_buffer.append", audio=b64encode(piece).decode())

    async def quiet(self, ms: int) -> None:
        await self.sound(bytes(ms * MS_BYTES))

    async def answered(self) -> dict[str, Any]:
        """The response that comes next, when it is over; meanwhile the microphone hears silence for its length."""
        self.spoken = None
        done = (await self.until("response.done"))[-1]["response"]
        if self.spoken:
            await self.quiet(self.spoken[1])
        return dict(done)

    async def ask(self, name: str) -> dict[str, Any]:
        await self.sound(recorded(name))
        await self.quiet(QUIET_MS)
        return await self.answered()

    # --- what a user does ------------------------------------------------------------------------------------

    async def talks(self) -> None:
        await self.ask(self.chance.choice(QUESTIONS))

    async def asks_for_a_tool(self) -> None:
        done = await self.ask(self.chance.choice(PLACES))
        calls = [item for item in done["output"] if item["type"] == "function_call"]
        for call in calls:
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"temperature": 21.5}'}
            await self.send("conversation.item.create", item=output)
        if calls:
            await self.send("response.create")
            await self.answered()

    async def interrupts(self) -> None:
        await self.sound(recorded("count_to_twenty"))
        await self.quiet(QUIET_MS)
        await self.until("response.output_audio.delta")
        await self.sound(recorded("stop"))
        await self.until("input_audio_buffer.speech_started")
        await self.quiet(QUIET_MS)
        while self.created != self.done or "input_audio_buffer.speech_stopped" not in [e["type"] for e in self.events]:
            await self.receive()
        await self.truncates()
        await self.settled()

    async def truncates(self) -> None:
        if self.spoken and self.spoken[0] in self.items:
            item_id, ms = self.spoken
            heard = {"item_id": item_id, "content_index": 0, "audio_end_ms": self.chance.randrange(ms)}
            await self.send("conversation.item.truncate", **heard)
            await self.until("conversation.item.truncated")
            self.spoken = None

    async def deletes(self) -> None:
        for item_id in self.items[: self.chance.randrange(4)]:
            await self.send("conversation.item.delete", item_id=item_id)
            await self.until("conversation.item.deleted")

    async def retrieves(self) -> None:
        if self.items:
            await self.send("conversation.item.retrieve", item_id=self.chance.choice(self.items))
            await self.until("conversation.item.retrieved")

    async def types_a_question(self) -> None:
        await self.say(self.chance.choice(["hello", "what is two plus two", "count to five"]))
        await self.send("response.create", response={"output_modalities": ["text"]})
        await self.answered()

    async def cancels(self) -> None:
        await self.say("count to one hundred")
        await self.send("response.create")
        await self.until("response.created")
        await self.send("response.cancel")  # it may be over by now: that is an error like any other
        await self.settled()

    async def asks_aside(self) -> None:
        part = {"type": "input_text", "text": "hello"}
        own = [{"type": "message", "role": "user", "content": [part]}]
        aside = {"conversation": "none", "input": own, "metadata": {"for": "soak"}, "output_modalities": ["text"]}
        for _ in range(3):
            await self.send("response.create", response=aside)
        for _ in range(3):
            await self.until("response.done")

    async def makes_noise(self) -> None:
        await self.sound(recorded(self.chance.choice(NOISES)))
        await self.quiet(QUIET_MS)
        await self.send("input_audio_buffer.clear")
        await self.until("input_audio_buffer.cleared")

    async def presses_a_key(self) -> None:
        await self.configure(audio=listening(None))
        await self.sound(recorded(self.chance.choice(QUESTIONS)))
        await self.send("input_audio_buffer.commit")
        await self.send("response.create")
        await self.answered()
        await self.send("input_audio_buffer.clear")
        await self.until("input_audio_buffer.cleared")
        await self.configure(audio=listening(SERVER_VAD))

    async def changes_its_mind(self) -> None:
        """Another kind of turn detection, other tools and instructions, in the middle of a word too."""
        question = recorded("tell_me_the_time")
        half = len(question) // 4 * 2
        await self.sound(question[:half])
        kind: dict[str, Any] = self.chance.choice([SERVER_VAD, {"type": "semantic_vad", "eagerness": "high"}])
        await self.configure(audio=listening(kind), instructions=f"Be brief: {self.chance.randrange(1000)}.")
        await self.sound(question[half:])
        await self.quiet(8_000)
        await self.answered()
        await self.configure(audio=listening(SERVER_VAD), tools=[WEATHER])

    async def telephones(self) -> None:
        await self.configure(audio=listening(SERVER_VAD, {"type": "audio/pcmu"}))
        self.telephone = True
        await self.ask("hello")
        self.telephone = False
        await self.configure(audio=listening(SERVER_VAD, {"type": "audio/pcm", "rate": 24_000}))

    async def errs(self) -> None:
        await self.send("no.such.event")
        await self.until("error")
        await self.send("conversation.item.delete", item_id="nobody")
        await self.until("error")

    async def settled(self) -> None:
        """Everything that was asked for has been answered: the server does one thing after the other."""
        await self.configure()
        while self.created != self.done:
            await self.receive()

    async def does_something(self) -> None:
        kinds = {
            self.talks: 8,
            self.asks_for_a_tool: 4,
            self.interrupts: 4,
            self.deletes: 3,
            self.retrieves: 3,
            self.types_a_question: 2,
            self.cancels: 2,
            self.asks_aside: 1,
            self.makes_noise: 2,
            self.presses_a_key: 2,
            self.changes_its_mind: 2,
            self.telephones: 1,
            self.errs: 1,
        }
        (act,) = self.chance.choices(list(kinds), list(kinds.values()))
        await act()
        await self.settled()
        self.events.clear()
        assert self.created == self.done, act.__name__
        assert set(self.done.values()) <= {1}, act.__name__


SERVER_VAD = {"type": "server_vad", "silence_duration_ms": 500}


def listening(detection: dict[str, Any] | None, audio_format: dict[str, Any] | None = None) -> dict[str, Any]:
    input_settings = {"turn_detection": detection, "transcription": {"model": "embedded"}}
    if audio_format is None:
        return {"input": input_settings}
    return {"input": {**input_settings, "format": audio_format}, "output": {"format": audio_format}}


@cache
def recorded(name: str) -> bytes:
    return clip(name)


def rss_mib(pid: int | str = "self") -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**2


def children() -> set[int]:
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def tasks() -> Counter[str]:
    return Counter(task.get_name().rstrip("0123456789") for task in asyncio.all_tasks())


async def visit(url: str, seed: int) -> None:
    """Somebody comes, talks and goes: politely, or in the middle of an answer."""
    chance = random.Random(seed)
    async with calling(url) as caller:
        talker = Talker(caller.socket, chance)
        await talker.configure(audio=listening(SERVER_VAD), tools=[WEATHER])
        await talker.talks()
        await talker.sound(recorded("count_to_twenty"))
        await talker.quiet(QUIET_MS)
        if seed % 2:
            await talker.until("response.created")
            talker.socket.transport.abort()
            with suppress(websockets.ConnectionClosed):
                await talker.until("nothing more")


async def talk(url: str) -> dict[int, tuple[float, float]]:
    """The hour. Memory of this process and of its workers, by the minute of audio."""
    memory: dict[int, tuple[float, float]] = {}
    async with calling(url) as caller:
        talker = Talker(caller.socket, random.Random(3))
        await talker.configure(audio=listening(SERVER_VAD), tools=[WEATHER])
        turns, began = 0, time.monotonic()
        while talker.sent_ms < TALK_MS:
            await talker.does_something()
            turns += 1
            if turns % 10 == 0:
                await visit(url, turns // 10)
            minute = talker.sent_ms // MINUTE_MS
            if minute % 4 == 0 and minute not in memory:
                gc.collect()
                memory[minute] = rss_mib(), sum(map(rss_mib, children()))
        gc.collect()
        memory[TALK_MS // MINUTE_MS] = rss_mib(), sum(map(rss_mib, children()))
        print(f"\n{turns} deeds, {time.monotonic() - began:.0f} s; {json.dumps(talker.seen, indent=0)}")
        assert talker.created
        assert min(talker.seen[kind] for kind in ("completed", "cancelled", "conversation.item.truncated", "error")) > 5
    return memory


@pytest.mark.timeout(1800)
def test_an_hour_of_talk_leaves_nothing_behind() -> None:
    async def story() -> None:
        engines = Engines(**{kind: registry.create(kind) for kind in ("vad", "stt", "llm", "tts")})
        server = RealtimeServer(
            engines, limits=Limits(kept_audio_bytes=KEPT_AUDIO_BYTES, tokens_per_minute=TOKENS_PER_MINUTE)
        )
        async with serving(server) as url:
            before = tasks()
            memory = await talk(url)
            await server.drain(5)
            assert server.sessions == 0
            assert tasks() == before
        for minute, (own, workers) in memory.items():
            print(f"after {minute:3} minutes of audio: {own:.1f} MiB, workers {workers:.1f} MiB")
        warm = [figures for minute, figures in memory.items() if minute * MINUTE_MS >= WARM_MS]
        assert warm[-1][0] - warm[0][0] < GROWTH_MIB
        assert warm[-1][1] - warm[0][1] < WORKER_GROWTH_MIB

    known = children()
    asyncio.run(story())
    assert children() <= known
