from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from duologue.client.backlog import Backlog


async def every(backlog: Backlog[int]) -> AsyncIterator[int]:
    while events := await backlog.some():
        while events:
            yield events.popleft()


def test_a_loop_gets_what_came_before_it_and_meanwhile_and_ends() -> None:
    async def story() -> None:
        backlog = Backlog(10, before=[1, 2])
        got: list[int] = []
        third = asyncio.Event()

        async def listen() -> None:
            async for number in every(backlog):
                got.append(number)
                if number == 2:
                    backlog.put(3)
                if number == 3:
                    third.set()

        loop = asyncio.create_task(listen(), name="loop")
        await third.wait()
        assert not loop.done()
        for number in (4, 5):
            backlog.put(number)
        backlog.end()
        backlog.put(6)
        await loop
        assert got == [1, 2, 3, 4, 5, 6]
        assert [number async for number in every(backlog)] == []

    asyncio.run(asyncio.wait_for(story(), 10))


def test_of_too_many_the_oldest_is_dropped() -> None:
    async def story() -> None:
        backlog: Backlog[int] = Backlog(2)
        for number in (1, 2, 3):
            backlog.put(number)
        backlog.hold(3)
        backlog.put(4)
        backlog.end()
        assert [number async for number in every(backlog)] == [2, 3, 4]

    asyncio.run(asyncio.wait_for(story(), 10))


def test_a_loop_that_was_cancelled_leaves_everything_to_the_next() -> None:
    async def story() -> None:
        backlog: Backlog[int] = Backlog(2)
        first = asyncio.create_task(backlog.some(), name="first")
        await asyncio.sleep(0)
        backlog.put(1)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        assert list(await backlog.some()) == [1]

    asyncio.run(asyncio.wait_for(story(), 10))


def test_two_loops_that_wait_are_both_woken() -> None:
    async def story() -> None:
        backlog: Backlog[int] = Backlog(2)
        loops = [asyncio.create_task(backlog.some(), name=f"loop {number}") for number in range(2)]
        await asyncio.sleep(0)
        backlog.put(1)
        await asyncio.gather(*loops)

    asyncio.run(asyncio.wait_for(story(), 10))
