"""Turn detection on labelled clips: how often it cuts a speaker off in a pause, and how long it waits after the end.

Each sentence of `tests/clips/turns` is heard whole, and with pauses of four lengths at its mark. Settings were chosen by
the half `tuned`; what is printed is the half `reported`, other sentences by other voices.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.tables import Sheet, percentile
from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav
from duologue.engines import registry
from duologue.engines.base import SpeechHints, Stt, SttSettings, Utterance
from duologue.engines.end_of_turn import score
from duologue.engines.melody import melody
from duologue.engines.silero import SileroVad
from duologue.protocol.session import SemanticVad, ServerVad, TurnDetection
from duologue.server.turn import SpeechStopped, TurnDetector

CLIPS = Path(__file__).parent.parent / "tests" / "clips" / "turns"
PAUSES_MS = (300, 600, 1_000, 1_500)
LEAD_MS = 300
TAIL_MS = 9_000
JUDGED_MS = 3_000
BYTES_PER_MS = 48

Words = Callable[["Take", int], Awaitable[str | None]]
"""What is known of a take's words when the first so many ms of it were heard."""


class Take(Struct, frozen=True, kw_only=True):
    """A sentence as it is heard: PCM16, 24 kHz, mono; times in ms from its start."""

    text: str
    before: str | None
    audio: bytes
    pause_ms: int
    pause_at_ms: int
    end_ms: int
    """Where the last word ends."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How a kind of turn detection did."""

    pauses: int
    cut: int
    delays_ms: list[int]

    @property
    def cut_rate(self) -> float:
        return self.cut / self.pauses


def takes(half: str) -> list[Take]:
    """Every sentence of that half, whole and with each pause."""
    found = []
    for label in json.loads((CLIPS / "labels.json").read_text()):
        if label["half"] != half:
            continue
        wav = parse_wav((CLIPS / label["clip"]).read_bytes())
        spoken = bytes(BYTES_PER_MS * LEAD_MS) + resample(wav.mono(), wav.spec.rate_hz, 24_000)
        end_ms = len(spoken) // BYTES_PER_MS - melody(spoken).pause_ms
        mark_ms = LEAD_MS + (label["pause_at_ms"] or 0)
        for pause_ms in (0, *PAUSES_MS) if label["before"] else (0,):
            cut = BYTES_PER_MS * mark_ms
            audio = spoken[:cut] + bytes(BYTES_PER_MS * pause_ms) + spoken[cut:] + bytes(BYTES_PER_MS * TAIL_MS)
            found.append(
                Take(
                    text=label["text"],
                    before=label["before"],
                    audio=audio,
                    pause_ms=pause_ms,
                    pause_at_ms=mark_ms,
                    end_ms=end_ms + pause_ms,
                )
            )
    return found


async def no_words(take: Take, heard_ms: int) -> str | None:
    """As with a recognizer that tells nothing before the end."""
    return None


async def true_words(take: Take, heard_ms: int) -> str | None:
    """As with a perfect recognizer."""
    in_pause = take.pause_ms and take.pause_at_ms <= heard_ms < take.pause_at_ms + take.pause_ms + 100
    return take.before if in_pause else take.text


class Recognized:
    """The embedded recognizer's words, with these hints; a take is heard once, in order. Its time to decode is no part
    of the delays here: in a live session it decodes while the user speaks."""

    def __init__(self, stt: Stt, hints: SpeechHints) -> None:
        self._stt = stt
        self._hints = hints
        self._take: Take | None = None
        self._fed_ms = 0

    async def __call__(self, take: Take, heard_ms: int) -> str | None:
        if take is not self._take:
            await self.close()
            self._take, self._fed_ms = take, 0
            self._utterance: Any = self._stt.open(SttSettings(hints=self._hints))
            self._reader = asyncio.create_task(_drain(self._utterance), name="words")
            await asyncio.sleep(0)
        self._utterance.feed(take.audio[self._fed_ms * BYTES_PER_MS : heard_ms * BYTES_PER_MS])
        self._fed_ms = heard_ms
        found: str | None = await self._utterance.so_far()
        return found

    async def close(self) -> None:
        """Stop listening to the last take."""
        if self._take is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._take = None


async def _drain(utterance: Utterance) -> None:
    async for _ in utterance.results():
        pass


async def ended_ms(take: Take, probabilities: list[float], settings: TurnDetection, words: Words) -> list[int]:
    """Where turn detection says that turns end."""
    detector = TurnDetector(settings, origin_ms=0, frame_ms=SileroVad.frame_ms)
    ends = []
    for probability in probabilities:
        edge = detector.frame(probability)
        if isinstance(edge, SpeechStopped):
            ends.append(edge.audio_ms)
        if detector.wants_judgement:
            detector.judgement_asked()
            now_ms = detector.position_ms
            tail = take.audio[max(0, now_ms - JUDGED_MS) * BYTES_PER_MS : now_ms * BYTES_PER_MS]
            detector.judged(score(melody(tail), await words(take, now_ms)))
    return ends


def listened(half: str) -> list[tuple[Take, list[float]]]:
    """The takes with the detector's verdict on each frame."""
    vad = SileroVad()
    return [(take, vad.open().feed(take.audio)) for take in takes(half)]


async def judge(heard: list[tuple[Take, list[float]]], settings: TurnDetection, words: Words = no_words) -> Outcome:
    """Try one kind of turn detection on every take."""
    pauses, cut, delays = 0, 0, []
    for take, probabilities in heard:
        ends = await ended_ms(take, probabilities, settings, words)
        if take.pause_ms:
            pauses += 1
            cut += any(end <= take.pause_at_ms + take.pause_ms for end in ends)
        else:
            delays.append(ends[-1] - take.end_ms)
    return Outcome(pauses=pauses, cut=cut, delays_ms=delays)


async def _rows(half: str, recognized: Recognized) -> list[list[object]]:
    heard = listened(half)
    kinds: list[tuple[str, TurnDetection, Words]] = [
        *((f"server_vad, {ms} ms", ServerVad(silence_duration_ms=ms), no_words) for ms in (200, 500, 1_000)),
        *(
            (f"semantic_vad, {eagerness}, {name}", SemanticVad(eagerness=eagerness), words)
            for name, words in (("sound only", no_words), ("true words", true_words))
            for eagerness in ("high", "medium", "low")
        ),
        ("semantic_vad, medium, embedded words", SemanticVad(eagerness="medium"), recognized),
    ]
    rows: list[list[object]] = []
    for name, settings, words in kinds:
        outcome = await judge(heard, settings, words)
        cut = f"{outcome.cut}/{outcome.pauses} ({outcome.cut_rate:.0%})"
        rows.append([name, cut, *(percentile(outcome.delays_ms, share) for share in (0.5, 0.95, 0.99))])
    await recognized.close()
    return rows


def run(sheet: Sheet, *, quick: bool) -> None:
    """Print the table; `quick` leaves the half out that was tuned with."""

    async def measure() -> None:
        stt, llm = registry.create("stt"), registry.create("llm")
        await stt.start()
        try:
            hints = llm.hints((), None)
            for half in ("reported",) if quick else ("reported", "tuned"):
                sheet.say(f"The half `{half}`, pauses of {', '.join(map(str, PAUSES_MS))} ms in mid-sentence:")
                rows = await _rows(half, Recognized(stt, hints))
                sheet.table(("turn detection", "cut off", "delay p50 ms", "p95", "p99"), rows)
        finally:
            await stt.close()

    asyncio.run(measure())
