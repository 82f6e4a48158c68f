"""What the recognizer makes of the user's items: who is waited for, what came of it, and what the client is told."""

from __future__ import annotations

from msgspec import Struct

from duologue.protocol import server_events as wire
from duologue.protocol.responses import DurationUsage
from duologue.protocol.session import AnySession, FunctionTool
from duologue.server import config
from duologue.server.captions import Captions
from duologue.server.commands import Command, FeedUtterance, FinishUtterance, OpenUtterance
from duologue.server.conversation import Conversation
from duologue.server.input_buffer import BYTES_PER_MS
from duologue.server.inputs import TranscriptFailed
from duologue.server.outbox import Outbox


class _Open(Struct, kw_only=True):
    captions: Captions
    live: bool = False
    """The client asked for words while they are being spoken (`delay`); else they wait for their item."""
    seconds: float | None = None
    """Length of the sound, known once the item exists."""


class Transcripts:
    """The transcripts of one session's items."""

    def __init__(self, outbox: Outbox, conversation: Conversation) -> None:
        self._out = outbox
        self._conversation = conversation
        self._open: dict[str, _Open] = {}
        self._lost: dict[str, TranscriptFailed] = {}
        self._early: dict[str, TranscriptFailed] = {}
        self._shown = False
        self._delay: str | None = None
        self._language: str | None = None
        self._prompt: str | None = None
        self._tools: tuple[FunctionTool, ...] = ()

    def configure(self, session: AnySession) -> None:
        """Take the session's settings."""
        words = config.transcription(session)
        self._shown = words is not None
        self._delay = (words.delay or None) if words else None
        self._language, self._prompt = config.recognition(session)
        self._tools = config.tools_of(session)

    def listen(self, item_id: str, audio: bytes) -> list[Command]:
        """What is to be done for the transcript of a whole clip."""
        self.opened(item_id)
        self.committed(item_id, audio)
        opened = OpenUtterance(item_id=item_id, language=self._language, prompt=self._prompt, tools=self._tools)
        return [opened, FeedUtterance(item_id=item_id, audio=audio), FinishUtterance(item_id=item_id)]

    def opened(self, item_id: str) -> None:
        """The recognizer begins to listen."""
        self._open[item_id] = _Open(captions=Captions(self._delay), live=self._shown and self._delay is not None)

    def aborted(self, item_id: str) -> None:
        """Nobody wants that transcript any more."""
        self._open.pop(item_id, None)
        self._early.pop(item_id, None)

    def committed(self, item_id: str, audio: bytes) -> TranscriptFailed | None:
        """The item exists now; a failure that came too early to be told is handed back."""
        opened = self._open.setdefault(item_id, _Open(captions=Captions(self._delay)))
        opened.seconds = len(audio) / BYTES_PER_MS / 1000
        self._show(item_id, opened)
        return self._early.pop(item_id, None)

    def is_pending(self, item_id: str) -> bool:
        """Whether the item exists and its transcript does not."""
        return item_id in self._open and self._open[item_id].seconds is not None

    def pending(self) -> list[str]:
        """The items whose transcripts are still to come."""
        return [item_id for item_id in self._open if self.is_pending(item_id)]

    def lost(self, item_id: str | None) -> TranscriptFailed | None:
        """Why the item will never have a transcript, None where it may."""
        return self._lost.get(item_id) if item_id else None

    def guessed(self, item_id: str, text: str) -> None:
        """The recognizer's transcript so far."""
        if opened := self._open.get(item_id):
            opened.captions.guess(text)
            self._show(item_id, opened)

    def _show(self, item_id: str, opened: _Open) -> None:
        if not self._shown or (opened.seconds is None and not opened.live):
            return
        if opened.seconds is not None and item_id not in self._conversation.history:
            return
        if delta := opened.captions.delta():
            self._out.emit(wire.InputAudioTranscriptionDelta, item_id=item_id, content_index=0, delta=delta)

    def ready(self, item_id: str, text: str) -> bool:
        """The recognizer is done; False where nobody waited for it."""
        if not self.is_pending(item_id):
            return False
        opened = self._open.pop(item_id)
        self._conversation.set_transcript(item_id, text)
        if self._shown and item_id in self._conversation.history:
            delta, whole = opened.captions.finish(text)
            if delta:
                self._out.emit(wire.InputAudioTranscriptionDelta, item_id=item_id, content_index=0, delta=delta)
            usage = DurationUsage(seconds=round(opened.seconds or 0.0, 3))
            completed = wire.InputAudioTranscriptionCompleted
            self._out.emit(completed, item_id=item_id, content_index=0, transcript=whole, usage=usage)
        return True

    def failed(self, failure: TranscriptFailed) -> bool:
        """The recognizer gave up; False where nobody waited, or where the item has yet to come."""
        item_id = failure.item_id
        if not self.is_pending(item_id):
            if item_id in self._open:
                self._early[item_id] = failure
            return False
        del self._open[item_id]
        if self._shown and item_id in self._conversation.history:
            error = wire.TranscriptionError(type="server_error", code=failure.code, message=failure.message, param="")
            self._out.emit(wire.InputAudioTranscriptionFailed, item_id=item_id, content_index=0, error=error)
        self._lost[item_id] = failure
        return True

    def forget(self, item_id: str) -> None:
        """The item is gone."""
        self._lost.pop(item_id, None)
