from __future__ import annotations

import asyncio

from duologue.console.hub import Speaker


class Slow:
    """A socket that takes its time."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.sending = asyncio.Event()

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)
        self.sending.set()

    async def send_text(self, data: str) -> None:
        raise AssertionError(data)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        pass


def test_a_speaker_that_is_cancelled_leaves_no_task_behind() -> None:
    async def story() -> None:
        socket = Slow()
        speaker = Speaker(socket)
        running = asyncio.create_task(speaker.run())
        speaker.send(b"one")
        await socket.sending.wait()
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert socket.sent == [b"one"]

    asyncio.run(story())
