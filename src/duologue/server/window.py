"""What the model can still read: whole items leave from the front when the context is full, and the cache is estimated."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET, Struct

from duologue.errors import ProtocolError
from duologue.protocol.items import FunctionCall, FunctionCallOutput, Item
from duologue.protocol.responses import CachedTokens, InputTokens
from duologue.protocol.session import RetentionRatio, TokenLimits
from duologue.server.usage import add, item_tokens, tokens_of

LONGEST_ANSWER = 4096
"""Tokens set aside for the answer, but never more than half of the context."""
CACHE_BLOCK = 64


class Reading(Struct, frozen=True, kw_only=True):
    """What one response reads: the items that fit, what they cost, and what had to go this time."""

    items: tuple[Item, ...]
    read: InputTokens
    dropped_ids: tuple[str, ...] = ()


class Window:
    """The context of one session's model. What was dropped once stays dropped, so that the cache stays warm."""

    def __init__(self, context_tokens: int) -> None:
        self._usable = context_tokens - min(LONGEST_ANSWER, context_tokens // 2)
        self._gone: set[str] = set()
        self._last: list[tuple[object, InputTokens]] = []

    def read(
        self,
        items: tuple[Item, ...],
        preamble: tuple[str, ...],
        spoken_ms: Callable[[Item], int],
        truncation: str | RetentionRatio,
        *,
        in_conversation: bool,
    ) -> Reading:
        """Choose what to read. `preamble` is what stands before all items: instructions and tools.

        Raises ProtocolError `context_length_exceeded` where truncation is off, or where even the last item is too long.
        """
        start = InputTokens(text_tokens=sum(map(tokens_of, preamble)))
        costs = {id(item): item_tokens(item, spoken_ms) for item in items}
        room = self._usable - start.text_tokens
        if isinstance(truncation, RetentionRatio) and isinstance(truncation.token_limits, TokenLimits):
            limit = truncation.token_limits.post_instructions
            room = room if limit is UNSET else min(room, limit)
        kept = [item for item in items if str(item.id) not in self._gone]
        sizes = {key: cost.text_tokens + cost.audio_tokens + cost.image_tokens for key, cost in costs.items()}
        total = sum(sizes[id(item)] for item in kept)
        dropped: list[Item] = []
        if total > room:
            if truncation == "disabled":
                raise _full(total + start.text_tokens, self._usable)
            ratio = truncation.retention_ratio if isinstance(truncation, RetentionRatio) else 1.0
            kept, dropped = _shorten(kept, sizes, room * ratio)
            total = sum(sizes[id(item)] for item in kept)
            if total > room:
                raise _full(total + start.text_tokens, self._usable)
        pieces: list[tuple[object, InputTokens]] = [(preamble, start), *((item, costs[id(item)]) for item in kept)]
        read = self._with_cache(pieces)
        ids = tuple(str(item.id) for item in dropped)
        if in_conversation:
            self._gone.update(ids)
            self._last = pieces
        return Reading(items=tuple(kept), read=read, dropped_ids=ids)

    def forget(self, item_id: str) -> None:
        """The item is gone or new: one that is put in again under its old id is read again."""
        self._gone.discard(item_id)

    def _with_cache(self, pieces: list[tuple[object, InputTokens]]) -> InputTokens:
        """All tokens, with those of the unchanged beginning counted as cached, in whole blocks."""
        whole, same, unchanged = InputTokens(), InputTokens(), True
        for index, (piece, cost) in enumerate(pieces):
            unchanged = unchanged and index < len(self._last) and self._last[index][0] == piece
            whole = add(whole, cost)
            same = add(same, cost) if unchanged else same
        known = same.text_tokens + same.audio_tokens + same.image_tokens
        cached = known // CACHE_BLOCK * CACHE_BLOCK
        audio = min(same.audio_tokens, cached)
        image = min(same.image_tokens, cached - audio)
        return InputTokens(
            text_tokens=whole.text_tokens,
            audio_tokens=whole.audio_tokens,
            image_tokens=whole.image_tokens,
            cached_tokens=cached,
            cached_tokens_details=CachedTokens(
                text_tokens=cached - audio - image, audio_tokens=audio, image_tokens=image
            ),
        )


def _shorten(items: list[Item], sizes: dict[int, int], target: float) -> tuple[list[Item], list[Item]]:
    """Drop from the front until `target` is met; the last item stays, and calls go together with their outputs."""
    total = sum(sizes[id(item)] for item in items)
    last = items[-1]
    needed = last.call_id if isinstance(last, FunctionCallOutput) else None
    going: set[int] = set()
    for item in items[:-1]:
        if total <= target:
            break
        if id(item) in going or (isinstance(item, FunctionCall) and item.call_id == needed):
            continue
        leaving = [item]
        if isinstance(item, FunctionCall):
            leaving += [i for i in items if isinstance(i, FunctionCallOutput) and i.call_id == item.call_id]
        for gone in leaving:
            if id(gone) not in going:
                going.add(id(gone))
                total -= sizes[id(gone)]
    return [i for i in items if id(i) not in going], [i for i in items if id(i) in going]


def _full(tokens: int, usable: int) -> ProtocolError:
    return ProtocolError(
        f"The conversation has {tokens} tokens, but the model can read {usable}. "
        "Delete items, or set 'truncation' to 'auto' or to a retention ratio.",
        code="context_length_exceeded",
    )
