"""The conversation as the client knows it: a reducer over server events. Pure; it never raises on any sequence.

Each event costs constant work: pieces are kept in lists and joined when somebody looks. What arrives for an item before the
item itself (a transcript, sound) waits in an unplaced draft.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from msgspec import UNSET, Struct

from duologue.audio.spec import BYTES_PER_MS
from duologue.client.items import ConversationItem
from duologue.client.speech import InputSpeech
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.items import Item
from duologue.protocol.session import AnySession, AudioFormat, PcmFormat

Happening = Literal["appended", "updated", "completed", "deleted"]
Piece = (
    ev.ResponseOutputAudioDelta
    | ev.ResponseOutputAudioTranscriptDelta
    | ev.ResponseOutputTextDelta
    | ev.ResponseFunctionCallArgumentsDelta
    | ev.ResponseMcpCallArgumentsDelta
    | ev.InputAudioTranscriptionDelta
)
"""Events that add to an item and mean nothing else."""
PIECES: dict[type, Literal["audio", "transcript", "text", "arguments"]] = {
    ev.ResponseOutputAudioDelta: "audio",
    ev.ResponseOutputAudioTranscriptDelta: "transcript",
    ev.ResponseOutputTextDelta: "text",
    ev.ResponseFunctionCallArgumentsDelta: "arguments",
    ev.ResponseMcpCallArgumentsDelta: "arguments",
    ev.InputAudioTranscriptionDelta: "transcript",
}
"""What they add. To look at a type is cheaper than `isinstance`, which msgspec answers through the metaclass."""
_DRAFTS = 256
KEEP_AUDIO_BYTES = 64 * 1024 * 1024
"""Some 23 minutes of PCM16 at 24 kHz, both sides together."""


class Delta(Struct, frozen=True, kw_only=True, gc=False):
    """What one event added to an item; `audio` in the session's output format."""

    text: str | None = None
    transcript: str | None = None
    audio: bytes | None = None
    arguments: str | None = None


class Update(Struct, frozen=True):
    """Something about `item` changed; an item is completed once."""

    kind: Happening
    item: ConversationItem
    delta: Delta | None = None


class RealtimeConversation:
    """Feed it with `apply(event)` (`process_event`), and with `queue_input_audio` to have the user's speech in the items.

    Of the sound about the newest `keep_audio_bytes` are kept; items keep their words.
    """

    def __init__(self, keep_audio_bytes: int = KEEP_AUDIO_BYTES) -> None:
        self.keep_audio_bytes = keep_audio_bytes
        self._audio_bytes = 0
        self.input = InputSpeech()
        self.output_bytes_per_ms = BYTES_PER_MS
        self.output_sample_bytes = 2
        self._input_format: AudioFormat = PcmFormat()
        self._output_format: AudioFormat = PcmFormat()
        self._placed: dict[str, ConversationItem] = {}
        self._drafts: OrderedDict[str, ConversationItem] = OrderedDict()
        self._sent: OrderedDict[str, tuple[str, Item]] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._first: ConversationItem | None = None
        self._last: ConversationItem | None = None
        self._side: OrderedDict[str, None] = OrderedDict()
        self._list: list[ConversationItem] | None = None

    @property
    def items(self) -> list[ConversationItem]:
        """All items in conversation order, as a list of its own."""
        if self._list is None:
            self._list = []
            item = self._first
            while item is not None:
                self._list.append(item)
                item = item.next
        return list(self._list)

    def get_items(self) -> list[ConversationItem]:
        """The same as `items`."""
        return self.items

    def get_item(self, item_id: str) -> ConversationItem | None:
        """An item by its id, also one of a response outside the conversation; None where it is not known."""
        return self._placed.get(item_id) or self._drafts.get(item_id)

    def queue_input_audio(self, audio: bytes) -> None:
        """The user's sound as it was sent; speech is cut out of it into the items."""
        self.input.append(audio)

    def clear(self) -> None:
        """Forget everything but the formats of the sound."""
        self.restart_input()
        fresh = RealtimeConversation(self.keep_audio_bytes)
        fresh.input, fresh.output_bytes_per_ms = self.input, self.output_bytes_per_ms
        fresh.output_sample_bytes = self.output_sample_bytes
        fresh._input_format, fresh._output_format = self._input_format, self._output_format
        self.__dict__ = fresh.__dict__

    def expect(self, item: Item, event_id: str) -> None:
        """An item was sent under an id of its own, with an event of that id. What the server's copy leaves out, like a
        picture, is known then."""
        if isinstance(item.id, str) and item.id not in self._placed:
            self._item(item.id).take(item)
            self._sent[item.id] = (event_id, item)
            while len(self._sent) > _DRAFTS:
                self._sent.popitem(last=False)

    def connection_lost(self) -> list[Update]:
        """Nothing more will come for what is open: it is final as it stands, and what was sent and not yet confirmed stands
        at the end; an answer of which nothing came is no item. The next connection counts its sound anew."""
        self.restart_input()
        updates = []
        for _, wire in list(self._sent.values()):
            updates += self._done(wire, self._last.id if self._last else None)
        self._drafts.clear()
        self._side.clear()
        for item in self.items:
            if item.role == "assistant" and not item.parts():
                updates += self._deleted(item.id)
            elif not item.completed:
                item.status = "incomplete"
                item.completed = True
                updates += [Update("updated", item), Update("completed", item)]
        return updates

    def restart_input(self) -> None:
        """The server counts the user's sound from zero again."""
        fresh = InputSpeech()
        fresh.bytes_per_ms = self.input.bytes_per_ms
        self.input = fresh

    def apply(self, event: ev.ServerEvent | UnknownEvent) -> list[Update]:
        """Take one server event; returns what changed, in order. Unknown events change nothing."""
        if (what := PIECES.get(type(event))) is not None:
            piece: Any = event
            item = self.grow(piece, what)
            return [] if item is None else [Update("updated", item, Delta(**{what: piece.delta}))]
        return self._rare(event)

    process_event = apply

    def grow(self, event: Piece, what: str) -> ConversationItem | None:
        """Take a piece, as `apply` does, with what PIECES says of it; returns its item, None where its speech was cut."""
        piece: Any = event
        item = self._placed.get(event.item_id) or self._item(event.item_id)
        if what == "audio":
            if item.cut_ms is not None:
                return None
            sound = piece.delta
            item.sound = self._output_format
            item.part(piece.content_index).add_audio(sound)
            self._audio_bytes += len(sound)
            if self._audio_bytes > self.keep_audio_bytes:
                self._forget_oldest()
        elif what == "transcript":
            item.part(piece.content_index).transcript.append(piece.delta)
        elif what == "text":
            item.part(piece.content_index).text.append(piece.delta)
        else:
            item.add_arguments(piece.delta)
        return item

    def _rare(self, event: ev.ServerEvent | UnknownEvent) -> list[Update]:
        match event:
            case (
                ev.ConversationItemAdded(previous_item_id=previous, item=wire)
                | ev.ConversationItemCreated(previous_item_id=previous, item=wire)
            ):
                return self._added(wire, previous)
            case ev.ConversationItemDone(previous_item_id=previous, item=wire):
                return self._done(wire, previous)
            case ev.ResponseCreated(response=response):
                if response.conversation_id is None:
                    self._remember(self._side, response.id)
            case ev.ResponseOutputItemAdded(response_id=response_id, item=wire):
                return self._output_added(wire, response_id)
            case ev.ResponseOutputItemDone(response_id=response_id, item=wire):
                return self._output_done(wire, response_id)
            case ev.ConversationItemRetrieved(item=wire):
                return self._retrieved(wire)
            case ev.ConversationItemTruncated(item_id=item_id, content_index=index, audio_end_ms=end_ms):
                item = self._item(item_id)
                item.truncate(index, end_ms, self.output_bytes_per_ms)
                return [Update("updated", item)]
            case ev.ConversationItemDeleted(item_id=item_id):
                return self._deleted(item_id)
            case _:
                return self._finals(event)
        return []

    def _finals(self, event: ev.ServerEvent | UnknownEvent) -> list[Update]:
        """Events that say the whole of something that came in pieces, and those of the user's speech."""
        match event:
            case ev.InputAudioTranscriptionCompleted(item_id=item_id, content_index=index, transcript=words):
                self._item(item_id).transcribed = True
                return self._whole(item_id, index, transcript=words)
            case ev.ResponseOutputAudioTranscriptDone(item_id=item_id, content_index=index, transcript=words):
                return self._whole(item_id, index, transcript=words)
            case ev.ResponseOutputTextDone(item_id=item_id, content_index=index, text=words):
                return self._whole(item_id, index, text=words)
            case ev.ResponseFunctionCallArgumentsDone(item_id=item_id, arguments=words):
                item = self._item(item_id)
                item.set_arguments(words)
                return [Update("updated", item)]
            case ev.InputAudioTranscriptionFailed(item_id=item_id, error=error):
                item = self._item(item_id)
                item.transcription_error = error.message if isinstance(error.message, str) else "not transcribed"
                item.transcription_code = error.code if isinstance(error.code, str) else ""
                return [Update("updated", item)]
            case ev.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=start_ms):
                self.input.started(item_id, start_ms)
            case ev.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=end_ms):
                self.input.stopped(item_id, end_ms)
            case ev.InputAudioBufferCommitted(item_id=item_id):
                item = self._item(item_id)
                item.spoken = True
                if speech := self.input.committed(item_id):
                    item.part(0).set_audio(speech)
                    self._audio_bytes += len(speech)
                    if self._audio_bytes > self.keep_audio_bytes:
                        self._forget_oldest()
                    return [Update("updated", item)] if item.placed else []
            case ev.SessionCreated(session=session) | ev.SessionUpdated(session=session):
                self._formats(session)
            case ev.Error(error=error) if error.event_id is not None:
                for item_id in [item_id for item_id, (sent, _) in self._sent.items() if sent == error.event_id]:
                    del self._sent[item_id]
                    self._drafts.pop(item_id, None)
            case _:
                pass
        return []

    def _whole(
        self, item_id: str, index: int, *, text: str | None = None, transcript: str | None = None
    ) -> list[Update]:
        item = self._item(item_id)
        part = item.part(index)
        if text is not None:
            part.text[:] = [text]
        if transcript is not None:
            part.transcript[:] = [transcript]
        return [Update("updated", item)]

    def _retrieved(self, wire: Item) -> list[Update]:
        item = self._placed.get(wire.id) if isinstance(wire.id, str) else None
        if item is None:
            return []
        before = sum(part.kept_bytes for part in item.parts())
        item.take(wire)
        if item.role == "assistant":
            item.sound = self._output_format
        self._audio_bytes += sum(part.kept_bytes for part in item.parts()) - before
        if self._audio_bytes > self.keep_audio_bytes:
            self._forget_oldest()
        return [Update("updated", item)]

    def _formats(self, session: AnySession) -> None:
        if session.audio is UNSET:
            return
        if session.audio.input is not UNSET and session.audio.input.format is not UNSET:
            self._input_format = session.audio.input.format
            self.input.bytes_per_ms = _bytes_per_ms(self._input_format)
        if session.audio.output is not UNSET and session.audio.output.format is not UNSET:
            self._output_format = session.audio.output.format
            self.output_bytes_per_ms = _bytes_per_ms(self._output_format)
            self.output_sample_bytes = 2 if isinstance(self._output_format, PcmFormat) else 1

    def _forget_oldest(self) -> None:
        """Too much sound is kept: the oldest goes, down to three quarters, so that this is rare."""
        # Deleted and cut items were not counted.
        items = [*self.items, *self._drafts.values()]
        enough = self.keep_audio_bytes * 3 // 4
        self._audio_bytes = sum(part.kept_bytes for item in items for part in item.parts())
        for item in items[:-1]:
            if self._audio_bytes <= enough:
                return
            for part in item.parts():
                self._audio_bytes -= part.kept_bytes
                part.forget_audio()
        # One long answer is left, which is kept whole: counted again when another quarter has come, not at each piece.
        self._audio_bytes = min(self._audio_bytes, enough)

    # Placing items

    def _item(self, item_id: str) -> ConversationItem:
        """The item, or a draft of it: its events may come before it does."""
        item = self._placed.get(item_id) or self._drafts.get(item_id)
        if item is None:
            item = self._drafts[item_id] = ConversationItem(item_id, self._input_format)
            while len(self._drafts) > _DRAFTS:
                self._drafts.popitem(last=False)
        return item

    def _added(self, wire: Item, previous: str | None) -> list[Update]:
        if not isinstance(wire.id, str):
            return []
        known = wire.id in self._placed
        self._sent.pop(wire.id, None)
        item = self._item(wire.id)
        item.take(wire)
        if known:
            # The response announced it first (output_item.added); now its place is known.
            if previous is not None and previous != wire.id:
                self._unlink(item)
                self._link(item, previous)
            return [Update("updated", item)]
        self._gone.pop(wire.id, None)
        self._place(item, previous)
        return [Update("appended", item)]

    def _done(self, wire: Item, previous: str | None) -> list[Update]:
        if not isinstance(wire.id, str) or wire.id in self._gone:
            return []
        updates = [] if wire.id in self._placed else self._added(wire, previous)
        return updates + self._complete(wire.id, wire)

    def _output_added(self, wire: Item, response_id: str) -> list[Update]:
        if not isinstance(wire.id, str):
            return []
        item = self._item(wire.id)
        item.response_id = response_id
        if item.placed or response_id in self._side:
            item.take(wire)
            return []
        return self._added(wire, None)

    def _output_done(self, wire: Item, response_id: str) -> list[Update]:
        if not isinstance(wire.id, str) or wire.id in self._gone:
            return []
        updates = self._output_added(wire, response_id) if wire.id not in self._placed else []
        return updates + self._complete(wire.id, wire)

    def _complete(self, item_id: str, wire: Item) -> list[Update]:
        item = self._item(item_id)
        item.take(wire)
        if item.completed:
            return [Update("updated", item)]
        item.completed = True
        return [Update("updated", item), Update("completed", item)]

    def _deleted(self, item_id: str) -> list[Update]:
        self._drafts.pop(item_id, None)
        self._remember(self._gone, item_id)
        item = self._placed.pop(item_id, None)
        if item is None:
            return []
        self._unlink(item)
        item.placed = False
        return [Update("deleted", item)]

    def _place(self, item: ConversationItem, previous: str | None) -> None:
        self._drafts.pop(item.id, None)
        self._placed[item.id] = item
        item.placed = True
        self._link(item, previous)

    def _link(self, item: ConversationItem, previous: str | None) -> None:
        before = self._placed.get(previous) if previous is not None else None
        if before is item or (before is None and (previous is not None or self._comes_last(item))):
            before = self._last
        self._list = None
        item.previous = before
        item.next = self._first if before is None else before.next
        if item.next is None:
            self._last = item
        else:
            item.next.previous = item
        if before is None:
            self._first = item
        else:
            before.next = item

    def _unlink(self, item: ConversationItem) -> None:
        self._list = None
        if item.previous is None:
            self._first = item.next
        else:
            item.previous.next = item.next
        if item.next is None:
            self._last = item.previous
        else:
            item.next.previous = item.previous
        item.previous = item.next = None

    @staticmethod
    def _comes_last(item: ConversationItem) -> bool:
        """Null as predecessor means first, but servers leave it out too: answers and speech can only come last."""
        return item.response_id is not None or item.spoken or item.status == "in_progress"

    @staticmethod
    def _remember(memory: OrderedDict[str, None], key: str) -> None:
        memory[key] = None
        while len(memory) > _DRAFTS:
            memory.popitem(last=False)


def _bytes_per_ms(audio_format: AudioFormat) -> int:
    return max(1, 2 * audio_format.rate // 1000) if isinstance(audio_format, PcmFormat) else 8
