"""What transports of the agents SDKs say and tell by name: written once, for the thin client and a session's wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from duologue.errors import ConfigError
from duologue.ids import random_id
from duologue.protocol import client_events as ce
from duologue.protocol import server_events as ev
from duologue.protocol.items import (
    FunctionCallOutput,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
)

EVENTS: dict[str, tuple[type[Struct], ...]] = {
    "audio": (ev.ResponseOutputAudioDelta,),
    "audio_done": (ev.ResponseOutputAudioDone,),
    "audio_transcript_delta": (ev.ResponseOutputAudioTranscriptDelta,),
    "output_text_delta": (ev.ResponseOutputTextDelta,),
    "function_call": (ev.ResponseFunctionCallArgumentsDone,),
    "audio_interrupted": (ev.InputAudioBufferSpeechStarted,),
    "turn_started": (ev.ResponseCreated,),
    "turn_done": (ev.ResponseDone,),
    "usage_update": (ev.ResponseDone,),
    "item_update": (ev.ConversationItemAdded, ev.ConversationItemDone, ev.ConversationItemRetrieved),
    "item_deleted": (ev.ConversationItemDeleted,),
    "mcp_tools_listed": (ev.ConversationItemDone,),
    "mcp_approval_request": (ev.ConversationItemDone,),
    "mcp_tool_call_completed": (ev.ConversationItemDone,),
    "error": (ev.Error,),
}
"""A name and the server's events that it stands for."""
TYPES = {name: tuple(str(kind.__struct_config__.tag) for kind in kinds) for name, kinds in EVENTS.items()}
"""The same, with the events' types on the wire."""
_OF_ITEMS: dict[str, type] = {
    "mcp_tools_listed": McpListTools,
    "mcp_approval_request": McpApprovalRequest,
    "mcp_tool_call_completed": McpCall,
}
_NAMES: dict[type, tuple[str, ...]] = {
    kind: tuple(name for name, kinds in EVENTS.items() if kind in kinds and name not in _OF_ITEMS)
    for kinds in EVENTS.values()
    for kind in kinds
}


def names_of(event: Any) -> tuple[str, ...]:
    """The names under which a server event is told; none for most."""
    names = _NAMES.get(type(event), ())
    if type(event) is ev.ConversationItemDone:
        return (*names, *(name for name, kind in _OF_ITEMS.items() if type(event.item) is kind))
    return names


class Verbs:
    """For whoever can `send_event`."""

    async def send_event(self, event: ce.ClientEvent | Mapping[str, Any]) -> None:
        """Send any event, typed or as on the wire. Raises NotConnected, TransportClosed, ConfigError without a `type`."""
        raise NotImplementedError

    async def request_response(self, overrides: Mapping[str, Any] | None = None) -> None:
        """Ask for an answer; `overrides` are GA's fields of a response: `{"conversation": "none"}` keeps it out of the
        conversation."""
        await self.send_event({"type": "response.create", **({"response": dict(overrides)} if overrides else {})})

    async def send_function_call_output(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """Answer a tool call, and ask the model to go on unless `respond` is False."""
        await self.put(FunctionCallOutput(call_id=call_id, output=output), respond)

    async def send_mcp_response(self, request: str | McpApprovalRequest, approved: bool, *, reason: str = "") -> None:
        """Allow or forbid a call of a tool that the Realtime server runs, by the request's item or its id."""
        request_id = request if isinstance(request, str) else str(request.id)
        given = reason or msgspec.UNSET
        answer = McpApprovalResponse(approval_request_id=request_id, approve=approved, reason=given)
        await self.put(answer)

    async def reset_history(self, old: Sequence[Any], new: Sequence[Any]) -> None:
        """Make the conversation that was `old` what `new` says. Items are as on the wire; they are known by their ids, and
        one without an id is new. What came after `old` stays where it is. Raises ConfigError where `new` has items of `old`
        in another order."""
        for step in differences([_item(each) for each in old], [_item(each) for each in new]):
            await self.send_event(step)

    async def put(self, item: Item, respond: bool = False) -> None:
        """Put any item at the end of the conversation; `respond`: and ask for an answer."""
        await self.send_event(ce.ConversationItemCreate(item=item))
        if respond:
            await self.request_response()


def differences(
    old: Sequence[Item], new: Sequence[Item]
) -> list[ce.ConversationItemCreate | ce.ConversationItemDelete]:
    """What makes the one the other: what is gone is deleted, what is new or changed is created in its place."""
    before = {item.id: item for item in old if isinstance(item.id, str)}
    kept = [item.id for item in new if isinstance(item.id, str) and before.get(item.id) == item]
    if kept != [item_id for item_id in before if item_id in kept]:
        raise ConfigError("items cannot change places: leave some out and give them anew, without ids")
    steps: list[ce.ConversationItemCreate | ce.ConversationItemDelete]
    steps = [ce.ConversationItemDelete(item_id=item_id) for item_id in before if item_id not in kept]
    after = "root"
    for item in new:
        if item.id not in kept:
            item = msgspec.structs.replace(item, id=random_id("item"))
            steps.append(ce.ConversationItemCreate(previous_item_id=after, item=item))
        after = str(item.id)
    return steps


def _item(given: Item | Mapping[str, Any]) -> Item:
    if not isinstance(given, Mapping):
        return given
    try:
        found: Item = msgspec.convert(dict(given), Item)
    except msgspec.ValidationError as problem:
        raise ConfigError(f"this is no item: {problem}") from None
    return found
