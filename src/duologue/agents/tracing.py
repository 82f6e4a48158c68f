"""What happened in a session and how long it took, out of what it tells: spans of bounded number. Pure.

A session has turns. A turn begins when the user speaks or types, or when an agent begins by itself, and ends with the last
answer that it needed; what runs for an answer (tools, approvals, handoffs, guardrails) belongs to that response. No words
are kept unless `content` is set: names, ids, counts and times are.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from duologue.agents import events
from duologue.agents.span import Kind, Span, Status, Value

KEPT = 2048
"""So many spans that have ended are kept; then the oldest is forgotten."""
OPEN = 256
"""So many may be open; then the oldest is taken for lost."""
_REMEMBERED = 64
_STATUS: dict[str, Status] = {"completed": "ok", "cancelled": "cancelled"}
Key = tuple[Kind, str]


class _Open:
    __slots__ = (
        "asked_ms",
        "attributes",
        "children",
        "key",
        "last_ms",
        "name",
        "parent",
        "span_id",
        "started_ms",
        "turn",
    )

    def __init__(self, key: Key, span_id: str, name: str, now_ms: int, parent: _Open | None) -> None:
        self.key = key
        self.span_id = span_id
        self.name = name
        self.started_ms = self.last_ms = self.asked_ms = now_ms
        self.parent = parent
        self.turn: _Open | None = None
        self.children = 0
        self.attributes: dict[str, Value] = {}


class Tracing:
    """The spans of one connected session. Each method returns the spans that began or ended by it, in order.

    In a call (`played_there`) the server plays, and may begin after the answer is complete: its span is told when that is
    known, or when the next answer or turn begins.
    """

    def __init__(self, trace_id: str, *, content: bool = False, played_there: bool = False) -> None:
        self.trace_id = trace_id
        self.ended: deque[Span] = deque(maxlen=KEPT)
        self._content = content
        self._played_there = played_there
        self._unheard: tuple[_Open, Status, int, dict[str, Value]] | None = None
        self._open: OrderedDict[Key, _Open] = OrderedDict()
        self._count = 0
        self._news: list[Span] = []
        self._turn: _Open | None = None
        self._response: _Open | None = None
        self._responses: OrderedDict[str, _Open] = OrderedDict()
        self._wished = False
        self._does: dict[type, Callable[[Any, int], None]] = {
            events.SpeechStarted: self._speech_started,
            events.SpeechStopped: self._speech_stopped,
            events.AgentStart: self._agent_start,
            events.AgentEnd: self._agent_end,
            events.TranscriptDelta: self._words,
            events.TranscriptDone: self._all_words,
            events.AudioStart: self._sound,
            events.UsageUpdated: self._used,
            events.ToolApprovalRequired: self._asked,
            events.ToolStart: self._tool_start,
            events.ToolEnd: self._tool_end,
            events.McpToolCallCompleted: self._remote_tool,
            events.HandedOver: self._handed_over,
            events.ConnectionLost: self._lost,
            events.ConnectionRestored: self._restored,
            events.SessionError: self._error,
        }

    @property
    def spans(self) -> tuple[Span, ...]:
        """All that are kept: those that have ended, in the order of their ends, then those that go on."""
        return (*self.ended, *(self._value(each, None, "open") for each in self._open.values()))

    def begin(self, name: str, attributes: Mapping[str, Value], now_ms: int) -> list[Span]:
        """The session is open."""
        self._start(("session", ""), name, now_ms, None, None, **attributes)
        return self._drain()

    def end(self, status: Status, now_ms: int, **attributes: Value) -> list[Span]:
        """The session is over, with all that was under way."""
        self._hear()
        self._turn = None
        for key in [key for key in reversed(self._open) if key[0] != "session"]:
            self._finish(key, "cancelled", now_ms)
        self._finish(("session", ""), status, now_ms, **attributes)
        return self._drain()

    def typed(self, now_ms: int) -> list[Span]:
        """The user typed something that wants an answer."""
        self._begin_turn("text", now_ms)
        return self._drain()

    def wished(self) -> None:
        """A tool was called, or an answer asked for: the turn goes on with it."""
        self._wished = True

    def wants(self, event: events.SessionEvent) -> bool:
        """Whether `told` does anything about the event."""
        return type(event) in self._does

    def told(self, event: events.SessionEvent, now_ms: int) -> list[Span]:
        """The session tells its application something."""
        self._does[type(event)](event, now_ms)
        return self._drain()

    def opened(self, kind: Kind, key: str, name: str, response_id: str, now_ms: int, **attributes: Value) -> list[Span]:
        """Something begins that runs for a response."""
        self._child(kind, key, name, response_id, now_ms, **attributes)
        return self._drain()

    def closed(self, kind: Kind, key: str, status: Status, now_ms: int, **attributes: Value) -> list[Span]:
        """It has ended; nothing where it had before."""
        self._finish((kind, key), status, now_ms, **attributes)
        return self._drain()

    # --- the user --------------------------------------------------------------------------------------------

    def _speech_started(self, _: events.SpeechStarted, now_ms: int) -> None:
        turn = self._begin_turn("speech", now_ms)
        turn.asked_ms = now_ms

    def _speech_stopped(self, _: events.SpeechStopped, now_ms: int) -> None:
        if (turn := self._turn) is not None:
            turn.attributes["speech_ms"] = now_ms - turn.asked_ms + int(turn.attributes.get("speech_ms", 0))
            turn.asked_ms = turn.last_ms = now_ms

    def _begin_turn(self, by: str, now_ms: int) -> _Open:
        """A new turn, but where the user goes on before anything was answered."""
        self._hear()
        turn = self._turn
        if turn is None or turn.attributes.get("responses"):
            if turn is not None and self._response is not None and by == "speech":
                turn.attributes["interrupted"] = True
            self._leave()
            self._turn = turn = self._start(("turn", str(self._count + 1)), by, now_ms, self._session, None)
        turn.asked_ms = turn.last_ms = now_ms
        return turn

    def _leave(self) -> None:
        """The turn gets nothing new; it ended with what it had last, or will when that has ended."""
        turn, self._turn = self._turn, None
        self._wished = False
        if turn is not None and not turn.children:
            self._finish(turn.key, "ok", turn.last_ms)

    # --- answers ---------------------------------------------------------------------------------------------

    def _agent_start(self, event: events.AgentStart, now_ms: int) -> None:
        self._hear()
        self._wished = False
        if self._turn is None:
            self._begin_turn("agent", now_ms)
        assert self._turn is not None
        self._turn.attributes["responses"] = int(self._turn.attributes.get("responses", 0)) + 1
        span = self._start(("response", event.response_id), event.agent.name, now_ms, self._turn, self._turn)
        self._response = self._responses[event.response_id] = span
        while len(self._responses) > _REMEMBERED:
            self._responses.popitem(last=False)

    def _agent_end(self, event: events.AgentEnd, now_ms: int) -> None:
        more: dict[str, Value] = {"text": event.text} if self._content else {}
        if self._response is not None and self._response.key[1] == event.response_id:
            self._response = None
        status = _STATUS.get(event.status, "failed")
        span = self._open.get(("response", event.response_id))
        words_only = (
            span is not None and "first_output_ms" in span.attributes and "first_audio_ms" not in span.attributes
        )
        if span is not None and self._played_there and words_only and status == "ok":
            self._hear()
            self._unheard = (span, status, now_ms, more)
            return
        self._finish(("response", event.response_id), status, now_ms, **more)

    def _hear(self) -> None:
        """The answer whose sound was awaited has it, or gets none any more."""
        if self._unheard is not None:
            (span, status, ended_ms, more), self._unheard = self._unheard, None
            self._finish(span.key, status, ended_ms, **more)

    def _words(self, event: events.TranscriptDelta, now_ms: int) -> None:
        if event.role == "assistant" and self._response is not None:
            self._first(self._response, "output", now_ms)

    def _all_words(self, event: events.TranscriptDone, _: int) -> None:
        if self._content and event.role == "user" and self._turn is not None:
            self._turn.attributes["text"] = event.text

    def _sound(self, event: events.AudioStart, now_ms: int) -> None:
        if (span := self._open.get(("response", event.response_id))) is not None:
            self._first(span, "output", now_ms)
            self._first(span, "audio", now_ms)
            if self._unheard is not None and self._unheard[0] is span:
                self._hear()

    def _first(self, response: _Open, what: str, now_ms: int) -> None:
        if f"first_{what}_ms" in response.attributes:
            return
        response.attributes[f"first_{what}_ms"] = now_ms - response.started_ms
        if (turn := response.turn) is not None and turn.name != "agent":
            turn.attributes.setdefault(f"to_{what}_ms", now_ms - turn.asked_ms)

    def _used(self, event: events.UsageUpdated, _: int) -> None:
        update = event.update
        span = self._open.get(("response", update.response_id or ""))
        if span is None or hasattr(update.usage, "seconds"):
            return
        usage: Any = update.usage
        span.attributes |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        if (read := usage.input_token_details) is not UNSET and read is not None:
            span.attributes |= {"input_audio_tokens": read.audio_tokens, "cached_tokens": read.cached_tokens}
        if (made := usage.output_token_details) is not UNSET and made is not None:
            span.attributes["output_audio_tokens"] = made.audio_tokens
        if update.cost is not None:
            span.attributes["cost_usd"] = update.cost.usd

    # --- tools and agents ------------------------------------------------------------------------------------

    def _asked(self, event: events.ToolApprovalRequired, now_ms: int) -> None:
        more: dict[str, Value] = {"server_label": event.server_label} if event.server_label else {}
        self._child("approval", event.call_id, event.tool, event.response_id, now_ms, **more)

    def _tool_start(self, event: events.ToolStart, now_ms: int) -> None:
        self._finish(("approval", event.call_id), "ok", now_ms)
        more: dict[str, Value] = {"arguments": event.arguments} if self._content else {}
        agent = event.agent.name
        self._child(
            "tool", event.call_id, event.tool, event.response_id, now_ms, call_id=event.call_id, agent=agent, **more
        )

    def _tool_end(self, event: events.ToolEnd, now_ms: int) -> None:
        refused = ("tool", event.call_id) not in self._open
        if refused:
            self._tool_start(
                events.ToolStart(
                    agent=event.agent,
                    tool=event.tool,
                    call_id=event.call_id,
                    arguments=event.arguments,
                    response_id=event.response_id,
                ),
                now_ms,
            )
        more: dict[str, Value] = {"output": event.output} if self._content else {}
        failed = event.output.startswith('{"error":')
        self._finish(("tool", event.call_id), "refused" if refused else "failed" if failed else "ok", now_ms, **more)

    def _remote_tool(self, event: events.McpToolCallCompleted, now_ms: int) -> None:
        key = f"remote {self._count}"
        self._child("tool", key, event.tool, "", now_ms, server_label=event.server_label)
        self._finish(("tool", key), "ok", now_ms)

    def _handed_over(self, event: events.HandedOver, now_ms: int) -> None:
        begun = [key for key in self._open if key[0] == "handoff"]
        if not begun:
            begun = [("handoff", f"{self._count}")]
            self._child("handoff", begun[0][1], event.to_agent.name, "", now_ms)
        self._finish(begun[0], "ok", now_ms, from_agent=event.from_agent.name, to_agent=event.to_agent.name)

    # --- the connection --------------------------------------------------------------------------------------

    def _lost(self, event: events.ConnectionLost, now_ms: int) -> None:
        if ("reconnect", "") not in self._open:
            self._start(("reconnect", ""), "reconnect", now_ms, self._session, None, planned=event.details.planned)

    def _restored(self, event: events.ConnectionRestored, now_ms: int) -> None:
        self._finish(("reconnect", ""), "ok", now_ms, attempts=event.details.attempts, items=event.details.items)

    def _error(self, _: events.SessionError, __: int) -> None:
        if (session := self._session) is not None:
            session.attributes["errors"] = int(session.attributes.get("errors", 0)) + 1

    # --- how it is kept --------------------------------------------------------------------------------------

    @property
    def _session(self) -> _Open | None:
        return self._open.get(("session", ""))

    def _child(self, kind: Kind, key: str, name: str, response_id: str, now_ms: int, **attributes: Value) -> None:
        response = self._responses.get(response_id) or self._response
        turn = (response.turn if response is not None else None) or self._turn
        self._start((kind, key), name, now_ms, response or turn or self._session, turn, **attributes)

    def _start(
        self, key: Key, name: str, now_ms: int, parent: _Open | None, turn: _Open | None, **attributes: Value
    ) -> _Open:
        self._count += 1
        span = _Open(key, str(self._count), name, now_ms, parent)
        span.attributes.update(attributes)
        span.turn = turn
        if turn is not None:
            turn.children += 1
        if key in self._open:
            self._finish(key, "lost", now_ms)
        self._open[key] = span
        if len(self._open) > OPEN:
            oldest = next(each for each in self._open.values() if each.key[0] != "session" and each is not self._turn)
            self._finish(oldest.key, "lost", now_ms)
        self._news.append(self._value(span, None, "open"))
        return span

    def _finish(self, key: Key, status: Status, now_ms: int, **attributes: Value) -> None:
        span = self._open.pop(key, None)
        if span is None:
            return
        span.attributes.update(attributes)
        ended = self._value(span, now_ms, status)
        self.ended.append(ended)
        self._news.append(ended)
        if (turn := span.turn) is not None:
            turn.children -= 1
            turn.last_ms = now_ms
            over = turn is not self._turn or not self._wished
            if not turn.children and over:
                self._turn = None if turn is self._turn else self._turn
                self._finish(turn.key, "ok", turn.last_ms)

    def _value(self, span: _Open, ended_ms: int | None, status: Status) -> Span:
        return Span(
            trace_id=self.trace_id,
            span_id=span.span_id,
            parent_id=span.parent.span_id if span.parent is not None else None,
            kind=span.key[0],
            name=span.name,
            started_ms=span.started_ms,
            ended_ms=ended_ms,
            status=status,
            attributes=dict(span.attributes),
        )

    def _drain(self) -> list[Span]:
        news, self._news = self._news, []
        return news
