"""Keeps what C libraries write by themselves out of the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """What is written to file descriptor 2 goes nowhere, while `sys.stderr` still writes where it did.

    PortAudio and ALSA say there what they think of a device, tens of lines a second once it is gone, across the line that
    lives at the bottom of the screen. Only for a command, whose process is its own; nothing happens without a stderr.
    """
    before = sys.stderr
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    with open(kept, "w", buffering=1, errors="backslashreplace") as ours, open(os.devnull, "w") as nowhere:
        before.flush()
        os.dup2(nowhere.fileno(), 2)
        sys.stderr = ours
        try:
            yield
        finally:
            ours.flush()
            os.dup2(kept, 2)
            sys.stderr = before
