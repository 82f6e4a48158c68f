"""The judge of a call: every event of both directions comes here, and one decision goes out. Pure.

What is judged is what is sent: an event either has an exact shape that cannot mean anything else, and the shell forwards
the very bytes (`caller_passes`, `upstream_passes`), or it is decoded, judged, and encoded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from duologue.dialogue.cost import PriceTable, default_prices
from duologue.errors import ProtocolError
from duologue.ids import IdSource
from duologue.protocol.client_events import ClientEvent, ConversationItemCreate, InputAudioBufferAppend, ResponseCreate
from duologue.protocol.codec import decode_client_event, encode
from duologue.protocol.items import InputAudio, Message
from duologue.protocol.server_events import Error, ErrorDetails
from duologue.protocol.session import FunctionTool, Tool
from duologue.relay.budget import Budget
from duologue.relay.commands import Allowance, Caller, CloseCall, Command, Party, ToCaller, ToUpstream
from duologue.relay.deltas import Deltas
from duologue.relay.hidden_tools import Asked, Hidden, ToolRuns
from duologue.relay.inbound import Inbound, check_allowed
from duologue.relay.limits import Rates
from duologue.relay.outbound import Heard, Outbound
from duologue.relay.scrub import Scrubber
from duologue.relay.settings import Limits, Rules
from duologue.relay.shapes import append_bytes, canonical, event_id_of, strict_parse

ENDED = 4000
"""Close code of a call that ran into a limit, as the hosted API closes what it ends."""
BROKE_A_RULE = 1008
TOO_BIG = 1009
BROKEN = 1011
OPENING_MS = 3000
"""How long `session.created` waits for the upstream to take the policy's session."""
_APPEND = "input_audio_buffer.append"
_DELTA = "response.output_audio.delta"
_WORDS = ("response.output_audio_transcript.delta", "response.output_text.delta")
_tools = tuple[Tool, ...]


class Refuse(Struct, frozen=True):
    """What a hook returns to refuse an event: the `error` that the caller gets."""

    message: str
    code: str = "refused_by_policy"
    param: str | None = None


class Hooks(Struct, frozen=True, kw_only=True):
    """Functions of one's own. `session` sees the session before it is opened; the others each event before the rules."""

    session: Callable[[dict[str, Any], Caller], dict[str, Any]] | None = None
    caller_event: Callable[[dict[str, Any], Caller], dict[str, Any] | None | Refuse] | None = None
    upstream_event: Callable[[dict[str, Any], Caller], dict[str, Any] | None] | None = None
    audio: bool = False


class Policy(Struct, frozen=True, kw_only=True):
    """Everything a judge goes by. `session`: the opening session; `secrets`: strings that no caller may ever see."""

    rules: Rules = Rules()
    limits: Limits = Limits()
    session: Mapping[str, Any] = {}
    server_tools: tuple[FunctionTool, ...] = ()
    hooks: Hooks = Hooks()
    secrets: tuple[str, ...] = ()
    model: str = ""
    prices: PriceTable | None = None

    def __repr__(self) -> str:
        return f"Policy(locked={self.rules.locked!r}, {len(self.server_tools)} tools)"


def opening_session(policy: Policy, caller: Caller) -> dict[str, Any]:
    """The GA session object that a call opens with: what the policy says, after the hook, with the server's tools.

    Raises ValueError where the hook fails: a caller that nobody has a session for gets no call.
    """
    session = {"type": "realtime", **policy.session}
    if policy.hooks.session is not None:
        try:
            session = dict(policy.hooks.session(session, caller))
        except Exception as problem:
            raise ValueError(f"the session hook failed: {problem!r}") from problem
    if policy.server_tools:
        session["tools"] = [*(session.get("tools") or ()), *policy.server_tools]
    plain: dict[str, Any] = msgspec.json.decode(canonical(session))
    return plain


@lru_cache(maxsize=8)
def _allowed(rules: Rules) -> tuple[frozenset[str], frozenset[str]]:
    """Types of events that callers and the upstream may send; all calls under the same rules share them."""
    return (
        frozenset(rules.caller_events) - frozenset(rules.caller_events_denied),
        frozenset(rules.upstream_events) - frozenset(rules.upstream_events_denied),
    )


class Judge:
    """One for each call. Speaks GA on both sides; every method returns what is to be done, in order.

    After a `CloseCall` it answers nothing more.
    """

    def __init__(self, policy: Policy, caller: Caller, allowance: Allowance, new_id: IdSource) -> None:
        """Raises ValueError where the policy's `session` hook fails, or returns no session."""
        rules, limits = policy.rules, policy.limits
        self._policy, self._caller, self._new_id = policy, caller, new_id
        self._session = opening_session(policy, caller)
        try:
            secret_tools = msgspec.convert(self._session.get("tools") or (), _tools)
        except msgspec.ValidationError as problem:
            raise ValueError(f"the session's tools cannot be used: {problem}") from None
        self._hidden = Hidden()
        self._runs = ToolRuns(self._hidden, new_id)
        self._inbound = Inbound(rules, secret_tools, self._hidden)
        self._scrubber = Scrubber(rules, self._session, secret_tools, policy.secrets, self._inbound)
        self._budget = Budget(limits, allowance, policy.prices or default_prices())
        self._heard = Heard(policy.model)
        server_tools = frozenset(tool.name for tool in policy.server_tools)
        self._outbound = Outbound(server_tools, self._scrubber, self._hidden, self._runs, self._budget, self._heard)
        self._rates = Rates(limits)
        self._from_caller, self._to_caller = _allowed(rules)
        hooks = policy.hooks
        self._quick_in = _APPEND in self._from_caller and not (hooks.audio and hooks.caller_event)
        quick_out = _DELTA in self._to_caller and not (hooks.audio and hooks.upstream_event)
        quick_words = self._to_caller.issuperset(_WORDS) and not hooks.upstream_event
        self._sounds = Deltas(_DELTA) if quick_out else None
        self._words = Deltas(*_WORDS) if quick_words else None
        self._most_bytes = limits.event_bytes
        self._closed = False
        self._own_update: str | None = None
        self._updates_due = 0
        self._opening: dict[str, Any] | None = None
        self._opening_at_ms = 0
        self._begun_ms = 0
        self._last_ms: float = 0

    def begin(self, now_ms: int, first: bytes | None = None) -> Sequence[Command]:
        """The call begins: what the upstream gets before all that the caller sends.

        `first`: an update of the caller's own that its client secret carried, judged like every event of the caller's.
        """
        self._begun_ms = self._last_ms = now_ms
        if over := self._over_budget():
            return over
        commands: list[Command] = []
        if not self._session.keys() <= {"type"}:
            self._own_update = self._new_id("event")
            update = {"type": "session.update", "event_id": self._own_update, "session": self._session}
            commands.append(ToUpstream(canonical(update)))
        if first is not None:
            commands += self.from_caller(first, now_ms)
        self._updates_due = sum(isinstance(command, ToUpstream) for command in commands)
        return commands

    def caller_passes(self, frame: bytes, now_ms: float) -> bool:
        """True: forward this very frame to the upstream; it is judged, counted and metered.

        False says nothing yet: hand the frame to `from_caller`.
        """
        size, rates = append_bytes(frame), self._rates
        if rates.paid and size == rates.paid_bytes:
            rates.paid -= 1
        elif size is None or not self._pays(size, len(frame), now_ms):
            return False
        self._last_ms = now_ms
        return True

    def upstream_passes(self, frame: bytes, now_ms: float) -> bool:
        """True: forward this very frame to the caller. False says nothing yet: hand it to `from_upstream`."""
        if self._opening is not None:
            return False
        deltas = self._sounds
        if deltas is None or not deltas.proves_sound(frame):
            deltas = self._words
            if deltas is None or not deltas.proves_words(frame) or self._scrubber.names_key(frame):
                return False
        hidden = self._hidden
        if hidden.ids and (deltas.item_id in hidden.ids or hidden.shifts(deltas.response_id)):
            return False
        self._last_ms = now_ms
        return True

    def from_caller(self, frame: bytes, now_ms: int) -> Sequence[Command]:
        """Judge a text frame of the caller that did not pass as it was."""
        if self._closed:
            return []
        self._last_ms = now_ms
        size, most = len(frame), self._most_bytes
        if size > most:
            return self._close(TOO_BIG, f"an event of {size} bytes, more than {most}", "caller")
        event_id: str | None = None
        try:
            if not self._rates.event(size, now_ms):
                raise ProtocolError("Too many events: slow down.", code="rate_limit_exceeded", type="rate_limit_error")
            raw = strict_parse(frame)
            event_id = event_id_of(raw)
            check_allowed(raw["type"], self._from_caller)
            hooked = self._hooked(raw)
            if hooked is None:
                return []
            event = decode_client_event(canonical(hooked))
            check_allowed(str(event.__struct_config__.tag), self._from_caller)
            self._meter(event, now_ms)
            judged = encode(self._inbound.judged(event))
        except ProtocolError as problem:
            return self._refused(problem, event_id or problem.event_id, now_ms)
        if isinstance(event, ResponseCreate):
            self._budget.asked()
            if self._runs.holds(judged):
                return []
        return [ToUpstream(judged)]

    def from_upstream(self, frame: bytes, now_ms: int) -> Sequence[Command]:
        """Judge a text frame of the upstream that did not pass as it was."""
        if self._closed:
            return []
        self._last_ms = now_ms
        event = _decoded(frame)
        if event is None:
            return []
        self._budget.follow(event)
        commands: list[Command] = []
        kind = event["type"]
        if kind in ("session.created", "session.updated"):
            self._heard.session(event.get("session"))
            opened = self._opened(event, now_ms)
            if opened is None:
                return []
            event = opened
        elif kind == "error":
            if (own := self._own_error(event)) is not None:
                return own
        elif self._opening is not None:
            commands += self._flushed()
        later: list[Command] = []
        commands += self._shown(self._outbound.judged(event, later))
        return [*commands, *later, *self._released(), *self._over_budget()]

    def tool_done(self, call_id: str, output: str, now_ms: int) -> Sequence[Command]:
        """A server-side tool has answered; failures are answers too, in words for the model."""
        if self._closed:
            return []
        self._last_ms = now_ms
        return [*_sent(self._runs.answered(call_id, output)), *self._released()]

    @property
    def owes(self) -> bool:
        """True while the upstream has not said what a response costs that counts against the user's day."""
        return self._budget.owes

    def settle(self, frame: bytes) -> Sequence[Command]:
        """The call is over, but for what it `owes`: read the bill in what the upstream still says, and nothing else."""
        event = _decoded(frame)
        if event is None:
            return []
        self._budget.follow(event)
        response = event.get("response")
        if event["type"] != "response.done" or not isinstance(response, dict):
            return []
        spent = self._budget.response(response.get("usage"), self._heard.model)
        return [] if spent is None else [spent]

    def allow(self, allowance: Allowance, now_ms: int) -> Sequence[Command]:
        """The user's allowance has been counted anew, as after another call of theirs. This call's part is in it."""
        self._budget.allow(allowance)
        return [] if self._closed else self._over_budget()

    def wake(self, now_ms: int) -> Sequence[Command]:
        """`wake_at_ms` has come. It moves with every event, so a wake may find nothing to do: read it again."""
        if self._closed:
            return []
        limits = self._policy.limits
        if now_ms >= self._begun_ms + limits.session_s * 1000:
            minutes = limits.session_s / 60
            return self._ended("session_expired", f"Your session hit the maximum duration of {minutes:g} minutes.")
        if now_ms >= self._last_ms + limits.idle_s * 1000:
            return self._ended("idle_timeout", f"Nothing happened for {limits.idle_s:g} seconds.")
        late = self._opening is not None and now_ms >= self._opening_at_ms + OPENING_MS
        return self._flushed() if late else []

    @property
    def wake_at_ms(self) -> int | None:
        """When to call `wake`; None once the call is over."""
        if self._closed:
            return None
        limits = self._policy.limits
        at_ms = min(self._begun_ms + limits.session_s * 1000, self._last_ms + limits.idle_s * 1000)
        if self._opening is not None:
            at_ms = min(at_ms, self._opening_at_ms + OPENING_MS)
        return ceil(at_ms)

    def _pays(self, sound_bytes: int, frame_bytes: int, now_ms: float) -> bool:
        """True where sound may pass as it is, and this is not too much of it."""
        if not self._quick_in or frame_bytes > self._most_bytes:
            return False
        ahead = 2 * frame_bytes <= self._most_bytes  # a longer head to as much sound is within the bound as well
        return self._rates.sound(sound_bytes, self._heard.bytes_per_ms, now_ms, ahead=ahead)

    def _hooked(self, event: dict[str, Any]) -> dict[str, Any] | None:
        hook = self._policy.hooks.caller_event
        if hook is None or (event["type"] == _APPEND and not self._policy.hooks.audio):
            return event
        try:
            answer = hook(event, self._caller)
            if answer is None or isinstance(answer, dict):
                canonical(answer)
                return answer
        except Exception as problem:
            # a rule that fails must not let pass what it was to stop
            raise ProtocolError(
                "This event could not be judged.", code="server_error", type="server_error"
            ) from problem
        raise ProtocolError(answer.message, code=answer.code, param=answer.param)

    def _meter(self, event: ClientEvent, now_ms: int) -> None:
        size = 0
        if isinstance(event, InputAudioBufferAppend):
            size = len(event.audio)
        elif isinstance(event, ConversationItemCreate) and isinstance(event.item, Message):
            sounds = (part.audio for part in event.item.content if isinstance(part, InputAudio))
            size = sum(len(sound) for sound in sounds if sound is not UNSET and sound is not None)
        if size and not self._rates.audio(size / self._heard.bytes_per_ms, now_ms):
            most = self._policy.limits.audio_s_per_minute
            raise ProtocolError(f"Too much sound: no more than {most:g} seconds a minute are taken.",
                                code="rate_limit_exceeded", type="rate_limit_error")  # fmt: skip

    def _refused(self, problem: ProtocolError, event_id: str | None, now_ms: int) -> list[Command]:
        if not self._rates.refused(now_ms):
            return self._close(BROKE_A_RULE, "too many refused events", "caller", str(problem))
        return [self._error(problem, event_id)]

    def _error(self, problem: ProtocolError, event_id: str | None = None) -> ToCaller:
        details = ErrorDetails(
            type=problem.type, code=problem.code, message=problem.message, param=problem.param, event_id=event_id
        )
        return ToCaller(encode(Error(event_id=self._new_id("event"), error=details)))

    def _opened(self, event: dict[str, Any], now_ms: int) -> dict[str, Any] | None:
        """The caller sees the first session with all in force that it opens with, not the upstream's own before it."""
        if not self._updates_due:
            return event
        if event["type"] == "session.created":
            self._opening, self._opening_at_ms = event, now_ms
            return None
        self._own_update = None
        self._updates_due -= 1
        if self._updates_due:
            return None
        opening, self._opening = self._opening, None
        return event if opening is None else {**opening, "session": event.get("session")}

    def _flushed(self) -> list[Command]:
        """An upstream that does not say what it took must not keep the caller waiting."""
        opening, self._opening = self._opening, None
        return [] if opening is None else self._shown(self._outbound.judged(opening, []))

    def _own_error(self, event: dict[str, Any]) -> Sequence[Command] | None:
        """What follows from an error about an event of the relay's own; None for every other error."""
        details = event.get("error")
        cause = details.get("event_id") if isinstance(details, dict) else None
        if not isinstance(cause, str) or not isinstance(details, dict):
            return None
        text = str(details.get("message"))
        if cause == self._own_update:
            return self._close(BROKEN, "the upstream refused the session", "upstream", text)
        if not self._runs.is_own(cause):
            return None
        code = details.get("code")
        error = ErrorDetails(type="", code=code if isinstance(code, str) else None, message=text, event_id=cause)
        return _sent(self._runs.refused(Error(error=error)))

    def _shown(self, event: dict[str, Any] | None) -> list[Command]:
        if event is None or event["type"] not in self._to_caller:
            return []
        hook = self._policy.hooks.upstream_event
        try:
            if hook is not None and (event["type"] != _DELTA or self._policy.hooks.audio):
                event = hook(event, self._caller)
            if event is None or event["type"] not in self._to_caller:
                return []
            return [ToCaller(self._scrubber.encoded(event))]
        except Exception:
            # what cannot be judged or encoded is not shown
            return []

    def _released(self) -> list[Command]:
        frame = self._runs.released()
        return [] if frame is None else [ToUpstream(frame)]

    def _over_budget(self) -> list[Command]:
        what = self._budget.used_up
        return [] if what is None else self._ended("insufficient_quota", f"You have used up {what}.")

    def _ended(self, code: str, message: str) -> list[Command]:
        problem = ProtocolError(message, code=code)
        return [self._error(problem), *self._close(ENDED, f"{problem.type}.{code}", "relay")]

    def _close(self, code: int, reason: str, who: Party, detail: str = "") -> list[Command]:
        self._closed, self._quick_in, self._sounds, self._words = True, False, None, None
        self._rates.take_back()
        return [CloseCall(code, reason, who, detail)]


def _sent(events: list[Asked]) -> list[Command]:
    return [ToUpstream(encode(event)) for event in events]


def _decoded(frame: bytes) -> dict[str, Any] | None:
    """An event of the upstream as plain values; None for what is none."""
    try:
        event = msgspec.json.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None
