"""What carries Realtime events: one JSON event a frame, in order, both ways.

A transport of your own needs the four members of EventTransport and no base class. Hand it, open, to whatever takes a
`transport=` (RealtimeClient, RealtimeSession, ThinClient), or a function that opens one, so that a drop can be mended. Keep
this, and let `duologue.testing.conformance` check it:

- What was sent before a close is still delivered; only then does iteration end.
- `closed` is set from the moment at which either side ended it, and never changes after. Raise `closed.again()`.
- `send` waits, and never drops. Where the wire itself cannot wait, bound what is held and end the connection beyond.
- Cancelling a reader loses no frame.
- Where frames can be handed over without a queue, be a DirectTransport as well: for a stream of sound that is cheaper.
- What opens it raises ConnectFailed, with `retryable` where a second attempt may help, and keeps the key nowhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol, runtime_checkable

from duologue.errors import TransportClosed


class BinaryFrame(bytes):
    """A frame that was not text. The protocol has none; a server answers it with an error."""


class EventTransport(Protocol):
    """One connection to a peer. Implemented by WebSockets, the memory pair, WebRTC data channels and your own.

    Frames are whole JSON texts, `bytes` in UTF-8 or `str`, whichever the wire hands out cheaper.
    """

    @property
    def closed(self) -> TransportClosed | None:
        """Why the connection ended; None while it is open."""

    async def send(self, frame: bytes) -> None:
        """Hand one frame to the wire; waits while the peer reads too slowly. Raises TransportClosed.

        Cancelling it may leave the frame sent or unsent, never half sent.
        """

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Frames as they come; ends when the connection ends, `closed` then says why. One reader at a time."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection; a second call does nothing."""


@runtime_checkable
class DirectTransport(EventTransport, Protocol):
    """One that can also hand each frame over in the moment it is read, with no queue and no task in between."""

    async def deliver(self, take: Callable[[bytes | str], None]) -> None:
        """Instead of iterating: call `take`, which must not raise, with each frame; returns when the connection has ended.

        Cancelling it loses no frame: it can be called again, and iteration goes on where it stopped.
        """
