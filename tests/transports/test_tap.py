from __future__ import annotations

import asyncio

from duologue.transports.memory import memory_pair
from duologue.transports.tap import Direction, tap


class Notes:
    def __init__(self, fail: bool = False) -> None:
        self.seen: list[tuple[str, bytes | str, int]] = []
        self.fail = fail

    def record(self, direction: Direction, frame: bytes | str, now_ms: int) -> None:
        if self.fail:
            raise OSError("disk full")
        self.seen.append((direction, frame, now_ms))


def test_both_directions_are_copied_with_their_time() -> None:
    async def story() -> None:
        near, far = memory_pair()
        notes = Notes()
        tapped = tap(near, notes, iter(range(10, 20)).__next__)
        await tapped.send(b"there")
        await far.send(b"back")
        await far.close(1001, "bye")
        assert [frame async for frame in tapped] == [b"back"]
        assert notes.seen == [("sent", b"there", 10), ("received", b"back", 11)]
        assert tapped.closed is not None
        assert tapped.closed.code == 1001

    asyncio.run(story())


def test_a_failing_sink_does_not_touch_the_connection() -> None:
    async def story() -> None:
        near, far = memory_pair()
        tapped = tap(near, Notes(fail=True), lambda: 0)
        await tapped.send(b"one")
        await tapped.send(b"two")
        await tapped.close()
        assert [frame async for frame in far] == [b"one", b"two"]

    asyncio.run(story())
