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

from duologue.relay.shapes import ID

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


class Heads:
    """Finds heads of deltas of some types. `response_id` and `item_id` are those of the head that was found last."""

    __slots__ = ("_before", "_from", "_pattern", "_rest", "_start", "_to", "item_id", "response_id")

    def __init__(self, *types: str) -> None:
        self._pattern = _pattern(types)
        self._before, self._rest = _NONE, b""
        self._from = self._to = self._start = 0
        self.response_id = self.item_id = ""

    def end(self, frame: bytes) -> int:
        """Where the head ends and the delta itself begins; 0 for a frame of another shape."""
        if (
            frame.startswith(self._before)
            and frame.startswith(self._rest, self._to)
            and frame[self._from : self._to].isalnum()
        ):
            return self._start
        found = self._pattern.match(frame)
        if found is None:
            return 0
        self._remember(found)
        return found.end()

    def _remember(self, found: re.Match[bytes]) -> None:
        event_id = found[1]
        fixed = max(event_id.rfind(b"_"), event_id.rfind(b"-")) + 1
        self._from, self._to, self._start = found.start(1) + fixed, found.end(1), found.end()
        self._before, self._rest = found[0][: self._from], found[0][self._to :]
        self.response_id, self.item_id = found[2].decode(), found[3].decode()
