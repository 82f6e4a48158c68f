"""The order of a conversation: items chained by the id of their predecessor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Unplaceable(LookupError):
    """`previous_item_id` names an item that is not there."""


class History(Generic[T]):
    """Items by id, in order. Appending, replacing and looking up cost the same however long the conversation is."""

    def __init__(self) -> None:
        self._items: dict[str, T] = {}
        self._before: dict[str, str | None] = {}
        self._after: dict[str | None, str] = {}
        self._last: str | None = None

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def __iter__(self) -> Iterator[str]:
        current = self._after.get(None)
        while current is not None:
            yield current
            current = self._after.get(current)

    @property
    def last_id(self) -> str | None:
        """Id of the last item, None in an empty conversation."""
        return self._last

    def get(self, item_id: str) -> T | None:
        """The item, or None."""
        return self._items.get(item_id)

    def values(self) -> Iterator[T]:
        """All items, first to last."""
        return (self._items[item_id] for item_id in self)

    def previous_id(self, item_id: str) -> str | None:
        """Id of the item before, None for the first."""
        return self._before[item_id]

    def insert(self, item_id: str, item: T, after: str | None) -> None:
        """Put an item right after `after` (None: first). Raises Unplaceable. A known id is replaced where it stands."""
        if item_id in self._items:
            self._items[item_id] = item
            return
        if after is not None and after not in self._items:
            raise Unplaceable(after)
        follower = self._after.get(after)
        self._items[item_id] = item
        self._before[item_id] = after
        self._after[after] = item_id
        if follower is None:
            self._last = item_id
        else:
            self._before[follower] = item_id
            self._after[item_id] = follower

    def append(self, item_id: str, item: T) -> None:
        """Put an item last."""
        self.insert(item_id, item, self._last)

    def replace(self, item_id: str, item: T) -> None:
        """Change an item that is there; its place stays."""
        if item_id not in self._items:
            raise Unplaceable(item_id)
        self._items[item_id] = item

    def delete(self, item_id: str) -> T | None:
        """Take an item out and close the chain over it; None where it was not there."""
        if item_id not in self._items:
            return None
        before = self._before.pop(item_id)
        after = self._after.pop(item_id, None)
        if after is None:
            self._after.pop(before, None)
            self._last = before
        else:
            self._after[before] = after
            self._before[after] = before
        return self._items.pop(item_id)
