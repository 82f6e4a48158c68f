"""A caller who asks for long answers and talks over them: how long is each still heard?"""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from typing import Any

from bench.caller import ANSWER_SECONDS, FRAME_BYTES, Caller, Clip, Frame, Interruption, Plan
from duologue.engines import registry
from duologue.protocol.session import ServerVad
from duologue.server.turn import SpeechStarted, TurnDetector

LONG_QUESTION = ("count_to_twenty", "count to twenty")
WORD = ("stop", "stop")


class Interrupter(Caller):
    """Asks for a long answer and talks over it, again and again."""

    def __init__(self, plan: Plan, number: int) -> None:
        super().__init__(plan, number, [])
        self._question, self._word = Clip(*LONG_QUESTION), Clip(*WORD)
        self._heard = asyncio.Event()
        self._sent = bytearray()
        self._sent_at = array("d")
        self._cuts: list[_Cut] = []
        self._open: _Cut | None = None
        self._last_sound: dict[str, float] = {}
        self._active = ""
        self.missed = 0

    def _note(self, frame: Frame) -> None:
        self._sent += frame.sound
        self._sent_at.append(time.monotonic())

    async def _act(self, stop: asyncio.Event) -> None:
        await asyncio.sleep(self._chance.uniform(0, 1))
        while not stop.is_set():
            self._heard.clear()
            await self._say(self._question)
            try:
                await asyncio.wait_for(self._heard.wait(), ANSWER_SECONDS)
            except TimeoutError:
                self.errors.append("a long question was not answered")
                continue
            await asyncio.sleep(self._chance.uniform(0.1, 0.6))
            self._open = cut = _Cut(frame=len(self._sent_at), response_id=self._active)
            await self._say(self._word)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(cut.over.wait(), ANSWER_SECONDS)
            self._open = None
            if cut.audio_start_ms is not None and cut.reason == "turn_detected":
                self._cuts.append(cut)
            else:
                self.missed += 1
            await asyncio.sleep(self._chance.uniform(2, 3))

    async def _say(self, clip: Clip) -> None:
        self._sound.extend((frame, False) for frame in clip.frames)
        await asyncio.sleep(clip.ms / 1000)

    def _saw(self, event: dict[str, Any], now: float) -> None:
        cut = self._open
        match event["type"]:
            case "response.output_audio.delta":
                self._active = event["response_id"]
                self._last_sound[self._active] = now
                self._heard.set()
            case "input_audio_buffer.speech_started" if cut and cut.audio_start_ms is None:
                cut.audio_start_ms, cut.started_at = event["audio_start_ms"], now
            case "response.done" if cut and event["response"]["id"] == cut.response_id:
                cut.done_at, cut.sound_at = now, self._last_sound[cut.response_id]
                cut.reason = (event["response"]["status_details"] or {}).get("reason")
                cut.over.set()

    def interruptions(self) -> list[Interruption]:
        """Every interruption, timed from the frame that the server's own detector needs to hear it.

        The same detector hears what was sent once more, in the same pieces.
        """
        stream, told_by, probabilities = registry.create("vad").open(), array("I"), array("d")
        for number in range(len(self._sent_at)):
            found = stream.feed(bytes(self._sent[number * FRAME_BYTES : (number + 1) * FRAME_BYTES]))
            probabilities.extend(found)
            told_by.extend([number] * len(found))
        timed = []
        for cut in self._cuts:
            edge = _edge(probabilities, cut.audio_start_ms or 0)
            begin = self._sent_at[told_by[edge]]
            voice = self._sent_at[cut.frame + self._word.first_voiced]
            timed.append(
                Interruption(
                    started_ms=1000 * (cut.started_at - begin),
                    sound_ms=1000 * max(0.0, cut.sound_at - begin),
                    done_ms=1000 * (cut.done_at - begin),
                    voice_ms=1000 * (cut.done_at - voice),
                )
            )
        return timed


class _Cut:
    """One answer that is being talked over."""

    def __init__(self, frame: int, response_id: str) -> None:
        self.frame, self.response_id = frame, response_id
        self.audio_start_ms: int | None = None
        self.started_at = self.sound_at = self.done_at = 0.0
        self.reason: str | None = None
        self.over = asyncio.Event()


def _edge(probabilities: array[float], audio_start_ms: int) -> int:
    """The number of the detector's frame in which a speech became one, `audio_start_ms` being what the server says."""
    frame_ms = registry.create("vad").frame_ms
    first = audio_start_ms // frame_ms
    turn = TurnDetector(ServerVad(), origin_ms=first * frame_ms, frame_ms=frame_ms)
    for number in range(first, len(probabilities)):
        if isinstance(turn.frame(probabilities[number], over_speech=True), SpeechStarted):
            return number
    raise RuntimeError("the server heard a word that its detector does not hear here")
