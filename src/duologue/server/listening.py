"""The user's side of a session: buffer, turn detector and the recognizer's work, composed.

Speech is handed to the recognizer while it is still being spoken; what is committed is what was recognized.
"""

from __future__ import annotations

from msgspec import Struct

from duologue.errors import ProtocolError
from duologue.ids import IdSource
from duologue.protocol.session import AnySession, FunctionTool, ServerVad, TurnDetection
from duologue.server import config
from duologue.server.commands import (
    AbortUtterance,
    Command,
    Detect,
    FeedUtterance,
    FinishUtterance,
    JudgeTurn,
    OpenDetector,
    OpenUtterance,
)
from duologue.server.input_buffer import InputBuffer
from duologue.server.turn import SpeechStarted, SpeechStopped, TurnDetector

MIN_COMMIT_MS = 100
IDLE_KEEP_MS = 2_000
"""How much silence is kept while turn detection waits for speech; at least the prefix padding."""
SEMANTIC_PADDING_MS = 300
JUDGED_MS = 3_000
"""How much of the speech is looked at to judge whether it is finished."""


class Began(Struct, frozen=True, kw_only=True):
    """The user began to speak: the speech will become `item_id`."""

    item_id: str
    audio_start_ms: int


class Ended(Struct, frozen=True, kw_only=True):
    """The user's turn is over; `audio` is taken out of the buffer (PCM16, 24 kHz, mono)."""

    item_id: str
    audio_end_ms: int
    audio: bytes


Step = Command | Began | Ended


class _Utterance(Struct, kw_only=True):
    item_id: str
    start_ms: int
    fed_ms: int
    announced: bool = False
    """The client was told of this speech: it goes on through every change of settings, under the same id."""


class Listening:
    """Takes the user's sound apart into turns."""

    def __init__(self, new_id: IdSource, *, frame_ms: int) -> None:
        self.buffer = InputBuffer()
        self._new_id = new_id
        self._frame_ms = frame_ms
        self._detection: TurnDetection | None = None
        self._turn: TurnDetector | None = None
        self._utterance: _Utterance | None = None
        self._language: str | None = None
        self._prompt: str | None = None
        self._tools: tuple[FunctionTool, ...] = ()

    @property
    def speaking(self) -> bool:
        """Whether turn detection hears speech just now."""
        return self._turn is not None and self._turn.speaking

    def configure(self, session: AnySession) -> list[Step]:
        """Take the session's settings; an open speech survives every change."""
        self._language, self._prompt = config.recognition(session)
        self._tools = config.tools_of(session)
        wanted, before = config.turn_detection(session), self._detection
        self._detection = wanted
        if wanted is None:
            return self._listen_by_hand()
        if self._turn is not None:
            if wanted != before:
                self._turn.adjust(wanted)
            return []
        if self._utterance and self._utterance.announced:
            self._turn = TurnDetector(wanted, origin_ms=self.buffer.end_ms, frame_ms=self._frame_ms, speaking=True)
            return [OpenDetector()]
        steps = self._abort()
        self._turn = TurnDetector(wanted, origin_ms=self.buffer.start_ms, frame_ms=self._frame_ms)
        held = self.buffer.slice(self.buffer.start_ms)
        return [*steps, OpenDetector(), *([Detect(audio=held)] if held else [])]

    def _listen_by_hand(self) -> list[Step]:
        turn, self._turn = self._turn, None
        if turn is not None and not turn.speaking:
            self.buffer.clear()  # the silence that turn detection waited through is nobody's turn
        return []

    def append(self, audio: bytes) -> list[Step]:
        """More sound."""
        self.buffer.append(audio)
        if self._turn is not None:
            return [Detect(audio=audio)]
        if self._utterance is None:
            return self._open(self.buffer.start_ms, self.buffer.end_ms)
        return self._feed(self.buffer.end_ms)

    def frames(self, probabilities: tuple[float, ...], *, over_speech: bool = False) -> list[Step]:
        """The detector's verdict on more frames; `over_speech` while the assistant is heard speaking."""
        steps: list[Step] = []
        for probability in probabilities:
            if self._turn is None:
                break
            edge = self._turn.frame(probability, over_speech=over_speech)
            position_ms = self._turn.position_ms
            match edge:
                case SpeechStarted():
                    start_ms = max(self.buffer.start_ms, edge.audio_ms - self._padding_ms())
                    steps += self._open(start_ms, position_ms)
                    assert self._utterance is not None
                    self._utterance.announced = True
                    steps.append(Began(item_id=self._utterance.item_id, audio_start_ms=start_ms))
                case SpeechStopped():
                    item_id, audio, commands = self._take(position_ms)
                    steps += commands
                    steps.append(Ended(item_id=item_id, audio_end_ms=edge.audio_ms, audio=audio))
                case None if self._turn.speaking:
                    steps += [*self._feed(position_ms), *self._judge(position_ms)]
                case None:
                    self.buffer.keep_last(max(IDLE_KEEP_MS, self._padding_ms()), position_ms)
        return steps

    def _judge(self, position_ms: int) -> list[Step]:
        utterance, turn = self._utterance, self._turn
        if utterance is None or turn is None or not turn.wants_judgement:
            return []
        turn.judgement_asked()
        audio = self.buffer.slice(max(utterance.start_ms, position_ms - JUDGED_MS), position_ms)
        return [JudgeTurn(item_id=utterance.item_id, audio=audio)]

    def judged(self, item_id: str, score: float | None) -> None:
        """How likely the user has finished that speech; None where nobody can tell."""
        if self._turn is not None and self._utterance is not None and self._utterance.item_id == item_id:
            self._turn.judged(score)

    def commit(self) -> tuple[str, bytes, list[Step]]:
        """Take the buffered sound as an item by hand. Raises ProtocolError where there is next to nothing."""
        if self.buffer.held_ms < MIN_COMMIT_MS:
            raise ProtocolError(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {self.buffer.held_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        opened = [] if self._utterance else self._open(self.buffer.start_ms, self.buffer.start_ms)
        item_id, audio, commands = self._take(self.buffer.end_ms)
        return item_id, audio, [*opened, *commands]

    def take_silence(self) -> tuple[str, int, int]:
        """Take what is buffered as an item of silence: its id, and from where to where (ms)."""
        start_ms, end_ms = self.buffer.start_ms, self.buffer.end_ms
        self.buffer.clear()
        return self._new_id("item"), start_ms, end_ms

    def clear(self) -> list[Step]:
        """Throw the buffered sound away."""
        self.buffer.clear()
        if self._turn is not None:
            self._turn.end_speech()
        return self._abort()

    def _padding_ms(self) -> int:
        if isinstance(self._detection, ServerVad) and isinstance(self._detection.prefix_padding_ms, int):
            return self._detection.prefix_padding_ms
        return SEMANTIC_PADDING_MS

    def _open(self, start_ms: int, to_ms: int) -> list[Step]:
        self._utterance = _Utterance(item_id=self._new_id("item"), start_ms=start_ms, fed_ms=start_ms)
        opened = OpenUtterance(
            item_id=self._utterance.item_id, language=self._language, prompt=self._prompt, tools=self._tools
        )
        return [opened, *self._feed(to_ms)]

    def _feed(self, to_ms: int) -> list[Step]:
        utterance = self._utterance
        if utterance is None:
            return []
        audio = self.buffer.slice(utterance.fed_ms, to_ms)
        utterance.fed_ms = to_ms
        return [FeedUtterance(item_id=utterance.item_id, audio=audio)] if audio else []

    def _take(self, to_ms: int) -> tuple[str, bytes, list[Step]]:
        utterance = self._utterance
        assert utterance is not None
        commands = [*self._feed(to_ms), FinishUtterance(item_id=utterance.item_id)]
        audio = self.buffer.commit(utterance.start_ms, to_ms)
        self._utterance = None
        if self._turn is not None:
            self._turn.end_speech()
        return utterance.item_id, audio, commands

    def _abort(self) -> list[Step]:
        utterance, self._utterance = self._utterance, None
        return [AbortUtterance(item_id=utterance.item_id)] if utterance else []
