"""Every event that a client may send, GA dialect. `event_id` is the client's own and comes back only inside an `error`."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from duologue.protocol.items import Item
from duologue.protocol.responses import ResponseCreateParams
from duologue.protocol.session import AnySession


class _ClientEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    event_id: str | None | UnsetType = UNSET

    @property
    def type(self) -> str:
        """The event's name on the wire."""
        return str(self.__struct_config__.tag)


class SessionUpdate(_ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    """Change the session: only the fields that are set."""

    session: AnySession


class InputAudioBufferAppend(_ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.append"):
    """More sound of the user, in the session's input format; never acknowledged."""

    audio: bytes


class InputAudioBufferCommit(_ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.commit"):
    """Make a user item of the buffered sound. Starts no response."""


class InputAudioBufferClear(_ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.clear"):
    """Throw the buffered sound away."""


class OutputAudioBufferClear(_ClientEvent, frozen=True, kw_only=True, tag="output_audio_buffer.clear"):
    """Stop what is being played (WebRTC and SIP only, where the server owns the playback buffer)."""


class ConversationItemCreate(_ClientEvent, frozen=True, kw_only=True, tag="conversation.item.create"):
    """Put an item into the conversation: at the end, after `previous_item_id`, or first (`root`)."""

    previous_item_id: str | None | UnsetType = UNSET
    item: Item


class ConversationItemRetrieve(_ClientEvent, frozen=True, kw_only=True, tag="conversation.item.retrieve"):
    """Ask for an item as the server holds it, with its audio."""

    item_id: str


class ConversationItemTruncate(_ClientEvent, frozen=True, kw_only=True, tag="conversation.item.truncate"):
    """Cut an assistant's speech after `audio_end_ms`: what was not heard must not be remembered."""

    item_id: str
    content_index: int = 0
    audio_end_ms: int


class ConversationItemDelete(_ClientEvent, frozen=True, kw_only=True, tag="conversation.item.delete"):
    """Remove an item from the conversation."""

    item_id: str


class ResponseCreate(_ClientEvent, frozen=True, kw_only=True, tag="response.create"):
    """Ask the model to answer now."""

    response: ResponseCreateParams | None | UnsetType = UNSET


class ResponseCancel(_ClientEvent, frozen=True, kw_only=True, tag="response.cancel"):
    """Stop a response; without an id, the active one of the conversation."""

    response_id: str | None | UnsetType = UNSET


ClientEvent = (
    SessionUpdate
    | InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | OutputAudioBufferClear
    | ConversationItemCreate
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCreate
    | ResponseCancel
)
