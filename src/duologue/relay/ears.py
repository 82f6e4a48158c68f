"""Who listens to a call's two lines: audio in its exact shape is forwarded from here, all else goes to the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from duologue.clock import monotonic_s

if TYPE_CHECKING:
    from duologue.relay.call import Call


Passes = Callable[[bytes], bool]


class CallerEar:
    """Listens to the caller."""

    __slots__ = ("_call", "passes")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.passes: Passes = self._passes_later if call.plain else _never
        """As in `Ear`."""

    def _passes_later(self, frame: bytes) -> bool:
        """Until both ends are there; from then on a function that has all it needs at hand."""
        if self._call.upstream is None or self._call.judge is None:
            return False
        self.passes = _from_caller(self._call, self._call.judge.caller_passes, self._call.upstream.send)
        return self.passes(frame)

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

    __slots__ = ("_call", "passes")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.passes: Passes = self._passes_later if call.plain else _never
        """As in `Ear`."""

    def _passes_later(self, frame: bytes) -> bool:
        """As in `CallerEar`."""
        if self._call.caller is None or self._call.judge is None:
            return False
        self.passes = _from_upstream(self._call, self._call.judge.upstream_passes, self._call.caller.send)
        return self.passes(frame)

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


def _never(_: bytes) -> bool:
    return False


def _from_caller(call: Call, judged: Callable[[bytes, float], bool], send: Callable[[bytes], None]) -> Passes:
    def passes(frame: bytes) -> bool:
        if judged(frame, clock() * 1000):
            call.from_caller += 1
            send(frame)  # does nothing once the line is closed
            return True
        return False

    clock = monotonic_s
    return passes


def _from_upstream(call: Call, judged: Callable[[bytes, float], bool], send: Callable[[bytes], None]) -> Passes:
    def passes(frame: bytes) -> bool:
        if judged(frame, clock() * 1000):
            call.from_upstream += 1
            send(frame)
            return True
        return False

    clock = monotonic_s
    return passes
