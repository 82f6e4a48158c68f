"""Drives a session machine by hand, so that a test reads like a trace: `>>` what happens, `<<` what is to be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from duologue.errors import ProtocolError
from duologue.ids import CountingIds
from duologue.protocol.dialect import client_event_to_beta
from duologue.protocol.session import AnySession
from duologue.server import inputs
from duologue.server.commands import (
    Command,
    Detect,
    ExpectSpeech,
    JudgeTurn,
    OpenDetector,
    ReportEstimate,
    Send,
    StartModel,
)
from duologue.server.config import default_session
from duologue.server.dialects import Beta, Ga
from duologue.server.rules import Rules
from duologue.server.session import Session

FRAME_MS = 32
FRAME_BYTES = 48 * FRAME_MS
SPEECH, SILENCE = b"\x01", b"\x00"


def pcm(ms: int, sound: bytes = SILENCE) -> bytes:
    """That many milliseconds of PCM16 at 24 kHz; which kind of sound it is, the detector below can tell."""
    return sound * (48 * ms)


def detect(frame: bytes) -> float:
    """Speech probability of one frame: the share of bytes in it that are not silence."""
    return 1 - frame.count(SILENCE) / len(frame)


class Script:
    """One session and all it ever commanded. Time moves only by `now_ms`.

    With `beta` the client speaks the beta: what it sends is said in it, and `told` is what it reads.
    """

    def __init__(
        self, *, rules: Rules | None = None, start: AnySession | None = None, beta: bool = False, **session: object
    ) -> None:
        self.ids = CountingIds()
        self.now_ms = 0
        self.machine = Session(
            start or default_session(session_id="sess_1", model="scripted", now_s=1_000),
            new_id=self.ids,
            now_ms=0,
            rules=rules or Rules(frame_ms=FRAME_MS),
        )
        self.commands: list[Command] = []
        self._events: list[dict[str, object]] = []
        self.told: list[dict[str, Any]] = [] if beta else self._events
        self.judge: Callable[[JudgeTurn], float | None] | None = None
        """Judges pauses at once, as a shell does; None leaves it to the test."""
        self._dialect = Beta("update") if beta else Ga()
        self._undetected = b""
        self.take(self.machine.open())
        if session:
            self.client("session.update", session={"type": "realtime", **session})

    def take(self, commands: list[Command]) -> list[Command]:
        """Carry commands out as the shell does: the detector answers before anything else happens."""
        taken: list[Command] = []
        for command in commands:
            taken.append(command)
            self.commands.append(command)
            match command:
                case Send(event=event):
                    self._events.append(msgspec.json.decode(msgspec.json.encode(event)))
                    if isinstance(self._dialect, Beta):
                        self.told += map(msgspec.json.decode, self._dialect.write(event))
                case OpenDetector():
                    self._undetected = b""
                case Detect(audio=audio):
                    taken += self._detect(audio)
                case JudgeTurn(item_id=item_id) if self.judge is not None:
                    judged = inputs.TurnJudged(item_id=item_id, score=self.judge(command))
                    taken += self.take(self.machine.handle(judged, self.now_ms))
        return taken

    def _detect(self, audio: bytes) -> list[Command]:
        self._undetected += audio
        whole = len(self._undetected) // FRAME_BYTES * FRAME_BYTES
        frames = [self._undetected[i : i + FRAME_BYTES] for i in range(0, whole, FRAME_BYTES)]
        self._undetected = self._undetected[whole:]
        taken: list[Command] = []
        for frame in frames:  # one by one, as a shell does
            happened = inputs.SpeechFrames(probabilities=(detect(frame),))
            taken += self.take(self.machine.handle(happened, self.now_ms))
        return taken

    def give(self, happened: inputs.Input) -> list[str]:
        """`>>` something happens; returns a line for each command."""
        return lines(self.take(self.machine.handle(happened, self.now_ms)))

    def client(self, kind: str, **fields: object) -> list[str]:
        """`>>` the client sends an event, through the real decoder."""
        frame: bytes | str = msgspec.json.encode({"type": kind, **fields})
        if isinstance(self._dialect, Beta):
            frame = client_event_to_beta(frame)
        return self.frame(frame)

    def frame(self, frame: bytes | str) -> list[str]:
        """`>>` the client sends a frame as it stands."""
        try:
            happened: inputs.Input = inputs.ClientSent(event=self._dialect.read(frame))
        except ProtocolError as error:
            happened = inputs.ClientErred(error=error)
        return self.give(happened)

    def manual(self) -> list[str]:
        return self.client("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})

    def hear(self, ms: int, sound: bytes) -> list[str]:
        """`>>` that much speech or silence arrives."""
        return self.client("input_audio_buffer.append", audio=pcm(ms, sound))

    def events(self) -> list[dict[str, object]]:
        """Everything sent so far, as the client would read it."""
        return self._events

    def requests(self) -> list[StartModel]:
        return [command for command in self.commands if isinstance(command, StartModel)]


def lines(commands: list[Command]) -> list[str]:
    """A command as one word, an event as its type; without those that come with almost everything."""
    return [
        str(c.event.__struct_config__.tag) if isinstance(c, Send) else f"<{type(c).__name__}>"
        for c in commands
        if not isinstance(c, Detect | ExpectSpeech | OpenDetector | ReportEstimate)
    ]
