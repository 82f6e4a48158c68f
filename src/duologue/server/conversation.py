"""The server's conversation: items in order, their sound, and the client's wishes about them."""

from __future__ import annotations

from math import ceil

from msgspec import UNSET, Struct
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
from duologue.server.heard import Mark, words_heard
from duologue.server.input_buffer import BYTES_PER_MS


class Sound(Struct, frozen=True, kw_only=True):
    """The sound of one spoken part (PCM16, 24 kHz, mono) and where its words are; `marks` only for speech of ours."""

    audio: bytes
    marks: tuple[Mark, ...] = ()


class Conversation:
    """Items by id, in order. Sound is kept apart, for retrieval and truncation."""

    def __init__(self) -> None:
        self.history: History[Item] = History()
        self._sounds: dict[str, Sound] = {}

    @property
    def has_assistant_audio(self) -> bool:
        """Whether the voice has been heard in this conversation."""
        return any(isinstance(item, Message) and item.role == "assistant" for item in self._spoken())

    def _spoken(self) -> list[Item]:
        return [item for item_id in self._sounds if (item := self.history.get(item_id)) is not None]

    def sound(self, item_id: str) -> Sound | None:
        """The item's sound, or None."""
        return self._sounds.get(item_id)

    def set_sound(self, item_id: str, sound: Sound) -> None:
        """Keep the sound of an item."""
        self._sounds[item_id] = sound

    def create(self, event: ConversationItemCreate, new_id: IdSource) -> tuple[Item, str | None]:
        """Insert a client's item; returns it as stored (without audio) and its predecessor's id. Raises ProtocolError."""
        item = event.item
        self._check(item)
        item_id = new_id("item") if item.id is UNSET or not item.id else item.id
        if len(item_id) > 32:
            raise ProtocolError(
                "Invalid 'item.id': string too long. Expected a string with maximum length 32.",
                code="string_above_max_length",
                param="item.id",
            )
        previous = self._place(item_id, event.previous_item_id or None)
        stored = _completed(item, item_id)
        audio = b"".join(_client_audio(item))
        if audio:
            self._sounds[item_id] = Sound(audio=audio)
        self.history.insert(item_id, stored, previous)
        return stored, previous

    def _place(self, item_id: str, wish: str | None | object) -> str | None:
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

    def _check(self, item: Item) -> None:
        match item:
            case Message(role=role, content=content):
                for index, part in enumerate(content):
                    allowed = {"user": "input_", "system": "input_text", "assistant": "output_text"}[role]
                    kind = str(part.__struct_config__.tag)
                    if not kind.startswith(allowed):
                        raise ProtocolError(
                            f"Invalid value: '{kind}'. A {role} item cannot hold this content.",
                            code="invalid_value",
                            param=f"item.content[{index}].type",
                        )
            case FunctionCallOutput(call_id=call_id):
                calls = (i for i in self.history.values() if isinstance(i, FunctionCall))
                if not any(call.call_id == call_id for call in calls):
                    raise ProtocolError(
                        f"Error creating item: no function call with call_id '{call_id}' exists in the conversation.",
                        code="invalid_value",
                        param="item.call_id",
                    )

    def retrieve(self, item_id: str) -> Item:
        """The item with its sound. Raises ProtocolError."""
        item = self.history.get(item_id)
        if item is None:
            raise _missing("retriev", item_id, code="item_retrieve_invalid_item_id")
        sound = self._sounds.get(item_id)
        if not isinstance(item, Message) or sound is None:
            return item
        content = tuple(
            replace(part, audio=sound.audio) if isinstance(part, InputAudio | OutputAudio) else part
            for part in item.content
        )
        return replace(item, content=content)

    def delete(self, item_id: str) -> None:
        """Remove the item. Raises ProtocolError."""
        if self.history.delete(item_id) is None:
            raise _missing("delet", item_id, code="item_delete_invalid_item_id")
        self._sounds.pop(item_id, None)

    def truncate(self, event: ConversationItemTruncate) -> None:
        """Cut an assistant's speech: the sound after `audio_end_ms` and the words nobody heard. Raises ProtocolError."""
        item = self.history.get(event.item_id)
        if item is None:
            raise _missing("truncat", event.item_id, code="item_truncate_invalid_item_id")
        part = _part(item, event.content_index)
        sound = self._sounds.get(event.item_id, Sound(audio=b""))
        if not isinstance(part, OutputAudio):
            raise ProtocolError(
                "Only model output audio messages can be truncated", code="unsupported_content_type", param="item_id"
            )
        check_cut(len(sound.audio), event.audio_end_ms)
        heard = words_heard(part.transcript or "", sound.marks, event.audio_end_ms)
        kept = tuple(mark for mark in sound.marks if mark.audio_ms <= event.audio_end_ms)
        self._sounds[event.item_id] = Sound(audio=sound.audio[: event.audio_end_ms * BYTES_PER_MS], marks=kept)
        assert isinstance(item, Message)
        content = list(item.content)
        content[event.content_index] = replace(part, transcript=heard)
        self.history.replace(event.item_id, replace(item, content=tuple(content)))

    def set_transcript(self, item_id: str, text: str) -> None:
        """Write what the recognizer heard into a user's item, where it still exists."""
        item = self.history.get(item_id)
        if isinstance(item, Message):
            content = tuple(replace(p, transcript=text) if isinstance(p, InputAudio) else p for p in item.content)
            self.history.replace(item_id, replace(item, content=content))

    def resolve(self, items: tuple[Item | ItemReference, ...]) -> tuple[Item, ...]:
        """A response's own input, references replaced by the items they name. Raises ProtocolError."""
        resolved = []
        for index, item in enumerate(items):
            if isinstance(item, ItemReference):
                found = self.history.get(item.id)
                if found is None:
                    message = f"Item with id '{item.id}' does not exist."
                    raise ProtocolError(message, code="invalid_value", param=f"response.input[{index}].id")
                resolved.append(found)
            else:
                resolved.append(item)
        return tuple(resolved)


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


def _client_audio(item: Item) -> list[bytes]:
    if not isinstance(item, Message):
        return []
    return [p.audio for p in item.content if isinstance(p, InputAudio) and isinstance(p.audio, bytes) and p.audio]


def _completed(item: Item, item_id: str) -> Item:
    """The item as the conversation keeps it and as events show it: with an id, completed, sound left out."""
    match item:
        case Message():
            content = tuple(
                InputAudio(transcript=part.transcript) if isinstance(part, InputAudio) else part
                for part in item.content
            )
            return replace(item, id=item_id, object=UNSET, status="completed", content=content)
        case FunctionCall() | FunctionCallOutput():
            return replace(item, id=item_id, object=UNSET, status="completed")
        case _:
            return replace(item, id=item_id)
