"""Tells one story to one session: phrases that say what happens, and the story so far as a readable script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import msgspec
from script import FRAME_MS, Script, lines, pcm

from duologue.protocol.items import McpTool
from duologue.protocol.session import AudioFormat
from duologue.server import inputs
from duologue.server.commands import (
    AbortUtterance,
    CallRemote,
    FinishUtterance,
    Hush,
    JudgeTurn,
    ListRemote,
    OpenUtterance,
    Play,
    StopModel,
    StopRemote,
)
from duologue.server.config import first_session
from duologue.server.formats import PCM, encoded
from duologue.server.rules import Rules

VAD = {"type": "server_vad", "silence_duration_ms": 200}
FIND, DROP, READ = (McpTool(name=name, input_schema={"type": "object"}) for name in ("find", "drop", "read"))


class Storyteller:
    """What all phrases need. What a phrase speaks of (an item, a running model) it picks by `choice`, 0 to 99.

    A `scribe` only transcribes, with `beta` the client speaks the beta, in a `call` the server plays the sound itself.
    """

    def __init__(self, chunk_ms: int = 20, *, scribe: bool = False, beta: bool = False, call: bool = False) -> None:
        rules = Rules(frame_ms=FRAME_MS, context_tokens=800, tokens_per_minute=5_000, remote_tools=True, plays=call)
        name = "x" if scribe else None
        start = first_session(session_id="sess_1", model="x", now_s=0, seconds=3600, transcriber=name, wish=None)
        self.script = Script(rules=rules, start=start, beta=beta)
        self.kind = "transcription" if scribe else "realtime"
        self.dialect = "beta" if beta else "ga"
        self.call = call
        self.format: AudioFormat = PCM
        self.log: list[str] = []
        self.chunk_ms = chunk_ms
        self.sent_ids: set[str] = set()
        self.reached: Counter[str] = Counter()
        self.update(audio={"input": {"turn_detection": VAD, "transcription": {"model": "x"}}})

    def tell(self, phrase: str, choice: int) -> None:
        """One phrase of the story; what the session does about it goes into the log."""
        handler: Callable[[int], None] = getattr(self, "_" + phrase.replace(" ", "_"))
        before = len(self.script.commands)
        self.script.give(inputs.Tick())  # what was due is done before, so that the phrase shows only its own doing
        self.log.append(f">> {phrase} ({choice})")
        handler(choice)
        self.reached[f"phrase: {phrase}"] += 1
        self.log += [f"<< {line}{times}" for line, times in counted(lines(self.script.commands[before:]))]
        ledger = self.script.machine.audio_ledger()
        assert ledger.appended_bytes == ledger.committed_bytes + ledger.cleared_bytes + ledger.buffered_bytes

    # --- what the client does ------------------------------------------------------------------------------------

    def send(self, kind: str, **fields: Any) -> list[str]:
        """The client sends an event, under an id that no other has; an error that follows must name it."""
        event_id = f"mine_{len(self.sent_ids)}"
        self.sent_ids.add(event_id)
        self.reached[f"sent in {self.dialect}: {kind}"] += 1
        before = len(self.script.told)
        out = self.script.client(kind, event_id=event_id, **fields)
        for event in self.script.told[before:]:
            if event["type"] == "error":
                assert event["error"]["event_id"] == event_id, "an error names another event"
        return out

    def update(self, **session: Any) -> list[str]:
        """The client changes settings, perhaps in the middle of its speech."""
        speaking = self.script.machine.speaking
        out = self.send("session.update", session={"type": self.kind, **session})
        if speaking and "session.updated" in out:
            self.reached["settings changed in mid-speech"] += 1
        return out

    def turns(self, detection: Any) -> None:
        """The client chooses how turns are found."""
        self.update(audio={"input": {"turn_detection": detection}})

    def sound(self, ms: int, sound: bytes) -> None:
        """The client sends so much sound, in its chunks and its format."""
        data = encoded(pcm(ms, sound), self.format)
        step = (48 if self.format == PCM else 8) * self.chunk_ms
        for start in range(0, len(data), step):
            self.send("input_audio_buffer.append", audio=data[start : start + step])

    # --- what there is to speak of -------------------------------------------------------------------------------

    def events(self, kind: str) -> list[dict[str, Any]]:
        """All events of a kind so far."""
        return [event for event in self.script.events() if event["type"] == kind]

    def running(self) -> list[str]:
        """Responses whose model runs."""
        over = {c.response_id for c in self.script.commands if isinstance(c, StopModel)}
        over |= {event["response"]["id"] for event in self.events("response.done")}
        return [start.response_id for start in self.script.requests() if start.response_id not in over]

    def unfinished(self) -> list[str]:
        """Responses without their `response.done`."""
        over = {event["response"]["id"] for event in self.events("response.done")}
        begun = [event["response"]["id"] for event in self.events("response.created")]
        return [response_id for response_id in begun if response_id not in over]

    def items(self) -> list[str]:
        """Items of the conversation."""
        return list(self.script.machine.conversation.history) or ["nobody"]

    def item(self, choice: int) -> str:
        """One of them."""
        return self.items()[choice % len(self.items())]

    def opened(self) -> list[str]:
        """All speeches that the recognizer was ever given."""
        return [c.item_id for c in self.script.commands if isinstance(c, OpenUtterance)] or ["nobody"]

    def untranscribed(self) -> list[str]:
        """Speeches that the recognizer heard to the end and that are wanted, told of already perhaps."""
        commands = self.script.commands
        gone = {c.item_id for c in commands if isinstance(c, AbortUtterance)}
        finished = [c.item_id for c in commands if isinstance(c, FinishUtterance)]
        return [item_id for item_id in finished if item_id not in gone] or ["nobody"]

    def judgements(self) -> list[JudgeTurn]:
        """All pauses that were ever to be judged."""
        return [c for c in self.script.commands if isinstance(c, JudgeTurn)]

    def on_the_loudspeaker(self) -> tuple[int, int]:
        """How often it was hushed, and how many samples were given to it since."""
        clears, samples = 0, 0
        for command in self.script.commands:
            if isinstance(command, Hush):
                clears, samples = clears + 1, 0
            elif isinstance(command, Play):
                samples += len(command.audio) // 2
        return clears, samples

    def listings(self) -> list[str]:
        """Listings that nobody answered yet."""
        over = {e["item_id"] for kind in ("completed", "failed") for e in self.events(f"mcp_list_tools.{kind}")}
        asked = [c.item_id for c in self.script.commands if isinstance(c, ListRemote)]
        return [item_id for item_id in asked if item_id not in over]

    def calls(self) -> list[str]:
        """All remote calls that were ever begun."""
        return [c.item_id for c in self.script.commands if isinstance(c, CallRemote)]

    def calls_over(self) -> set[str]:
        """Those of them that nobody waits for."""
        over = {e["item_id"] for kind in ("completed", "failed") for e in self.events(f"response.mcp_call.{kind}")}
        return over | {c.item_id for c in self.script.commands if isinstance(c, StopRemote)}

    # --- what engines do -----------------------------------------------------------------------------------------

    def model(self, choice: int, make: Callable[[str], inputs.Input]) -> None:
        """A running model does something; now and then one that was stopped does."""
        running = self.running()
        started = [start.response_id for start in self.script.requests()]
        if started and choice % 5 == 0:
            late = started[choice % len(started)]
            out = self.script.give(make(late))
            if late not in running:
                assert out == []
                self.reached["late output dropped"] += 1
        elif running:
            self.script.give(make(running[choice % len(running)]))

    def too_late(self, happened: inputs.Input, what: str) -> None:
        """Something comes that nobody waits for: nothing is done about it."""
        assert self.script.give(happened) == [], f"{what} changed something"
        self.reached[what] += 1

    # --- the end -------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """The client stops every response that is not over, those included that begin when another ends."""
        self.log.append(">> the end")
        while open_ids := self.unfinished():
            self.log += self.send("response.cancel", response_id=open_ids[0])
            assert open_ids[0] not in self.unfinished(), "a response cannot be cancelled"


def counted(told: list[str]) -> Iterator[tuple[str, str]]:
    """Lines, those that are repeated as one with its number."""
    for line, group in groupby(told):
        count = len(list(group))
        yield line, f" × {count}" if count > 1 else ""


def settings_of(audio_format: AudioFormat) -> Any:
    """A format as a client writes it."""
    return msgspec.to_builtins(audio_format)
