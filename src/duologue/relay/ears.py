"""Who listens to a call's two lines: audio in its exact shape is forwarded from here, all else goes to the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duologue.clock import monotonic_ms

if TYPE_CHECKING:
    from duologue.relay.call import Call


class CallerEar:
    """Listens to the caller."""

    __slots__ = ("_call", "_plain")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._plain = call.plain

    def passes(self, frame: bytes) -> bool:
        """As in `Ear`."""
        call = self._call
        upstream, judge = call.upstream, call.judge
        if upstream is None or judge is None or not self._plain:
            return False
        if not judge.caller_passes(frame, monotonic_ms()):
            return False
        call.from_caller += 1
        upstream.send(frame)
        return True

    def heard(self, frame: bytes) -> None:
        """As in `Ear`."""
        self._call.record(True, frame)
        self._call.judge_caller(frame)

    def heard_binary(self) -> None:
        """As in `Ear`."""
        self._call.judge_caller(b"a binary frame")

    def full(self) -> None:
        """As in `Ear`."""
        self._call.full("caller", self._call.upstream)

    def room(self) -> None:
        """As in `Ear`."""
        self._call.room("caller", self._call.upstream)

    def ended(self, code: int, reason: str) -> None:
        """As in `Ear`."""
        self._call.caller_gone(code, reason)


class UpstreamEar:
    """Listens to the upstream."""

    __slots__ = ("_call", "_plain")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._plain = call.plain

    def passes(self, frame: bytes) -> bool:
        """As in `Ear`."""
        call = self._call
        caller, judge = call.caller, call.judge
        if caller is None or judge is None or not self._plain:
            return False
        if not judge.upstream_passes(frame, monotonic_ms()):
            return False
        call.from_upstream += 1
        caller.send(frame)
        return True

    def heard(self, frame: bytes) -> None:
        """As in `Ear`."""
        self._call.judge_upstream(frame)

    def heard_binary(self) -> None:
        """An upstream that sends no text says nothing to anybody."""

    def full(self) -> None:
        """As in `Ear`."""
        self._call.full("upstream", self._call.caller)

    def room(self) -> None:
        """As in `Ear`."""
        self._call.room("upstream", self._call.caller)

    def ended(self, code: int, reason: str) -> None:
        """As in `Ear`."""
        self._call.upstream_gone(code, reason)
