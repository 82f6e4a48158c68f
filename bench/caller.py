"""One caller of the server: talks over a WebSocket in real time, 20 ms a frame, and times the answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import socket
import time
from array import array
from base64 import b64encode
from collections import deque
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import websockets
from msgspec import Struct

from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav

RATE_HZ = 24_000
FRAME_MS = 20
BYTES_PER_MS = 2 * RATE_HZ // 1000
FRAME_BYTES = BYTES_PER_MS * FRAME_MS
VOICED_SHARE = 0.01
"""A voice is heard down to -40 dB of its loudest 10 ms."""
ANSWER_SECONDS = 5.0
"""A turn without an answer after that long is lost."""
LISTEN_SECONDS = 2.5
SLOW_BUFFER_BYTES = 32 * 1024
CLIPS_FOLDER = Path(__file__).parents[1] / "tests" / "clips"
CLIPS = {
    "hello": "hello",
    "tell_me_the_time": "tell me the time",
    "seven_times_eight": "what is seven times eight",
    "weather_in_paris": "what is the weather in paris",
    "weather_in_seoul": "what is the weather in seoul",
    "weather_in_tokyo": "what is the weather in tokyo",
}
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Current weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {
            "lat": {"type": "number"},
            "lng": {"type": "number"},
            "location": {"type": "string", "description": "Name of the place"},
        },
        "required": ["lat", "lng", "location"],
    },
}


class Plan(Struct):
    """What to do: be connected, send silence, talk, or talk without a pause for as long as it takes (`hour`)."""

    url: str
    callers: int
    seconds: float
    silence_ms: int
    seed: int
    doing: Literal["nothing", "listen", "talk", "hour"] = "talk"
    interrupters: int = 0
    """Further callers, who ask for a long answer and talk over it."""
    slow_bytes_s: int | None = None
    """How fast the callers read; None for as fast as they can."""
    core: int | None = None


class Turn(Struct):
    """One question. Times in ms after the last voiced sample was sent; None where it did not come."""

    said: str
    heard: str | None = None
    spoke_at: float | None = None
    stopped_ms: float | None = None
    transcript_ms: float | None = None
    answer_ms: float | None = None
    tool: bool = False
    first: bool = False
    """The session's first: what is made when it is first needed is in it."""


class Interruption(Struct):
    """Times in ms after the frame was sent in which the server's detector must have seen that somebody talks."""

    started_ms: float
    """Until the client knew."""
    sound_ms: float
    """Until the last byte of the interrupted answer's sound, 0 where none came any more."""
    done_ms: float
    """Until the answer's end."""
    voice_ms: float
    """Until the answer's end, counted from the first voiced sample."""


class Result(Struct):
    """All that the callers saw. `late_ms`: how late the generator itself was, frame by frame."""

    turns: list[Turn]
    late_ms: list[float]
    ping_ms: list[float]
    errors: list[str]
    unasked: int
    """Responses that no question had asked for."""
    interruptions: list[Interruption]
    missed: int
    """Interruptions of answers that were over before they could be cut short."""


class Clip:
    """A question as frames; the first and the last voiced sample are in frames `first_voiced` and `last_voiced`."""

    def __init__(self, name: str, words: str) -> None:
        wav = parse_wav((CLIPS_FOLDER / f"{name}.wav").read_bytes())
        sound = resample(wav.mono(), wav.spec.rate_hz, RATE_HZ)
        self.words = words
        self.frames = [Frame(sound[i : i + FRAME_BYTES]) for i in range(0, len(sound), FRAME_BYTES)]
        first, last = _voiced_bytes(sound)
        self.first_voiced, self.last_voiced = first // FRAME_BYTES, last // FRAME_BYTES
        self.ms = len(sound) // BYTES_PER_MS


def _slow_socket(url: str) -> socket.socket:
    """One that takes little ahead of its reader, as the end of a slow line does."""
    address = urlsplit(url)
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
    connected.connect((address.hostname, address.port))
    connected.setblocking(False)
    return connected


class Frame:
    """Some sound and the event that sends it; a short one is filled up with silence."""

    def __init__(self, sound: bytes) -> None:
        self.sound = sound.ljust(FRAME_BYTES, b"\0")
        self.text = json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(self.sound).decode()})


def _voiced_bytes(sound: bytes) -> tuple[int, int]:
    step = RATE_HZ // 100
    samples = array("h", sound)
    power = [sum(v * v for v in samples[i : i + step]) for i in range(0, len(samples), step)]
    threshold = max(power) * VOICED_SHARE**2
    voiced = [index for index, value in enumerate(power) if value > threshold]
    return 2 * step * voiced[0], 2 * step * (voiced[-1] + 1) - 2


SILENCE = Frame(b"")


class Caller:
    """One session: a task that paces the sound, one that reads, one that asks questions."""

    def __init__(self, plan: Plan, number: int, clips: list[Clip]) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed * 1000 + number)
        self._clips = clips
        self._sound: deque[tuple[Frame, bool]] = deque()
        self._turn: Turn | None = None
        self._answered = asyncio.Event()
        self._answer_bytes = 0
        self._answer_at = 0.0
        self._call_ids: list[str] = []
        self.turns: list[Turn] = []
        self.late_ms: list[float] = []
        self.errors: list[str] = []
        self.unasked = 0

    async def run(self, ready: asyncio.Event, go: asyncio.Event, stop: asyncio.Event) -> None:
        """Connect, say so, and talk from `go` until `stop`."""
        options: dict[str, Any] = {"max_size": None, "compression": None}
        if self._plan.slow_bytes_s:
            options |= {"sock": _slow_socket(self._plan.url), "max_queue": 1}
        async with websockets.connect(self._plan.url, **options) as self._socket:
            await self._configure()
            ready.set()
            await go.wait()
            tasks = [asyncio.create_task(self._read(), name="read")]
            if self._plan.doing in ("listen", "talk"):
                tasks.append(asyncio.create_task(self._pace(), name="pace"))
            try:
                await self._act(stop)
                await stop.wait()
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
                self.errors += [repr(e) for e in ended if isinstance(e, Exception)]

    async def _act(self, stop: asyncio.Event) -> None:
        if self._plan.doing == "talk":
            await self._converse(stop)

    async def _configure(self) -> None:
        detection = {"type": "server_vad", "silence_duration_ms": self._plan.silence_ms}
        listening = {"turn_detection": detection, "transcription": {"model": "embedded", "language": "en"}}
        session = {"type": "realtime", "audio": {"input": listening}, "tools": [TOOL], **self._wishes()}
        await self._socket.send(json.dumps({"type": "session.update", "session": session}))
        while (event := json.loads(await self._socket.recv()))["type"] != "session.updated":
            if event["type"] == "error":
                raise RuntimeError(event["error"]["message"])

    async def _pace(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, FRAME_MS / 1000))
        due = sent = time.monotonic()
        while True:
            if (delay := due - time.monotonic()) > 0:
                await asyncio.sleep(delay)
            # A server that reads too slowly holds up `send`: that is not the generator's fault.
            self.late_ms.append(1000 * (time.monotonic() - max(due, sent)))
            frame, is_end = self._sound.popleft() if self._sound else (SILENCE, False)
            self._note(frame)
            await self._socket.send(frame.text)
            sent = time.monotonic()
            if is_end and self._turn:
                self._turn.spoke_at = sent
            due += FRAME_MS / 1000

    def _wishes(self) -> dict[str, Any]:
        """What else the session should be."""
        return {}

    def _note(self, frame: Frame) -> None:
        """A frame is about to be sent."""

    async def _converse(self, stop: asyncio.Event) -> None:
        await asyncio.sleep(self._chance.uniform(0, 3))
        while not stop.is_set():
            clip = self._chance.choice(self._clips)
            self._turn = turn = Turn(said=clip.words, first=not self.turns)
            self._answered.clear()
            self._answer_bytes = 0
            self._sound.extend((frame, n == clip.last_voiced) for n, frame in enumerate(clip.frames))
            patience = ANSWER_SECONDS + len(clip.frames) * FRAME_MS / 1000 + self._plan.silence_ms / 1000
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), patience)
            self.turns.append(turn)
            self._turn = None
            answer_seconds = self._answer_bytes / 2 / RATE_HZ
            over = self._answer_at + min(answer_seconds, LISTEN_SECONDS) - time.monotonic()
            await asyncio.sleep(max(0, over) + self._chance.uniform(0.3, 1.0))

    async def _read(self) -> None:
        due = time.monotonic()
        async for frame in self._socket:
            now = time.monotonic()
            if self._plan.slow_bytes_s:
                due = max(due, now) + len(frame) / self._plan.slow_bytes_s
                await asyncio.sleep(due - now)
                now = time.monotonic()
            event = json.loads(frame)
            self._saw(event, now)
            match event["type"]:
                case "input_audio_buffer.speech_stopped":
                    self._mark("stopped_ms", now)
                case "conversation.item.input_audio_transcription.completed":
                    self._mark("transcript_ms", now)
                    if self._turn:
                        self._turn.heard = event["transcript"]
                case "conversation.item.input_audio_transcription.failed":
                    self.errors.append(event["error"]["message"])
                case "response.created" if self._turn is None:
                    self.unasked += 1
                case "response.output_audio.delta":
                    if self._answer_bytes == 0:
                        self._mark("answer_ms", now)
                        self._answer_at = now
                    self._answer_bytes += len(event["delta"]) * 3 // 4
                case "response.function_call_arguments.done":
                    self._call_ids.append(event["call_id"])
                    if self._turn:
                        self._turn.tool = True
                        self._mark("answer_ms", now)
                case "response.done":
                    await self._response_done(event["response"])
                case "error":
                    self.errors.append(event["error"]["message"])

    def _saw(self, event: dict[str, Any], now: float) -> None:
        """An event has come."""

    async def _response_done(self, response: dict[str, Any]) -> None:
        if response["status"] == "failed":
            self.errors.append(str(response["status_details"]))
        calls, self._call_ids = self._call_ids, []
        for call_id in calls:
            output = json.dumps({"temperature_c": 12, "wind_kmh": 9})
            item = {"type": "function_call_output", "call_id": call_id, "output": output}
            await self._socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        if calls:
            await self._socket.send('{"type":"response.create"}')
        else:
            self._answered.set()

    def _mark(self, field: str, now: float) -> None:
        if self._turn and self._turn.spoke_at is not None and getattr(self._turn, field) is None:
            setattr(self._turn, field, 1000 * (now - self._turn.spoke_at))


class Marathon(Caller):
    """Talks as fast as it is answered: audio time runs, the clock does not count. Says each minute of audio."""

    def _wishes(self) -> dict[str, Any]:
        # A short context: an hour of tokens within minutes would meet the rate limit.
        limits = {"post_instructions": 4_000}
        return {"truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": limits}}

    async def _act(self, stop: asyncio.Event) -> None:
        sent_ms, minute = 0, 0
        while sent_ms < self._plan.seconds * 1000:
            clip = self._chance.choice(self._clips)
            self._answered.clear()
            self._answer_bytes = 0
            quiet = (self._plan.silence_ms + 300) // FRAME_MS
            for frame in [*clip.frames, *[SILENCE] * quiet]:
                await self._socket.send(frame.text)
            await asyncio.wait_for(self._answered.wait(), 6 * ANSWER_SECONDS)
            listening = self._answer_bytes // FRAME_BYTES
            for _ in range(listening):
                await self._socket.send(SILENCE.text)
            sent_ms += (len(clip.frames) + quiet + listening) * FRAME_MS
            if sent_ms // 60_000 > minute:
                minute = sent_ms // 60_000
                print(minute, flush=True)


def same_words(said: str, heard: str | None) -> bool:
    """Whether a transcript is right, word for word."""
    return re.findall(r"[a-z0-9']+", (heard or "").lower()) == said.split()
