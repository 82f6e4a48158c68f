"""`debug=True`: every event that passes, as a line in the log `duologue.wire`; sound by its size, keys hidden."""

from __future__ import annotations

import logging
import sys

from duologue.access.redaction import loggable, redacted
from duologue.transports.tap import Direction

_log = logging.getLogger("duologue.wire")
_ARROWS = {"sent": "->", "received": "<-"}


class WireLog:
    """A sink for a transport's tap. Where the program has set up no logging, lines go to standard error."""

    def __init__(self) -> None:
        _log.setLevel(logging.DEBUG)
        if not _log.hasHandlers():
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            _log.addHandler(handler)

    def record(self, direction: Direction, frame: bytes | str, now_ms: int) -> None:
        """One frame passed."""
        _log.debug("%s %s", _ARROWS[direction], loggable(frame))

    def say(self, words: str) -> None:
        """Something about the connection itself."""
        _log.debug("-- %s", redacted(words))
