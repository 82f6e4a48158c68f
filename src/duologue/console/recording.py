"""Where a call is recorded."""

from __future__ import annotations

import time
from pathlib import Path

from duologue.console.upstream import Upstream, without_query
from duologue.ids import random_id
from duologue.inspector.trace import Trace


def new_trace(folder: Path, upstream: Upstream) -> Trace:
    """A session file of its own for a call that begins now, named by date and time. Raises OSError.

    It tells who answered, without the query of the address: there a key may stand.
    """
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{random_id('call')[5:11]}.duologue"
    about = {"upstream": without_query(upstream.address) or "embedded", "model": upstream.effective_model}
    return Trace(folder / name, about, started_unix_ms=time.time_ns() // 1_000_000)
