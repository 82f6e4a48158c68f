"""The conversation as people read it, and how to change it. Pure.

What was said to the model only, such as a guardrail's remark, is left out: its item ids begin with `guard_`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from duologue.client.items import ConversationItem
from duologue.errors import ConfigError
from duologue.ids import IdSource
from duologue.protocol.client_events import ConversationItemCreate, ConversationItemDelete
from duologue.protocol.items import FunctionCall, FunctionCallOutput, InputImage, InputText, Item, Message, OutputText

HIDDEN = "guard"
"""The prefix of ids of items that people do not see."""


class TextContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Typed or written text."""

    text: str


class AudioContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="audio"):
    """Speech: its words as far as they were heard, None while they are not known; `audio` in the session's format, only
    where it was asked for."""

    transcript: str | None = None
    audio: bytes | None = None


class ImageContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """A picture as a `data:` URI."""

    image_url: str


Content = TextContent | AudioContent | ImageContent


class _Said(Struct, frozen=True, kw_only=True):
    item_id: str
    content: tuple[Content, ...]
    status: str = "completed"

    @property
    def text(self) -> str:
        """All words, joined."""
        return " ".join(words for each in self.content if (words := _words(each)))


class UserMessageItem(_Said, frozen=True, kw_only=True):
    """Something that the user said, typed or showed."""

    role: Literal["user"] = "user"


class AssistantMessageItem(_Said, frozen=True, kw_only=True):
    """Something that an agent said or wrote."""

    role: Literal["assistant"] = "assistant"


class SystemMessageItem(_Said, frozen=True, kw_only=True):
    """Something that the application told the model."""

    role: Literal["system"] = "system"


class RealtimeToolCallItem(Struct, frozen=True, kw_only=True):
    """A tool call with its output; None while it runs. `status`: `in_progress` or `completed`."""

    item_id: str
    call_id: str
    name: str
    arguments: str
    output: str | None = None
    status: str = "in_progress"

    @property
    def text(self) -> str:
        """Nothing: a call says nothing."""
        return ""


HistoryItem = UserMessageItem | AssistantMessageItem | SystemMessageItem | RealtimeToolCallItem
_ROLES: dict[str, type[UserMessageItem | AssistantMessageItem | SystemMessageItem]] = {
    "user": UserMessageItem,
    "assistant": AssistantMessageItem,
    "system": SystemMessageItem,
}


def user(text: str) -> UserMessageItem:
    """A message of the user, for `update_history`."""
    return UserMessageItem(item_id="", content=(TextContent(text=text),))


def assistant(text: str) -> AssistantMessageItem:
    """A message of the agent, for `update_history`."""
    return AssistantMessageItem(item_id="", content=(TextContent(text=text),))


def system(text: str) -> SystemMessageItem:
    """A message of the application, for `update_history`."""
    return SystemMessageItem(item_id="", content=(TextContent(text=text),))


def hidden(item_id: str) -> bool:
    """Whether people do not see the item."""
    return item_id.startswith(f"{HIDDEN}_")


def readable(items: Sequence[ConversationItem], *, audio: bool = False) -> tuple[HistoryItem, ...]:
    """All that people may see, in order; a tool's output stands with its call."""
    outputs = {item.call_id: item.output for item in items if item.type == "function_call_output"}
    shown = (readable_one(item, outputs.get(item.call_id) if item.call_id else None, audio=audio) for item in items)
    return tuple(item for item in shown if item is not None)


def readable_one(item: ConversationItem, output: str | None = None, *, audio: bool = False) -> HistoryItem | None:
    """One item; None where it is not for people."""
    if hidden(item.id):
        return None
    if item.type in ("function_call", "mcp_call"):
        found = output if item.type == "function_call" else item.output or None
        return RealtimeToolCallItem(
            item_id=item.id,
            call_id=item.call_id or item.id,
            name=item.name,
            arguments=item.arguments,
            output=found,
            status="in_progress" if found is None else "completed",
        )
    if item.type != "message":
        return None
    kind = _ROLES.get(item.role or "user", UserMessageItem)
    status = item.status or ("completed" if item.completed else "in_progress")
    return kind(item_id=item.id, content=tuple(_contents(item, audio)), status=status)


def _contents(item: ConversationItem, audio: bool) -> Iterable[Content]:
    for part in item.parts():
        if part.image is not None:
            yield ImageContent(image_url=part.image.image_url)
        elif part.text:
            yield TextContent(text="".join(part.text))
        elif part.transcript or part.audio_bytes or item.spoken:
            yield AudioContent(transcript=part.heard or None, audio=part.audio if audio else None)


def _words(content: Content) -> str:
    match content:
        case TextContent(text=text):
            return text
        case AudioContent(transcript=words):
            return words or ""
        case _:
            return ""


def edits(
    items: Sequence[ConversationItem], wanted: Sequence[HistoryItem], new_id: IdSource
) -> list[ConversationItemCreate | ConversationItemDelete]:
    """What makes the conversation what is wanted: what is gone is deleted, what is new or changed is created in its place.

    Items are known by their ids; one without an id is new. Speech that is kept stays speech, speech that is changed
    becomes text. The order of kept items cannot be changed. Raises ConfigError for that, and for an id that is not there.
    """
    now = {item.item_id: item for item in readable(items)}
    outputs = {item.call_id: item.id for item in items if item.type == "function_call_output"}
    kept = [item.item_id for item in wanted if now.get(item.item_id) == _bare(item)]
    if strangers := [item.item_id for item in wanted if item.item_id and item.item_id not in now]:
        raise ConfigError(f"the history has no item {strangers[0]!r}: leave item_id empty for a new one")
    if kept != [item_id for item_id in now if item_id in set(kept)]:
        raise ConfigError("update_history cannot change the order of items: leave some out and give them anew")
    steps: list[ConversationItemCreate | ConversationItemDelete] = []
    for item_id, item in now.items():
        if item_id not in kept:
            steps.append(ConversationItemDelete(item_id=item_id))
            if isinstance(item, RealtimeToolCallItem) and item.call_id in outputs:
                steps.append(ConversationItemDelete(item_id=outputs[item.call_id]))
    after = "root"
    for item in wanted:
        if item.item_id in kept:
            after = item.item_id
            if isinstance(item, RealtimeToolCallItem):
                after = outputs.get(item.call_id, after)
            continue
        for wire in _wire(item, new_id):
            steps.append(ConversationItemCreate(previous_item_id=after, item=wire))
            after = str(wire.id)
    return steps


def _bare(item: HistoryItem) -> HistoryItem:
    """Without sound: what `readable` gives by itself."""
    if isinstance(item, RealtimeToolCallItem):
        return item
    content = tuple(AudioContent(transcript=e.transcript) if isinstance(e, AudioContent) else e for e in item.content)
    return type(item)(item_id=item.item_id, content=content, status=item.status)


def _wire(item: HistoryItem, new_id: IdSource) -> list[Item]:
    if isinstance(item, RealtimeToolCallItem):
        call_id = item.call_id or new_id("call")
        call = FunctionCall(id=new_id("item"), call_id=call_id, name=item.name, arguments=item.arguments or "{}")
        if item.output is None:
            return [call]
        return [call, FunctionCallOutput(id=new_id("item"), call_id=call_id, output=item.output)]
    contents: list[InputText | InputImage | OutputText] = []
    for each in item.content:
        if isinstance(each, ImageContent):
            contents.append(InputImage(image_url=each.image_url))
        elif words := _words(each):
            contents.append(OutputText(text=words) if item.role == "assistant" else InputText(text=words))
    return [Message(id=new_id("item"), role=item.role, content=tuple(contents))] if contents else []
