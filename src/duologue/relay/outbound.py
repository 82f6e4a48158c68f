"""One event of the upstream on its way to the caller: followed, hidden or scrubbed. Pure."""

from __future__ import annotations

from typing import Any

from duologue.protocol.codec import encode
from duologue.protocol.responses import Response
from duologue.protocol.server_events import ResponseCreated, ResponseDone
from duologue.relay.budget import Budget
from duologue.relay.commands import Command, ToUpstream
from duologue.relay.hidden_tools import Asked, Hidden, ToolRuns
from duologue.relay.scrub import Scrubber

Json = dict[str, Any]

_ITEM_EVENTS = ("conversation.item.added", "conversation.item.created", "conversation.item.done",
                "conversation.item.retrieved")  # fmt: skip
_OUTPUT_EVENTS = ("response.output_item.added", "response.output_item.done")
_ARGUMENTS = "response.function_call_arguments."
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_STATUSES = ("in_progress", "completed", "cancelled", "failed", "incomplete")
PCM_BYTES_PER_MS = 48.0
G711_BYTES_PER_MS = 8.0


class Heard:
    """What the upstream's sessions say is in force: needed to count sound and to price transcripts."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.transcriber = ""
        self.bytes_per_ms = PCM_BYTES_PER_MS

    def session(self, session: Any) -> None:
        """Take note of a session."""
        model = _dig(session, "model")
        self.model = model if isinstance(model, str) and model else self.model
        transcriber = _dig(session, "audio", "input", "transcription", "model")
        self.transcriber = transcriber if isinstance(transcriber, str) else ""
        kind = _dig(session, "audio", "input", "format", "type")
        self.bytes_per_ms = G711_BYTES_PER_MS if kind in ("audio/pcmu", "audio/pcma") else PCM_BYTES_PER_MS


class Outbound:
    """Judges the upstream's events. `server_tools`: names of the functions that run in the relay."""

    def __init__(self, server_tools: frozenset[str], scrubber: Scrubber, hidden: Hidden, runs: ToolRuns,
                 budget: Budget, heard: Heard) -> None:  # fmt: skip
        self._server_tools = server_tools
        self._scrubber = scrubber
        self._hidden = hidden
        self._runs = runs
        self._budget = budget
        self._heard = heard
        self._shown_calls: set[str] = set()
        self._aside: set[str] = set()

    def judged(self, event: Json, commands: list[Command]) -> Json | None:
        """The event as the caller may see it, or None; what else is to be done is added to `commands`."""
        kind = event["type"]
        if kind in ("session.created", "session.updated"):
            return {**event, "session": self._scrubber.session(event.get("session"))}
        if kind == "error":
            return {**event, "error": self._scrubber.error(event.get("error"))}
        if kind in ("response.created", "response.done"):
            return self._response(event, commands)
        if kind in _OUTPUT_EVENTS:
            return self._output_item(event, commands)
        if kind in _ITEM_EVENTS:
            return self._item(event)
        if kind == _TRANSCRIBED and (spent := self._budget.transcript(event.get("usage"), self._heard.transcriber)):
            commands.append(spent)
        return self._about_item(event)

    def _response(self, event: Json, commands: list[Command]) -> Json | None:
        response = event.get("response")
        response_id = _dig(response, "id")
        if not isinstance(response, dict) or not isinstance(response_id, str):
            return None
        done = event["type"] == "response.done"
        given = response.get("status")
        status: Any = given if given in _STATUSES else "failed"
        followed = Response(id=response_id, status=status, conversation_id=_conversation(response))
        output = response.get("output")
        items: list[Any] = output if isinstance(output, list) else []
        visible = [item for item in items if not self._hides(item)]
        if not done:
            if followed.conversation_id is None:
                self._aside.add(response_id)
            self._send(self._runs.follow(ResponseCreated(response=followed)), commands)
        else:
            if spent := self._budget.response(response.get("usage"), self._heard.model):
                commands.append(spent)
            for item in items:
                self._run(response_id, item, commands)
            mixed = any(_dig(item, "type") == "function_call" for item in visible)
            self._send(self._runs.response_done(response_id, status, mixed=mixed), commands)
            self._send(self._runs.follow(ResponseDone(response=followed)), commands)
            self._hidden.forget_response(response_id)
            self._aside.discard(response_id)
        shown = self._scrubber.response(response)
        if "output" in shown:
            shown["output"] = visible
        return {**event, "response": shown}

    def _output_item(self, event: Json, commands: list[Command]) -> Json | None:
        item, response_id, index = event.get("item"), event.get("response_id"), event.get("output_index")
        if self._hides(item):
            if isinstance(response_id, str) and isinstance(index, int):
                self._hidden.index_hidden(response_id, index)
            if event["type"] == "response.output_item.done" and isinstance(response_id, str):
                self._run(response_id, item, commands)
            return None
        self._note_call(item)
        return self._counted(event)

    def _item(self, event: Json) -> Json | None:
        item = event.get("item")
        item_id = _dig(item, "id")
        before = event.get("previous_item_id")
        if event["type"] in _ITEM_EVENTS[:2] and isinstance(item_id, str) and item_id != before:
            self._hidden.placed(item_id, before if isinstance(before, str) else None)
        if self._hides(item):
            return None
        self._note_call(item)
        return self._counted(event)

    def _about_item(self, event: Json) -> Json | None:
        """Events that name an item by its id."""
        item_id = _dig(event, "item_id")
        kind = str(event["type"])
        hidden = isinstance(item_id, str) and item_id in self._hidden.ids
        if kind == "conversation.item.deleted" and isinstance(item_id, str):
            self._hidden.removed(item_id)
        if hidden or (kind.startswith(_ARGUMENTS) and self._server_tools and item_id not in self._shown_calls):
            return None
        return self._counted(event)

    def _counted(self, event: Json) -> Json:
        """With the predecessor and the index that the caller knows."""
        before, response_id, index = event.get("previous_item_id"), event.get("response_id"), event.get("output_index")
        if isinstance(before, str) and before in self._hidden.ids:
            event = {**event, "previous_item_id": self._hidden.visible(before)}
        if isinstance(response_id, str) and isinstance(index, int) and self._hidden.shifts(response_id):
            event = {**event, "output_index": self._hidden.index(response_id, index)}
        return event

    def _hides(self, item: Any) -> bool:
        """True for an item that the caller may not see; it is remembered."""
        ours = _dig(item, "type") == "function_call" and _dig(item, "name") in self._server_tools
        answer = _dig(item, "type") == "function_call_output" and _dig(item, "call_id") in self._hidden.call_ids
        known = _dig(item, "id") in self._hidden.ids
        if not (ours or answer or known) and self._scrubber.shows(item):
            return False
        if isinstance(item, dict):
            self._hidden.hide(item)
        return True

    def _note_call(self, item: Any) -> None:
        if _dig(item, "type") == "function_call" and isinstance(_dig(item, "id"), str):
            self._shown_calls.add(item["id"])

    def _run(self, response_id: str, item: Any, commands: list[Command]) -> None:
        """Outside of the conversation there is no place for a tool's answer, so nothing runs for it."""
        ours = _dig(item, "type") == "function_call" and _dig(item, "name") in self._server_tools
        if ours and _dig(item, "status") == "completed" and response_id not in self._aside:
            command = self._runs.call(response_id, item)
            if command is not None:
                commands.append(command)

    @staticmethod
    def _send(events: list[Asked], commands: list[Command]) -> None:
        commands.extend(ToUpstream(encode(event)) for event in events)


def _conversation(response: Json) -> Any:
    """Null means outside of the conversation; servers that leave the field out know only the one."""
    named = response.get("conversation_id", "")
    return named if named is None or isinstance(named, str) else ""


def _dig(value: Any, *path: str) -> Any:
    """The value at a path, None where there is none. Only plain values that can be looked up come back."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str | int | float | None) else None
