"""When to ask for a response. Pure: every method returns the events that are to be sent now.

The default conversation has one response at a time, and the server refuses a second one. So wishes wait for
`response.done`; a wish that lost the race against a response of the server's own making is kept and sent after it; all tool
calls of one response are answered by one new response.
"""

from __future__ import annotations

from collections import deque

import msgspec
from msgspec import UNSET

from duologue.ids import IdSource
from duologue.protocol.client_events import ResponseCreate
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.responses import Response, ResponseCreateParams
from duologue.protocol.server_events import Error, ResponseCreated, ResponseDone, ServerEvent

ACTIVE_RESPONSE = "conversation_already_has_active_response"
_WISHES = 64
_GRANTED = 16


class _Calls:
    """The tool calls of one response."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.status: str | None = None
        self.respond = False


class ResponseSequencer:
    """One for each connection. `active` is the id of the default conversation's response that is under way, or None."""

    def __init__(self, new_id: IdSource) -> None:
        self.active: str | None = None
        self.held = False
        """While True nothing is sent: wishes gather."""
        self._closed = False
        self._new_id = new_id
        self._foreign = False
        self._asked: ResponseCreate | None = None
        # `response.created` does not say whose wish it grants: a refusal may come after a stranger's response seemed ours.
        self._granted: deque[ResponseCreate] = deque(maxlen=_GRANTED)
        # The oldest wish is dropped when full: 64 answers that nobody waited for are no loss.
        self._wishes: deque[ResponseCreate] = deque(maxlen=_WISHES)
        self._calls: dict[str, _Calls] = {}
        self._side: set[str] = set()

    @property
    def asked(self) -> bool:
        """A wish was sent and the server has neither begun nor refused it."""
        return self._asked is not None

    def want(self, params: ResponseCreateParams | None = None) -> list[ResponseCreate]:
        """A response is wished for: the event to send now, or nothing while it has to wait.

        Responses outside the conversation (`conversation: "none"`) never wait.
        """
        wish = ResponseCreate(event_id=self._new_id("event"), response=UNSET if params is None else params)
        if self._closed:
            return []
        if params is not None and params.conversation == "none" and not self.held:
            return [wish]
        if not any(waiting.response == wish.response for waiting in self._wishes):
            self._wishes.append(wish)
        return self._next()

    def call_started(self, response_id: str, call_id: str) -> None:
        """A tool of ours runs for this response."""
        self._calls.setdefault(response_id, _Calls()).open.add(call_id)

    def call_answered(self, response_id: str, call_id: str, *, respond: bool = True) -> list[ResponseCreate]:
        """The output of a tool was sent; `respond`: the model is to speak about it."""
        calls = self._calls.get(response_id)
        if calls is None:
            return []
        calls.open.discard(call_id)
        calls.respond = calls.respond or respond
        return self._settle(response_id, calls)

    def want_last(self, params: ResponseCreateParams) -> list[ResponseCreate]:
        """One more response and none after it: whatever else was or will be wished for is dropped."""
        self._wishes.clear()
        wishes = self.want(params)
        self._closed = True
        return wishes

    def lost(self, *, again: bool = False) -> None:
        """The connection ended, and another will take its place: hold everything until `resumed`.

        A wish that the server had not begun to grant is kept; the response under way is wished for again where `again` is
        set. Tool calls of it will be answered by one new response.
        """
        self.held = True
        kept = self._asked
        if kept is None and self.active is not None and again:
            kept = self._granted[-1] if self._granted else ResponseCreate()
        self.active = self._asked = None
        self._foreign = False
        self._granted.clear()
        self._side.clear()
        if kept is not None:
            self._wishes.appendleft(msgspec.structs.replace(kept, event_id=self._new_id("event")))
        for response_id, calls in list(self._calls.items()):
            calls.status = calls.status or "completed"
            self._settle(response_id, calls)

    def resumed(self) -> list[ResponseCreate]:
        """The new connection is ready for what was held."""
        self.held = False
        return self._next()

    def apply(self, event: ServerEvent | UnknownEvent) -> list[ResponseCreate]:
        """Follow what the server did."""
        match event:
            case ResponseCreated(response=response):
                self._created(response)
            case ResponseDone(response=response):
                return self._done(response)
            case Error():
                return self._refused(event)
        return []

    def _created(self, response: Response) -> None:
        if response.conversation_id is None:
            self._side.add(response.id)
            return
        self.active = response.id
        if self._asked is not None:
            self._granted.append(self._asked)
            self._asked = None

    def _done(self, response: Response) -> list[ResponseCreate]:
        if response.id in self._side:
            self._side.discard(response.id)
        else:
            if self.active == response.id:
                self.active = None
            self._foreign = False
        if calls := self._calls.get(response.id):
            calls.status = response.status
            return self._settle(response.id, calls)
        return self._next()

    def _settle(self, response_id: str, calls: _Calls) -> list[ResponseCreate]:
        if calls.open or calls.status is None:
            return []
        del self._calls[response_id]
        # Who cancelled the response has the word now; the outputs are in the conversation for the next turn.
        return self.want() if calls.respond and calls.status != "cancelled" else self._next()

    def _refused(self, event: Error) -> list[ResponseCreate]:
        details = event.error
        refused = self._asked
        if refused is not None and details.event_id in (None, refused.event_id):
            self._asked = None
        else:
            refused = next((wish for wish in self._granted if wish.event_id == details.event_id), None)
            if refused is None:
                return []
            self._granted.remove(refused)
        if details.code != ACTIVE_RESPONSE:
            return self._next()
        again = msgspec.structs.replace(refused, event_id=self._new_id("event"))
        self._wishes.appendleft(again)
        # The server says that one is under way; the next response.done frees us, even of one that we never saw begin.
        self._foreign = self.active is None
        return []

    def _next(self) -> list[ResponseCreate]:
        if self.held or self.active is not None or self._foreign or self._asked is not None or not self._wishes:
            return []
        self._asked = self._wishes.popleft()
        return [self._asked]
