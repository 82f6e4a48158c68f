"""duologue.server.punctual: an engine that falls silent fails, one that goes on does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from duologue.errors import EngineError
from duologue.server.punctual import punctual


async def words(*, stuck: bool, closed: list[str]) -> AsyncIterator[str]:
    try:
        yield "one"
        yield "two"
        if stuck:
            await asyncio.Event().wait()
    finally:
        closed.append("closed")


def test_all_pieces_come_and_the_reader_may_take_its_time() -> None:
    async def story() -> list[str]:
        closed: list[str] = []
        found = []
        async for word in punctual(words(stuck=False, closed=closed), "engine", 0.01):
            await asyncio.sleep(0.03)  # longer than the engine may take
            found.append(word)
        return found + closed

    assert asyncio.run(story()) == ["one", "two", "closed"]


def test_silence_is_a_failure_with_a_cause_and_ends_the_engine_s_work() -> None:
    async def story() -> None:
        closed: list[str] = []
        told = punctual(words(stuck=True, closed=closed), "engine", 0.01)
        assert [await anext(told), await anext(told)] == ["one", "two"]
        with pytest.raises(EngineError, match="did not go on") as failed:
            await anext(told)
        assert closed == ["closed"]
        assert (failed.value.code, failed.value.retryable) == ("engine_timeout", True)

    asyncio.run(story())
