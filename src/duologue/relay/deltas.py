"""Deltas of an exact shape, most of which look like the one before. Pure.

A delta may pass as it came where its bytes have one meaning to every reader of JSON: a head of plain ids and small numbers
in a fixed order, then sound or words, then the end. To match the head against a pattern costs more than all the rest. But
from one delta of a response to the next, nothing in it changes except the last part of the event's id. So the head that
matched last is remembered, with a gap where that part was: a frame with the very same bytes around the gap, and nothing but
letters and digits in it, would match as well.
"""

from __future__ import annotations

import re
from functools import cache

from duologue.relay.shapes import END, ID, TAIL, decode, ends_in_words

_NUMBER = rb"(?:0|[1-9]\d{0,3})"
_NONE = b"\x00"
"""No frame that is text begins so."""


@cache
def _pattern(types: tuple[str, ...]) -> re.Pattern[bytes]:
    names = "|".join(map(re.escape, types)).encode()
    return re.compile(
        rb'\{"type": ?"(?:' + names + rb')", ?"event_id": ?"(' + ID + rb')", ?"response_id": ?"(' + ID
        + rb')", ?"item_id": ?"(' + ID + rb')", ?"output_index": ?' + _NUMBER + rb', ?"content_index": ?' + _NUMBER
        + rb', ?"delta": ?"',
        re.ASCII,
    )  # fmt: skip


class Deltas:
    """Finds deltas of some types. `response_id` and `item_id` are those of the one that was proven last."""

    __slots__ = (
        "_before", "_front", "_gap", "_middle", "_pattern", "_rest", "_sound", "_start", "item_id", "response_id",
    )  # fmt: skip

    def __init__(self, *types: str) -> None:
        self._pattern = _pattern(types)
        self._before, self._rest = _NONE, b""
        self._front = self._gap = self._middle = self._sound = slice(0)
        self._start = 0
        self.response_id = self.item_id = ""

    def proves_sound(self, frame: bytes) -> bool:
        """True for a delta of sound and nothing else: as with `sound_bytes`, decoding is the proof."""
        # This runs for each 20 ms of each call: hence no call for what is spelled out in `_knows` as well, and slices that
        # are made once, which cost half of `startswith`.
        if not (
            frame[self._front] == self._before
            and frame[self._middle] == self._rest
            and frame[self._gap].isalnum()
        ) and not self._reads(frame):  # fmt: skip
            return False
        try:
            return frame[TAIL] == END and decode(frame[self._sound], None, True) is not None
        except ValueError:
            return False

    def proves_words(self, frame: bytes) -> bool:
        """True for a delta of words that stand for themselves, with or without padding after them."""
        return (self._knows(frame) or self._reads(frame)) and ends_in_words(frame, self._start)

    def _knows(self, frame: bytes) -> bool:
        """True for the remembered head with letters and digits in its gap."""
        return (
            frame[self._front] == self._before
            and frame[self._middle] == self._rest
            and frame[self._gap].isalnum()
        )  # fmt: skip

    def _reads(self, frame: bytes) -> bool:
        """True for a head that matches the pattern; it is the remembered one from now on."""
        found = self._pattern.match(frame)
        if found is None:
            return False
        head, event_id, self._start = found[0], found[1], found.end()
        gap = found.start(1) + max(event_id.rfind(b"_"), event_id.rfind(b"-")) + 1
        self._front, self._gap, self._middle = slice(gap), slice(gap, found.end(1)), slice(found.end(1), self._start)
        self._before, self._rest = head[self._front], head[self._middle]
        self._sound = slice(self._start, -len(END))
        self.response_id, self.item_id = found[2].decode(), found[3].decode()
        return True
