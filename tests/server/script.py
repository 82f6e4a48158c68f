"""Drives a session machine by hand, so that a test reads like a trace: `>>` what happens, `<<` what is to be done."""

from __future__ import annotations

import msgspec

from duologue.ids import CountingIds
from duologue.protocol.codec import decode_client_event
from duologue.server import inputs
from duologue.server.commands import Command, Detect, Send, StartModel
from duologue.server.config import default_session
from duologue.server.session import Session

FRAME_MS = 32
SPEECH, SILENCE = 0.9, 0.05


def pcm(ms: int) -> bytes:
    """That many milliseconds of (silent) PCM16 at 24 kHz."""
    return bytes(48 * ms)


class Script:
    """One session and all it ever commanded. Time moves only by `now_ms`."""

    def __init__(self, **session: object) -> None:
        self.ids = CountingIds()
        self.now_ms = 0
        self.machine = Session(
            default_session(session_id="sess_1", model="scripted", now_s=1_000), new_id=self.ids, now_ms=0, frame_ms=FRAME_MS
        )
        self.commands: list[Command] = []
        self._detected_bytes = 0
        self.take(self.machine.open())
        if session:
            self.client("session.update", session={"type": "realtime", **session})

    def take(self, commands: list[Command]) -> list[Command]:
        self.commands += commands
        self._detected_bytes += sum(len(c.audio) for c in commands if isinstance(c, Detect))
        return commands

    def give(self, happened: inputs.Input) -> list[str]:
        """`>>` something happens; returns a line for each command."""
        return lines(self.take(self.machine.handle(happened, self.now_ms)))

    def client(self, kind: str, **fields: object) -> list[str]:
        """`>>` the client sends an event, through the real decoder."""
        frame = msgspec.json.encode({"type": kind, **fields})
        return self.give(inputs.ClientSent(event=decode_client_event(frame)))

    def manual(self) -> list[str]:
        return self.client("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})

    def hear(self, ms: int, probability: float) -> list[str]:
        """`>>` that much sound arrives, judged as speech or silence by the detector."""
        out = self.client("input_audio_buffer.append", audio=pcm(ms))
        whole, self._detected_bytes = divmod(self._detected_bytes, 48 * FRAME_MS)
        if whole:
            out += self.give(inputs.SpeechFrames(probabilities=(probability,) * whole))
        return out

    def events(self) -> list[dict[str, object]]:
        """Everything sent so far, as the client would read it."""
        return [msgspec.json.decode(msgspec.json.encode(c.event)) for c in self.commands if isinstance(c, Send)]

    def requests(self) -> list[StartModel]:
        return [command for command in self.commands if isinstance(command, StartModel)]


def lines(commands: list[Command]) -> list[str]:
    """A command as one word, an event as its type."""
    return [
        str(c.event.__struct_config__.tag) if isinstance(c, Send) else f"<{type(c).__name__}>"
        for c in commands
        if not isinstance(c, Detect)
    ]
