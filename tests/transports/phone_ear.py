"""A carrier and the caller behind it, in simulated time, written from Twilio's published messages."""

from __future__ import annotations

import base64
import heapq
import json
from typing import Any

from duologue.transports.carriers.base import Frame
from duologue.transports.phone_line import PhoneLine

RATE = 8_000
START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"desk": "2"},
    },
}


def media(at_ms: int, sound: bytes, track: str = "inbound") -> str:
    """A message of the caller's sound."""
    payload = base64.b64encode(sound).decode()
    details = {"track": track, "chunk": "1", "timestamp": str(at_ms), "payload": payload}
    return json.dumps({"event": "media", "sequenceNumber": "2", "media": details, "streamSid": "MZ1"})


class Ear:
    """Plays what it gets, sample by sample, and sends marks back when everything before them was heard."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.cleared_at: list[int] = []
        self._buffer: list[bytes | str] = []
        self._now_ms = 0

    def take(self, frame: Frame) -> list[str]:
        """A message arrives now; the marks that go back at once."""
        message: dict[str, Any] = json.loads(frame)
        match message["event"]:
            case "media":
                self._buffer.append(base64.b64decode(message["media"]["payload"]))
            case "mark":
                if not self._buffer:
                    return [message["mark"]["name"]]
                self._buffer.append(message["mark"]["name"])
            case "clear":
                marks = [entry for entry in self._buffer if isinstance(entry, str)]
                self._buffer.clear()
                self.cleared_at.append(self._now_ms)
                return marks
            case other:
                raise AssertionError(f"a carrier knows no {other!r}")
        return []

    def play_ms(self) -> list[str]:
        """One millisecond goes by; the marks that were reached."""
        self._now_ms += 1
        wanted, marks = RATE // 1000, []
        while self._buffer:
            first = self._buffer[0]
            if isinstance(first, str):
                marks.append(first)
            elif wanted == 0:
                break
            else:
                self.heard += first[:wanted]
                rest = first[wanted:]
                wanted -= len(first) - len(rest)
                if rest:
                    self._buffer[0] = rest
                    continue
            self._buffer.pop(0)
        return marks


class World:
    """A line and its ear, with a network between them that delays each message as `delays` says; order is kept."""

    def __init__(self, line: PhoneLine, there_ms: list[int], back_ms: list[int]) -> None:
        self.line = line
        self.ear = Ear()
        self.now_ms = 1_000
        self.sent: list[Frame] = []
        self._there, self._back = there_ms, back_ms
        self._flying: list[tuple[int, int, bool, Frame]] = []
        self._count = 0
        self._last = {True: 0, False: 0}

    def _fly(self, frame: Frame, *, to_ear: bool) -> None:
        delays = self._there if to_ear else self._back
        arrives = max(self._last[to_ear], self.now_ms + delays[self._count % len(delays)])
        self._last[to_ear] = arrives
        self._count += 1
        heapq.heappush(self._flying, (arrives, self._count, to_ear, frame))

    def send(self, frames: list[Frame]) -> None:
        self.sent += frames
        for frame in frames:
            self._fly(frame, to_ear=True)

    def run(self, duration_ms: int) -> None:
        """Time goes by."""
        for _ in range(duration_ms):
            self.now_ms += 1
            marks = self.ear.play_ms()
            while self._flying and self._flying[0][0] <= self.now_ms:
                _, _, to_ear, frame = heapq.heappop(self._flying)
                if to_ear:
                    marks += self.ear.take(frame)
                else:
                    self.line.receive(frame, self.now_ms)
            for mark in marks:
                self._fly(json.dumps({"event": "mark", "streamSid": "MZ1", "mark": {"name": mark}}), to_ear=False)
            wake_at_ms = self.line.wake_at_ms
            if wake_at_ms is not None and wake_at_ms <= self.now_ms:
                self.send(self.line.due(self.now_ms))
                self.line.silence(self.now_ms)
