"""Where a call is recorded, and what happens where it cannot be: the call goes on without."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from duologue.clock import monotonic_ms
from duologue.console.upstream import Upstream, without_query
from duologue.console.views import By
from duologue.ids import random_id
from duologue.inspector.trace import Trace


class Recording:
    """The session file of the present call, and of the last one until the next begins.

    A file that cannot be written never fails a call: `failed` is called with the problem, once a call.
    """

    def __init__(self, folder: Path, failed: Callable[[OSError], None]) -> None:
        self._folder = folder
        self._failed = failed
        self._trace: Trace | None = None
        self._zero_ms = 0
        self._complained = False

    @property
    def path(self) -> str:
        """The file, empty where the call is not recorded."""
        return "" if self._trace is None else str(self._trace.path)

    def begin(self, upstream: Upstream) -> None:
        """A new call, in a file of its own."""
        self.close()
        self._trace, self._zero_ms, self._complained = None, monotonic_ms(), False
        try:
            self._trace = new_trace(self._folder, upstream)
        except OSError as problem:
            self._complain(problem)

    def since_begin(self, now_ms: int) -> int:
        """The time in the call, in ms."""
        return now_ms - (self._zero_ms if self._trace is None else self._trace.zero_ms)

    def frame(self, by: By, frame: bytes | str, now_ms: int) -> int:
        """Keep a frame; returns where `frame_at` finds it, -1 if it could not be kept."""
        if self._trace is None:
            return -1
        try:
            return self._trace.append(by, frame, now_ms)
        except OSError as problem:
            self._complain(problem)
            return -1

    def note(self, name: str, data: Any) -> None:
        """Keep something that was not on the wire."""
        if self._trace is None:
            return
        try:
            self._trace.note(name, data)
        except OSError as problem:
            self._complain(problem)

    def frame_at(self, offset: int) -> bytes:
        """A frame that was kept; empty if it was not, or the file is gone."""
        try:
            return b"" if self._trace is None else self._trace.frame_at(offset)
        except OSError:
            return b""

    def close(self) -> None:
        """The call is over; its frames can still be read."""
        if self._trace is not None:
            self._trace.close()

    def _complain(self, problem: OSError) -> None:
        if not self._complained:
            self._complained = True
            self._failed(problem)


def new_trace(folder: Path, upstream: Upstream) -> Trace:
    """A session file of its own for a call that begins now, named by date and time. Raises OSError.

    It tells who answered, without the query of the address: there a key may stand.
    """
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{random_id('call')[5:11]}.duologue"
    about = {"upstream": without_query(upstream.address) or "embedded", "model": upstream.effective_model}
    return Trace(folder / name, about, started_unix_ms=time.time_ns() // 1_000_000)
