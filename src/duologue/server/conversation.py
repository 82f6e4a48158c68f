"""The server's conversation: items in order, their sound, and the client's wishes about them."""

from __future__ import annotations

from math import ceil

from msgspec import UNSET
from msgspec.structs import replace

from duologue.errors import ProtocolError
from duologue.ids import IdSource
from duologue.protocol.client_events import ConversationItemCreate, ConversationItemTruncate
from duologue.protocol.history import History
from duologue.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    Item,
    ItemReference,
    Message,
    OutputAudio,
)
from duologue.protocol.session import AudioFormat
from duologue.server.formats import PCM, decoded, encoded
from duologue.server.heard import words_heard
from duologue.server.input_buffer import BYTES_PER_MS
from duologue.server.item_check import check_item
from duologue.server.rules import KEPT_AUDIO_BYTES
from duologue.server.sounds import Sound, Sounds


class Conversation:
    """Items by id, in order. Sound is kept apart, for retrieval and truncation."""

    def __init__(self, *, sees_images: bool = False, kept_audio_bytes: int = KEPT_AUDIO_BYTES) -> None:
        self.history: History[Item] = History()
        self._sounds = Sounds(kept_audio_bytes)
        self._aside: dict[str, Item] = {}
        self._sees_images = sees_images

    @property
    def has_assistant_audio(self) -> bool:
        """Whether the voice has been heard in this conversation."""
        return any(isinstance(item, Message) and item.role == "assistant" for item in self._spoken())

    def _spoken(self) -> list[Item]:
        return [item for item_id in self._sounds if (item := self.history.get(item_id)) is not None]

    def sound(self, item_id: str, content_index: int = 0) -> Sound | None:
        """The sound of a part, or None."""
        return self._sounds.of(item_id).get(content_index)

    def set_sound(self, item_id: str, sound: Sound) -> None:
        """Keep the sound of an item of one part."""
        self._sounds.put(item_id, 0, sound)

    def trim_sounds(self) -> None:
        """Let go of the oldest sound beyond the bound. Nobody may be about to listen to it."""
        self._sounds.trim()

    def unheard(self, item: Item) -> list[tuple[int, Sound]]:
        """Sound of the item that no words are known of, with its place in the content."""
        if not isinstance(item, Message):
            return []
        sounds = self._sounds.of(str(item.id))
        speech = [
            (i, sounds.get(i)) for i, p in enumerate(item.content) if isinstance(p, InputAudio) and not p.transcript
        ]
        return [(index, sound) for index, sound in speech if sound is not None]

    def spoken_ms(self, item: Item) -> int:
        """Length of all the item's sound, 0 where it has none."""
        return sum(sound.length_bytes // BYTES_PER_MS for sound in self._sounds.of(str(item.id)).values())

    def create(
        self, event: ConversationItemCreate, new_id: IdSource, audio_format: AudioFormat = PCM
    ) -> tuple[Item, str | None]:
        """Insert a client's item; returns it as stored (without audio) and its predecessor's id. Raises ProtocolError.

        An id that is taken replaces that item where it stands, and is given as its own predecessor, as upstream does.
        """
        check_item(event.item, self.history.values(), sees_images=self._sees_images)
        stored = _completed(event.item, new_id)
        item_id = str(stored.id)
        previous = item_id if item_id in self.history else self._place(event.previous_item_id or None)
        self._sounds.pop(item_id)
        self._keep_sound(event.item, item_id, audio_format)
        self.history.insert(item_id, stored, previous)
        return stored, previous

    def _keep_sound(self, item: Item, item_id: str, audio_format: AudioFormat) -> None:
        for index, clip in _client_audio(item).items():
            if audio := decoded(clip, audio_format):
                self._sounds.put(item_id, index, Sound(audio=audio))

    def _place(self, wish: str | None | object) -> str | None:
        if wish == "root":
            return None
        if isinstance(wish, str):
            if wish not in self.history:
                raise ProtocolError(
                    f"Error creating item: the previous item with id '{wish}' does not exist.",
                    code="item_create_invalid_previous_item_id",
                    param="previous_item_id",
                )
            return wish
        return self.history.last_id

    def retrieve(self, item_id: str, heard: AudioFormat = PCM, spoken: AudioFormat = PCM) -> Item:
        """The item with its sound: `heard` is the format of the user's, `spoken` of ours. Raises ProtocolError.

        Sound that was let go of is left out; the item itself is whole.
        """
        item = self.history.get(item_id)
        if item is None:
            raise _missing("retriev", item_id, code="item_retrieve_invalid_item_id")
        if isinstance(item, Message | FunctionCall | FunctionCallOutput):
            item = replace(item, object="realtime.item")
        if not isinstance(item, Message):
            return item
        audio_format, content = spoken if item.role == "assistant" else heard, list(item.content)
        for index, sound in self._sounds.of(item_id).items():
            part = content[index]
            assert isinstance(part, InputAudio | OutputAudio)
            if not sound.gone_bytes:
                content[index] = replace(part, audio=encoded(sound.audio, audio_format))
        return replace(item, content=tuple(content))

    def delete(self, item_id: str) -> None:
        """Remove the item. Raises ProtocolError."""
        if self.history.delete(item_id) is None:
            raise _missing("delet", item_id, code="item_delete_invalid_item_id")
        self._sounds.pop(item_id)

    def truncate(self, event: ConversationItemTruncate) -> None:
        """Cut an assistant's speech: the sound after `audio_end_ms` and the words nobody heard. Raises ProtocolError."""
        item = self.history.get(event.item_id)
        if item is None:
            raise _missing("truncat", event.item_id, code="item_truncate_invalid_item_id")
        part = _part(item, event.content_index)
        sound = self.sound(event.item_id, event.content_index) or Sound(audio=b"")
        if not isinstance(part, OutputAudio):
            raise ProtocolError(
                "Only model output audio messages can be truncated", code="unsupported_content_type", param="item_id"
            )
        check_cut(sound.length_bytes, event.audio_end_ms)
        heard = words_heard(part.transcript or "", sound.marks, event.audio_end_ms)
        self._sounds.put(event.item_id, event.content_index, sound.cut(event.audio_end_ms))
        assert isinstance(item, Message)
        content = list(item.content)
        content[event.content_index] = replace(part, transcript=heard)
        self.history.replace(event.item_id, replace(item, content=tuple(content)))

    def set_transcript(self, item_id: str, text: str, content_index: int = 0) -> None:
        """Write what the recognizer heard into a user's part, where it still exists."""
        item = self._aside.get(item_id) or self.history.get(item_id)
        if not isinstance(item, Message) or content_index >= len(item.content):
            return
        content = list(item.content)
        part = content[content_index]
        if not isinstance(part, InputAudio):
            return
        content[content_index] = replace(part, transcript=text)
        item = replace(item, content=tuple(content))
        if item_id in self._aside:
            self._aside[item_id] = item
        else:
            self.history.replace(item_id, item)

    # --- a response's own input ------------------------------------------------------------------------------

    def resolve(
        self, items: tuple[Item | ItemReference, ...], new_id: IdSource, audio_format: AudioFormat = PCM
    ) -> tuple[Item, ...]:
        """A response's own input, references replaced by the items they name. Raises ProtocolError.

        Items that come with the request are held aside under new ids until `release`.
        """
        known = [*self.history.values(), *(item for item in items if not isinstance(item, ItemReference))]
        resolved: list[Item] = []
        for index, item in enumerate(items):
            if isinstance(item, ItemReference):
                found = self.history.get(item.id)
                if found is None:
                    message = f"Item with id '{item.id}' does not exist."
                    raise ProtocolError(message, code="invalid_value", param=f"response.input[{index}].id")
                resolved.append(found)
            else:
                check_item(item, known, f"response.input[{index}]", sees_images=self._sees_images)
                resolved.append(_completed(replace(item, id=UNSET), new_id))
        for given, item in zip(items, resolved, strict=True):
            if not isinstance(given, ItemReference):
                self._aside[str(item.id)] = item
                self._keep_sound(given, str(item.id), audio_format)
        return tuple(resolved)

    def current(self, item: Item) -> Item:
        """The item as it is by now, transcribed perhaps; as it was where it has been deleted."""
        return self._aside.get(str(item.id)) or self.history.get(str(item.id)) or item

    def is_aside(self, item_id: str) -> bool:
        """Whether the item came with a response of its own."""
        return item_id in self._aside

    def release(self, items: tuple[Item, ...]) -> None:
        """The response that brought these items is over."""
        for item in items:
            if self._aside.pop(str(item.id), None) is not None:
                self._sounds.pop(str(item.id))


def check_cut(audio_bytes: int, audio_end_ms: int) -> None:
    """Refuse a cut beyond the sound. Clients round up, so the last started millisecond still counts."""
    length_ms = ceil(audio_bytes / BYTES_PER_MS)
    if audio_end_ms < 0:
        raise ProtocolError(
            "Invalid 'audio_end_ms': integer below minimum value. Expected a value >= 0, "
            f"but got {audio_end_ms} instead.",
            code="integer_below_min_value",
            param="audio_end_ms",
        )
    if audio_end_ms > length_ms:
        raise ProtocolError(
            f"Audio content of {length_ms}ms is already shorter than {audio_end_ms}ms",
            code="invalid_value",
            param="audio_end_ms",
        )


def _part(item: Item, index: int) -> object:
    if isinstance(item, Message) and item.role == "assistant" and 0 <= index < len(item.content):
        return item.content[index]
    return None


def _missing(verb: str, item_id: str, *, code: str) -> ProtocolError:
    return ProtocolError(f"Error {verb}ing item: the item with id '{item_id}' does not exist.", code=code)


def _client_audio(item: Item) -> dict[int, bytes]:
    if not isinstance(item, Message):
        return {}
    speech = ((index, part) for index, part in enumerate(item.content) if isinstance(part, InputAudio))
    return {index: part.audio for index, part in speech if isinstance(part.audio, bytes) and part.audio}


def _completed(item: Item, new_id: IdSource) -> Item:
    """The item as the conversation keeps it and as events show it: with an id, completed, sound left out."""
    item_id = item.id or new_id("item")
    match item:
        case Message():
            content = tuple(
                InputAudio(transcript=part.transcript) if isinstance(part, InputAudio) else part
                for part in item.content
            )
            return replace(item, id=item_id, object=UNSET, status="completed", content=content)
        case FunctionCall():
            call_id = item.call_id or new_id("call")
            return replace(item, id=item_id, object=UNSET, status="completed", call_id=call_id)
        case FunctionCallOutput():
            return replace(item, id=item_id, object=UNSET, status="completed")
        case _:
            return replace(item, id=item_id)
