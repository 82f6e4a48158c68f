"""The queue that counts bytes."""

from __future__ import annotations

import asyncio

import pytest

from duologue.server.weighed import WeighedQueue


def test_it_is_full_by_weight_or_by_number_and_any_item_fits_when_it_is_not() -> None:
    async def story() -> None:
        queue: WeighedQueue[bytes] = WeighedQueue(items=3, weight=10, weigh=len)
        queue.put_nowait(b"x" * 50)
        assert (queue.weight, queue.full()) == (50, True)
        with pytest.raises(asyncio.QueueFull):
            queue.put_nowait(b"")
        assert await queue.get() == b"x" * 50
        for item in (b"1", b"2", b"3"):
            queue.put_nowait(item)
        assert (queue.weight, queue.full()) == (3, True)

    asyncio.run(story())


def test_who_waits_gets_in_by_and_by_and_in_order() -> None:
    async def story() -> None:
        queue: WeighedQueue[bytes] = WeighedQueue(items=100, weight=10, weigh=len)
        letters = [bytes([letter]) * 7 for letter in b"abcdef"]

        async def fill() -> None:
            for item in letters:
                await queue.put(item)

        filling = asyncio.create_task(fill(), name="fill")
        got = []
        for _ in letters:
            got.append(await asyncio.wait_for(queue.get(), 5))
            assert queue.weight < 10 + 7
        await filling
        assert got == letters
        assert queue.weight == 0

    asyncio.run(story())
