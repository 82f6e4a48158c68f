"""What every EventTransport must keep, as checks that you can run on one of your own.

A check gets a function that opens a pair: two transports that face each other. Yours is at least one of the two.

    @asynccontextmanager
    async def pair():
        near, far = await my_pair()
        yield near, far
        await near.close()

    @pytest.mark.parametrize("check", conformance.CHECKS, ids=conformance.name_of)
    def test_my_transport(check):
        asyncio.run(check(pair, conformance.Traits()))

Every check raises AssertionError with what was broken, and lets exceptions of the transport through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from msgspec import Struct

from duologue.errors import TransportClosed
from duologue.transports.base import DirectTransport, EventTransport

Pair = Callable[[], AbstractAsyncContextManager[tuple[EventTransport, EventTransport]]]
PATIENCE_S = 20.0
_QUIET_S = 0.5
_MOMENT_S = 0.02


class Traits(Struct, frozen=True, kw_only=True):
    """What the wire below can do. Leave out nothing that yours could."""

    frame_bytes: int = 4 * 1024 * 1024
    """The largest frame that must pass."""
    codes: bool = True
    """The code and reason of a close reach the peer."""
    pressure_bytes: int = 64 * 1024 * 1024
    """`send` waits for a peer that reads nothing before so much is under way; 0 where the wire cannot tell."""


Check = Callable[[Pair, Traits], Awaitable[None]]


def name_of(check: Check) -> str:
    """A check's name, for the list of a test run."""
    return getattr(check, "__name__", str(check))


def data(frame: bytes | str) -> bytes:
    """A frame as bytes, whichever way the wire handed it out."""
    return frame.encode() if isinstance(frame, str) else bytes(frame)


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """As long as a check waits for what has to come. Raises AssertionError."""
    try:
        async with asyncio.timeout(seconds) as timer:
            yield
    except TimeoutError:
        if not timer.expired():
            raise
        raise AssertionError(
            f"after {seconds:g} s it still waits: for a frame, an end or a call that returns"
        ) from None


async def frames_keep_their_order(pair: Pair, traits: Traits) -> None:
    """Both directions at once, a thousand frames each, nothing lost, doubled or swapped."""
    frames = [b'{"n":%d}' % n for n in range(1000)]

    async def send(end: EventTransport) -> None:
        for frame in frames:
            await end.send(frame)

    async with pair() as (near, far), patience(PATIENCE_S), _beside(send(near), send(far)):
        for name, end in (("near", near), ("far", far)):
            got = await _take(end, len(frames))
            assert got == frames, f"what {name} read is not what was sent, or not in that order"


async def frames_arrive_whole(pair: Pair, traits: Traits) -> None:
    """Empty objects, any script, line ends and the largest frame: each arrives as one, byte for byte."""
    large = b'{"audio":"' + b"QUJD" * ((traits.frame_bytes - 12) // 4) + b'"}'
    frames = [b"{}", '{"text":"안녕 🎙️ é"}'.encode(), b'{"a":\r\n"b\\u0000"}', large, b'{"after":1}']

    async def send(end: EventTransport) -> None:
        for frame in frames:
            await end.send(frame)

    for reverse in (False, True):
        async with pair() as ends, patience(PATIENCE_S):
            near, far = reversed(ends) if reverse else ends
            async with _beside(send(near)):
                got = await _take(far, len(frames))
            assert [len(frame) for frame in got] == [len(frame) for frame in frames], "frames were split or joined"
            assert got == frames, "a frame was changed on its way"


async def frames_come_before_the_close(pair: Pair, traits: Traits) -> None:
    """What was sent before a close is delivered; then iteration ends, and both ends say how the connection ended."""
    frames = [b'{"n":%d,"pad":"%s"}' % (n, b"x" * 1000) for n in range(50)]
    for reverse in (False, True):
        async with pair() as ends, patience(PATIENCE_S):
            near, far = reversed(ends) if reverse else ends
            assert near.closed is None, "an open connection says that it has ended"
            assert far.closed is None, "an open connection says that it has ended"
            for frame in frames:
                await near.send(frame)
            async with _beside(near.close(4001, "enough")):
                # The close is on its way before the first frame is read.
                await asyncio.sleep(_MOMENT_S)
                got = [data(frame) async for frame in far]
            assert got == frames, f"{len(frames) - len(got)} frames that were sent before the close are missing"
            assert far.closed is not None, "iteration ended, and `closed` is still None"
            assert far.closed.by == "peer", "an end that the peer made is not told as the peer's"
            if traits.codes:
                ended = (far.closed.code, far.closed.reason)
                assert ended == (4001, "enough"), f"the peer closed with 4001 (enough), told was {far.closed}"
            assert near.closed is not None, "`closed` is None after close()"
            assert (near.closed.code, near.closed.by) == (4001, "us"), f"our own close is told as {near.closed}"


async def a_close_is_final(pair: Pair, traits: Traits) -> None:
    """A second close does nothing; sending raises TransportClosed, each time an exception of its own; a reader ends."""
    async with pair() as (near, far), patience(PATIENCE_S):
        reader = asyncio.create_task(_rest(near), name="conformance reader")
        await asyncio.sleep(_MOMENT_S)
        await near.close(1000, "done")
        await near.close(4000, "again")
        assert await reader == [], "a reader got frames that nobody sent"
        assert near.closed is not None, "`closed` is None after close()"
        assert near.closed.code == 1000, "a second close changed the first"
        await _rest(far)
        for end in (near, far):
            raised = [await _refusal(end) for _ in range(2)]
            assert raised[0] is not raised[1], "the same exception was raised twice: its traceback grows"
            assert raised[0] is not end.closed, "`closed` itself was raised: its traceback keeps frames alive"


async def reading_can_be_cancelled(pair: Pair, traits: Traits) -> None:
    """A reader that is cancelled loses no frame: the next one goes on where it was."""
    async with pair() as (near, far), patience(PATIENCE_S):
        for n in range(5):
            waiting = asyncio.create_task(_take(far, 1), name="conformance reader")
            await asyncio.sleep(_MOMENT_S if n % 2 else 0)
            waiting.cancel()
            await asyncio.wait([waiting])
            await near.send(b'{"n":%d}' % n)
            got = await _take(far, 1)
            assert got == [b'{"n":%d}' % n], f"after a cancelled read came {got}"
        frames = [b'{"m":%d}' % n for n in range(100)]
        for frame in frames:
            await near.send(frame)
        got = []
        while len(got) < len(frames):
            # Leaves the loop after each frame, as a caller does who waits for one answer.
            got += await _take(far, 1)
        assert got == frames, "a reader that left the loop lost frames"


async def frames_are_handed_over_as_they_come(pair: Pair, traits: Traits) -> None:
    """A DirectTransport hands out what came before, meanwhile and up to the close; one that is cancelled leaves the rest to
    another reader. Any other transport has nothing to keep here."""
    frames = [b'{"n":%d}' % n for n in range(200)]
    for reverse in (False, True):
        async with pair() as ends, patience(PATIENCE_S):
            near, far = reversed(ends) if reverse else ends
            if not isinstance(far, DirectTransport):
                continue
            got: list[bytes] = []
            half = asyncio.Event()

            def take(frame: bytes | str, got: list[bytes] = got, half: asyncio.Event = half) -> None:
                got.append(data(frame))
                if len(got) == 100:
                    half.set()

            await _send_all(near, frames[:50])
            await asyncio.sleep(_MOMENT_S)
            delivery = asyncio.create_task(far.deliver(take), name="conformance delivery")
            async with _beside(_send_all(near, frames[50:100])):
                await half.wait()
            delivery.cancel()
            await asyncio.wait([delivery])
            async with _beside(_send_all(near, frames[100:150])):
                got += await _take(far, 50)
            await _send_all(near, frames[150:])
            async with _beside(near.close()):
                await asyncio.sleep(_MOMENT_S)
                await far.deliver(take)
            assert got == frames, "frames were lost, doubled or swapped"
            assert far.closed is not None, "the delivery ended, and `closed` is still None"


async def a_slow_reader_holds_the_sender(pair: Pair, traits: Traits) -> None:
    """`send` waits while the peer does not read; a wait that is cancelled leaves no half frame; then all comes in order."""
    if not traits.pressure_bytes:
        return
    size = min(64 * 1024, traits.frame_bytes)
    count = traits.pressure_bytes // size
    sent = 0

    async def send(end: EventTransport, first: int) -> None:
        nonlocal sent
        for n in range(first, count):
            await end.send(b'{"n":%08d,"pad":"%s"}' % (n, b"x" * (size - 23)))
            sent = n + 1

    async with pair() as (near, far), patience(3 * PATIENCE_S):
        sending = asyncio.create_task(send(near, 0), name="conformance sender")
        before = -1
        while before != sent and not sending.done():
            before = sent
            await asyncio.sleep(_QUIET_S)
        assert not sending.done(), f"{traits.pressure_bytes} bytes were taken, and the peer had read none"
        sending.cancel()
        await asyncio.wait([sending])
        # The cancelled frame may have gone out or not; whatever follows it must be whole either way.
        resumed = sent + 1
        sending = asyncio.create_task(send(near, resumed), name="conformance sender")
        numbers: list[int] = []
        async for frame in far:
            numbers.append(int(data(frame)[5:13]))
            assert len(frame) == size, "a frame was cut"
            if numbers[-1] == count - 1:
                break
        await sending
        assert sorted(set(numbers)) == numbers, "frames were doubled or swapped"
        missing = set(range(count)) - set(numbers)
        assert missing <= {resumed - 1}, f"frames were lost: {sorted(missing)[:5]}"


async def a_close_wakes_the_sender(pair: Pair, traits: Traits) -> None:
    """A sender that waits for a slow reader learns that the peer has gone."""
    if not traits.pressure_bytes:
        return
    size = min(64 * 1024, traits.frame_bytes)
    frame = b'{"pad":"%s"}' % (b"x" * (size - 10))

    async def send(end: EventTransport) -> None:
        for _ in range(traits.pressure_bytes // size):
            await end.send(frame)

    async with pair() as (near, far), patience(2 * PATIENCE_S):
        sending = asyncio.create_task(send(near), name="conformance sender")
        await asyncio.sleep(_QUIET_S)
        await far.close(4002, "gone")
        outcome = (await asyncio.gather(sending, return_exceptions=True))[0]
        assert isinstance(outcome, TransportClosed), f"a sender to a peer that left ended with {outcome!r}"


CHECKS: tuple[Check, ...] = (
    frames_keep_their_order,
    frames_arrive_whole,
    frames_come_before_the_close,
    a_close_is_final,
    reading_can_be_cancelled,
    frames_are_handed_over_as_they_come,
    a_slow_reader_holds_the_sender,
    a_close_wakes_the_sender,
)
"""All checks, each independent of the others."""


@asynccontextmanager
async def _beside(*jobs: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run these meanwhile; they have ended after, whatever happens."""
    tasks = [asyncio.create_task(job, name="conformance") for job in jobs]
    try:
        yield
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _take(end: EventTransport, count: int) -> list[bytes]:
    got: list[bytes] = []
    frames: AsyncIterator[bytes | str] = end.__aiter__()
    while len(got) < count:
        try:
            got.append(data(await anext(frames)))
        except StopAsyncIteration:
            raise AssertionError(f"the connection ended after {len(got)} of {count} frames: {end.closed}") from None
    return got


async def _send_all(end: EventTransport, frames: list[bytes]) -> None:
    for frame in frames:
        await end.send(frame)


async def _rest(end: EventTransport) -> list[bytes]:
    return [data(frame) async for frame in end]


async def _refusal(end: EventTransport) -> TransportClosed:
    try:
        await end.send(b"{}")
    except TransportClosed as why:
        return why
    raise AssertionError("a frame was taken after the end")
