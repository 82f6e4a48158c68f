"""Ids as the protocol spells them: a prefix, an underscore, 21 base62 characters."""

from __future__ import annotations

import secrets
import string
from collections import Counter
from collections.abc import Callable

IdSource = Callable[[str], str]
"""Makes a new id for a prefix: `new_id("item")` -> `item_…`."""

_BASE62 = string.digits + string.ascii_letters
_LENGTHS = {"call": 16, "ek": 32, "rtc": 32}


def random_id(prefix: str) -> str:
    """A fresh id, e.g. `event_4kV…`; `call_` has 16 characters, `ek_` and `rtc_` 32, all others 21."""
    bits = secrets.randbits(192)
    chars = []
    for _ in range(_LENGTHS.get(prefix, 21)):
        bits, digit = divmod(bits, 62)
        chars.append(_BASE62[digit])
    return f"{prefix}_{''.join(chars)}"


class CountingIds:
    """Ids in order (`item_1`, `item_2`, …): for tests and replays that must give the same bytes twice."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, prefix: str) -> str:
        self._counts[prefix] += 1
        return f"{prefix}_{self._counts[prefix]}"
