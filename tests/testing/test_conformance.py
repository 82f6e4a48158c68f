"""Our own transports keep what a transport must keep; and a transport that breaks a rule is told so by its check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from sockets import without_picows
from websockets.asyncio.server import ServerConnection, serve

from duologue.clock import monotonic_ms
from duologue.errors import TransportClosed
from duologue.testing.conformance import (
    CHECKS,
    Check,
    Pair,
    Traits,
    a_close_is_final,
    a_close_wakes_the_sender,
    a_slow_reader_holds_the_sender,
    frames_are_handed_over_as_they_come,
    frames_arrive_whole,
    frames_come_before_the_close,
    frames_keep_their_order,
    name_of,
    reading_can_be_cancelled,
)
from duologue.transports.base import EventTransport
from duologue.transports.memory import MemoryTransport, memory_pair
from duologue.transports.tap import tap
from duologue.transports.websocket import WebSocketTransport, connect

Ends = AsyncIterator[tuple[EventTransport, EventTransport]]


@asynccontextmanager
async def memory() -> Ends:
    yield memory_pair()


@asynccontextmanager
async def tapped() -> Ends:
    class Counter:
        def record(self, direction: object, frame: bytes | str, now_ms: int) -> None:
            assert frame

    near, far = memory_pair()
    yield tap(near, Counter(), monotonic_ms), tap(far, Counter(), monotonic_ms)


@asynccontextmanager
async def websocket() -> Ends:
    """Both ends of a real connection; the server's is wrapped by the same class."""
    met: asyncio.Future[EventTransport] = asyncio.get_running_loop().create_future()

    async def peer(socket: ServerConnection) -> None:
        met.set_result(WebSocketTransport(socket))  # type: ignore[arg-type]
        await socket.wait_closed()

    async with serve(peer, "127.0.0.1", 0, compression=None, max_size=None) as server:
        near = await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        far = await met
        yield near, far
        await near.close()
        await far.close()


@asynccontextmanager
async def data_channel() -> Ends:
    """The events' channel of a call between two peers of our own."""
    from duologue.transports.rtc_peer import Peer

    near, far = Peer(loopback=True), Peer(loopback=True)
    try:
        await near.accept(await far.answer(await near.offer()))
        await asyncio.gather(near.connected(), far.connected())
        yield near, far
    finally:
        await asyncio.gather(near.close(), far.close())


WIRES = {
    "memory": (memory, Traits()),
    "tapped": (tapped, Traits()),
    "websocket of picows": (websocket, Traits()),
    "websocket": (websocket, Traits()),
    # A channel carries no close code, and what it received it cannot leave with its sender.
    "data_channel": (data_channel, Traits(frame_bytes=65_536, codes=False, pressure_bytes=0)),
}


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("wire", WIRES)
def test_every_transport_keeps_the_rules(wire: str, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    if wire == "websocket":
        without_picows(monkeypatch)
    pair, traits = WIRES[wire]
    asyncio.run(asyncio.wait_for(check(pair, traits), 90))  # type: ignore[arg-type]


class Broken:
    """A memory transport that keeps to everything but what a subclass does wrong."""

    def __init__(self, inner: MemoryTransport) -> None:
        self.inner = inner

    @property
    def closed(self) -> TransportClosed | None:
        return self.inner.closed

    async def send(self, frame: bytes) -> None:
        await self.inner.send(frame)

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        async for frame in self.inner:
            yield frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.inner.close(code, reason)


class Swapping(Broken):
    held: bytes | None = None

    async def send(self, frame: bytes) -> None:
        held, self.held = self.held, frame if self.held is None else None
        if held is not None:
            await self.inner.send(frame)
            await self.inner.send(held)


class Splitting(Broken):
    async def send(self, frame: bytes) -> None:
        for start in range(0, len(frame), 65_536):
            await self.inner.send(frame[start : start + 65_536])


class Hasty(Broken):
    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        async for frame in self.inner:
            if self.inner.closed is not None:
                return
            yield frame


class Codeless(Broken):
    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.inner.close(1000, "")


class Repeating(Broken):
    ended: TransportClosed | None = None

    async def send(self, frame: bytes) -> None:
        try:
            await self.inner.send(frame)
        except TransportClosed as why:
            self.ended = self.ended or why
            raise self.ended from None


class Greedy(Broken):
    """Takes a frame out of the queue before it waits once more."""

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        taken = self.inner.__aiter__()
        frames = [await anext(taken), await anext(taken)]
        for frame in frames:
            yield frame


class Forgetful(Broken):
    """Hands over what comes, and not what waits."""

    async def deliver(self, take: Callable[[bytes | str], None]) -> None:
        self.inner._in.frames.clear()
        async for frame in self.inner:
            take(frame)


class Boundless(Broken):
    def __init__(self, inner: MemoryTransport) -> None:
        super().__init__(inner)
        inner._out.capacity = 10**9


class Deaf(Broken):
    """Its sender never learns that the peer has gone."""

    async def send(self, frame: bytes) -> None:
        if self.inner.closed is None:
            try:
                await self.inner.send(frame)
            except TransportClosed:
                return


class Stuck(Broken):
    """Never ends."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        return


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Swapping, frames_keep_their_order),
        (Splitting, frames_arrive_whole),
        (Hasty, frames_come_before_the_close),
        (Codeless, frames_come_before_the_close),
        (Repeating, a_close_is_final),
        (Stuck, a_close_is_final),
        (Greedy, reading_can_be_cancelled),
        (Forgetful, frames_are_handed_over_as_they_come),
        (Boundless, a_slow_reader_holds_the_sender),
        (Deaf, a_close_wakes_the_sender),
    ],
)
def test_a_broken_transport_is_found(broken: type[Broken], check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duologue.testing.conformance.PATIENCE_S", 2.0)

    @asynccontextmanager
    async def pair() -> Ends:
        near, far = memory_pair()
        yield broken(near), broken(far)

    wire: Pair = pair
    with pytest.raises(AssertionError):
        asyncio.run(check(wire, Traits(pressure_bytes=32 * 1024 * 1024)))
