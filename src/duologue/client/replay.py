"""A conversation told again to a server that does not know it: what can be said, in which order, and what cannot. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct

from duologue.client.items import ConversationItem, Part
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    Message,
    OutputText,
)


class Lost(Struct, frozen=True, kw_only=True):
    """An item that the new session does not have, and why."""

    item_id: str
    reason: str


class Plan(Struct, frozen=True, kw_only=True):
    """The items to create, in order, and those that cannot be told."""

    items: tuple[Item, ...]
    lost: tuple[Lost, ...]


def plan(items: Iterable[ConversationItem], running: Collection[str] = ()) -> Plan:
    """What to replay. Speech becomes its words, as far as they were heard; speech of the user without words goes as sound.
    A tool call goes with its output; without one only while its tool still runs (`running`: call ids)."""
    history = list(items)
    called = {item.call_id for item in history if item.type == "function_call" and item.call_id}
    answered = {item.call_id for item in history if item.type == "function_call_output"} | set(running)
    told: list[Item] = []
    lost: list[Lost] = []
    for item in history:
        match item.type:
            case "message":
                wire: Item | str = _message(item)
            case "function_call" if item.call_id in answered:
                wire = FunctionCall(id=item.id, call_id=item.call_id, name=item.name, arguments=item.arguments or "{}")
            case "function_call":
                wire = "the tool was not answered"
            case "function_call_output" if item.call_id in called:
                wire = FunctionCallOutput(id=item.id, call_id=item.call_id, output=item.output)
            case "function_call_output":
                wire = "the call that it answers is gone"
            case "mcp_list_tools":
                # The new session lists the tools of its MCP servers by itself.
                continue
            case kind:
                wire = f"a server takes no {kind} from a client"
        if isinstance(wire, str):
            lost.append(Lost(item_id=item.id, reason=wire))
        else:
            told.append(wire)
    return Plan(items=tuple(told), lost=tuple(lost))


def _message(item: ConversationItem) -> Message | str:
    contents = [content for part in item.parts() if (content := _content(item.role, part)) is not None]
    if not contents:
        return "nothing of it was heard" if item.cut_ms is not None else "its words are not known"
    role = item.role if item.role in ("assistant", "system") else "user"
    return Message(id=item.id, role=role, content=tuple(contents))  # type: ignore[arg-type]


def _content(role: str | None, part: Part) -> InputText | InputAudio | InputImage | OutputText | None:
    if part.image is not None:
        return part.image
    words = "".join(part.text) or part.heard.strip()
    if role == "assistant":
        return OutputText(text=words) if words else None
    if words:
        return InputText(text=words)
    return InputAudio(audio=part.audio) if part.audio and role != "system" else None


class Confirmations:
    """Which replayed items the server took: `done` once each was confirmed or refused."""

    def __init__(self, items: Iterable[Item], event_ids: Iterable[str]) -> None:
        self._open = {item.id: event_id for item, event_id in zip(items, event_ids, strict=True) if item.id}
        self.ids = frozenset(self._open)
        self.taken = 0
        self.refused: list[Lost] = []

    @property
    def done(self) -> bool:
        """True when nothing is open."""
        return not self._open

    def echoes(self, event: ev.ServerEvent | UnknownEvent) -> bool:
        """True for the server's word that it has an item which this side has already."""
        match event:
            case ev.ConversationItemAdded(item=item) | ev.ConversationItemCreated(item=item):
                return item.id in self.ids
            case ev.ConversationItemDone(item=item):
                return item.id in self.ids
        return False

    def apply(self, event: ev.ServerEvent | UnknownEvent) -> None:
        """Follow what the server says about the replayed items."""
        match event:
            case ev.ConversationItemAdded(item=item) | ev.ConversationItemCreated(item=item):
                if isinstance(item.id, str) and self._open.pop(item.id, None) is not None:
                    self.taken += 1
            case ev.Error(error=error) if error.event_id is not None:
                found = next((item_id for item_id, sent in self._open.items() if sent == error.event_id), None)
                if isinstance(found, str):
                    del self._open[found]
                    self.refused.append(Lost(item_id=found, reason=error.message))
            case _:
                pass
