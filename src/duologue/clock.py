"""The one place that reads a clock. Machines take `now_ms` as an argument; shells hand it in from here."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Milliseconds that never run backwards; the zero is arbitrary."""


monotonic_s = time.monotonic
"""Monotonic time in s, for what asks so often that a function of Python's would be too much. `monotonic_ms` is as old."""


def monotonic_ms() -> int:
    """Monotonic time in ms, for durations and deadlines."""
    return time.monotonic_ns() // 1_000_000


def unix_s() -> int:
    """Wall clock in whole seconds since 1970, for the protocol's `expires_at` and `created_at`."""
    return int(time.time())
