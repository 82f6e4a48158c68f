"""A queue that is bounded in items and in bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class WeighedQueue(asyncio.Queue[T]):
    """Full when it holds `items` items or `weight` bytes: the last one in may exceed the weight, so any item fits."""

    def __init__(self, *, items: int, weight: int, weigh: Callable[[T], int]) -> None:
        super().__init__(items)
        self._limit = weight
        self._weigh = weigh
        self.weight = 0

    def full(self) -> bool:
        """True if `put` would wait."""
        return super().full() or self.weight >= self._limit

    def _put(self, item: T) -> None:
        self.weight += self._weigh(item)
        super()._put(item)

    def _get(self) -> T:
        item: T = super()._get()
        self.weight -= self._weigh(item)
        return item
