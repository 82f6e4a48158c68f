"""The two ends of a connection as the relay sees them: a line that carries text frames, and an ear that listens to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

NO_STATUS, VANISHED = 1005, 1006
"""Close codes that say what was missing, and never travel: a close frame without a code, and no close frame at all."""
REASON_BYTES = 123
"""What a close frame has room for."""


class Sender(Protocol):
    """Takes frames."""

    def send(self, frame: bytes, /) -> object:
        """Send a text frame. Never waits; an ear that is told `full` should see to it that less is sent."""


class Line(Sender, Protocol):
    """One open connection. After `close`, or once it has ended, everything else does nothing."""

    @property
    def gone(self) -> bool:
        """True where the system knows that the peer has left, even if nothing is taken in."""

    def pause(self) -> None:
        """Take nothing in until `resume`: the peer is to feel that nobody reads."""

    def resume(self) -> None:
        """Take in again."""

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye; the connection ends within a bound, whatever the peer does."""


class Ear(Protocol):
    """Whoever listens to a line. Called in order, never again after `ended`.

    A whole text frame, in whatever encoding, is given to `hands_on`, or where each step counts: if it `passes`, it is
    counted in `passed` and sent `onto` the other line.
    """

    passes: Callable[[bytes, float], bool]
    """True for a frame that needs nothing but to be handed on, as it is; the time in ms is given too."""
    onto: Sender
    passed: int

    def heard(self, frame: bytes) -> None:
        """A whole text frame in valid UTF-8 that did not pass."""

    def heard_binary(self) -> None:
        """A frame that is no text, which the protocol does not know."""

    def full(self) -> None:
        """The peer reads more slowly than it is sent to."""

    def room(self) -> None:
        """The peer has caught up."""

    def ended(self, code: int, reason: str) -> None:
        """The connection is over, with the peer's close code or, where the relay closed it first, with the relay's."""


class Request(Struct, frozen=True, kw_only=True):
    """What asks for a WebSocket. Header names in lower case; `peer` is the address at the other end."""

    path: str
    query: str
    headers: Mapping[str, str]
    peer: str

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What the client offered, in its order."""
        names = (name.strip() for name in self.headers.get("sec-websocket-protocol", "").split(","))
        return tuple(filter(None, names))


class Refusal(Struct, frozen=True, kw_only=True):
    """No WebSocket: this HTTP answer instead."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Welcome(Struct, frozen=True, kw_only=True):
    """The WebSocket is opened, with this subprotocol, and `meet` says who listens to it."""

    subprotocol: str | None
    meet: Callable[[Line], Ear]


Gate = Callable[[Request], Refusal | Welcome]


def hands_on(ear: Ear, frame: bytes, now_ms: float) -> bool:
    """True where the frame needed nothing more."""
    if not ear.passes(frame, now_ms):
        return False
    ear.passed += 1
    ear.onto.send(frame)
    return True


def never(_frame: bytes, _now_ms: float) -> bool:
    """Of a line on which nothing passes unread."""
    return False


class _Nowhere:
    __slots__ = ()

    def send(self, frame: bytes, /) -> None:
        """Drop it."""


NOWHERE = _Nowhere()
"""Takes frames and sends nothing."""


def sendable(code: int) -> bool:
    """True for a close code that may stand in a close frame."""
    return code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014) or 3000 <= code <= 4999


def short(reason: str) -> str:
    """A reason cut to what a close frame has room for."""
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")
