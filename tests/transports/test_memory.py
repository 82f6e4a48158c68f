from __future__ import annotations

import asyncio

import pytest

from duologue.errors import TransportClosed
from duologue.transports.memory import memory_pair


def test_frames_arrive_in_order_and_before_the_close() -> None:
    async def story() -> None:
        near, far = memory_pair()
        for number in range(3):
            await near.send(b"%d" % number)
        await near.close(4000, "enough")
        assert [frame async for frame in far] == [b"0", b"1", b"2"]
        assert far.closed is not None
        assert (far.closed.code, far.closed.reason, far.closed.by) == (4000, "enough", "peer")
        assert near.closed is not None
        assert near.closed.by == "us"
        with pytest.raises(TransportClosed):
            await far.send(b"late")

    asyncio.run(story())


def test_a_full_direction_makes_the_sender_wait() -> None:
    async def story() -> None:
        near, far = memory_pair(2)
        await near.send(b"1")
        await near.send(b"2")
        third = asyncio.create_task(near.send(b"3"))
        await asyncio.wait([third], timeout=0.01)
        assert not third.done()
        frames = far.__aiter__()
        assert await anext(frames) == b"1"
        await asyncio.wait_for(third, 1)
        assert [await anext(frames), await anext(frames)] == [b"2", b"3"]

    asyncio.run(story())


def test_a_close_frees_a_waiting_sender_and_a_waiting_reader() -> None:
    async def story() -> None:
        near, far = memory_pair(1)
        await near.send(b"1")
        sender = asyncio.create_task(near.send(b"2"))
        reader = asyncio.create_task(anext(near.__aiter__(), None))
        await asyncio.sleep(0)
        await far.close(1001, "gone")
        with pytest.raises(TransportClosed, match="1001"):
            await asyncio.wait_for(sender, 1)
        assert await asyncio.wait_for(reader, 1) is None

    asyncio.run(story())


def test_every_late_send_fails_with_an_exception_of_its_own() -> None:
    async def story() -> None:
        near, far = memory_pair()
        await far.close(1012, "restart")
        found = []
        for _ in range(2):
            with pytest.raises(TransportClosed) as caught:
                await near.send(b"{}")
            found.append(caught.value)
        assert found[0] is not found[1]
        assert [(end.code, end.reason, end.by) for end in found] == [(1012, "restart", "peer")] * 2
        assert near.closed is not None
        assert near.closed.__traceback__ is None

    asyncio.run(story())
