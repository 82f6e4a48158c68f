"""Conversation items and their content parts, GA dialect.

Where a field may be left out it is `UNSET`, which is not the same as `None` (null on the wire).
Base64 audio on the wire is `bytes` here: PCM16 or G.711 as the session's format says, mono.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

Role = Literal["user", "assistant", "system"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class InputText(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_text"):
    """Text typed by the user or written by the system."""

    text: str


class InputAudio(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    """Speech of the user. `transcript` is null until the recognizer has spoken; the key is always sent (clients need it)."""

    audio: bytes | None | UnsetType = UNSET
    transcript: str | None = None


class InputImage(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_image"):
    """A picture as a `data:` URI of PNG or JPEG."""

    image_url: str
    detail: str | UnsetType = UNSET


class OutputText(Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Text written by the model."""

    text: str = ""


class OutputAudio(Struct, frozen=True, kw_only=True, tag_field="type", tag="output_audio"):
    """Speech of the model. `audio` travels only in `conversation.item.retrieved`."""

    transcript: str | None = ""
    audio: bytes | None | UnsetType = UNSET


Content = InputText | InputAudio | InputImage | OutputText | OutputAudio


class TextPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """The `part` of `response.content_part.*` for written output: its type is `text` in GA too."""

    text: str = ""


class AudioPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="audio"):
    """The `part` of `response.content_part.*` for spoken output: its type is `audio` in GA too."""

    transcript: str = ""


Part = TextPart | AudioPart


class Message(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """Something said by the user, the assistant or the system."""

    id: str | UnsetType = UNSET
    object: str | UnsetType = UNSET
    status: ItemStatus | UnsetType = UNSET
    role: Role
    content: tuple[Content, ...]


class FunctionCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """The model's wish to run a tool. `arguments` is JSON text, whole only once the item is completed."""

    id: str | UnsetType = UNSET
    object: str | UnsetType = UNSET
    status: ItemStatus | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    name: str
    arguments: str = ""


class FunctionCallOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call_output"):
    """What the tool answered: any string, usually JSON."""

    id: str | UnsetType = UNSET
    object: str | UnsetType = UNSET
    status: ItemStatus | UnsetType = UNSET
    call_id: str
    output: str


class McpTool(Struct, frozen=True, kw_only=True):
    """One tool that a remote MCP server offers; `input_schema` is a JSON schema."""

    name: str
    input_schema: Any
    description: str | None | UnsetType = UNSET
    annotations: Any | UnsetType = UNSET


class McpListTools(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_list_tools"):
    """The tools of one MCP server, filled once the listing is complete."""

    id: str | UnsetType = UNSET
    server_label: str
    tools: tuple[McpTool, ...] = ()


class McpError(Struct, frozen=True, kw_only=True):
    """Why an MCP call failed: `protocol_error`, `tool_execution_error` or `http_error`."""

    type: str
    message: str = ""
    code: int | UnsetType = UNSET


class McpCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_call"):
    """A tool call that the server itself runs on a remote MCP server."""

    id: str | UnsetType = UNSET
    server_label: str
    name: str
    arguments: str = ""
    output: str | None | UnsetType = UNSET
    error: McpError | None | UnsetType = UNSET
    approval_request_id: str | None | UnsetType = UNSET


class McpApprovalRequest(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_approval_request"):
    """The server asks whether it may run an MCP tool."""

    id: str | UnsetType = UNSET
    server_label: str
    name: str
    arguments: str = ""


class McpApprovalResponse(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_approval_response"):
    """The client's answer to an approval request."""

    id: str | UnsetType = UNSET
    approval_request_id: str
    approve: bool
    reason: str | None | UnsetType = UNSET


class ItemReference(Struct, frozen=True, kw_only=True, tag_field="type", tag="item_reference"):
    """Stands for an existing item, only inside `response.create`'s `input`."""

    id: str


Item = Message | FunctionCall | FunctionCallOutput | McpListTools | McpCall | McpApprovalRequest | McpApprovalResponse
"""What a conversation holds."""

InputItem = Item | ItemReference
"""What `response.create` may bring as its own context."""


class LogProb(Struct, frozen=True, kw_only=True):
    """Probability of one transcribed token."""

    token: str
    logprob: float
    bytes_: tuple[int, ...] = field(default=(), name="bytes")


def item_id(item: InputItem) -> str | None:
    """The item's id, or None where it has none yet."""
    return None if item.id is UNSET else item.id


def text_of(item: Message) -> str:
    """All that was said or written in the message, parts joined by a blank; speech not yet transcribed counts as nothing."""
    words = []
    for part in item.content:
        match part:
            case InputText() | OutputText():
                words.append(part.text)
            case InputAudio() | OutputAudio():
                words.append(part.transcript or "")
            case InputImage():
                pass
    return " ".join(word for word in words if word)
