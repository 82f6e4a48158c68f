"""Engines that fall silent: what they produce, piece by piece, as long as each piece comes in its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import TypeVar

from duologue.errors import EngineError

ENGINE_SILENCE_S = 120.0
"""A large model on a small machine may be loaded first. HTTP engines have a shorter patience of their own."""

T = TypeVar("T")


async def punctual(pieces: AsyncIterable[T], engine: str, within_s: float) -> AsyncGenerator[T, None]:
    """The pieces as they come. Raises EngineError where the next takes longer; the reader may take its time with each.

    However it ends, closing it included, the engine's own generator is closed with it.
    """
    source = aiter(pieces)
    try:
        while True:
            try:
                async with asyncio.timeout(within_s):
                    piece = await anext(source)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise late(engine, within_s) from None
            yield piece
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


def late(engine: str, within_s: float) -> EngineError:
    """What is said of an engine that did not go on."""
    return EngineError(engine, f"it did not go on within {within_s:g} seconds.", code="engine_timeout", retryable=True)
