"""Watching over a call whose events do not pass through the relay: WebRTC, joined by its `call_id`. Pure.

The caller talks to the upstream itself, so nothing can be refused beforehand. What the upstream reports is followed: locked
fields are set back, messages in roles that are not the caller's are deleted, tools run, budgets are kept; who goes on
breaking rules is cut off. What a `response.create` of the caller's asks for is not reported and cannot be held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from duologue.ids import IdSource
from duologue.relay.commands import Allowance, Caller, CloseCall, Command, ToCaller, ToUpstream
from duologue.relay.limits import Rates
from duologue.relay.locks import path_of
from duologue.relay.policy import BROKE_A_RULE, Judge, Policy
from duologue.relay.shapes import canonical

Json = dict[str, Any]


class Supervisor(Judge):
    """One for each call. There is no way to the caller, so no command is a `ToCaller`, and it is never asked about a
    frame of the caller's.
    """

    def __init__(self, policy: Policy, caller: Caller, allowance: Allowance, new_id: IdSource) -> None:
        """As a judge's."""
        super().__init__(policy, caller, allowance, new_id)
        self._new_event_id = new_id
        self._rules = policy.rules
        self._breaches = Rates(policy.limits)
        self._locked: Json | None = None
        self._opens = False

    def begin(self, now_ms: int, first: bytes | None = None) -> Sequence[Command]:
        """The call is joined: the policy's session once more, in case the upstream did not take it with the call."""
        commands = _without_words(super().begin(now_ms, first))
        self._opens = bool(commands)
        return commands

    def upstream_passes(self, frame: bytes, now_ms: float) -> bool:
        """Never: there is nobody to pass it to."""
        return False

    def from_upstream(self, frame: bytes, now_ms: int) -> Sequence[Command]:
        """Follow an event of the upstream."""
        if self.wake_at_ms is None:
            return []
        setbacks = self._setbacks(frame)
        if setbacks and not self._breaches.refused(now_ms):
            return [CloseCall(BROKE_A_RULE, "too many changes against the policy", "caller")]
        return [*setbacks, *_without_words(super().from_upstream(frame, now_ms))]

    def allow(self, allowance: Allowance, now_ms: int) -> Sequence[Command]:
        """The user's allowance has been counted anew."""
        return _without_words(super().allow(allowance, now_ms))

    def wake(self, now_ms: int) -> Sequence[Command]:
        """`wake_at_ms` has come."""
        return _without_words(super().wake(now_ms))

    def _setbacks(self, frame: bytes) -> list[Command]:
        try:
            event = msgspec.json.decode(frame)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return []
        kind = event.get("type") if isinstance(event, dict) else None
        # a policy that opens with nothing holds what the upstream began with
        if kind == "session.updated" or (kind == "session.created" and not self._opens):
            return self._set_back(event.get("session"))
        if kind == "conversation.item.added":
            return self._delete(event.get("item"))
        return []

    def _set_back(self, session: Any) -> list[Command]:
        """The first session reported is the policy's own; what it holds at locked places is to stay."""
        locked: Json = {}
        for lock in self._rules.locked:
            _copy(session, locked, path_of(lock))
        if self._locked is None:
            self._locked = locked
        if locked == self._locked:
            return []
        back = {"type": "realtime", **self._locked}
        # the model cannot change, and repeating it is of no use
        back.pop("model", None)
        update = {"type": "session.update", "event_id": self._new_event_id("event"), "session": back}
        return [ToUpstream(canonical(update))]

    def _delete(self, item: Any) -> list[Command]:
        """The model speaks as the assistant, so a message in that role may be its own; one of the system's is not."""
        role = item.get("role") if isinstance(item, dict) else None
        if role in (None, "user", "assistant") or role in self._rules.roles:
            return []
        deletion = {
            "type": "conversation.item.delete",
            "event_id": self._new_event_id("event"),
            "item_id": item.get("id"),
        }
        return [ToUpstream(canonical(deletion))]


def _copy(source: Any, target: Json, path: tuple[str, ...]) -> None:
    """What stands at `path`, to the same place of another object; nothing where it is not set."""
    *folders, last = path
    for folder in folders:
        source = source.get(folder) if isinstance(source, dict) else None
    if isinstance(source, dict) and last in source:
        for folder in folders:
            target = target.setdefault(folder, {})
        target[last] = source[last]


def _without_words(commands: Sequence[Command]) -> list[Command]:
    return [command for command in commands if not isinstance(command, ToCaller)]
