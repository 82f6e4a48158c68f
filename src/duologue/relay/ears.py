"""Who listens to a call's two lines: audio in its exact shape is forwarded from here, all else goes to the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from duologue.relay.lines import NOWHERE, Sender, never

if TYPE_CHECKING:
    from duologue.relay.call import Call

Passes = Callable[[bytes, float], bool]


class CallerEar:
    """Listens to the caller."""

    __slots__ = ("_call", "onto", "passed", "passes")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.passes: Passes = self._passes_later if call.plain else never
        """As in `Ear`."""
        self.onto: Sender = NOWHERE
        self.passed = 0

    def _passes_later(self, frame: bytes, now_ms: float) -> bool:
        """Until both ends are there; from then on the judge is asked without detours."""
        if self._call.upstream is None or self._call.judge is None:
            return False
        self.passes, self.onto = self._call.judge.caller_passes, self._call.upstream
        return self.passes(frame, now_ms)

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
        self._call.from_caller += self.passed
        self._call.caller_gone(code, reason)


class UpstreamEar:
    """Listens to the upstream."""

    __slots__ = ("_call", "onto", "passed", "passes")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.passes: Passes = self._passes_later if call.plain else never
        """As in `Ear`."""
        self.onto: Sender = NOWHERE
        self.passed = 0

    def _passes_later(self, frame: bytes, now_ms: float) -> bool:
        """As in `CallerEar`."""
        if self._call.caller is None or self._call.judge is None:
            return False
        self.passes, self.onto = self._call.judge.upstream_passes, self._call.caller
        return self.passes(frame, now_ms)

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
        self._call.from_upstream += self.passed
        self._call.upstream_gone(code, reason)
