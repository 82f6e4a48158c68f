"""What the recognizer makes of the user's items: who is waited for, what came of it, and what the client is told."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from duologue.protocol import server_events as wire
from duologue.protocol.items import Item
from duologue.protocol.responses import DurationUsage
from duologue.protocol.session import AnySession, FunctionTool
from duologue.server import config
from duologue.server.captions import Captions
from duologue.server.commands import (
    AbortUtterance,
    Command,
    ExpectSpeech,
    FeedUtterance,
    FinishUtterance,
    OpenUtterance,
)
from duologue.server.conversation import Conversation
from duologue.server.input_buffer import BYTES_PER_MS
from duologue.server.inputs import TranscriptFailed
from duologue.server.outbox import Outbox


class _Open(Struct, kw_only=True):
    item_id: str
    content_index: int = 0
    captions: Captions
    live: bool = False
    """The client asked for words while they are being spoken (`delay`); else they wait for their item."""
    seconds: float | None = None
    """Length of the sound, known once the item exists."""


class Transcripts:
    """The transcripts of one session's items.

    The recognizer knows each speech by an id of its own: that of its item where the speech was recognized while it was
    spoken, a fresh one for a clip that came with an item, which may have several.
    """

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
        self._expected: ExpectSpeech | None = None

    def configure(self, session: AnySession) -> list[Command]:
        """Take the session's settings; what is to be done where they change how the user is understood."""
        words = config.transcription(session)
        self._shown = words is not None
        self._delay = (words.delay or None) if words else None
        self._language, self._prompt = config.recognition(session)
        self._tools = config.tools_of(session)
        expected = ExpectSpeech(language=self._language, prompt=self._prompt, tools=self._tools)
        if expected == self._expected:
            return []
        self._expected = expected
        return [expected]

    def listen(self, item: Item) -> list[Command]:
        """What is to be done for the transcripts of the clips that came with an item."""
        commands: list[Command] = []
        for content_index, sound in self._conversation.unheard(item):
            speech_id = self._out.new_id("item")
            opened = _Open(item_id=str(item.id), content_index=content_index, captions=Captions(self._delay))
            opened.seconds = len(sound.audio) / BYTES_PER_MS / 1000
            self._open[speech_id] = opened
            commands += [
                OpenUtterance(item_id=speech_id, language=self._language, prompt=self._prompt, tools=self._tools),
                FeedUtterance(item_id=speech_id, audio=sound.audio),
                FinishUtterance(item_id=speech_id),
            ]
        return commands

    def abandon(self, item_id: str) -> list[Command]:
        """What is to be done where another item takes the place of this one: nobody waits for its words."""
        self._lost.pop(item_id, None)
        speech_ids = [speech_id for speech_id in self.pending() if self._open[speech_id].item_id == item_id]
        for speech_id in speech_ids:
            del self._open[speech_id]
        return [AbortUtterance(item_id=speech_id) for speech_id in speech_ids]

    def opened(self, item_id: str) -> None:
        """The recognizer begins to listen."""
        live = self._shown and self._delay is not None
        self._open[item_id] = _Open(item_id=item_id, captions=Captions(self._delay), live=live)

    def aborted(self, item_id: str) -> None:
        """Nobody wants that transcript any more."""
        self._open.pop(item_id, None)
        self._early.pop(item_id, None)

    def committed(self, item_id: str, audio: bytes) -> TranscriptFailed | None:
        """The item exists now; a failure that came too early to be told is handed back."""
        opened = self._open.setdefault(item_id, _Open(item_id=item_id, captions=Captions(self._delay)))
        opened.seconds = len(audio) / BYTES_PER_MS / 1000
        self._show(opened)
        return self._early.pop(item_id, None)

    def is_pending(self, item_id: str) -> bool:
        """Whether the item exists and a transcript of it does not."""
        return any(opened.item_id == item_id and opened.seconds is not None for opened in self._open.values())

    def pending(self) -> list[str]:
        """The speeches whose items exist and whose transcripts are still to come."""
        return [speech_id for speech_id, opened in self._open.items() if opened.seconds is not None]

    def lost(self, item_id: str | None) -> TranscriptFailed | None:
        """Why the item will never have a transcript, None where it may."""
        return self._lost.get(item_id) if item_id else None

    def guessed(self, speech_id: str, text: str) -> None:
        """The recognizer's transcript so far."""
        if opened := self._open.get(speech_id):
            opened.captions.guess(text)
            self._show(opened)

    def _show(self, opened: _Open) -> None:
        if not self._shown or (opened.seconds is None and not opened.live):
            return
        if opened.seconds is not None and opened.item_id not in self._conversation.history:
            return
        if delta := opened.captions.delta():
            self._out.emit(wire.InputAudioTranscriptionDelta, **_place(opened), delta=delta)

    def ready(self, speech_id: str, text: str) -> str | None:
        """The recognizer is done; the id of the item whose transcripts are complete now, None where there is none."""
        opened = self._open.get(speech_id)
        if opened is None or opened.seconds is None:
            return None
        del self._open[speech_id]
        self._conversation.set_transcript(opened.item_id, text, opened.content_index)
        if self._shown and opened.item_id in self._conversation.history:
            delta, whole = opened.captions.finish(text)
            if delta:
                self._out.emit(wire.InputAudioTranscriptionDelta, **_place(opened), delta=delta)
            usage = DurationUsage(seconds=round(opened.seconds, 3))
            self._out.emit(wire.InputAudioTranscriptionCompleted, **_place(opened), transcript=whole, usage=usage)
        return None if self.is_pending(opened.item_id) else opened.item_id

    def failed(self, failure: TranscriptFailed) -> TranscriptFailed | None:
        """The recognizer gave up; the failure of the item, None where nobody waited or where the item has yet to come."""
        opened = self._open.get(failure.item_id)
        if opened is None:
            return None
        if opened.seconds is None:
            self._early[failure.item_id] = failure
            return None
        del self._open[failure.item_id]
        failure = replace(failure, item_id=opened.item_id)
        if self._shown and opened.item_id in self._conversation.history:
            error = wire.TranscriptionError(type="server_error", code=failure.code, message=failure.message, param="")
            self._out.emit(wire.InputAudioTranscriptionFailed, **_place(opened), error=error)
        self._lost[opened.item_id] = failure
        return failure

    def forget(self, item_id: str) -> None:
        """The item is gone."""
        self._lost.pop(item_id, None)


def _place(opened: _Open) -> dict[str, Any]:
    return {"item_id": opened.item_id, "content_index": opened.content_index}
