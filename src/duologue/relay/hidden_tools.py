"""Tools that run in the relay, out of the caller's sight. Pure.

`Hidden` knows which items callers may not see, and closes the gaps that they leave: predecessors are the last visible item,
output indices count visible items. `ToolRuns` runs the calls of one response and asks for one answer to all of them.
"""

from __future__ import annotations

from typing import Any

from duologue.dialogue.sequencer import ResponseSequencer
from duologue.ids import IdSource
from duologue.protocol.client_events import ConversationItemCreate, ResponseCreate
from duologue.protocol.items import FunctionCallOutput
from duologue.protocol.server_events import Error, ServerEvent
from duologue.relay.commands import RunTool

MOST_KNOWN = 20_000
"""Items whose place is remembered; the oldest is forgotten first."""
_HEAD = ""


class Hidden:
    """The items of one call that its caller may not see."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.call_ids: set[str] = set()
        self._before: dict[str, str] = {}
        self._after: dict[str, str] = {}
        self._indices: dict[str, set[int]] = {}

    def hide(self, item: dict[str, Any]) -> None:
        """This item of the upstream is not for the caller."""
        item_id, call_id = item.get("id"), item.get("call_id")
        if isinstance(item_id, str):
            self.ids.add(item_id)
        if item.get("type") == "function_call" and isinstance(call_id, str):
            self.call_ids.add(call_id)

    def placed(self, item_id: str, before: str | None) -> None:
        """An item stands after `before` (None: first) in the upstream's conversation."""
        before = before or _HEAD
        if self._before.get(item_id) == before or item_id == before:
            return
        self.removed(item_id)
        after = self._after.get(before)
        self._link(before, item_id)
        if after is not None:
            self._link(item_id, after)
        if len(self._before) > MOST_KNOWN:
            self.removed(next(iter(self._before)))

    def removed(self, item_id: str) -> None:
        """An item is gone: what stood after it stands after its predecessor."""
        before, after = self._before.pop(item_id, None), self._after.pop(item_id, None)
        if before is None:
            return
        self._after.pop(before, None)
        if after is not None:
            self._link(before, after)

    def _link(self, before: str, after: str) -> None:
        self._before[after] = before
        self._after[before] = after

    def visible(self, item_id: str | None) -> str | None:
        """`item_id`, or the nearest visible item before it; None where there is none."""
        for _ in range(len(self.ids) + 1):
            if not item_id or item_id not in self.ids:
                return item_id or None
            item_id = self._before.get(item_id)
        return None

    def index_hidden(self, response_id: str, index: int) -> None:
        """The output at this index of a response is not for the caller."""
        self._indices.setdefault(response_id, set()).add(index)

    def index(self, response_id: str, index: int) -> int:
        """The index as the caller counts."""
        return index - sum(1 for other in self._indices.get(response_id, ()) if other < index)

    def shifts(self, response_id: str) -> bool:
        """True where the caller counts otherwise than the upstream."""
        return response_id in self._indices

    def forget_response(self, response_id: str) -> None:
        """The response is over."""
        self._indices.pop(response_id, None)


class _Set:
    """The hidden calls of one response."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.status: str | None = None
        self.mixed = False


Asked = ConversationItemCreate | ResponseCreate


class ToolRuns:
    """One for each call. Methods return the events to send upstream; `own_ids` are their event ids."""

    def __init__(self, hidden: Hidden, new_id: IdSource) -> None:
        self.own_ids: set[str] = set()
        self._hidden = hidden
        self._new_id = new_id
        self._sequencer = ResponseSequencer(new_id)
        self._sets: dict[str, _Set] = {}
        self._set_of: dict[str, str] = {}
        self._seen: set[str] = set()
        self._held: bytes | None = None

    def call(self, response_id: str, item: dict[str, Any]) -> RunTool | None:
        """A hidden call is complete. None where it runs already or cannot be run."""
        call_id, name = item.get("call_id"), item.get("name")
        if not isinstance(call_id, str) or not isinstance(name, str) or call_id in self._seen:
            return None
        self._seen.add(call_id)
        self._set_of[call_id] = response_id
        self._sets.setdefault(response_id, _Set()).open.add(call_id)
        arguments = item.get("arguments")
        return RunTool(call_id, name, arguments if isinstance(arguments, str) else "")

    def answered(self, call_id: str, output: str) -> list[Asked]:
        """The tool's output goes into the conversation, hidden; after the last one of a response, a wish for an answer."""
        response_id = self._set_of.pop(call_id, None)
        if response_id is None:
            return []
        item_id = self._new_id("item")
        self._hidden.ids.add(item_id)
        event = ConversationItemCreate(
            event_id=self._new_id("event"), item=FunctionCallOutput(id=item_id, call_id=call_id, output=output)
        )
        self._sets[response_id].open.discard(call_id)
        return self._own([event, *self._settle(response_id)])

    def response_done(self, response_id: str, status: str, *, mixed: bool) -> list[Asked]:
        """A response is over. `mixed`: the caller has calls of its own to answer, and will then ask for the next one."""
        calls = self._sets.get(response_id)
        if calls is None:
            return []
        calls.status, calls.mixed = status, mixed
        return self._own(self._settle(response_id))

    def follow(self, event: ServerEvent) -> list[Asked]:
        """What became of our wishes."""
        return self._own(self._sequencer.apply(event))

    def is_own(self, error_event_id: str | None) -> bool:
        """True if this names an event of the relay's, of which the caller knows nothing."""
        return error_event_id in self.own_ids

    def refused(self, error: Error) -> list[Asked]:
        """The upstream refused an event of the relay's."""
        self.own_ids.discard(error.error.event_id or "")
        return self.follow(error)

    def holds(self, frame: bytes) -> bool:
        """True if the caller's `response.create` waits for the hidden outputs that belong to the same answer."""
        if not any(calls.mixed and calls.open for calls in self._sets.values()):
            return False
        self._held = frame
        return True

    def released(self) -> bytes | None:
        """The held `response.create`, once all it waited for has been sent."""
        if self._held is None or any(calls.mixed and calls.open for calls in self._sets.values()):
            return None
        frame, self._held = self._held, None
        return frame

    def _settle(self, response_id: str) -> list[ResponseCreate]:
        calls = self._sets[response_id]
        if calls.open or calls.status is None:
            return []
        del self._sets[response_id]
        # Whoever cancelled the response has the word; with calls of its own, the caller asks for the answer.
        if calls.status == "cancelled" or calls.mixed:
            return []
        return self._sequencer.want()

    def _own(self, events: list[Any]) -> list[Asked]:
        self.own_ids.update(event.event_id for event in events)
        return events
